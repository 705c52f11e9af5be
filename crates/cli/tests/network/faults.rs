//! The long test: two hosts take turns for `TURNLOCK_NETWORK_MINUTES` (30 without it), through all
//! that can happen to machines.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use crate::checks::fresh_directory;
use crate::ledger::{Gap, Ledger};
use crate::rig::{LEASE, Rig};

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    ProcessKilled,
    CutForLess,
    CutForLonger,
    MachinePaused,
    ClientLosesPower,
    ServerLosesPower,
    ServerStartedAnew,
}

const FAULTS: [Fault; 10] = [
    Fault::ProcessKilled,
    Fault::CutForLess,
    Fault::ProcessKilled,
    Fault::CutForLonger,
    Fault::MachinePaused,
    Fault::ProcessKilled,
    Fault::ClientLosesPower,
    Fault::ProcessKilled,
    Fault::ServerStartedAnew,
    Fault::ServerLosesPower,
];

/// Between two faults.
const CALM: Duration = Duration::from_secs(8);

pub fn long_two_hosts_through_all_faults(rig: &mut Rig) {
    let minutes = std::env::var("TURNLOCK_NETWORK_MINUTES").ok().and_then(|it| it.parse().ok());
    let end = Instant::now() + Duration::from_secs(60 * minutes.unwrap_or(30));
    let mut outputs = Vec::new();
    for role in ["a", "b"] {
        outputs.push(take_turns(rig, role, 0));
    }
    let mut happened: Vec<Happened> = Vec::new();
    let mut random = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(1, |since| since.as_nanos() as u64 | 1);
    let mut boot = 0;
    while Instant::now() < end {
        std::thread::sleep(CALM);
        // The generator of Marsaglia (xorshift64).
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let fault = FAULTS[(random >> 8) as usize % FAULTS.len()];
        let role = if random & 1 == 0 { "a" } else { "b" };
        let from = now();
        happen(rig, fault, role);
        happened.push(Happened { fault, role, from, to: now() });
        if fault == Fault::ClientLosesPower {
            boot += 1;
            outputs.push(take_turns(rig, role, boot));
        }
    }
    // What was cut off or started anew finds its way back.
    std::thread::sleep(LEASE * 2);
    rig.set_right();
    let texts: Vec<String> = outputs.iter().map(whole_lines).collect();
    let ledger = Ledger::of(&rig.served("faults/s.jsonl"), &texts);
    println!("    {}", ledger.summary());
    tell_gaps(&ledger, &happened);
    let mut kinds: BTreeMap<String, u32> = BTreeMap::new();
    for failure in &ledger.failures {
        let word = |it: &str| !it.contains(|c: char| c.is_ascii_digit() || c == '/');
        let words: Vec<_> = failure.split_whitespace().filter(|it| word(it)).take(14).collect();
        *kinds.entry(words.join(" ")).or_default() += 1;
    }
    for (kind, count) in kinds {
        println!("    {count} x {kind}");
    }
    assert!(
        ledger.is_clean(),
        "lost {:?}, doubled {:?}, torn {:?}, overlapping {:?}",
        ledger.lost,
        ledger.doubled,
        ledger.torn,
        ledger.overlapping
    );
}

/// A fault, and when it began and ended, in seconds since 1970.
struct Happened {
    fault: Fault,
    role: &'static str,
    from: f64,
    to: f64,
}

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Says how often each fault happened, and what was the longest time without an acknowledged line
/// that it had a part in; then the longest times of all, with all faults that had a part in them.
fn tell_gaps(ledger: &Ledger, happened: &[Happened]) {
    let had_a_part = |gap: &&Gap, it: &Happened| gap.from < it.to && it.from < gap.to;
    let mut kinds: BTreeMap<Fault, (u32, f64)> = BTreeMap::new();
    for it in happened {
        let kind = kinds.entry(it.fault).or_default();
        let gap = ledger.gaps.iter().find(|gap| had_a_part(gap, it)).map(Gap::seconds);
        *kind = (kind.0 + 1, kind.1.max(gap.unwrap_or_default()));
    }
    for (fault, (count, gap)) in kinds {
        println!("    {count} x {fault:?}: longest gap {gap:.1} s");
    }
    for gap in ledger.gaps.iter().take(5) {
        let faults = happened.iter().filter(|it| had_a_part(&gap, it)).map(|it| {
            let (from, to) = (it.from - gap.from, it.to - gap.from);
            format!("{:?} of {} from {from:.1} to {to:.1} s", it.fault, it.role)
        });
        let faults: Vec<_> = faults.collect();
        println!("    a gap of {:.1} s: {}", gap.seconds(), faults.join(", "));
    }
}

/// Processes of a machine take turns, one after another: a new one when the last has ended.
fn take_turns(rig: &Rig, role: &str, boot: u32) -> PathBuf {
    let inside = fresh_directory(rig, "faults");
    let guest = if role == "a" { &rig.a } else { &rig.b };
    guest
        .begin(&format!(
            "{inside}; for n in $(seq 100000); do \
             driver loop s.jsonl {role}{boot}x$n 10 60 3 1; sleep 0.2; done"
        ))
        .output_file()
}

fn happen(rig: &mut Rig, fault: Fault, role: &str) {
    let sleep = |time| std::thread::sleep(time);
    match fault {
        Fault::ProcessKilled => {
            rig.guest(role).begin("pkill -KILL -f -- --driver");
        }
        Fault::CutForLess | Fault::CutForLonger => {
            let time = if fault == Fault::CutForLess { LEASE / 3 } else { LEASE * 2 };
            rig.cut(role, true);
            sleep(time);
            rig.cut(role, false);
        }
        Fault::MachinePaused => {
            rig.guest(role).pause(true);
            sleep(LEASE * 3 / 2);
            rig.guest(role).pause(false);
        }
        Fault::ClientLosesPower => rig.power_cycle(role, Duration::from_secs(1)),
        Fault::ServerLosesPower => rig.power_cycle("s", Duration::from_secs(1)),
        Fault::ServerStartedAnew => {
            rig.server.ok("cd \"$RIG\"; ./run usr/sbin/rpc.nfsd 0");
            rig.serve();
        }
    }
}

/// The output of a machine. One that lost its power may have left part of a line, or zeros.
fn whole_lines(file: impl AsRef<Path>) -> String {
    let bytes = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let end = text.rfind('\n').map_or(0, |at| at + 1);
    text[..end].lines().filter(|line| !line.contains('\0')).fold(String::new(), |mut all, line| {
        all.push_str(line);
        all.push('\n');
        all
    })
}
