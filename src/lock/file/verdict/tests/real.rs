//! Verdicts on real processes.

use std::os::unix::process::CommandExt;
use std::process::Command;

use super::*;
use crate::sys::process;
use crate::sys::process::tests::Sleeper;

const REAL: Processes<'_> = Processes { held_here: false, writer: None, known: None };

#[track_caller]
fn check_real(claim: Claim, outcome: Outcome, reasons: &[Reason]) {
    let verdict = judge(&claim, &REAL, Timestamp::now(), LIMITS);
    assert_eq!((verdict.outcome, verdict.reasons.as_slice()), (outcome, reasons));
}

fn made_now(pid: i32, start_time: Option<u64>) -> Claim {
    Claim { pid: Pid(pid), created_at: Some(Timestamp::now()), start_time }
}

#[test]
fn a_real_child_is_alive_until_it_is_killed() {
    let mut child = Sleeper::new();
    let pid = child.pid();
    let start_time = process::start_time(pid).unwrap();
    check_real(made_now(pid, start_time), Alive, &[]);
    check_real(made_now(pid, start_time.map(|ticks| ticks - 1)), Dead, &[RecycledPid]);
    child = child.zombie();
    check_real(made_now(pid, start_time), Dead, &[DeadPid]);
    drop(child);
    check_real(made_now(pid, start_time), Dead, &[DeadPid]);
    check_real(made_now(1 << 30, None), Dead, &[DeadPid]);
}

#[test]
fn a_real_child_without_start_time_is_known_by_its_age_and_name() {
    let node = Sleeper::start(Command::new("sleep").arg0("node").arg("1000"));
    check_real(made_now(node.pid(), None), Alive, &[]);
    let before = Timestamp::now() - SignedDuration::from_secs(60);
    let earlier = Claim { created_at: Some(before), ..made_now(node.pid(), None) };
    check_real(earlier, Dead, &[RecycledPid]);

    let sleep = Sleeper::new();
    check_real(made_now(sleep.pid(), None), Dead, &[NonOpenclawOwner]);
}

#[test]
fn our_real_self_may_have_made_what_is_younger() {
    let own = process::own();
    check_real(made_now(own.pid, own.start_time), Alive, &[]);
    check_real(made_now(own.pid, None), Nobody, &[OrphanSelfPid]);
    let before = process::started_at(own.pid).unwrap() - SignedDuration::from_secs(1);
    let earlier = Claim { created_at: Some(before), ..made_now(own.pid, None) };
    check_real(earlier, Dead, &[OrphanSelfPid]);
    let held = Processes { held_here: true, ..REAL };
    assert!(judge(&made_now(own.pid, None), &held, Timestamp::now(), LIMITS).alive());
}
