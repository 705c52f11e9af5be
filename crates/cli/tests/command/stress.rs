//! `turnlock stress`, in short runs of its main combinations: it finds no violation, and leaves
//! nothing behind.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::harness::TURNLOCK;

/// A run in a temporary directory of its own; it ends with the test.
struct Stress {
    child: Child,
    tmp: tempfile::TempDir,
}

impl Drop for Stress {
    fn drop(&mut self) {
        // Its children die with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(arguments: &[&str]) -> Stress {
    let tmp = tempfile::tempdir().unwrap();
    let child = Command::new(TURNLOCK)
        .arg("stress")
        .args(["--processes", "3", "--tasks", "4", "--sessions", "2", "--seed", "7"])
        .args(if arguments.contains(&"--seconds") { &[][..] } else { &["--seconds", "2"] })
        .args(arguments)
        .env("TMPDIR", tmp.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Stress { child, tmp }
}

impl Stress {
    /// Waits for the end; what it printed, and its exit code.
    fn end(&mut self) -> (String, Option<i32>) {
        // Both are small enough for a pipe.
        let limit = Instant::now() + Duration::from_secs(120);
        let status = until(limit, "the run ends", || self.child.try_wait().unwrap());
        let (mut out, mut err) = (String::new(), String::new());
        self.child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (out + &err, status.code())
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id() as i32).unwrap()
    }
}

fn until<T>(limit: Instant, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < limit, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn entries(dir: &Path) -> Vec<String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// A run without a violation; its report.
#[track_caller]
fn clean(arguments: &[&str]) -> Value {
    let mut stress = start(&[arguments, &["--json"]].concat());
    let (out, code) = stress.end();
    assert_eq!(code, Some(0), "{out}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["ok"], true);
    assert!(number(&report, "turns") > 0);
    assert!(number(&report, "lines") > 0);
    assert!(report["fileLines"].as_u64() >= Some(number(&report, "lines")));
    assert_eq!(entries(stress.tmp.path()), Vec::<String>::new(), "the temporary directory is gone");
    report
}

fn number(report: &Value, name: &str) -> u64 {
    report["numbers"][name].as_u64().unwrap()
}

#[test]
fn processes_share_sessions() {
    let report = clean(&[]);
    assert_eq!((number(&report, "kills"), number(&report, "lostTurns")), (0, 0));
    assert!(number(&report, "fewestTurns") > 0, "every process had turns: {report}");
}

#[test]
fn some_are_killed_all_the_time() {
    let report = clean(&["--kill"]);
    assert!(number(&report, "kills") > 0);
    assert!(report["numbers"]["takeover"]["count"].as_u64() > Some(0), "{report}");
}

#[test]
fn some_are_killed_without_syncs() {
    assert!(number(&clean(&["--kill", "--buffered", "--hold-us", "500"]), "kills") > 0);
}

#[test]
fn some_are_stopped_and_their_turns_revoked() {
    let report = clean(&["--stop", "--buffered"]);
    assert!(number(&report, "stops") > 0 && number(&report, "revocations") > 0, "{report}");
}

#[test]
fn others_post_meanwhile() {
    assert!(number(&clean(&["--post", "--kill"]), "posts") > 0);
}

#[test]
fn lock_files_are_removed_by_hand() {
    let report = clean(&["--rm", "--buffered"]);
    assert!(number(&report, "removals") > 0 && number(&report, "lostTurns") > 0, "{report}");
}

#[test]
fn a_foreign_program_takes_its_turns() {
    let report = clean(&["--foreign", "--buffered", "--post"]);
    assert!(number(&report, "foreignTurns") > 0, "{report}");
}

#[test]
fn all_of_it_at_once() {
    let report =
        clean(&["--kill", "--stop", "--post", "--rm", "--foreign", "--buffered", "--seconds", "4"]);
    assert!(number(&report, "kills") > 0 && number(&report, "removals") > 0, "{report}");
}

#[test]
fn a_directory_of_ones_own_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut stress = start(&["--dir", dir.path().to_str().unwrap(), "--seconds", "1"]);
    let (out, code) = stress.end();
    assert_eq!(code, Some(0), "{out}");
    let run = dir.path().join(&entries(dir.path())[0]);
    assert!(out.contains("No violation") && out.contains(run.to_str().unwrap()), "{out}");
    let files = entries(&run);
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
    let limit = Instant::now() + Duration::from_secs(60);
    until(limit, "sessions are written to", || {
        let run = stress.tmp.path().join(entries(stress.tmp.path()).first()?);
        fs::metadata(run.join("session-0.jsonl")).ok().filter(|metadata| metadata.len() > 0)
    });
}

#[test]
fn an_interrupt_ends_it_and_cleans_up() {
    if !Path::new("/proc/self/cmdline").exists() {
        return eprintln!("skipped: there is no /proc to find processes in");
    }
    let mut stress = start(&["--seconds", "600", "--kill"]);
    under_way(&stress);
    kill_process(stress.pid(), Signal::INT).unwrap();
    let (out, code) = stress.end();
    assert_eq!(code, Some(1), "{out}");
    assert!(out.contains("interrupted"), "{out}");
    assert_eq!(entries(stress.tmp.path()), Vec::<String>::new());
    assert_eq!(children(stress.tmp.path()), Vec::<String>::new());
}

#[test]
fn children_die_with_their_conductor() {
    if !cfg!(target_os = "linux") {
        return eprintln!("skipped: only Linux ends children with their parent");
    }
    let stress = start(&["--seconds", "600"]);
    under_way(&stress);
    assert_eq!(children(stress.tmp.path()).len(), 3);
    kill_process(stress.pid(), Signal::KILL).unwrap();
    let limit = Instant::now() + Duration::from_secs(60);
    until(limit, "the children are gone", || children(stress.tmp.path()).is_empty().then_some(()));
}

#[test]
fn nonsense_is_refused() {
    for nonsense in [&["--dir", ""][..], &["--seconds", "0"], &["--hold-us", "-1"], &["--sideways"]]
    {
        let (out, code) = start(nonsense).end();
        assert_eq!(code, Some(2), "{out}");
    }
}
