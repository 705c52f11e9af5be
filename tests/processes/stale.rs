//! Eight processes meet one stale lock at the same instant: never two holders.

use std::time::Duration;

use serde_json::json;
use turnlock_testing::{NOBODY, foreign_record, room};

use crate::child::{Answer, Ask, child};

#[test]
fn eight_processes_meet_one_stale_lock_five_hundred_times() {
    let room = room();
    let mut dead = child(&room);
    dead.acquire();
    dead.append(json!({"n": 0}));
    let ours = std::fs::read_to_string(&room.lock).unwrap();
    dead.kill();
    // One of ours, one whose take-over was interrupted, a foreign one, an old empty one, and an old
    // half-written one.
    let half = "{\n  \"pid\": 12".to_owned();
    let kinds = [
        ours.clone(),
        ours.replacen('{', "~", 1),
        foreign_record(NOBODY, None),
        String::new(),
        half,
    ];

    let witness = room.dir.join("witness");
    let mut children: Vec<_> = (0..8).map(|_| child(&room)).collect();
    for round in 0..500 {
        room.put_lock(&kinds[round % kinds.len()]);
        room.age_lock(Duration::from_secs(60));
        for child in &mut children {
            child.tell(&Ask::Meet(witness.clone()));
        }
        for child in &children {
            assert_eq!(child.answer(), Answer::Done, "round {round}");
        }
    }
    assert_eq!(room.lines().len(), 500 * 8 + 1);
    room.expect_clean();
}
