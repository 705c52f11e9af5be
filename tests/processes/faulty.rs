//! Steps that a program's tests make fail or take long: what is told, and that nothing is torn.

use std::io;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use serde_json::json;
use turnlock::faults::{self, Step};
use turnlock::{Durability, Error, Sessions};
use turnlock_testing::{DEADLINE, alone, room, test_name};

use crate::child::{Answer, Ask, child};

#[test]
fn each_step_fails_as_told_and_loses_nothing() {
    alone(&test_name!(), || {
        let room = room();
        let sessions = Sessions::builder().durability(Durability::Sync).build().unwrap();
        let session = sessions.session(&room.session).unwrap();
        let fault = |step| faults::before(step, |_| Err(io::ErrorKind::StorageFull.into()));
        let kind = |error: Error| io::Error::from(error).kind();

        let publish = fault(Step::Publish);
        let refused = session.turn().try_acquire().map(drop);
        assert_eq!(kind(refused.unwrap_err()), io::ErrorKind::StorageFull);
        assert_eq!(room.names(), [""; 0]);
        drop(publish);

        let turn = session.turn().try_acquire().unwrap();
        turn.append_blocking(&json!({"n": 0})).unwrap();
        let write = fault(Step::Write);
        let refused = turn.append_blocking(&json!({"n": 1}));
        assert_eq!(kind(refused.unwrap_err()), io::ErrorKind::StorageFull);
        drop(write);
        let rename = fault(Step::Rename);
        let refused = turn.rewrite_blocking([json!({"n": 1})]);
        assert_eq!(kind(refused.unwrap_err()), io::ErrorKind::StorageFull);
        drop(rename);
        assert_eq!(room.lines(), [json!({"n": 0})]);
        assert_eq!(room.names(), ["s.jsonl", "s.jsonl.lock"]);
        let sync = fault(Step::Sync);
        let refused = turn.append_blocking(&json!({"n": 1}));
        assert_eq!(kind(refused.unwrap_err()), io::ErrorKind::StorageFull);
        drop(sync);
        let refused = turn.append_blocking(&json!({"n": 1}));
        assert!(matches!(refused, Err(Error::SyncFailed { .. })), "{refused:?}");
        turn.release_blocking().unwrap();
        assert_eq!(room.lines(), [json!({"n": 0})]);
        room.expect_clean();
    });
}

#[test]
fn a_step_that_takes_long_holds_up_its_session() {
    alone(&test_name!(), || {
        let room = room();
        let sessions = Sessions::builder().durability(Durability::Buffered).build().unwrap();
        let session = sessions.session(&room.session).unwrap();
        let turn = session.turn().try_acquire().unwrap();
        let (begun, has_begun) = channel();
        let (go_on, may_go_on) = channel::<()>();
        let may_go_on = Mutex::new(may_go_on);
        let stall = faults::before(Step::Write, move |path| {
            begun.send(path.to_owned()).unwrap();
            let _ = may_go_on.lock().unwrap().recv();
            Ok(())
        });
        std::thread::scope(|scope| {
            let append = scope.spawn(|| turn.append_blocking(&json!({"n": 0})));
            assert_eq!(has_begun.recv_timeout(DEADLINE).unwrap(), room.session);
            let mut other = child(&room);
            other.tell(&Ask::Post(json!({"n": 1})));
            let early = other.has_answered(std::time::Duration::from_millis(50));
            assert_eq!(early, None, "it waits for the append");
            drop(go_on);
            append.join().unwrap().unwrap();
            assert!(matches!(other.answer(), Answer::Appended { .. }));
        });
        drop(stall);
        turn.release_blocking().unwrap();
        assert_eq!(room.lines(), [json!({"n": 0}), json!({"n": 1})]);
    });
}
