//! The wall clock jumps, forwards and backwards, while processes run by it: who holds is a matter
//! of the kernel's locks, and how long one waits of a clock that only runs on.

use std::collections::HashSet;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use turnlock_testing::clock::{Clock, HOUR};
use turnlock_testing::namespace::time_namespace;
use turnlock_testing::process::through;
use turnlock_testing::{DEADLINE, Room, Running, Sleeper, foreign_record, room, start_time_of};
use uuid::Uuid;

use crate::child::{Answer, Ask, Child, How, child};
use crate::mutual_exclusion::check;

/// The years 1970 and 2199, in seconds.
const EXTREMES: [i64; 2] = [1000, 7_243_000_000];

fn clocks<const N: usize>() -> Option<[Clock; N]> {
    let clocks: Vec<_> = (0..N).map_while(|_| Clock::new()).collect();
    clocks.try_into().ok()
}

/// A child that runs by this clock.
fn child_by(clock: &Clock, room: &Room) -> Child {
    Child::start(&room.session, How { through: clock.through(), ..How::default() })
}

#[test]
fn every_line_is_there_and_every_owner_another_while_the_clocks_jump() {
    const TURNS: u64 = 400;
    let Some(clocks) = clocks::<4>() else { return };
    let room = room();
    // For the poster: who posts makes no session.
    std::fs::write(&room.session, "").unwrap();
    let mut children: Vec<_> = clocks.iter().map(|clock| child_by(clock, &room)).collect();
    let (poster, writers) = children.split_last_mut().unwrap();
    for (writer, child) in (0..).zip(writers.iter_mut()) {
        child.tell(&Ask::Turns { writer, count: TURNS });
    }
    poster.tell(&Ask::Posts { writer: 99, count: TURNS });
    let mut jumps = 0;
    for child in &children {
        let began = Instant::now();
        loop {
            if let Some(answer) = child.has_answered(Duration::from_millis(2)) {
                assert_eq!(answer, Answer::Done);
                break;
            }
            assert!(began.elapsed() < DEADLINE * 2, "stuck after {jumps} jumps");
            jump(&clocks[jumps % clocks.len()], jumps);
            jumps += 1;
        }
    }
    assert!(jumps > 40, "only {jumps} jumps");
    let (posts, lines): (Vec<_>, Vec<_>) =
        room.lines().into_iter().partition(|line| line["part"].is_null());
    assert!(posts.iter().map(|line| line["n"].as_u64().unwrap()).eq(0..TURNS));
    check(&lines, clocks.len() - 1, TURNS as usize);
    let owners: HashSet<_> = lines.iter().map(owner).collect();
    assert_eq!(owners.len(), lines.len() / 2, "an owner is one turn's");
    // So the processes have seen the jumps.
    let times = owners.iter().map(|owner| owner.get_timestamp().unwrap().to_unix().0);
    assert!(times.clone().max().unwrap() - times.min().unwrap() > 10 * HOUR as u64);
    room.expect_clean();
}

/// Hours one way and the other, and now and then as far as it goes.
fn jump(clock: &Clock, n: usize) {
    match n % 11 {
        5 => clock.set_to(EXTREMES[n % 2]),
        hours => clock.set((hours as i64 - 5) * HOUR * [1, -1][n % 2]),
    }
}

fn owner(line: &Value) -> Uuid {
    line["owner"].as_str().unwrap().parse().unwrap()
}

#[test]
fn a_holder_is_respected_whatever_time_its_record_tells() {
    let Some([one, other]) = clocks() else { return };
    for hours in [5, -5] {
        let room = room();
        one.set(hours * HOUR);
        other.set(-hours * HOUR);
        let (mut holder, mut waiter) = (child_by(&one, &room), child_by(&other, &room));
        holder.acquire();
        assert!((hours_ahead(&room) - hours).abs() <= 1, "its record is by its own clock");
        for turned in [1, -1] {
            one.set(turned * hours * HOUR);
            other.set(-turned * hours * HOUR);
            let (kind, text) = waiter.refused(&Ask::Acquire(100));
            assert!(kind == "timeout" && text.contains("alive=true"), "{text}");
            assert!(matches!(
                waiter.ask(&Ask::Post(json!({"posted": turned}))),
                Answer::Appended { .. }
            ));
            holder.append(json!({"appended": turned}));
        }
        waiter.tell(&Ask::Acquire(60_000));
        room.until_waited_for(1);
        holder.release();
        waiter.answered_held();
        waiter.append(json!({"n": "last"}));
        // And the dead hold nothing, whatever time their records tell.
        waiter.kill();
        holder.acquire();
        holder.release();
        assert_eq!(room.lines().len(), 5);
        room.expect_clean();
    }
}

/// So many hours is the record ahead of the machine's clock.
fn hours_ahead(room: &Room) -> i64 {
    let record: Value = serde_json::from_slice(&std::fs::read(&room.lock).unwrap()).unwrap();
    let created: jiff::Timestamp = record["createdAt"].as_str().unwrap().parse().unwrap();
    (created.duration_since(jiff::Timestamp::now()).as_secs_f64() / HOUR as f64).round() as i64
}

