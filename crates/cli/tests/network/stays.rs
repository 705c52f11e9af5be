//! The lock file that stays between the turns of a process (I22).

use std::time::Duration;

use crate::checks::{Holder, SOON, fresh_directory};
use crate::ledger::Ledger;
use crate::rig::{Rig, until};

fn has_lock_file(rig: &Rig, name: &str) -> bool {
    rig.server.ok(&format!("ls -a /mnt/export/{name}")).contains(".lock")
}

/// It stays from the second turn on, and goes although the process lives on.
pub fn a_lock_file_stays_for_a_moment(rig: &mut Rig) {
    let inside = fresh_directory(rig, "stays");
    let mut process = Holder::start(&rig.a, &inside, "s.jsonl", 10);
    let told = process.ask_well("turns 1");
    assert!(told.contains("stayed 0"), "a process that takes one turn leaves nothing: {told}");
    let told = process.ask_well("turns 6");
    assert!(number(&told, "stayed") >= 4, "{told}");
    until(SOON, "the lock file is gone", || !has_lock_file(rig, "stays"));
    // Over many turns it goes once a second, for those who wait for that.
    let told = process.ask_well("turns_for 4");
    let (stayed, went) = (number(&told, "stayed"), number(&told, "went"));
    assert!(went >= 2 && stayed > went, "{told}");
    let lines = rig.served("stays/s.jsonl").lines().count();
    assert_eq!(lines, 7 + (stayed + went) as usize);
}

/// The number behind this word.
fn number(told: &str, word: &str) -> u32 {
    told.split_whitespace().skip_while(|it| *it != word).nth(1).unwrap().parse().unwrap()
}

/// Another host takes it over at once, whether the process that left it lives or was killed; and
/// whoever removes it costs that process a turn at most.
pub fn a_lock_file_that_stays_is_in_nobodys_way(rig: &mut Rig) {
    let inside = fresh_directory(rig, "nobodys");
    let append = |session: &str| {
        let append = format!("echo '{{}}' | turnlock append --timeout 5s {session}");
        rig.b.ok(&format!("{inside}; {append}"));
    };
    let turns = |session: &str, seconds: u32| {
        rig.a.begin(&format!("{inside}; driver loop {session} a 10 {seconds} 1 5"))
    };
    let job = turns("alive.jsonl", 4);
    job.until_it_says("TURN 3", SOON);
    for _ in 0..5 {
        append("alive.jsonl");
    }
    let (_, told) = job.wait(SOON);
    assert!(!told.contains("NACK") && !told.contains("FAIL"), "{told}");
    let job = turns("killed.jsonl", 60);
    job.until_it_says("TURN 3", SOON);
    rig.a.ok("pkill -KILL -f -- --driver || true");
    append("killed.jsonl");
    let job = turns("removed.jsonl", 4);
    job.until_it_says("TURN 3", SOON);
    for _ in 0..20 {
        rig.b.ok("rm -f /mnt/n/nobodys/removed.jsonl.lock; sleep 0.05");
    }
    let (_, told) = job.wait(SOON);
    let ledger = Ledger::of(&rig.served("nobodys/removed.jsonl"), &[told]);
    assert!(ledger.is_clean(), "{ledger:?}");
    // A process that ends at once after a turn may leave it: the next one removes it.
    append("alive.jsonl");
    append("removed.jsonl");
    std::thread::sleep(Duration::from_millis(200));
    assert!(!has_lock_file(rig, "nobodys"), "{}", rig.server.ok("ls -a /mnt/export/nobodys"));
}
