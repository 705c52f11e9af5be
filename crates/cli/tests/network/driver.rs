//! What runs on the client machines: this program again, with `--driver`. It takes turns through
//! the library, and says what happens, a line each.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, Write};
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use turnlock::Sessions;

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

fn say(words: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:.3} {words}", now()).and_then(|()| out.flush()).unwrap();
}

/// `hold PATH WHO TIMEOUT`: obeys the commands of standard input, one a line.
/// `speed PATH WHO TIMEOUT ROUNDS`: compares a turn with the bare calls.
/// `loop PATH WHO TIMEOUT SECONDS LINES PAUSE`: takes turns of so many lines.
pub fn main(arguments: &[String]) {
    let [mode, path, who, timeout, rest @ ..] = arguments else { panic!("{arguments:?}") };
    let timeout = Duration::from_secs(timeout.parse().unwrap());
    let sessions = Sessions::builder().acquire_timeout(timeout).build().unwrap();
    match mode.as_str() {
        "hold" => hold(&sessions, path, who),
        "loop" => {
            let number = |at: usize| rest[at].parse::<u64>().unwrap();
            take_turns(&sessions, path, who, [number(0), number(1), number(2)]);
        }
        "speed" => speed(&sessions, path, rest[0].parse().unwrap()),
        other => panic!("{other}"),
    }
}

/// Takes turns of one line, and makes the bare calls of one, by turns. Says how many milliseconds
/// each takes (the median, since machines are busy), and what requests it sends to the server.
fn speed(sessions: &Sessions, path: &str, rounds: usize) {
    let bare = || bare_turn(path).unwrap();
    let turn = || {
        let turn = sessions.turn(path).acquire_blocking().unwrap();
        turn.append_blocking(&json!({"a": 1})).unwrap();
        turn.release_blocking().unwrap();
    };
    let both: [&dyn Fn(); 2] = [&bare, &turn];
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        for (took, one) in took.iter_mut().zip(both) {
            let began = Instant::now();
            one();
            took.push(began.elapsed());
        }
    }
    let [bare, turn] = took.map(|mut took| {
        took.sort();
        took[rounds / 2].as_secs_f64() * 1000.0
    });
    println!("bare {bare:.2} ms, turn {turn:.2} ms, ratio {:.2}", turn / bare);
    for (name, one) in ["bare", "turn"].into_iter().zip(both) {
        println!("    {name}: {}", sent_by(one));
    }
}

/// The requests that something sends.
fn sent_by(one: &dyn Fn()) -> String {
    const TIMES: u32 = 50;
    let before = requests();
    (0..TIMES).for_each(|_| one());
    let each = |count: u64| count as f64 / f64::from(TIMES);
    let (mut all, mut words) = (0, Vec::new());
    for (kind, count) in requests() {
        let count = count - before.get(&kind).copied().unwrap_or_default();
        all += count;
        if count > 0 {
            words.push(format!("{kind} {:.1}", each(count)));
        }
    }
    format!("{:.1} requests ({})", each(all), words.join(", "))
}

/// The requests to servers of NFS so far, as the kernel counts them for each mount.
fn requests() -> BTreeMap<String, u64> {
    let mut sent = BTreeMap::new();
    let text = std::fs::read_to_string("/proc/self/mountstats").unwrap_or_default();
    let mut is_counted = false;
    for line in text.lines() {
        is_counted = (is_counted || line.contains("per-op statistics")) && !line.contains("device");
        let (true, Some((kind, numbers))) = (is_counted, line.trim().split_once(": ")) else {
            continue;
        };
        if let Some(count) = numbers.split(' ').next().and_then(|it| it.parse::<u64>().ok()) {
            *sent.entry(kind.to_owned()).or_default() += count;
        }
    }
    sent
}

/// What a script does that is careful enough: a lock of its own file, and one synced line.
fn bare_turn(path: &str) -> std::io::Result<()> {
    let bare = format!("{path}.bare");
    let lock =
        File::options().create(true).truncate(false).write(true).open(bare.clone() + ".lock")?;
    lock.lock()?;
    let mut file = File::options().create(true).append(true).open(bare)?;
    file.lock()?;
    file.write_all(b"{\"a\":1}\n")?;
    file.sync_data()?;
    file.unlock()?;
    lock.unlock()
}

