//! Repairs by one host, beside the turns of another.

use std::time::Duration;

use crate::checks::{Check, fresh_directory};
use crate::ledger::Ledger;
use crate::rig::Rig;

/// All of them, by name.
pub const ALL: &[(&str, Check)] = &[(
    "doctor_repairs_and_undoes_beside_turns_of_another_host",
    doctor_repairs_and_undoes_beside_turns_of_another_host,
)];

/// Cuts a line off under a turn, and repairs the session until that is done. What it keeps, since
/// the other host holds the session, it tries again.
const REPAIR: &str = r#"
turnlock run --timeout 20s s.jsonl -- sh -c 'printf "{\"cut" >> s.jsonl' || exit 1
for n in $(seq 100); do
  turnlock doctor --fix . > told 2>&1 && break
  sleep 0.05
done || { cat told; exit 1; }
grep -q repaired told || { cat told; exit 1; }
for n in $(seq 100); do
  turnlock doctor --undo s.jsonl > told 2>&1 && { cat told; exit 0; }
  sleep 0.05
done
cat told
exit 1
"#;

/// Nothing of the other host is lost: not by a repair, not by its undoing, not by the next repair.
fn doctor_repairs_and_undoes_beside_turns_of_another_host(rig: &mut Rig) {
    let inside = fresh_directory(rig, "doctor");
    let job = rig.b.begin(&format!("{inside}; driver loop s.jsonl b 20 8 3 20"));
    job.until_it_says("TURN", Duration::from_secs(20));
    let mut rounds = 0;
    while !job.is_over() {
        let (code, told) = rig.a.run(&format!("{inside}\n{REPAIR}"));
        assert_eq!(code, 0, "{told}");
        rounds += 1;
    }
    let (code, output) = job.wait(Duration::from_secs(20));
    assert_eq!(code, 0, "{output}");
    rig.a.ok(&format!("{inside}; turnlock doctor --fix ."));
    let ledger = Ledger::of(&rig.served("doctor/s.jsonl"), &[output]);
    println!("    {rounds} repairs undone; {}", ledger.summary());
    assert!(ledger.is_clean() && ledger.failures.is_empty(), "{ledger:?}");
}
