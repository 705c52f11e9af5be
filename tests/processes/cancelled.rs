//! Waits that are given up, by the thousand: they leave nothing behind and write nothing.

use std::fs;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use turnlock::testing::waiters_here;
use turnlock::{Error, Sessions};
use turnlock_testing::{alone, census, kernel_waiters, room, test_name, threads_named, until};

use crate::child::{Answer, Ask, Child, How, child};
use crate::sessions::buffered;

/// The threads of this process that wait in the kernel for a turn.
fn waiting_threads() -> usize {
    threads_named("turnlock-wait")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(4)
        .enable_time()
        .build()
        .unwrap()
}

/// Starts this many waiters, and cancels them all once somebody waits for each path.
async fn wait_and_cancel(sessions: &Sessions, paths: &[PathBuf], waiters: usize) {
    let mut waits = JoinSet::new();
    for n in 0..waiters {
        let acquire = sessions.turn(&paths[n % paths.len()]);
        waits.spawn(acquire.acquire());
    }
    until("somebody waits for each path", || paths.iter().all(|path| waiters_here(path) > 0));
    assert!(waiting_threads() <= paths.len(), "{} threads", waiting_threads());
    waits.abort_all();
    while let Some(ended) = waits.join_next().await {
        assert!(ended.is_err_and(|it| it.is_cancelled()));
    }
}

#[test]
fn thousands_of_cancelled_waits_cost_one_thread_and_one_descriptor_a_path() {
    alone(&test_name!(), || {
        let room = room();
        let paths: Vec<_> = (0..5).map(|n| room.dir.join(format!("{n}.jsonl"))).collect();
        let mut holders: Vec<_> =
            paths.iter().map(|path| Child::start(path, How::default())).collect();
        let runtime = runtime();
        let sessions = buffered();
        // Starts what stays: the runtime's threads, the keeper.
        drop(sessions.turn(&room.session).acquire_blocking().unwrap());
        for holder in &mut holders {
            holder.acquire();
        }
        runtime.block_on(wait_and_cancel(&sessions, &paths[..1], 1));
        let (_, descriptors) = census();

        for _ in 0..5 {
            runtime.block_on(wait_and_cancel(&sessions, &paths, 1000));
            until("at most one thread a path", || waiting_threads() <= paths.len());
            until("at most one descriptor a path", || census().1 < descriptors + paths.len());
        }
        // The locks move: parked threads end at once and leave nothing behind.
        holders.iter_mut().for_each(Child::release);
        until("no thread is parked", || waiting_threads() == 0);
        until("the descriptors are closed", || census().1 < descriptors);
        until("the lock files are gone", || {
            room.names().iter().all(|name| !name.ends_with(".lock"))
        });
        for (path, holder) in paths.iter().zip(&mut holders) {
            sessions.turn(path).try_acquire().unwrap().release_blocking().unwrap();
            holder.acquire();
        }
    });
}

#[test]
fn a_thousand_waiters_keep_their_deadlines() {
    let room = room();
    let mut holder = child(&room);
    holder.acquire();
    let sessions = buffered();
    let began = Instant::now();
    runtime().block_on(async {
        let mut waits = JoinSet::new();
        for _ in 0..1000 {
            waits.spawn(sessions.turn(&room.session).timeout(Duration::from_millis(200)).acquire());
        }
        for ended in waits.join_all().await {
            let error = ended.unwrap_err();
            let text = error.to_string();
            let begins = format!(
                "session file locked (timeout 200ms): pid={} alive=true ageMs=",
                holder.pid()
            );
            assert!(
                text.starts_with(&begins) && text.contains("`turnlock revoke --owner "),
                "{text}"
            );
            assert!(
                text.contains(room.lock.to_str().unwrap()) && text.contains("label \"child\""),
                "{text}"
            );
        }
    });
    assert!(
        began.elapsed() >= Duration::from_millis(200) && began.elapsed() < Duration::from_secs(30)
    );
    holder.release();
    room.expect_clean();
}

/// The processor time that `leaving` of `waiting` waiters take to give up, those who came last
/// first.
fn time_to_give_up(waiting: usize, leaving: usize) -> Duration {
    let room = room();
    let sessions = buffered();
    let _turn = sessions.turn(&room.session).acquire_blocking().unwrap();
    let runtime = runtime();
    let _inside = runtime.enter();
    let mut context = Context::from_waker(Waker::noop());
    let mut waits: Vec<_> = (0..waiting)
        .map(|_| Box::pin(sessions.turn(&room.session).no_timeout().acquire()))
        .collect();
    // The first look for the turn is done elsewhere. Whoever is polled after that queues.
    until("all wait", || {
        waits.iter_mut().for_each(|wait| assert!(wait.as_mut().poll(&mut context).is_pending()));
        waiters_here(&room.session) == waiting
    });
    let time = || clock_gettime(ClockId::ThreadCPUTime);
    let began = time();
    while waits.len() > waiting - leaving {
        waits.pop();
    }
    Duration::try_from(time() - began).unwrap()
}

