//! A fault at every system call: the disk is full or fails, a signal comes, the process is killed.
//! What was acknowledged stays, what failed has changed nothing, and the next process has the
//! session at once.

use std::fs;
use std::path::Path;

use turnlock_testing::env::number;

use crate::model::Model;
use crate::player::Played;
use crate::script::{Script, Told, in_short, told};
use crate::strace;

const KILL: &str = "signal=SIGKILL";
const FAULTS: [&str; 4] = ["error=ENOSPC", "error=EIO", "error=EINTR", KILL];

/// Number of faults that are injected into each script, spread over all of its calls. With
/// `TURNLOCK_FAULTS=all` it is every fault at every call.
fn how_many() -> usize {
    match std::env::var("TURNLOCK_FAULTS") {
        Ok(all) if all == "all" => usize::MAX,
        _ => number("TURNLOCK_FAULTS", 80),
    }
}

/// One test for each script, so that they run beside each other.
macro_rules! every_call_fails {
    ($($test:ident: $script:ident,)*) => {$(
        #[test]
        fn $test() {
            every_call_fails(Script::$script);
        }
    )*};
}

every_call_fails! {
    creating_a_session: Create,
    appending: Append,
    sealing_a_torn_tail: Seal,
    posting: Post,
    posting_the_first_line: PostCreating,
    rewriting: Rewrite,
    repairing: Repair,
    handing_over: HandOver,
    taking_over: TakeOver,
    taking_over_a_file_with_a_second_name: TakeOverLinked,
}

/// Plays a script once for each fault at each of its calls, and looks at what it leaves.
fn every_call_fails(script: Script) {
    if !strace::is_there() {
        return;
    }
    let room = tempfile::tempdir().unwrap();
    let sites =
        strace::sites(script, &stage(script, room.path(), "sites"), &room.path().join("log"));
    let all: Vec<_> = sites.iter().flat_map(|site| FAULTS.map(|fault| (site, fault))).collect();
    let count = how_many().min(all.len());
    let mut wrong = Vec::new();
    for n in 0..count {
        let (site, fault) = all[n * all.len() / count];
        let session = stage(script, room.path(), &n.to_string());
        let played = strace::play(script, &session, 0, site, fault);
        if let Err(why) = look(script, &session, &played, fault) {
            let told = in_short(&told(&played.said)).replace("String", "");
            wrong.push(format!("{fault} at {site:?}: {why}\n{told}\n"));
        }
    }
    assert!(
        wrong.is_empty(),
        "{script:?}, {} of {count} faults:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    eprintln!("{script:?}: {count} of {} faults at {} system calls", all.len(), sites.len());
}

fn stage(script: Script, room: &Path, name: &str) -> std::path::PathBuf {
    let dir = room.join(name);
    fs::create_dir(&dir).unwrap();
    script.prepare(&dir)
}

fn look(script: Script, session: &Path, played: &Played, fault: &str) -> Result<(), String> {
    let told = told(&played.said);
    let text = String::from_utf8_lossy(&played.said);
    if text.contains("panicked") || (fault != KILL && !played.status.success()) {
        let why: Vec<_> = text.lines().filter(|line| !line.starts_with(['@', ' '])).collect();
        return Err(format!("{}: {}", played.status, why.join("\n")));
    }
    for told in &told {
        if let Told::Failed(kind, text) = told
            && !text.contains('/')
        {
            return Err(format!("{kind} names no path: {text}"));
        }
    }
    let model = Model::of(script, &told);
    model.check(&fs::read(session).unwrap_or_default())?;
    match session.parent().is_some_and(Path::exists) {
        true => model.mend(session),
        false => Ok(()),
    }
}
