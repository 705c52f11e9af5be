//! Who may use a session file that is created: whoever may use what is created beside it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use serde_json::json;
use turnlock::{Error, Sessions};
use turnlock_testing::{am_root, room};

use crate::child::{Answer, Ask, Child, How};
use crate::sessions::buffered;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// A child that runs under this umask.
fn child_under(umask: &str, session: &Path) -> Child {
    let script = format!("umask {umask}; exec \"$@\"");
    let through = ["sh", "-c", &script, "sh"].map(str::to_owned).to_vec();
    Child::start(session, How { through, ..How::default() })
}

#[test]
fn the_umask_says_who_may_use_a_new_session() {
    let room = room();
    for (umask, expected) in [("022", 0o644), ("027", 0o640), ("002", 0o664), ("077", 0o600)] {
        let session = room.dir.join(format!("{umask}.jsonl"));
        let mut child = child_under(umask, &session);
        child.acquire();
        child.append(json!({"n": 1}));
        assert_eq!(mode(&session), expected, "umask {umask}");
        // The lock file lets those write who may write to the session.
        let lock = mode(&room.dir.join(format!("{umask}.jsonl.lock")));
        assert_eq!(lock & 0o020, expected & 0o020, "umask {umask}: {lock:o}");
        child.release();
        let posted = room.dir.join(format!("posted-{umask}.jsonl"));
        let mut child = child_under(umask, &posted);
        let answer = child.ask(&Ask::PostCreating(json!({"n": 1})));
        assert!(matches!(answer, Answer::Appended { .. }), "{answer:?}");
        assert_eq!(mode(&posted), expected, "umask {umask}");
        // A rewrite keeps what is there, whatever the umask is.
        fs::set_permissions(&posted, fs::Permissions::from_mode(0o640)).unwrap();
        child.acquire();
        assert_eq!(child.ask(&Ask::Rewrite(json!({"n": 2}))), Answer::Done);
        child.release();
        assert_eq!(mode(&posted), 0o640);
    }
}

#[test]
fn a_setgid_directory_and_a_default_access_list_are_followed() {
    if !am_root("can give files away") {
        return;
    }
    let room = room();
    chown(&room.dir, None, Some(4242)).unwrap();
    fs::set_permissions(&room.dir, fs::Permissions::from_mode(0o2770)).unwrap();
    let mut child = child_under("007", &room.session);
    child.acquire();
    child.append(json!({"n": 1}));
    assert_eq!((fs::metadata(&room.session).unwrap().gid(), mode(&room.session)), (4242, 0o660));
    child.release();

    let listed = room.dir.join("listed");
    fs::create_dir(&listed).unwrap();
    let set = Command::new("setfacl").args(["-d", "-m", "u:4243:rw,o::-"]).arg(&listed).status();
    if !set.is_ok_and(|status| status.success()) {
        eprintln!("skipped: there is no setfacl here");
        return;
    }
    let session = listed.join("s.jsonl");
    let mut child = child_under("077", &session);
    child.acquire();
    child.append(json!({"n": 1}));
    let list = Command::new("getfacl").arg("-p").arg(&session).output().unwrap().stdout;
    let list = String::from_utf8(list).unwrap();
    assert!(list.contains("user:4243:rw-\n"), "{list}");
}

#[test]
fn a_mode_of_the_program_is_exact_and_must_let_the_owner_in() {
    let room = room();
    for (n, mode_asked) in [0o600, 0o640, 0o666].into_iter().enumerate() {
        let session = room.dir.join(format!("{n}.jsonl"));
        let sessions = Sessions::builder().mode(mode_asked).build().unwrap();
        sessions.post_all_blocking(&session, [json!({"n": 1})], true).unwrap();
        assert_eq!(mode(&session), mode_asked);
        let handle = sessions.session(room.dir.join(format!("handle-{n}.jsonl"))).unwrap();
        handle.turn().acquire_blocking().unwrap().append_blocking(&json!({})).unwrap();
        assert_eq!(mode(handle.path()), mode_asked);
    }
    for refused in [0o400, 0o000, 0o4600, 0o10_0644] {
        let built = Sessions::builder().mode(refused).build();
        assert!(matches!(built, Err(Error::Config { name: "mode", .. })), "{refused:o}");
    }
    // Private is so from the first moment on.
    let session = room.dir.join("private.jsonl");
    let turn = Sessions::builder().private().build().unwrap().turn(&session);
    let turn = turn.acquire_blocking().unwrap();
    assert_eq!(mode(&session), 0o600);
    drop(turn);
    drop(buffered());
}
