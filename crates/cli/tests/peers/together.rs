//! Both of us appending for a while, and what is in the file afterwards. Every writer takes turns
//! of two lines; no turn may lie inside another's, as long as the peers keep to their own rules.
//! Where they do not, ours are refused, or told of what came between: never interleaved without a
//! word.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::Value;
use turnlock_testing::Room;
use turnlock_testing::env::number;

use crate::node::{Kind, Node, Peer, all};
use crate::ours::{Answer, Outcome, Told, taking_turns};
use crate::plain::Remover;
use crate::room::room;

/// Peers count from here.
const THEIRS: u64 = 100;

/// How long each of the rounds takes.
fn round() -> Duration {
    Duration::from_secs(number("TURNLOCK_PEERS_SECONDS", 2))
}

/// The turns that a peer told of.
struct Theirs {
    writer: u64,
    turns: Vec<u64>,
    busy: u64,
}

impl Theirs {
    fn told(writer: u64, lines: &[String]) -> Self {
        let turns =
            lines.iter().filter_map(|line| line.strip_prefix("turn ")?.parse().ok()).collect();
        let busy = lines.iter().filter(|line| line.starts_with("busy ")).count() as u64;
        Self { writer, turns, busy }
    }
}

/// Everybody's word.
#[derive(Default)]
struct Words {
    ours: Vec<(u64, Told)>,
    theirs: Vec<Theirs>,
}

/// What the file says to it.
#[derive(Debug, Default)]
struct Found {
    our_turns: u64,
    their_turns: u64,
    lost: u64,
    overtaken: u64,
    /// Waits of 10 s in vain.
    busy: u64,
    their_busy: u64,
    /// Turns of ours, acknowledged in both parts, with somebody else's line between them. Each of
    /// them was told of it.
    ours_split: u64,
    /// The same for theirs: nobody told them.
    theirs_split: u64,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            our_turns,
            their_turns,
            lost,
            overtaken,
            busy,
            their_busy,
            ours_split,
            theirs_split,
        } = self;
        write!(
            f,
            "{our_turns} turns of ours, {their_turns} of theirs; {lost} appends refused, \
             {overtaken} overtaken, "
        )?;
        write!(
            f,
            "waits in vain: {busy} and {their_busy}; split: {ours_split} of ours \
             (all told), {theirs_split} of theirs"
        )
    }
}

/// So many of ours and theirs, for a round, with somebody who does something to the locks or the
/// peers meanwhile.
fn together(
    room: &Room,
    ours: u64,
    peers: &[&Peer],
    mut meanwhile: impl FnMut(&mut Vec<(u64, Node)>, &mut Words),
) -> Found {
    let mut linked: Vec<_> = (0..ours).map(|writer| (writer, taking_turns(room, writer))).collect();
    let mut nodes = Vec::new();
    for (writer, peer) in (THEIRS..).zip(peers) {
        nodes.push((writer, begin(peer, room, writer)));
    }
    for (_, ours) in &mut linked {
        assert_eq!(ours.answer(), Answer::Begun);
    }
    let (began, mut words) = (Instant::now(), Words::default());
    while began.elapsed() < round() {
        meanwhile(&mut nodes, &mut words);
        std::thread::sleep(Duration::from_millis(50));
    }
    for (_, ours) in &mut linked {
        ours.tell(&());
    }
    for (_, node) in &mut nodes {
        node.tell("stop");
    }
    for (writer, mut node) in nodes {
        words.theirs.push(Theirs::told(writer, &node.until("done")));
    }
    for (writer, ours) in &linked {
        let Answer::Told(told) = ours.answer() else { panic!("it tells of its turns") };
        words.ours.push((*writer, told));
    }
    check(room, &words)
}

fn begin(peer: &Peer, room: &Room, writer: u64) -> Node {
    let mut node = peer.start(&room.session);
    assert_eq!(node.ask(&format!("turns {writer}")), "begun");
    node
}

