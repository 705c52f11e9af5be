//! Rewrites, which put another file in the place of the session by a rename that goes by no lock.

use std::time::Duration;

use crate::checks::{Check, Holder, fresh_directory, texts};
use crate::rig::{LEASE, Rig, until};

/// All of them, by name.
pub const ALL: &[(&str, Check)] = &[(
    "long_a_rewrite_of_a_host_that_was_cut_off_displaces_nothing",
    long_a_rewrite_of_a_host_that_was_cut_off_displaces_nothing,
)];

/// Each of its syncs takes so long. A rewrite has two before its rename, the second of them in its
/// section: that is where the machine is cut off, until its lease has run out and another host has
/// appended.
const SYNC: Duration = Duration::from_secs(20);

fn long_a_rewrite_of_a_host_that_was_cut_off_displaces_nothing(rig: &mut Rig) {
    if rig.a.run("strace -V").0 != 0 {
        eprintln!("    skipped: there is no strace");
        return;
    }
    let inside = fresh_directory(rig, "rewrite");
    let mut first = Holder::start(&rig.a, &inside, "s.jsonl", 10);
    first.acquire();
    first.ask_well("append one");
    first.ask_well("release");
    let slow = format!(
        "{inside}; driver() {{ strace -f -o /run/trace -e trace=fsync \
         -e inject=fsync:delay_enter={} {}/driver --driver \"$@\"; }}",
        SYNC.as_micros(),
        rig.folder().display()
    );
    let mut former = Holder::start(&rig.a, &slow, "s.jsonl", 10);
    former.acquire();
    former.tell("rewrite two");
    until(SYNC * 3, "the first sync", || {
        rig.a.ok("grep -c 'fsync.* = 0' /run/trace || true").trim() == "1"
    });
    // Now it enters its section, and syncs again.
    std::thread::sleep(SYNC / 5);
    rig.cut("a", true);
    let mut next = Holder::start(&rig.b, &inside, "s.jsonl", 60);
    next.tell("acquire");
    let answer = next.answer(LEASE * 4);
    assert!(answer.contains("-> ok"), "{answer}");
    next.ask_well("append bee");
    rig.cut("a", false);
    let told = former.answer(SYNC * 4);
    assert!(told.contains("ERR") && told.contains("lost"), "{told}");
    next.ask_well("append bee two");
    next.ask_well("release");
    assert_eq!(texts(&rig.served("rewrite/s.jsonl")), ["one", "bee", "bee two"]);
}