#[test]
fn a_jump_neither_ends_a_wait_nor_draws_it_out() {
    let Some([clock]) = clocks() else { return };
    let limit = Duration::from_millis(700);
    let asks: [fn(u64) -> Ask; 2] = [Ask::Acquire, Ask::AcquireInTask];
    let foreign = Sleeper::new("sleep");
    for hours in [5, -5] {
        for (beside_foreign, ask) in
            [(false, asks[0]), (false, asks[1]), (true, asks[0]), (true, asks[1])]
        {
            let room = room();
            clock.set(0);
            let (mut holder, mut waiter) = (child(&room), child_by(&clock, &room));
            if beside_foreign {
                room.put_lock(foreign_record(foreign.pid(), Some(start_time_of(foreign.pid()))));
            } else {
                holder.acquire();
            }
            let began = Instant::now();
            waiter.tell(&ask(limit.as_millis() as u64));
            assert_eq!(waiter.has_answered(Duration::from_millis(100)), None);
            clock.set(hours * HOUR);
            let answer = waiter.answer();
            assert!(matches!(&answer, Answer::Failed(kind, _) if kind == "timeout"), "{answer:?}");
            let waited = began.elapsed();
            assert!(limit <= waited && waited < DEADLINE / 2, "{hours} hours: {waited:?}");
        }
    }
}

#[test]
fn a_living_foreign_owner_is_kept_while_the_clock_jumps() {
    let Some([clock]) = clocks() else { return };
    // Without a start time only a clock set back leaves no doubt (I13): one set forward makes the
    // owner younger than its record.
    for (name, with_start_time, jumps) in
        [("sleep", true, &[5, -5, 0][..]), ("node", false, &[-5, 0])]
    {
        let room = room();
        let mut foreign = Sleeper::new(name);
        let record =
            foreign_record(foreign.pid(), with_start_time.then(|| start_time_of(foreign.pid())));
        room.put_lock(&record);
        clock.set(0);
        let mut waiter = child_by(&clock, &room);
        waiter.tell(&Ask::Acquire(60_000));
        for hours in jumps {
            clock.set(hours * HOUR);
            // It looks again every 10 ms.
            assert_eq!(waiter.has_answered(Duration::from_millis(100)), None, "{hours} hours");
        }
        assert_eq!(std::fs::read_to_string(&room.lock).unwrap(), record);
        foreign.kill();
        waiter.answered_held();
        waiter.release();
        room.expect_clean();
    }
}

#[test]
fn an_empty_lock_from_the_future_blocks_nobody() {
    let Some([clock]) = clocks() else { return };
    for half_written in ["", "{\n  \"pid\": 12"] {
        let room = room();
        clock.set(0);
        let mut waiter = child_by(&clock, &room);
        let began = Instant::now();
        room.put_lock(half_written);
        waiter.tell(&Ask::Acquire(60_000));
        assert_eq!(waiter.has_answered(Duration::from_millis(100)), None, "it is fresh");
        clock.set(-5 * HOUR);
        waiter.answered_held();
        // Sooner than its 30 s of grace, by far.
        assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
        waiter.release();
        room.expect_clean();
    }
}

/// Eleven days, in seconds.
const AHEAD: u32 = 1_000_000;

#[test]
fn processes_of_two_time_namespaces_take_turns() {
    let Some(through) = time_namespace(AHEAD) else { return };
    let room = room();
    let mut ahead = Child::start(&room.session, How { through, ..How::default() });
    let mut here = child(&room);
    // Their start times differ, each seen from the other side; the kernel's lock does not.
    for (holder, other) in [(0, 1), (1, 0)] {
        let both = [&mut ahead, &mut here];
        both[holder].acquire();
        assert_eq!(both[other].refused(&Ask::Acquire(100)).0, "timeout");
        both[holder].append(json!({"n": holder}));
        both[holder].release();
    }
    for (writer, child) in (0..).zip([&mut ahead, &mut here]) {
        child.tell(&Ask::Turns { writer, count: 200 });
    }
    assert_eq!((ahead.answer(), here.answer()), (Answer::Done, Answer::Done));
    check(&room.lines()[2..], 2, 200);
    room.expect_clean();
}

/// The kernel tells a process's start time by the reader's time namespace, and not by that in which
/// the record was written (I13).
#[test]
fn a_living_foreign_owner_of_another_time_namespace_is_kept() {
    let Some(program) = time_namespace(AHEAD) else { return };
    let room = room();
    let itself = "cut -d' ' -f22 /proc/$$/stat; echo $$; exec sleep 1000";
    let mut foreign = Running::start(through(&program, Command::new("sh").args(["-c", itself])));
    let start_time = foreign.line().parse().unwrap();
    let pid = foreign.line().parse().unwrap();
    assert_ne!(start_time, start_time_of(pid));
    room.put_lock(foreign_record(pid, Some(start_time)));
    let mut waiter = child(&room);
    assert_eq!(waiter.refused(&Ask::Acquire(100)).0, "timeout");
    waiter.tell(&Ask::Acquire(60_000));
    foreign.kill();
    waiter.answered_held();
    waiter.release();
    room.expect_clean();
}
