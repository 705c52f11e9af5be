//! Several machines that share sessions over a network filesystem: a real server of NFS and two
//! clients, guests of user-mode Linux. It takes root, `/dev/net/tun` and Debian's packages, which
//! are downloaded once into a cache folder; without them it skips, and says so.
//!
//! `TURNLOCK_NETWORK` names the versions of NFS to test, as `4.2,4.1`, and `others` for SMB, 9p and
//! FUSE; without it, 4.2. A word in the arguments selects tests, as with other tests.

// The bare calls are what turnlock is compared with, and files of guests have no other writer.
#![allow(clippy::disallowed_methods)]

mod checks;
mod doctor;
mod driver;
mod durability;
mod faults;
mod ledger;
mod others;
mod rewrites;
mod rig;
mod stays;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, ExitCode};
use std::time::Instant;

use rig::Rig;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--driver") => {
            driver::main(&arguments[1..]);
            ExitCode::SUCCESS
        }
        Some("--inside") => inside(&arguments[1..]),
        _ if arguments.iter().any(|it| it == "--list") => {
            for (name, _) in with_nfs().chain(others::ALL) {
                println!("{name}: test");
            }
            ExitCode::SUCCESS
        }
        _ => outside(&arguments),
    }
}

/// Runs this program again in namespaces of its own, so that the network and all processes go with
/// it.
fn outside(arguments: &[String]) -> ExitCode {
    let packages = match rig::obstacle().map_or_else(rig::packages, Err) {
        Ok(packages) => packages,
        Err(why) => {
            eprintln!("skipped: the tests on a network filesystem: {why}");
            return ExitCode::SUCCESS;
        }
    };
    // What runs in the namespaces has no network but that of the guests.
    let others = std::env::var("TURNLOCK_NETWORK").is_ok_and(|it| it.contains("others"));
    let is_named = |word: &String| others::ALL.iter().any(|(name, _)| name.contains(word.as_str()));
    if (others || arguments.iter().any(is_named))
        && let Err(why) = others::packages::fetch()
    {
        eprintln!("the packages of other filesystems: {why}");
    }
    let status = Command::new("unshare")
        .args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(std::env::current_exe().unwrap())
        .arg("--inside")
        .arg(packages)
        .args(arguments.iter().filter(|it| !it.starts_with('-')))
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// The tests that run with every version of NFS.
fn with_nfs() -> impl Iterator<Item = &'static (&'static str, checks::Check)> {
    checks::ALL.iter().chain(doctor::ALL).chain(rewrites::ALL)
}

fn inside(arguments: &[String]) -> ExitCode {
    let (packages, words) = arguments.split_first().unwrap();
    let versions = std::env::var("TURNLOCK_NETWORK").unwrap_or_else(|_| "4.2".into());
    let wanted = |name: &str| {
        // Long ones run only if they are named.
        if words.is_empty() {
            !name.contains("long")
        } else {
            words.iter().any(|it| name.contains(it.as_str()))
        }
    };
    // The other filesystems have nothing to do with a version of NFS.
    let mut others = others::ALL;
    if words.is_empty() && !versions.split(',').any(|it| it == "others") {
        others = &[];
    }
    let mut failed = 0;
    let mut numbers: Vec<_> = versions.split(',').filter(|it| *it != "others").collect();
    let with_nfs = if numbers.is_empty() {
        numbers.push("4.2");
        Vec::new()
    } else {
        with_nfs().collect()
    };
    for version in numbers {
        let began = Instant::now();
        let mut rig = Rig::start(packages.as_ref(), version);
        println!("three machines serve and mount NFS {version} after {:.1?}", began.elapsed());
        let all = with_nfs.iter().copied().chain(std::mem::take(&mut others));
        for (name, check) in all.filter(|(name, _)| wanted(name)) {
            let began = Instant::now();
            let ended = catch_unwind(AssertUnwindSafe(|| check(&mut rig)));
            let word = if ended.is_ok() { "ok" } else { "FAILED" };
            println!("test {version}::{name} ... {word} ({:.1?})", began.elapsed());
            failed += i32::from(ended.is_err());
            rig.set_right();
        }
        rig.take_down();
    }
    println!("test result: {failed} failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
