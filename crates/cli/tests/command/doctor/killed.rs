//! SIGKILL at any point of `doctor --fix` and of a rewrite: the old file or the new one, and the
//! next run clears up.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::json;
use turnlock::{Durability, Sessions};
use turnlock_testing::alone::this_binary;
use turnlock_testing::{ended, room};

use super::made::{CLASSES, Dice, Made, doctor};

const KILLS: usize = 250;

fn damaged(seed: u64) -> Made {
    let mut dice = Dice::new(seed);
    let mut made = Made::default();
    for _ in 0..20 {
        made.whole(2000);
        made.damage(dice.below(CLASSES), 500, &mut dice);
    }
    made.end(1, &mut dice);
    made
}

/// Kills a process at some point of its first `span`.
fn kill_within(span: Duration, mut command: std::process::Command, dice: &mut Dice) {
    command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
    let mut process = command.spawn().unwrap();
    let at = Instant::now() + span.mul_f64(dice.below(1000) as f64 / 1000.0);
    // Without sleeping: a timer is too coarse for this.
    while Instant::now() < at && process.try_wait().unwrap().is_none() {
        std::hint::spin_loop();
    }
    let _ = process.kill();
    process.wait().unwrap();
}

#[test]
fn a_killed_doctor_leaves_the_old_file_or_the_new_one() {
    let made = damaged(11);
    let repaired = made.repaired();
    let room = room();
    // How long it takes when nobody kills it.
    fs::write(&room.session, &made.bytes).unwrap();
    let began = Instant::now();
    assert_eq!(ended(doctor(&["--fix"], &room.dir)).code, Some(0));
    let span = began.elapsed().mul_f64(1.2);

    let mut dice = Dice::new(5);
    let (mut old, mut new, mut between) = (0, 0, 0);
    for _ in 0..KILLS {
        let _ = fs::remove_file(room.dir.join("s.jsonl.damaged"));
        fs::write(&room.session, &made.bytes).unwrap();
        kill_within(span, doctor(&["--fix"], &room.dir), &mut dice);
        let left = fs::read(&room.session).unwrap();
        if left == made.bytes {
            old += 1;
        } else {
            assert!(left == repaired, "neither the old file nor the new one");
            new += 1;
        }
        between += usize::from(room.names().len() > 2);

        let next = ended(doctor(&["--fix"], &room.dir));
        assert_eq!(next.code, Some(0), "{next:?}");
        assert!(fs::read(&room.session).unwrap() == repaired);
        assert_eq!(room.names(), ["s.jsonl", "s.jsonl.damaged"], "the next run clears up");
    }
    eprintln!(
        "{KILLS} kills of a doctor: {old} old, {new} new, {between} with something left over"
    );
    assert_eq!(ended(doctor(&["--undo"], &room.session)).code, Some(0));
    assert!(fs::read(&room.session).unwrap() == made.bytes);
}

const LINES: usize = 200;

/// Not a test: a process that rewrites a session again and again, each time with lines that say
/// which time it is.
#[test]
fn rewriter() {
    let Some(session) = std::env::var_os("TURNLOCK_TEST_SESSION") else { return };
    let sessions = Sessions::builder().durability(Durability::Buffered).build().unwrap();
    let turn = sessions.turn(session).acquire_blocking().unwrap();
    for generation in 1_u64.. {
        turn.rewrite_blocking((0..LINES).map(|n| json!({"generation": generation, "n": n})))
            .unwrap();
    }
}

#[test]
fn a_killed_rewrite_leaves_the_old_file_or_the_new_one() {
    let room = room();
    let generation_zero: String =
        (0..LINES).map(|n| format!("{{\"generation\":0,\"n\":{n}}}\n")).collect();
    let mut dice = Dice::new(6);
    let (mut rewritten, mut leftovers) = (0, 0);
    for _ in 0..KILLS {
        fs::write(&room.session, &generation_zero).unwrap();
        let mut rewriter = this_binary("doctor::killed::rewriter");
        rewriter.env("TURNLOCK_TEST_SESSION", &room.session);
        kill_within(Duration::from_millis(40), rewriter, &mut dice);
        let text = room.text();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), LINES);
        let generation = &lines[0]["generation"];
        for (n, line) in lines.iter().enumerate() {
            assert_eq!(
                (&line["generation"], &line["n"]),
                (generation, &json!(n)),
                "two generations in one file"
            );
        }
        rewritten += usize::from(*generation != json!(0));
        leftovers += usize::from(room.names().iter().any(|name| name.ends_with(".tmp")));
        let next = ended(doctor(&["--fix"], &room.dir));
        assert_eq!(next.code, Some(0), "{next:?}");
        assert_eq!(room.names(), ["s.jsonl"], "the next run clears up");
    }
    eprintln!(
        "{KILLS} kills of a rewrite: {rewritten} came to a rewrite, {leftovers} left a file over"
    );
}
