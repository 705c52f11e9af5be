#[cfg(target_os = "linux")]
mod real;

use std::ffi::OsString;
use std::io;

use serde_json::json;

use super::Outcome::{Alive, Dead, Nobody};
use super::PidClaim::{Invalid, Missing, Pid};
use super::Reason::*;
use super::*;

const OWN: i32 = 7;
const OTHER: i32 = 8;
/// A process that has the id `OTHER` in another PID namespace.
const NAMESAKE: i32 = 4711;
const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);
const LIMITS: Limits = Limits { too_old: HALF_AN_HOUR, assume_local: false };

/// The world of a test: one process, which is alive and a Node program unless said otherwise.
#[derive(Clone)]
struct World {
    held_here: bool,
    /// Whether there may be PID namespaces that cannot be seen.
    is_contained: bool,
    /// The start of the first process here, by both clocks.
    init: (u64, Timestamp),
    /// The process `NAMESAKE`.
    namesake: Option<Box<World>>,
    state: ProcessState,
    /// The outer `None`: reading fails. The inner `None`: there is no such process.
    start_time: Option<Option<u64>>,
    clock_unseen: bool,
    started_at: Option<Timestamp>,
    command_line: Option<Vec<OsString>>,
}

impl World {
    fn new() -> Self {
        Self {
            held_here: false,
            is_contained: false,
            init: (100, ago(100_000)),
            namesake: None,
            state: ProcessState::Alive,
            start_time: Some(Some(500)),
            clock_unseen: false,
            started_at: Some(ago(3600)),
            command_line: words(&["/usr/bin/node", "server.js"]),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn of(&self, pid: i32) -> &Self {
        match &self.namesake {
            Some(namesake) if pid == NAMESAKE => namesake,
            _ => self,
        }
    }
}

impl Facts for World {
    fn own_pid(&self) -> i32 {
        OWN
    }
    fn own_start_time(&self) -> Option<u64> {
        self.start_time.flatten()
    }
    fn held_here(&self) -> bool {
        self.held_here
    }
    fn state(&self, pid: i32) -> ProcessState {
        self.of(pid).state
    }
    fn start_time(&self, pid: i32) -> io::Result<Option<u64>> {
        if pid == INIT {
            return Ok(Some(self.init.0));
        }
        self.of(pid).start_time.ok_or_else(|| io::ErrorKind::PermissionDenied.into())
    }
    fn clock_unseen(&self, pid: i32) -> bool {
        self.of(pid).clock_unseen
    }
    fn started_at(&self, pid: i32) -> Option<Timestamp> {
        if pid == INIT { Some(self.init.1) } else { self.of(pid).started_at }
    }
    fn command_line(&self, pid: i32) -> Option<Vec<OsString>> {
        self.of(pid).command_line.clone()
    }
    fn boot_time(&self) -> Option<Timestamp> {
        Some(ago(1_000_000))
    }
    fn elsewhere(&self, claim: &Claim, lives: &dyn Fn(i32) -> bool) -> Elsewhere {
        let is_named = self.namesake.is_some() && claim.pid == Pid(OTHER);
        match self.is_contained {
            _ if is_named && lives(NAMESAKE) => Elsewhere::Lives(NAMESAKE),
            false => Elsewhere::Nowhere,
            true => Elsewhere::Unseen,
        }
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn ago(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

#[expect(clippy::unnecessary_wraps, reason = "it is the type of the field")]
fn words(words: &[&str]) -> Option<Vec<OsString>> {
    Some(words.iter().map(OsString::from).collect())
}

/// A record made a minute ago, without a start time.
fn claim(pid: PidClaim) -> Claim {
    Claim { pid, created_at: Some(ago(60)), start_time: None }
}

fn started(pid: PidClaim, start_time: u64) -> Claim {
    Claim { start_time: Some(start_time), ..claim(pid) }
}

fn created(pid: PidClaim, created_at: Option<Timestamp>) -> Claim {
    Claim { created_at, ..claim(pid) }
}

#[track_caller]
fn check(what: &str, claim: Claim, world: &World, outcome: Outcome, reasons: &[Reason]) {
    let verdict = judge(&claim, world, now(), LIMITS);
    assert_eq!((verdict.outcome, verdict.reasons.as_slice()), (outcome, reasons), "{what}");
}

#[test]
fn certain_evidence_first() {
    let world = World::new;
    let gone = world().with(|w| w.state = ProcessState::Gone);
    let zombie = world().with(|w| w.state = ProcessState::Zombie);
    // All guesses would speak against it. None is made where there is certain evidence that only
    // cannot be read.
    let unseen = world().with(|w| {
        w.start_time = None;
        w.started_at = Some(now());
        w.command_line = words(&["vim"]);
    });
    let vanished = world().with(|w| w.start_time = Some(None));
    let editor = world().with(|w| w.command_line = words(&["vim"]));

    check("a dead pid", claim(Pid(OTHER)), &gone, Dead, &[DeadPid]);
    check("a dead pid, start time and all", started(Pid(OTHER), 500), &gone, Dead, &[DeadPid]);
    check("a zombie", started(Pid(OTHER), 500), &zombie, Dead, &[DeadPid]);
    check("ended while we looked", started(Pid(OTHER), 500), &vanished, Dead, &[DeadPid]);
    check("recycled", started(Pid(OTHER), 499), &world(), Dead, &[RecycledPid]);
    check("the same start time", started(Pid(OTHER), 500), &world(), Alive, &[]);
    check("… of any program", started(Pid(OTHER), 500), &editor, Alive, &[]);
    check("a start time that cannot be read", started(Pid(OTHER), 499), &unseen, Alive, &[]);
    let other_clock = world().with(|w| w.clock_unseen = true);
    check("perhaps by another clock", started(Pid(OTHER), 499), &other_clock, Alive, &[]);
    check("by whatever clock", started(Pid(OTHER), 500), &other_clock, Alive, &[]);
    let younger = other_clock.with(|w| w.started_at = Some(now()));
    check("but younger than its record", started(Pid(OTHER), 499), &younger, Dead, &[RecycledPid]);
}

#[test]
fn our_own_pid() {
    let world = World::new();
    let held = world.clone().with(|w| w.held_here = true);
    let hidden = world.clone().with(|w| w.start_time = None);

    // By another library in this process, perhaps.
    check("with ours", started(Pid(OWN), 500), &world, Alive, &[]);
    check("with another", started(Pid(OWN), 499), &world, Dead, &[RecycledPid]);
    let before = Some(ago(3601));
    check("made before us", created(Pid(OWN), before), &world, Dead, &[OrphanSelfPid, TooOld]);
    check("made since we began", claim(Pid(OWN)), &world, Nobody, &[OrphanSelfPid]);
    let reasons = [OrphanSelfPid, InvalidCreatedAt];
    check("made at no known time", created(Pid(OWN), None), &world, Nobody, &reasons);
    check("ours cannot be read", started(Pid(OWN), 499), &hidden, Nobody, &[OrphanSelfPid]);
    check("held here", claim(Pid(OWN)), &held, Alive, &[]);
}

#[test]
fn what_is_held_here_is_alive_whatever_the_record_says() {
    let held = World::new().with(|w| w.held_here = true);
    let gone = held.clone().with(|w| w.state = ProcessState::Gone);
    check("another start time", started(Pid(OWN), 499), &held, Alive, &[]);
    check("a dead pid", claim(Pid(OTHER)), &gone, Alive, &[]);
    check("no pid", claim(Missing), &held, Alive, &[]);
    check("old", created(Pid(OWN), Some(ago(9999))), &held, Alive, &[TooOld]);
}

#[test]
fn without_a_start_time_the_process_must_be_older_than_the_record() {
    let pid = Pid(OTHER);
    let since = |seconds| World::new().with(|w| w.started_at = Some(ago(seconds)));
    let unseen = World::new().with(|w| w.started_at = None);

    check("older", claim(pid), &since(61), Alive, &[]);
    check("within the slack", claim(pid), &since(58), Alive, &[]);
    check("younger", claim(pid), &since(57), Dead, &[RecycledPid]);
    check("not known since when", claim(pid), &unseen, Alive, &[]);
    let younger_and_matching = started(pid, 500);
    check("the start time outweighs clocks", younger_and_matching, &since(0), Alive, &[]);
}

#[test]
fn an_owner_in_another_namespace_is_alive_wherever_it_is_seen() {
    let with = |change: fn(&mut World)| {
        let namesake = Some(Box::new(World::new().with(change)));
        World::new().with(|w| (w.state, w.namesake) = (ProcessState::Gone, namesake))
    };
    let node = with(|_| {});
    let verdict = judge(&started(Pid(OTHER), 500), &node, now(), LIMITS);
    assert_eq!(verdict.elsewhere, Some(NAMESAKE));
    check("its start time", started(Pid(OTHER), 500), &node, Alive, &[]);
    check("none recorded", claim(Pid(OTHER)), &node, Alive, &[]);
    check("another", started(Pid(OTHER), 501), &node, Dead, &[DeadPid]);
    check(
        "none that can be read",
        started(Pid(OTHER), 1),
        &with(|w| w.start_time = None),
        Alive,
        &[],
    );
    let zombie = with(|w| w.state = ProcessState::Zombie);
    check("dead there", started(Pid(OTHER), 500), &zombie, Dead, &[DeadPid]);
    let editor = with(|w| w.command_line = words(&["vim"]));
    check("certainly no agent", claim(Pid(OTHER)), &editor, Dead, &[DeadPid]);
    check("any program", started(Pid(OTHER), 500), &editor, Alive, &[]);
    let younger = with(|w| w.started_at = Some(ago(1)));
    check("younger than the record", claim(Pid(OTHER)), &younger, Dead, &[DeadPid]);

    let recycled_here = node.clone().with(|w| w.state = ProcessState::Alive);
    let record = started(Pid(OTHER), 500);
    check(
        "and somebody else here",
        record,
        &recycled_here.with(|w| w.start_time = Some(Some(9))),
        Alive,
        &[],
    );
    check(
        "whoever says that all is local",
        record,
        &node.with(|w| w.is_contained = true),
        Alive,
        &[],
    );
}

#[test]
fn an_owner_that_may_be_in_a_namespace_that_cannot_be_seen_is_respected() {
    let here = World::new().with(|w| w.is_contained = true);
    let gone = here.clone().with(|w| w.state = ProcessState::Gone);
    let zombie = here.clone().with(|w| w.state = ProcessState::Zombie);
    let unseen = &[UnseenNamespace];
    // The container began 100,000 s ago, at tick 100.
    let earlier = |claim| Claim { created_at: Some(ago(200_000)), ..claim };
    let old = |reason| [reason, TooOld];
    let (other, own) = (Pid(OTHER), Pid(OWN));

    check("no such process", claim(other), &gone, Outcome::Unseen, unseen);
    check("nor one started then", started(other, 500), &gone, Outcome::Unseen, unseen);
    check(
        "from before",
        earlier(started(other, 50)),
        &gone,
        Outcome::Unseen,
        &old(UnseenNamespace),
    );
    check("its process is a zombie", started(other, 500), &zombie, Dead, &[DeadPid]);
    check("another is", started(other, 501), &zombie, Outcome::Unseen, unseen);
    check("somebody else here", started(other, 501), &here, Outcome::Unseen, unseen);
    check("ourselves, started then", started(own, 501), &here, Outcome::Unseen, unseen);
    check("ourselves, since we began", claim(own), &here, Outcome::Unseen, unseen);

    // Containers that are restarted repeat their ids.
    check("an earlier life", earlier(started(other, 50)), &here, Dead, &old(RecycledPid));
    check("our own", earlier(started(own, 50)), &here, Dead, &old(RecycledPid));
    check("without start time", earlier(claim(other)), &here, Dead, &old(RecycledPid));
    check("our own, without", earlier(claim(own)), &here, Dead, &old(OrphanSelfPid));
    let shell = here.clone().with(|w| w.command_line = words(&["sh", "-c", "node x"]));
    let one_off = earlier(started(own, 50));
    check("another program", one_off, &shell, Outcome::Unseen, &old(UnseenNamespace));
    // The owner is older than this container, and has the lock since it began: it lives elsewhere.
    check("a sibling", started(other, 50), &here, Outcome::Unseen, unseen);
    let younger = earlier(started(other, 150));
    check("a clock that was set", younger, &here, Outcome::Unseen, &old(UnseenNamespace));

    let before_boot = |claim| Claim { created_at: Some(ago(1_000_003)), ..claim };
    check("before the boot", before_boot(started(other, 600)), &gone, Dead, &old(DeadPid));
    check(
        "no date",
        created(other, None),
        &gone,
        Outcome::Unseen,
        &[UnseenNamespace, InvalidCreatedAt],
    );

    let local = Limits { assume_local: true, ..LIMITS };
    assert_eq!(judge(&claim(other), &gone, now(), local).reasons, [DeadPid]);
    assert_eq!(judge(&started(other, 501), &here, now(), local).reasons, [RecycledPid]);
}

#[test]
fn the_command_line_decides_last() {
    let runs = |line: &[&str]| World::new().with(|w| w.command_line = words(line));
    for agent in [
        &["node", "dist/index.js"][..],
        &["/usr/local/bin/NODE"],
        &["bun", "run", "gateway"],
        &["deno"],
        &["openclaw-gateway"],
        &["/bin/sh", "-c", "clawdbot agent"],
        &["tool", "--beside", "OpenClaw"],
        &["moltbot"],
    ] {
        check(&format!("{agent:?}"), claim(Pid(OTHER)), &runs(agent), Alive, &[]);
    }
    let other = runs(&["/usr/sbin/sshd", "-D"]);
    check("no agent", claim(Pid(OTHER)), &other, Dead, &[NonOpenclawOwner]);
    check("empty", claim(Pid(OTHER)), &runs(&[]), Alive, &[]);
    let unreadable = World::new().with(|w| w.command_line = None);
    check("unreadable", claim(Pid(OTHER)), &unreadable, Alive, &[]);
}

#[test]
fn what_cannot_be_read_is_alive() {
    let nothing = World {
        held_here: false,
        is_contained: false,
        init: World::new().init,
        namesake: None,
        state: ProcessState::Unknown,
        start_time: None,
        clock_unseen: false,
        started_at: None,
        command_line: None,
    };
    check("no start time", claim(Pid(OTHER)), &nothing, Alive, &[]);
    check("start time", started(Pid(OTHER), 1), &nothing, Alive, &[]);
    check("no date", created(Pid(OTHER), None), &nothing, Alive, &[InvalidCreatedAt]);
}

#[test]
fn age_and_dates_are_reported_and_take_nothing_from_the_living() {
    let old = ago(30 * 60 + 1);
    let world = World::new();
    let ancient = world.clone().with(|w| w.started_at = Some(ago(100_000)));
    let other = ancient.clone().with(|w| w.command_line = words(&["cat"]));
    let gone = world.clone().with(|w| w.state = ProcessState::Gone);

    check("exactly the limit", created(Pid(OTHER), Some(ago(1800))), &ancient, Alive, &[]);
    check("old, live", created(Pid(OTHER), Some(old)), &ancient, Alive, &[TooOld]);
    check("old, dead", created(Pid(OTHER), Some(old)), &gone, Dead, &[DeadPid, TooOld]);
    check("a date in the future", created(Pid(OTHER), Some(ago(-86_400))), &world, Alive, &[]);
    check("no date, live", created(Pid(OTHER), None), &world, Alive, &[InvalidCreatedAt]);
    let reasons = [NonOpenclawOwner, InvalidCreatedAt];
    check("no date, no agent", created(Pid(OTHER), None), &other, Dead, &reasons);
}

#[test]
fn any_age_can_be_the_limit() {
    let old = created(Pid(OTHER), Some(ago(3600)));
    let too_old = |too_old| Limits { too_old, ..LIMITS };
    for limit in [Duration::MAX, Duration::from_secs(u64::MAX), Duration::from_secs(3600)] {
        assert_eq!(judge(&old, &World::new(), now(), too_old(limit)).reasons, [], "{limit:?}");
    }
    assert_eq!(judge(&old, &World::new(), now(), too_old(Duration::ZERO)).reasons, [TooOld]);
}

#[test]
fn a_record_that_names_nobody_is_left_to_its_age() {
    let world = World::new();
    check("no pid", claim(Missing), &world, Nobody, &[MissingPid]);
    check("a pid that cannot be", started(Invalid, 500), &world, Nobody, &[MissingPid]);
    let bare = Claim { pid: Missing, created_at: None, start_time: None };
    check("nothing at all", bare, &world, Nobody, &[MissingPid, InvalidCreatedAt]);
}

#[test]
fn pids_in_json() {
    assert_eq!(PidClaim::from_json(&json!(null)), Missing);
    assert_eq!(PidClaim::from_json(&json!(1234)), Pid(1234));
    assert_eq!(PidClaim::from_json(&json!(i32::MAX)), Pid(i32::MAX));
    for value in [
        json!(0),
        json!(-1),
        json!(1.5),
        json!("12"),
        json!(1_u64 << 31),
        json!(u64::MAX),
        json!([1]),
    ] {
        assert_eq!(PidClaim::from_json(&value), Invalid, "{value}");
    }
}

#[test]
fn reasons_are_said_and_written_in_openclaws_words() {
    let reasons = [
        MissingPid,
        DeadPid,
        RecycledPid,
        InvalidCreatedAt,
        TooOld,
        OrphanSelfPid,
        NonOpenclawOwner,
    ];
    let said: Vec<String> = reasons.iter().map(ToString::to_string).collect();
    let expected = "missing-pid dead-pid recycled-pid invalid-createdAt too-old orphan-self-pid \
                    non-openclaw-owner";
    assert_eq!(said.join(" "), expected);
    assert_eq!(serde_json::to_value(reasons).unwrap(), json!(said));
    assert_eq!(format!("[{Empty:>7}]"), "[  empty]");
}
