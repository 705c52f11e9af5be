//! `turnlock stress`, in short runs of its main combinations: it finds no violation, and leaves
//! nothing behind.

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use serde_json::Value;
use turnlock_testing::{Running, eventually, names, until};

use crate::program::turnlock;

/// A run in a temporary directory of its own; it ends with the test, and its children with it.
struct Stress {
    process: Running,
    tmp: tempfile::TempDir,
}

fn start(arguments: &[&str]) -> Stress {
    let tmp = tempfile::tempdir().unwrap();
    let mut command = turnlock(["stress"]);
    command
        .args(["--processes", "3", "--tasks", "4", "--sessions", "2", "--seed", "7"])
        .args(if arguments.contains(&"--seconds") { &[][..] } else { &["--seconds", "2"] })
        .args(arguments)
        .env("TMPDIR", tmp.path());
    Stress { process: Running::start(command), tmp }
}

impl Stress {
    /// Waits for the end; what it printed, its exit code, and its temporary directory.
    fn end(self) -> (String, Option<i32>, tempfile::TempDir) {
        let ended = self.process.end();
        (ended.out + &ended.err, ended.code, self.tmp)
    }
}

/// A run without a violation; its report.
#[track_caller]
fn clean(arguments: &[&str]) -> Value {
    let (out, code, tmp) = start(&[arguments, &["--json"]].concat()).end();
    assert_eq!(code, Some(0), "{out}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["ok"], true);
    assert!(number(&report, "turns") > 0);
    assert!(number(&report, "lines") > 0);
    // The lines that a foreign program cut off were acknowledged before.
    let there = |name: &str| report[name].as_u64().unwrap();
    assert!(there("fileLines") + there("linesLostToOthers") >= number(&report, "lines"));
    assert_eq!(names(tmp.path()), Vec::<String>::new(), "the temporary directory is gone");
    report
}

/// A run in which all of this was seen. On a busy machine that may take longer than two seconds.
#[track_caller]
fn shows(arguments: &[&str], numbers: &[&str]) -> Value {
    let mut seconds = 2;
    loop {
        let report = clean(&[arguments, &["--seconds", &seconds.to_string()]].concat());
        if numbers.iter().all(|name| number(&report, name) > 0) {
            return report;
        }
        assert!(seconds < 60, "not all of {numbers:?} in {seconds} s: {report}");
        seconds *= 3;
    }
}

fn number(report: &Value, name: &str) -> u64 {
    report["numbers"][name].as_u64().unwrap()
}

#[test]
fn processes_share_sessions() {
    let report = shows(&[], &["fewestTurns"]);
    assert_eq!((number(&report, "kills"), number(&report, "lostTurns")), (0, 0));
}

#[test]
fn some_are_killed_all_the_time() {
    let report = shows(&["--kill"], &["kills"]);
    assert!(report["numbers"]["takeover"]["count"].as_u64() > Some(0), "{report}");
}

#[test]
fn some_are_killed_without_syncs() {
    shows(&["--kill", "--buffered", "--hold-us", "500"], &["kills"]);
}

#[test]
fn some_are_stopped_and_their_turns_revoked() {
    shows(&["--stop", "--buffered"], &["stops", "revocations"]);
}

#[test]
fn others_post_meanwhile() {
    shows(&["--post", "--kill"], &["posts"]);
}

#[test]
fn lock_files_are_removed_by_hand() {
    shows(&["--rm", "--buffered"], &["removals", "lostTurns"]);
}

#[test]
fn a_foreign_program_takes_its_turns() {
    shows(&["--foreign", "--buffered", "--post"], &["foreignTurns"]);
}

#[test]
fn session_files_are_cut_and_copied_over() {
    shows(&["--truncate", "--buffered", "--post"], &["changes", "rewrites", "told"]);
}

#[test]
fn copies_are_put_in_the_place_of_session_files() {
    shows(&["--replace", "--buffered", "--post"], &["changes", "told"]);
}

#[test]
fn lock_files_have_second_names_for_a_while() {
    shows(&["--hardlink", "--buffered", "--kill", "--post"], &["links", "kills"]);
}

#[test]
fn a_log_subscriber_and_wakers_panic() {
    shows(&["--panic", "--buffered", "--post"], &["panics"]);
}

#[test]
fn all_of_it_at_once() {
    let all = ["--kill", "--stop", "--post", "--rm", "--foreign", "--buffered"];
    shows(&all, &["kills", "removals"]);
}

#[test]
fn a_directory_of_ones_own_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (out, code, _) = start(&["--dir", dir.path().to_str().unwrap(), "--seconds", "1"]).end();
    assert_eq!(code, Some(0), "{out}");
    let run = dir.path().join(&names(dir.path())[0]);
    assert!(out.contains("No violation") && out.contains(run.to_str().unwrap()), "{out}");
    let files = names(&run);
    assert!(
        files.contains(&"session-0.jsonl".to_owned())
            && files.contains(&"conductor.journal".to_owned())
    );
    assert!(!files.iter().any(|name| name.ends_with(".lock")), "no lock is left: {files:?}");
}

/// Which processes have this run's directory in their command line, the run's own children that is.
fn children(tmp: &Path) -> Vec<String> {
    let processes =
        fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path().join("cmdline"));
    let lines = processes.filter_map(|path| fs::read_to_string(path).ok());
    lines
        .filter(|line| line.contains("stress-child") && line.contains(tmp.to_str().unwrap()))
        .collect()
}

/// The run is under way: its directory stands, and sessions are written to.
fn under_way(stress: &Stress) {
    eventually("sessions are written to", || {
        let run = stress.tmp.path().join(names(stress.tmp.path()).first()?);
        fs::metadata(run.join("session-0.jsonl")).ok().filter(|metadata| metadata.len() > 0)
    });
}

#[test]
fn an_interrupt_ends_it_and_cleans_up() {
    if !Path::new("/proc/self/cmdline").exists() {
        return eprintln!("skipped: there is no /proc to find processes in");
    }
    let stress = start(&["--seconds", "600", "--kill"]);
    under_way(&stress);
    stress.process.signal(Signal::INT);
    let (out, code, tmp) = stress.end();
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("interrupted"), "{out}");
    assert_eq!(names(tmp.path()), Vec::<String>::new());
    assert_eq!(children(tmp.path()), Vec::<String>::new());
}

#[test]
fn children_die_with_their_conductor() {
    if !cfg!(target_os = "linux") {
        return eprintln!("skipped: only Linux ends children with their parent");
    }
    let mut stress = start(&["--seconds", "600"]);
    under_way(&stress);
    assert_eq!(children(stress.tmp.path()).len(), 3);
    stress.process.kill();
    until("the children are gone", || children(stress.tmp.path()).is_empty());
}

#[test]
fn nonsense_is_refused() {
    for nonsense in [&["--dir", ""][..], &["--seconds", "0"], &["--hold-us", "-1"], &["--sideways"]]
    {
        let (out, code, _) = start(nonsense).end();
        assert_eq!(code, Some(2), "{out}");
    }
}
