//! Foreign programs, which take no kernel lock: a turn waits for the living, not for the dead.

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::Signal;
use serde_json::json;
use turnlock::{Durability, Error, Sessions};
use turnlock_testing::strace::strace;
use turnlock_testing::{Sleeper, foreign_record, room, start_time_of, until};

use crate::child::{Answer, Ask, Child, How, child};
use crate::sessions::buffered;

#[test]
fn a_living_foreign_owner_is_waited_for_and_named() {
    // A record with a start time is believed whatever the process's name; one without, by the name.
    for (name, with_start_time) in [("sleep", true), ("node", false)] {
        let room = room();
        let mut foreign = Sleeper::new(name);
        let start_time = with_start_time.then(|| start_time_of(foreign.pid()));
        let record = foreign_record(foreign.pid(), start_time);
        room.put_lock(&record);
        let sessions = buffered();
        let waiting = sessions.turn(&room.session).timeout(Duration::from_millis(100));
        let error = waiting.acquire_blocking().unwrap_err().to_string();
        let begins =
            format!("session file locked (timeout 100ms): pid={} alive=true ageMs=", foreign.pid());
        assert!(error.starts_with(&begins), "{error}");
        assert!(error.contains("a foreign program"), "{error}");
        assert_eq!(fs::read_to_string(&room.lock).unwrap(), record, "it was not touched");
        // A waiter that has just given up does not stand in the way of the next try.
        foreign.kill();
        sessions.turn(&room.session).try_acquire().unwrap().release_blocking().unwrap();
        room.expect_clean();
    }
}

#[test]
fn when_a_foreign_owner_unlinks_its_file_the_waiter_has_the_turn_soon() {
    let room = room();
    let foreign = Sleeper::new("node");
    let mut waiter = child(&room);
    let mut waits = Vec::new();
    for _ in 0..10 {
        room.put_lock(foreign_record(foreign.pid(), Some(start_time_of(foreign.pid()))));
        waiter.tell(&Ask::Acquire(60_000));
        assert_eq!(waiter.has_answered(Duration::from_millis(30)), None);
        let unlinked = Instant::now();
        fs::remove_file(&room.lock).unwrap();
        waiter.answered_held();
        waits.push(unlinked.elapsed());
        waiter.release();
    }
    waits.sort();
    // On a busy machine many take longer. Only the best shows how often the waiter looks.
    assert!(waits[0] < Duration::from_millis(50), "{waits:?}");
    assert!(waits[9] < Duration::from_secs(30), "{waits:?}");
}

#[test]
fn empty_and_half_written_locks_are_respected_while_fresh() {
    for content in ["", "{\n  \"pid\": 12", "{}", "null", "\u{0}\u{0}"] {
        let room = room();
        let sessions = buffered();
        room.put_lock(content);
        let error = sessions.turn(&room.session).try_acquire().unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{content:?}: {error}");
        room.age_lock(Duration::from_secs(20));
        assert!(sessions.turn(&room.session).try_acquire().is_err(), "{content:?}");
        assert_eq!(fs::read_to_string(&room.lock).unwrap(), content);
        room.age_lock(Duration::from_secs(31));
        sessions.turn(&room.session).try_acquire().unwrap().release_blocking().unwrap();
        room.expect_clean();
    }
}

#[test]
fn a_time_in_the_future_counts_as_expired() {
    let room = room();
    room.put_lock("");
    let file = fs::File::options().write(true).open(&room.lock).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(3600)).unwrap();
    buffered().turn(&room.session).try_acquire().unwrap().release_blocking().unwrap();
}

#[test]
fn a_fresh_empty_lock_is_waited_for_until_its_grace_is_over() {
    let room = room();
    room.put_lock("");
    let grace = Duration::from_millis(300);
    let sessions = Sessions::builder()
        .malformed_grace(grace)
        .durability(Durability::Buffered)
        .build()
        .unwrap();
    let changed = fs::metadata(&room.lock).unwrap().modified().unwrap();
    let turn = sessions.turn(&room.session).acquire_blocking().unwrap();
    assert!(changed.elapsed().unwrap() >= grace);
    turn.release_blocking().unwrap();
}