#[test]
fn to_give_up_costs_the_same_however_many_wait() {
    alone(&test_name!(), || {
        let few = time_to_give_up(4_000, 2_000);
        let many = time_to_give_up(60_000, 2_000);
        let most = 5 * few + Duration::from_millis(10);
        assert!(many < most, "{many:?} where 60,000 wait, {few:?} where 4,000 do");
    });
}

#[test]
fn waits_that_are_cancelled_at_any_moment_lose_no_turn() {
    let room = room();
    let (mut one, mut other) = (child(&room), child(&room));
    one.tell(&Ask::Turns { writer: 1, count: 1000 });
    other.tell(&Ask::Turns { writer: 2, count: 1000 });
    let sessions = buffered();
    let taken = runtime().block_on(async {
        let mut waits = JoinSet::new();
        for n in 0..3000u64 {
            let acquire = sessions.turn(&room.session).acquire();
            waits.spawn(async move {
                match tokio::time::timeout(Duration::from_micros(n * 37 % 3000), acquire).await {
                    Ok(turn) => {
                        let turn = turn.unwrap();
                        turn.append(&json!({"w": 3, "n": n, "part": 1, "owner": turn.owner()}))
                            .await
                            .unwrap();
                        turn.append(&json!({"w": 3, "n": n, "part": 2, "owner": turn.owner()}))
                            .await
                            .unwrap();
                        1
                    }
                    Err(_) => 0,
                }
            });
            if n % 64 == 0 {
                tokio::task::yield_now().await;
            }
        }
        waits.join_all().await.into_iter().sum::<usize>()
    });
    assert_eq!((one.answer(), other.answer()), (Answer::Done, Answer::Done));
    let lines = room.lines();
    assert_eq!(lines.len(), 4000 + 2 * taken);
    assert!(lines.chunks(2).all(|pair| pair[0]["owner"] == pair[1]["owner"]));
    eprintln!("{taken} of 3000 waits had their turn");
    room.expect_clean();
}

#[test]
fn an_append_cancelled_while_it_waits_for_the_data_lock_writes_nothing() {
    let room = room();
    let mut poster = child(&room);
    let sessions = buffered();
    runtime().block_on(async {
        let turn = sessions.turn(&room.session).acquire().await.unwrap();
        turn.append(&json!({"n": 1})).await.unwrap();
        assert_eq!(poster.ask(&Ask::LockData), Answer::Done);
        {
            let line = json!({"abandoned": true});
            let mut append = std::pin::pin!(turn.append(&line));
            while kernel_waiters(&room.session) == 0 {
                assert!(tokio::time::timeout(Duration::from_millis(5), &mut append).await.is_err());
            }
        }
        // The turn ends at once; the keeper does later what cannot be done now.
        let dropped = Instant::now();
        drop(turn);
        assert!(dropped.elapsed() < Duration::from_secs(5));
        let mut next = tokio::spawn(sessions.turn(&room.session).acquire());
        assert!(tokio::time::timeout(Duration::from_millis(20), &mut next).await.is_err());
        assert_eq!(poster.ask(&Ask::UnlockData), Answer::Done);
        let next = next.await.unwrap().unwrap();
        next.append(&json!({"n": 2})).await.unwrap();
        next.release().await.unwrap();
    });
    assert_eq!(room.lines(), [json!({"n": 1}), json!({"n": 2})]);
    room.expect_clean();
}

#[test]
fn appends_cancelled_at_any_moment_never_write_into_the_next_turn() {
    let room = room();
    let mut poster = child(&room);
    fs::write(&room.session, "").unwrap();
    poster.tell(&Ask::Posts { writer: 9, count: 3000 });
    let sessions = buffered();
    runtime().block_on(async {
        for n in 0..300u64 {
            let turn = sessions.turn(&room.session).acquire().await.unwrap();
            let line = json!({"turn": n, "content": "x".repeat(50_000)});
            let patience = Duration::from_micros(n * 7 % 500);
            let _ = tokio::time::timeout(patience, turn.append(&line)).await;
            // The next of this process is handed the turn while that append may still be at work.
            let next = sessions.turn(&room.session).acquire();
            drop(turn);
            let next = next.await.unwrap();
            next.append(&json!({"turn": n, "next": true})).await.unwrap();
            next.release().await.unwrap();
        }
    });
    assert_eq!(poster.answer(), Answer::Done);
    let mut begun = 0;
    for line in room.lines().iter().filter(|line| line["w"] != 9) {
        assert_eq!(line["turn"], begun, "a line of an earlier turn");
        begun += u64::from(line["next"] == true);
    }
    assert_eq!(begun, 300);
    room.expect_clean();
}