/// Every acknowledged line once, every refused one never, every line whole; and what lies between
/// the two of a turn.
fn check(room: &Room, words: &Words) -> Found {
    let lines = room.lines();
    let number = |line: &Value, key: &str| line[key].as_u64().unwrap();
    let mut at = HashMap::new();
    for (index, line) in lines.iter().enumerate() {
        let name = (number(line, "w"), number(line, "n"), number(line, "part"));
        assert_eq!(at.insert(name, index), None, "{line} is there twice");
    }
    let mut found = Found::default();
    for Theirs { writer, turns, busy } in &words.theirs {
        found.their_busy += busy;
        for n in turns {
            let [first, second] = [1, 2].map(|part| at.get(&(*writer, *n, part)).copied());
            let (Some(first), Some(second)) = (first, second) else {
                panic!("turn {n} of peer {writer} is not there: {first:?}, {second:?}");
            };
            found.their_turns += 1;
            found.theirs_split += u64::from(second != first + 1);
        }
    }
    for (writer, told) in &words.ours {
        found.busy += told.busy;
        for (n, parts) in &told.turns {
            let places: Vec<_> =
                (1..).zip(parts).map(|(part, _)| at.get(&(*writer, *n, part)).copied()).collect();
            for (outcome, place) in parts.iter().zip(&places) {
                match outcome {
                    Outcome::There { .. } => {
                        assert!(
                            place.is_some(),
                            "turn {n} of {writer}: an acknowledged line is gone"
                        )
                    }
                    Outcome::Lost => {
                        assert_eq!(*place, None, "turn {n} of {writer}: a refused line is there");
                        found.lost += 1;
                    }
                    Outcome::Overtaken => found.overtaken += 1,
                }
            }
            let (
                [Outcome::There { .. }, Outcome::There { intervening }],
                [Some(first), Some(second)],
            ) = (&parts[..], &places[..])
            else {
                continue;
            };
            found.our_turns += 1;
            let split = *second != first + 1;
            assert_eq!(
                split,
                *intervening > 0,
                "turn {n} of {writer}: lines {first} and {second}, told {intervening}"
            );
            found.ours_split += u64::from(split);
        }
    }
    found
}

/// One peer, and so many of ours: no turn lies inside another's, and nobody's lock is ever lost.
///
/// But for the version of January: what it cannot read it takes for a dead one's and removes by its
/// path, be it a record that is just being rewritten, or a lock file that has gone since and was
/// followed by another. Then ours is refused.
fn beside_one(ours: u64) {
    for peer in all() {
        let room = room();
        let found = together(&room, ours, &[&peer], |_, _| {});
        eprintln!("{ours} of ours beside one {:?}: {found}", peer.kind);
        assert!(found.our_turns > 0, "{found}");
        assert_eq!((found.ours_split, found.theirs_split), (0, 0), "{:?}: {found}", peer.kind);
        if peer.kind != Kind::January {
            assert_eq!((found.lost, found.overtaken), (0, 0), "{:?}: {found}", peer.kind);
        }
    }
}

#[test]
fn one_of_ours_beside_one_peer() {
    beside_one(1);
}

#[test]
fn three_of_ours_beside_one_peer() {
    beside_one(3);
}

/// Three peers, killed again and again while they hold, so that each other's stale locks are
/// reclaimed by removing and creating: where their own races are. Two of ours stay among them.
#[test]
fn two_of_ours_among_peers_that_are_killed_and_race() {
    for peer in all() {
        let room = room();
        let mut writer = THEIRS + 10;
        let found = together(&room, 2, &[&peer, &peer, &peer], |nodes, words| {
            let (dead, node) = nodes.remove(0);
            words.theirs.push(Theirs::told(dead, &node.kill()));
            nodes.push((writer, begin(&peer, &room, writer)));
            writer += 1;
        });
        eprintln!("two of ours among three {:?} that are killed: {found}", peer.kind);
        assert!(found.our_turns > 0, "{found}");
    }
}

/// A container's entrypoint that sweeps locks away, again and again.
#[test]
fn two_of_ours_beside_a_peer_while_find_deletes_all_locks() {
    for peer in all() {
        let room = room();
        let sweeper = Remover::start(&room, "find \"$DIR\" -name '*.lock' -delete");
        let found = together(&room, 2, &[&peer], |_, _| {});
        drop(sweeper);
        eprintln!("two of ours beside one {:?} while find deletes: {found}", peer.kind);
        assert!(found.lost > 0, "it did delete: {found}");
    }
}