#[test]
fn a_post_waits_for_a_living_foreign_owner() {
    let room = room();
    fs::write(&room.session, "").unwrap();
    let mut foreign = Sleeper::new("node");
    room.put_lock(foreign_record(foreign.pid(), Some(start_time_of(foreign.pid()))));
    let hasty = Sessions::builder().acquire_timeout(Duration::from_millis(50)).build().unwrap();
    assert!(matches!(
        hasty.post_blocking(&room.session, &json!({"n": 0})),
        Err(Error::Timeout { .. })
    ));
    let mut poster = child(&room);
    poster.tell(&Ask::Post(json!({"n": 1})));
    assert_eq!(poster.has_answered(Duration::from_millis(50)), None);
    assert_eq!(room.text(), "");
    foreign.kill();
    assert!(matches!(poster.answer(), Answer::Appended { .. }));
    assert_eq!(room.lines(), [json!({"n": 1})]);
    room.expect_clean();
}

#[test]
fn a_post_that_waited_for_a_foreign_owner_does_not_create_what_was_removed() {
    let room = room();
    fs::write(&room.session, "{}\n").unwrap();
    let foreign = Sleeper::new("node");
    room.put_lock(foreign_record(foreign.pid(), None));
    let mut poster = child(&room);
    poster.tell(&Ask::Post(json!({"n": 1})));
    assert_eq!(poster.has_answered(Duration::from_millis(50)), None);
    poster.stop();
    fs::remove_file(&room.session).unwrap();
    fs::remove_file(&room.lock).unwrap();
    poster.signal(Signal::CONT);
    let answer = poster.answer();
    assert!(matches!(&answer, Answer::Failed(kind, _) if kind == "no-session"), "{answer:?}");
    room.expect_clean();
    assert!(!room.session.exists());
}

/// A post that has to wait takes a turn of its own. It knows nothing of the session, and so is told
/// of no change between the beginning of that turn and its append.
#[test]
fn a_post_that_waited_for_a_foreign_owner_is_told_of_no_change() {
    // Time for the change between the turn lock and the data lock for the append.
    let Some(through) = strace(&["inject=flock:delay_enter=200000"]) else { return };
    for replaced in [false, true] {
        let room = room();
        fs::write(&room.session, "{\"n\":1}\n{\"n\":2}\n").unwrap();
        let foreign = Sleeper::new("node");
        room.put_lock(foreign_record(foreign.pid(), None));
        let how = How { through: through.clone(), ..How::default() };
        let mut poster = Child::start(&room.session, how);
        poster.tell(&Ask::Post(json!({"n": 3})));
        assert_eq!(poster.has_answered(Duration::from_millis(500)), None);
        fs::remove_file(&room.lock).unwrap();
        until("the post has a turn", || {
            fs::read_to_string(&room.lock).is_ok_and(|record| record.contains("\"post\""))
        });
        if replaced {
            fs::write(room.dir.join("new"), "{\"n\":1}\n").unwrap();
            fs::rename(room.dir.join("new"), &room.session).unwrap();
        } else {
            fs::write(&room.session, "{\"n\":1}\n").unwrap();
        }
        let answer = poster.answer();
        assert!(matches!(answer, Answer::Appended { .. }), "{answer:?}");
        // On a busy machine the change may have come after the line.
        let (with, without) = ("{\"n\":1}\n{\"n\":3}\n", "{\"n\":1}\n");
        assert!([with, without].contains(&room.text().as_str()), "{}", room.text());
        room.expect_clean();
    }
}

#[test]
fn a_post_is_not_led_astray_by_those_who_look_at_a_foreign_lock() {
    let room = room();
    fs::write(&room.session, "").unwrap();
    let foreign = Sleeper::new("node");
    room.put_lock(foreign_record(foreign.pid(), Some(start_time_of(foreign.pid()))));
    let mut waiters: Vec<_> = (0..3).map(|_| child(&room)).collect();
    for waiter in &mut waiters {
        // Each holds the kernel's lock for a moment, again and again.
        waiter.tell(&Ask::Acquire(60_000));
    }
    let hasty = Sessions::builder()
        .acquire_timeout(Duration::ZERO)
        .durability(Durability::Buffered)
        .build()
        .unwrap();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(1) {
        let posted = hasty.post_blocking(&room.session, &json!({"n": 0}));
        assert!(posted.is_err(), "it went in beside a living foreign owner");
    }
    assert_eq!(room.text(), "");
}