#[test]
fn tasks_are_served_in_the_order_of_asking_after_another_process_too() {
    let room = room();
    let mut holder = child(&room);
    holder.acquire();
    let sessions = buffered();
    runtime().block_on(async {
        let (sender, mut served) = tokio::sync::mpsc::unbounded_channel();
        let mut waits = JoinSet::new();
        let mut queue = Vec::new();
        for n in 0..32 {
            let mut acquire = Box::pin(sessions.turn(&room.session).acquire());
            let mut wait_a_little = async || {
                let waited = tokio::time::timeout(Duration::from_millis(2), &mut acquire).await;
                assert!(waited.is_err(), "{n} has the turn");
            };
            while waiters_here(&room.session) <= n {
                wait_a_little().await;
            }
            queue.push((n, acquire));
        }
        for (n, acquire) in queue {
            let sender = sender.clone();
            waits.spawn(async move {
                let turn = acquire.await.unwrap();
                sender.send(n).unwrap();
                turn.release().await.unwrap();
            });
        }
        holder.release();
        waits.join_all().await;
        drop(sender);
        let mut order = Vec::new();
        while let Some(n) = served.recv().await {
            order.push(n);
        }
        assert!(order.iter().copied().eq(0..32), "{order:?}");
    });
    room.expect_clean();
}

#[test]
fn zero_means_one_try() {
    let room = room();
    let sessions = Sessions::builder().acquire_timeout(Duration::ZERO).build().unwrap();
    let mut holder = child(&room);
    holder.acquire();
    let began = Instant::now();
    let error = sessions.turn(&room.session).acquire_blocking().unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(kernel_waiters(&room.lock), 0, "nobody waits for it");
    holder.release();
    sessions.turn(&room.session).acquire_blocking().unwrap().release_blocking().unwrap();
}

/// Polls a future so many times, and drops it then.
async fn cut_off<F: Future>(polls: usize, work: F) -> Option<F::Output> {
    let mut work = std::pin::pin!(work);
    let mut left = polls;
    std::future::poll_fn(move |context| {
        let Some(still) = left.checked_sub(1) else { return Poll::Ready(None) };
        left = still;
        work.as_mut().poll(context).map(Some)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_turn_was_doing_can_be_dropped_at_each_step() {
    let room = room();
    let session = buffered().session(&room.session).unwrap();
    let away = room.dir.join("away");
    for polls in 1..6 {
        for step in 0..6 {
            session.post_creating([json!({"n": 0})]).await.unwrap();
            let turn = session.turn().await.unwrap();
            let position = turn.read().unwrap().position();
            match step {
                0 => drop(cut_off(polls, turn.append_with(|_| Ok(json!({"n": 1})))).await),
                1 => drop(cut_off(polls, turn.rewrite([json!({"n": 2})])).await),
                2 => drop(cut_off(polls, turn.rewrite_from(position, [json!({"n": 3})])).await),
                3 => drop(cut_off(polls, turn.remove()).await),
                4 => drop(cut_off(polls, turn.rename_to(&away)).await),
                _ => drop(cut_off(polls, turn.close()).await),
            }
            // What was cut off may go on until it ends. The next one comes after it.
            let appended = turn.append(&json!({"last": [polls, step]})).await;
            drop(turn);
            let turn = session.turn().await.unwrap();
            if let Err(error) = &appended {
                assert_eq!((step, error.code()), (5, "lock-lost"), "after {polls}: {error}");
            } else {
                assert_eq!(room.lines().last(), Some(&json!({"last": [polls, step]})));
            }
            turn.remove().await.unwrap();
            turn.release().await.unwrap();
            let _ = std::fs::remove_file(&away);
            until("nothing is left", || room.names().is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_share_a_turn_lose_nothing_until_it_is_closed() {
    let room = room();
    let session = buffered().session(&room.session).unwrap();
    for round in 0..10 {
        let turn = Arc::new(session.turn().await.unwrap());
        let mut tasks = Vec::new();
        for writer in 0..4 {
            let (turn, session) = (Arc::clone(&turn), session.clone());
            tasks.push(tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                for n in 0..40 {
                    let line = json!({"r": round, "w": writer, "n": n});
                    let made = line.clone();
                    let done = match writer {
                        0 => turn.append_with(move |_| Ok(made)).await,
                        1 => session.post_creating([&line]).await,
                        _ => turn.append(&line).await,
                    };
                    match done {
                        Ok(_) => acknowledged.push(line),
                        Err(error) => assert_eq!(error.code(), "lock-lost", "{error}"),
                    }
                    drop(cut_off(1, turn.until_lost()).await);
                    if n % 7 == 0 {
                        let _ = turn.sync().await;
                    }
                }
                acknowledged
            }));
        }
        let rewriter = tokio::spawn({
            let turn = Arc::clone(&turn);
            async move {
                for _ in 0..10 + round {
                    let Ok(read) = turn.read() else { break };
                    let lines: Vec<Value> = read.records().collect::<Result<_, _>>().unwrap();
                    tokio::task::yield_now().await;
                    match turn.rewrite_from(read.position(), lines).await {
                        Ok(_) => {}
                        Err(error) => assert_eq!(error.code(), "lock-lost", "{error}"),
                    }
                }
                turn.close().await
            }
        });
        let mut acknowledged = Vec::new();
        for task in tasks {
            acknowledged.extend(task.await.unwrap());
        }
        rewriter.await.unwrap().unwrap();
        let lines = room.lines();
        for line in &acknowledged {
            assert_eq!(lines.iter().filter(|it| *it == line).count(), 1, "{line}");
        }
    }
    room.expect_clean();
}