fn told<T: std::fmt::Debug, E: std::fmt::Display>(result: Result<T, E>) -> String {
    match result {
        Ok(done) => format!("ok {done:?}"),
        Err(error) => format!("ERR {error}"),
    }
}

fn hold(sessions: &Sessions, path: &str, who: &str) {
    let mut turn = None;
    let mut number = 0;
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        let (command, text) = line.split_once(' ').unwrap_or((&line, ""));
        let began = Instant::now();
        number += 1;
        let entry = json!({"who": who, "t": 0, "k": number, "text": text});
        let answer = match (command, &mut turn) {
            ("acquire", _) => match sessions.turn(path).acquire_blocking() {
                Ok(taken) => {
                    let owner = taken.owner();
                    turn = Some(taken);
                    format!("ok owner {owner}")
                }
                Err(error) => format!("ERR {error}"),
            },
            ("append", Some(turn)) => told(turn.append_blocking(&entry)),
            ("rewrite", Some(turn)) => told(turn.rewrite_blocking([&entry])),
            ("lost", Some(turn)) => told(turn.lost()),
            ("big", Some(turn)) => {
                told(turn.append_blocking(&json!({"who": who, "text": "x".repeat(300_000)})))
            }
            ("turns", _) => {
                let count: u32 = text.parse().unwrap();
                turns(sessions, path, |number| number < count)
            }
            ("turns_for", _) => {
                let time = Duration::from_secs(text.parse().unwrap());
                turns(sessions, path, |_| began.elapsed() < time)
            }
            ("release", _) => match turn.take() {
                Some(turn) => told(turn.release_blocking()),
                None => "no turn".into(),
            },
            ("post", _) => told(sessions.post_blocking(path, &entry)),
            ("revoke", _) => told(sessions.revoke(path, text.parse().unwrap())),
            ("end", _) => return,
            _ => "what?".into(),
        };
        say(&format!("{line} -> {answer} ({:.3} s)", began.elapsed().as_secs_f64()));
    }
}

/// Takes turns. Says after how many of them the lock file stayed, and after how many it went.
fn turns(sessions: &Sessions, path: &str, goes_on: impl Fn(u32) -> bool) -> String {
    let (mut number, mut stayed) = (0, 0);
    while goes_on(number) {
        let turn = sessions.turn(path).acquire_blocking().unwrap();
        let lock = turn.lock_path().to_owned();
        turn.append_blocking(&json!({"text": number.to_string()})).unwrap();
        turn.release_blocking().unwrap();
        stayed += u32::from(lock.exists());
        number += 1;
    }
    format!("ok stayed {stayed} went {}", number - stayed)
}

fn take_turns(sessions: &Sessions, path: &str, who: &str, [seconds, lines, pause]: [u64; 3]) {
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut number = 0;
    while Instant::now() < end {
        number += 1;
        let began = Instant::now();
        let turn = match sessions.turn(path).acquire_blocking() {
            Ok(turn) => turn,
            Err(error) => {
                say(&format!("{who} FAIL {number} {:.3} {error}", began.elapsed().as_secs_f64()));
                // Whoever fails at once does not fail a thousand times.
                std::thread::sleep(Duration::from_millis(100));
                continue;
            }
        };
        let waited = began.elapsed().as_secs_f64();
        for line in 0..lines {
            let entry = json!({"who": who, "t": number, "k": line});
            let began = Instant::now();
            let appended = turn.append_blocking(&entry);
            let took = began.elapsed().as_secs_f64();
            match appended {
                Ok(_) => say(&format!("{who} ACK {number} {line} {took:.4}")),
                Err(error) => {
                    say(&format!("{who} NACK {number} {line} {took:.4} {error}"));
                    break;
                }
            }
            std::thread::sleep(Duration::from_millis(pause));
        }
        let began = Instant::now();
        let released = told(turn.release_blocking());
        let took = began.elapsed().as_secs_f64();
        say(&format!("{who} TURN {number} {waited:.4} {took:.4} {released}"));
    }
}
