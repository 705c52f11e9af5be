//! Authority: nobody is led to do what the one who leads could not have done himself (I16).

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::json;
use turnlock::{Error, LockState, Sessions};
use turnlock_testing::alone::through;
use turnlock_testing::namespace::user_namespace;
use turnlock_testing::process::{Doomed, die_with_parent};
use turnlock_testing::strace::strace;
use turnlock_testing::user::{as_user, directory_of, file_of, link_of, without};
use turnlock_testing::{Room, am_root, names, room, until};

use crate::child::{Answer, Ask, Child, How};
use crate::sessions::buffered;

/// Users who trust nobody.
const EVIL: u32 = 1001;
const OTHER: u32 = 1002;

/// A directory of root's that only root can enter, a directory of `EVIL`'s, and the way through
/// `EVIL`'s link from the one to the other.
struct Led {
    room: Room,
    secret: PathBuf,
    home: PathBuf,
}

impl Led {
    /// `None`, said aloud, if this process is not root.
    fn new() -> Option<Self> {
        am_root("can be led to what others cannot reach").then(|| {
            let room = room();
            room.let_all_in();
            let (secret, home) = (room.dir.join("secret"), room.dir.join("home"));
            directory_of(0, 0o755, &secret);
            directory_of(EVIL, 0o755, &home);
            Self { room, secret, home }
        })
    }

    /// Nothing was done in root's directory, and it is still root's.
    #[track_caller]
    fn expect_untouched(&self) {
        let facts = fs::metadata(&self.secret).unwrap();
        assert_eq!((facts.uid(), facts.mode() & 0o7777), (0, 0o755));
        assert_eq!(names(&self.secret), [""; 0]);
    }
}

/// What every attempt to use the session as root fails with.
fn attempts(sessions: &Sessions, session: &Path) -> [String; 4] {
    let dir = session.parent().unwrap();
    [
        sessions.turn(session).acquire_blocking().map(drop).unwrap_err(),
        sessions.turn(session).try_acquire().map(drop).unwrap_err(),
        sessions.post_all_blocking(session, [json!({})], true).map(drop).unwrap_err(),
        sessions.sweep(dir).map(drop).unwrap_err(),
    ]
    .map(|error| {
        assert!(matches!(error, Error::Io { .. }), "{error:?}");
        error.to_string()
    })
}

#[test]
fn a_link_into_a_directory_that_its_maker_does_not_own_is_not_followed() {
    let Some(led) = Led::new() else { return };
    let relative = led.home.join("relative");
    link_of(EVIL, Path::new("../secret"), &relative);
    link_of(EVIL, &led.secret, &led.home.join("direct"));
    link_of(EVIL, &relative, &led.home.join("twice"));
    link_of(EVIL, &led.secret.join("../secret/."), &led.home.join("roundabout"));
    link_of(EVIL, &led.room.dir, &led.home.join("above"));
    // Root's own link, to which another's leads.
    let roots = led.room.dir.join("roots");
    symlink(&led.secret, &roots).unwrap();
    link_of(EVIL, &roots, &led.home.join("by-roots"));
    let ways = ["direct", "relative", "twice", "roundabout", "above/secret", "by-roots"];
    for way in ways {
        for below in ["s.jsonl", "new/s.jsonl"] {
            let session = led.home.join(way).join(below);
            for error in attempts(&buffered(), &session) {
                assert!(
                    error.contains("a symbolic link of uid 1001 into a directory of root")
                        && error.contains(led.home.to_str().unwrap()),
                    "{way}: {error}"
                );
            }
        }
        let doctor = Sessions::new().doctor().fix(true);
        doctor.examine([led.home.join(way).join("s.jsonl")], |_, _| {});
        led.expect_untouched();
    }
    assert_eq!(names(&led.home).len(), 6);
}

#[test]
fn a_link_of_root_or_of_the_user_or_of_the_owner_of_its_target_is_followed() {
    let Some(led) = Led::new() else { return };
    let (theirs, mine) = (led.home.join("theirs"), led.room.dir.join("mine"));
    directory_of(EVIL, 0o755, &theirs);
    directory_of(OTHER, 0o755, &mine);
    let at = |name: &str| led.room.dir.join(name);
    // By root into anybody's, by the owner into his own, by the user himself into another's.
    symlink(&theirs, at("roots")).unwrap();
    link_of(EVIL, &theirs, &at("owners"));
    link_of(OTHER, &at("roots"), &at("own"));
    link_of(OTHER, Path::new("mine"), &at("self"));
    // By somebody else into the user's own: its maker could not have written there.
    link_of(EVIL, &mine, &at("foreign"));
    let mut n = 0;
    for way in ["roots", "owners"] {
        n += 1;
        let session = at(way).join("deep").join("s.jsonl");
        let turn = buffered().turn(session).acquire_blocking().unwrap();
        assert_eq!(turn.path(), theirs.join("deep/s.jsonl"));
        turn.append_blocking(&json!({ "n": n })).unwrap();
        turn.release_blocking().unwrap();
    }
    let Some(through) = as_user(OTHER, &[]) else { return };
    for (way, reaches) in [("self", true), ("foreign", false), ("own/../mine", false)] {
        let way = at(way).join("s.jsonl");
        let mut other = Child::start(&way, How { through: through.clone(), ..How::default() });
        if reaches {
            other.acquire();
            other.append(json!({"n": 1}));
            other.release();
        } else {
            let (kind, text) = other.refused(&Ask::Acquire(0));
            assert_eq!(kind, "io", "{text}");
        }
    }
    assert_eq!(names(&mine), ["s.jsonl"]);
}

#[test]
fn links_are_counted_and_may_be_of_any_form() {
    let room = room();
    let long = room.dir.join("x".repeat(255));
    fs::create_dir(&long).unwrap();
    let mut before = long.clone();
    for n in 0..40 {
        let link = room.dir.join(format!("link-{n}"));
        symlink(&before, &link).unwrap();
        before = link;
    }
    let session = |dir: &Path| buffered().turn(dir.join("s.jsonl")).try_acquire().map(drop);
    session(&before).unwrap();
    symlink(&before, room.dir.join("one-more")).unwrap();
    session(&room.dir.join("one-more")).unwrap_err();
    symlink("circle", room.dir.join("circle")).unwrap();
    session(&room.dir.join("circle")).unwrap_err();
    symlink("", room.dir.join("empty")).unwrap_err();
    // By way of a descriptor, as some sandboxes name directories.
    let open = fs::File::open(&long).unwrap();
    let by_descriptor = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&open));
    let turn = buffered().turn(Path::new(&by_descriptor).join("s.jsonl")).try_acquire().unwrap();
    assert_eq!(turn.path(), long.join("s.jsonl"));
    // What is not there is made, also behind a link; but not what a link that leads nowhere names.
    session(&before.join("more/and")).unwrap();
    symlink(room.dir.join("nowhere"), room.dir.join("dangling")).unwrap();
    session(&room.dir.join("dangling")).unwrap_err();
    assert!(!room.dir.join("nowhere").exists());
    // A file is no directory.
    fs::write(room.dir.join("file"), "").unwrap();
    symlink("file", room.dir.join("to-file")).unwrap();
    session(&room.dir.join("to-file")).unwrap_err();
}

const EVIL_ROLE: &str = "TURNLOCK_TEST_EVIL";

/// A process of `EVIL`'s that changes what paths mean, as fast as it can, until it is dropped.
fn evil(what: &str, one: &Path, other: &Path) -> Option<Doomed> {
    let mut command = through(&as_user(EVIL, &[])?, "authority::evil_role");
    command.env(EVIL_ROLE, what).env("ONE", one).env("OTHER", other);
    Some(Doomed(command.stdout(std::process::Stdio::null()).spawn().unwrap()))
}

/// Not a test: the evil process.
#[test]
fn evil_role() {
    let Ok(what) = std::env::var(EVIL_ROLE) else { return };
    die_with_parent();
    let path = |name| PathBuf::from(std::env::var_os(name).unwrap());
    let (one, other) = (path("ONE"), path("OTHER"));
    let exchange = || renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE).is_ok();
    fs::write(one.with_file_name("begun"), "").unwrap();
    for n in 0_u64.. {
        match what.as_str() {
            "exchange" => drop(exchange()),
            // A link to the other in the place of the one, and gone again.
            "plant" => {
                if n % 4 == 0 {
                    std::thread::sleep(Duration::from_millis(1));
                }
                let _ = symlink(&other, &one);
                let away = one.with_file_name(format!("away-{n}"));
                if fs::remove_file(&one).is_err() {
                    let _ = fs::rename(&one, away);
                }
            }
            // The other in the place of the one, as soon as there is one. A while later all is as
            // it was.
            "swap" if exchange() => {
                std::thread::sleep(Duration::from_millis(30));
                exchange();
                fs::rename(&one, one.with_file_name(format!("away-{n}"))).unwrap();
            }
            "swap" => {}
            _ => panic!("{what}"),
        }
    }
}

#[test]
fn a_directory_that_is_exchanged_with_a_link_leads_nowhere_else() {
    let Some(led) = Led::new() else { return };
    let (dir, link) = (led.home.join("agents"), led.home.join("link"));
    directory_of(EVIL, 0o755, &dir);
    link_of(EVIL, &led.secret, &link);
    let Some(_evil) = evil("exchange", &dir, &link) else { return };
    until("it has begun", || led.home.join("begun").exists());
    let session = dir.join("s.jsonl");
    let mut posted = 0;
    for n in 0..600 {
        posted += u32::from(buffered().post_all_blocking(&session, [n], true).is_ok());
        if let Ok(turn) = buffered().turn(&session).try_acquire() {
            let _ = turn.append_blocking(&n);
        }
    }
    led.expect_untouched();
    assert!(posted > 0, "it is not always in the way");
}

#[test]
fn a_directory_that_is_missing_is_not_made_where_a_link_leads() {
    let Some(led) = Led::new() else { return };
    let dir = led.home.join("agents");
    let Some(_evil) = evil("plant", &dir, &led.secret) else { return };
    until("it has begun", || led.home.join("begun").exists());
    let mut posted = 0;
    for n in 0..600 {
        let session = dir.join(if n % 2 == 0 { "s.jsonl" } else { "main/s.jsonl" });
        posted += u32::from(buffered().post_all_blocking(session, [n], true).is_ok());
    }
    led.expect_untouched();
    assert!(posted > 0, "it is not always in the way");
}

#[test]
fn what_is_put_in_the_place_of_a_new_directory_is_not_given_away() {
    let Some(led) = Led::new() else { return };
    // Time for the other between the making of a directory and the next step.
    let Some(through) = strace(&["inject=mkdir,mkdirat:delay_exit=20000"]) else { return };
    let (dir, vault) = (led.home.join("agents"), led.home.join("vault"));
    directory_of(0, 0o700, &vault);
    fs::write(vault.join("key"), "root's").unwrap();
    let kept = fs::File::open(&vault).unwrap();
    let Some(_evil) = evil("swap", &dir, &vault) else { return };
    until("it has begun", || led.home.join("begun").exists());
    let mut root = Child::start(&dir.join("s.jsonl"), How { through, ..How::default() });
    for n in 0..10 {
        let _ = root.ask(&Ask::Acquire(0));
        let _ = root.ask(&Ask::Drop);
        assert_eq!(kept.metadata().unwrap().uid(), 0, "given away in round {n}");
    }
}

#[test]
fn a_directory_that_another_process_of_root_makes_meanwhile_is_not_given_away() {
    let Some(led) = Led::new() else { return };
    // Time for the other between the look for the directory and the making of it.
    let Some(through) = strace(&["inject=mkdir,mkdirat:delay_enter=1000000"]) else { return };
    let dir = led.home.join("agents");
    let mut root = Child::start(&dir.join("s.jsonl"), How { through, ..How::default() });
    root.tell(&Ask::Acquire(60_000));
    assert_eq!(root.has_answered(Duration::from_millis(300)), None);
    fs::create_dir(&dir).unwrap();
    root.answered_held();
    assert_eq!(fs::metadata(&dir).unwrap().uid(), 0);
    root.release();
}

#[test]
fn where_everybody_may_put_files_those_of_others_are_refused() {
    if !am_root("can make files of others") {
        return;
    }
    let room = room();
    room.let_all_in();
    for owner in [0, OTHER] {
        let dir = room.dir.join(format!("of-{owner}"));
        directory_of(owner, 0o1777, &dir);
        let at = |name: &str| dir.join(name);
        // Closed to everybody else, or open to them.
        for mode in [0o600, 0o666] {
            file_of(EVIL, mode, &at("planted.jsonl"), "");
            file_of(0, 0o666, &at("locked.jsonl"), "");
            file_of(EVIL, mode, &at("locked.jsonl.lock"), "");
            file_of(0, 0o666, &at("damaged.jsonl"), "{\"a\":1}\n{\"torn");
            file_of(EVIL, mode, &at("damaged.jsonl.damaged"), "");
            for uid in [0, 1003] {
                refuses_what_was_planted(&dir, uid);
            }
        }
        // Those of root, of the directory's owner and of the user himself are as good as ever.
        for maker in [0, owner, 1003] {
            let session = at(&format!("by-{maker}.jsonl"));
            file_of(maker, 0o666, &session, "");
            let Some(through) = as_user(1003, &[]) else { return };
            let mut user = Child::start(&session, How { through, ..How::default() });
            user.acquire();
            user.append(json!({"n": 1}));
            user.release();
        }
        let reports = Sessions::new().sweep(&dir).unwrap();
        let planted = reports.iter().find(|it| it.lock.ends_with("locked.jsonl.lock")).unwrap();
        assert!(planted.state == LockState::Unreadable && !planted.removed, "{planted:?}");
        assert!(planted.error.as_ref().unwrap().contains("uid 1001"), "{planted:?}");
    }
}

/// As this user, in a directory where everybody may put files.
fn refuses_what_was_planted(dir: &Path, uid: u32) {
    let Some(through) = as_user(uid, &[]) else { return };
    let start =
        |name| Child::start(&dir.join(name), How { through: through.clone(), ..How::default() });
    let refused = |child: &mut Child, ask| {
        let (kind, text) = child.refused(&ask);
        assert!(kind == "io" && text.contains("uid 1001"), "{uid}: {kind}: {text}");
    };
    for name in ["planted.jsonl", "locked.jsonl"] {
        let mut child = start(name);
        // At once, however long it may wait.
        refused(&mut child, Ask::Acquire(60_000));
        refused(&mut child, Ask::Post(json!({"n": 1})));
        assert_eq!(fs::read_to_string(dir.join(name)).unwrap(), "");
    }
    let mut child = start("damaged.jsonl");
    child.acquire();
    refused(&mut child, Ask::Repair);
    assert_eq!(fs::read_to_string(dir.join("damaged.jsonl.damaged")).unwrap(), "");
    child.release();
}

#[test]
fn a_file_that_another_links_into_his_directory_is_not_written_to() {
    let Some(led) = Led::new() else { return };
    let precious = led.secret.join("precious");
    fs::write(&precious, "keep me\n").unwrap();
    fs::hard_link(&precious, led.home.join("s.jsonl")).unwrap();
    file_of(EVIL, 0o600, &led.home.join("d.jsonl"), "{\"torn");
    fs::hard_link(&precious, led.home.join("d.jsonl.damaged")).unwrap();
    file_of(EVIL, 0o600, &led.home.join("l.jsonl"), "");
    fs::hard_link(&precious, led.home.join("l.jsonl.lock")).unwrap();
    let sessions = Sessions::builder().malformed_grace(Duration::ZERO).build().unwrap();
    let mut errors = vec![
        sessions.turn(led.home.join("s.jsonl")).try_acquire().map(drop).unwrap_err(),
        sessions.post_blocking(led.home.join("s.jsonl"), &1).map(drop).unwrap_err(),
    ];
    let turn = sessions.turn(led.home.join("l.jsonl")).acquire_blocking().unwrap();
    turn.append_blocking(&1).unwrap();
    turn.release_blocking().unwrap();
    let turn = sessions.turn(led.home.join("d.jsonl")).acquire_blocking().unwrap();
    errors.extend(turn.repair_blocking().err());
    turn.release_blocking().unwrap();
    for error in errors {
        assert!(error.to_string().contains("of root"), "{error}");
    }
    assert_eq!(fs::read_to_string(&precious).unwrap(), "keep me\n");
    // What its owner could have written to himself is no trap.
    file_of(EVIL, 0o600, &led.home.join("own.jsonl"), "");
    fs::hard_link(led.home.join("own.jsonl"), led.home.join("snapshot")).unwrap();
    sessions.post_blocking(led.home.join("own.jsonl"), &1).unwrap();
}

#[test]
fn where_root_may_not_give_files_away_they_are_roots() {
    let Some(led) = Led::new() else { return };
    let Some(through) = without("chown") else { return };
    for portable in [false, true] {
        let session = led.home.join(format!("new-{portable}/s.jsonl"));
        let how = How { through: through.clone(), portable, ..How::default() };
        let mut root = Child::start(&session, how);
        root.acquire();
        root.append(json!({"n": 1}));
        root.release();
        assert_eq!(fs::read_to_string(&session).unwrap(), "{\"n\":1}\n");
        assert_eq!(fs::metadata(&session).unwrap().uid(), 0);
        until("the lock file goes", || names(session.parent().unwrap()) == ["s.jsonl"]);
    }
    // A session that others can use as well is rewritten and repaired.
    let session = led.home.join("shared.jsonl");
    file_of(EVIL, 0o666, &session, "{\"torn");
    let mut root = Child::start(&session, How { through: through.clone(), ..How::default() });
    root.acquire();
    assert_eq!(root.ask(&Ask::Repair), Answer::Done);
    assert_eq!(root.ask(&Ask::Rewrite(json!({"n": 2}))), Answer::Done);
    root.release();
    assert_eq!(fs::read_to_string(&session).unwrap(), "{\"n\":2}\n");
    // Its group would be root's.
    assert_eq!(fs::metadata(&session).unwrap().mode() & 0o7777, 0o606);
    // One that its owner could not use afterwards stays as it is.
    let session = led.home.join("private.jsonl");
    file_of(EVIL, 0o600, &session, "{\"n\":1}\n");
    let mut root = Child::start(&session, How { through, ..How::default() });
    root.acquire();
    let (kind, text) = root.refused(&Ask::Rewrite(json!({"n": 2})));
    assert!(kind == "io" && text.contains("uid 1001"), "{kind}: {text}");
    root.append(json!({"n": 3}));
    root.release();
    assert_eq!(fs::read_to_string(&session).unwrap(), "{\"n\":1}\n{\"n\":3}\n");
    assert!(names(&led.home).iter().all(|name| !name.ends_with(".tmp")), "{:?}", names(&led.home));
}

#[test]
fn a_directory_of_a_user_who_has_no_number_here_is_used() {
    // As root of a user namespace, like a container without root outside, where only one user is
    // known.
    let Some(led) = Led::new() else { return };
    for map in ["0 0 1", "0 0 1000", "0 0 1000\\n65534 70000 1"] {
        let dir = led.room.dir.join(format!("mapped-{}", map.len()));
        directory_of(EVIL, 0o777, &dir);
        let Some(through) = user_namespace(map) else { return };
        let session = dir.join("new/s.jsonl");
        let mut contained = Child::start(&session, How { through, ..How::default() });
        contained.acquire();
        contained.append(json!({"n": 1}));
        contained.release();
        drop(contained);
        for path in [&session, session.parent().unwrap()] {
            assert_eq!(fs::metadata(path).unwrap().uid(), 0, "{map}");
        }
        until("the lock file goes", || names(session.parent().unwrap()) == ["s.jsonl"]);
    }
}

#[test]
fn a_directory_that_may_not_be_read_is_used_and_synced() {
    if !am_root("can take the power of root away") {
        return;
    }
    let room = room();
    room.let_all_in();
    let dir = room.dir.join("blind");
    directory_of(EVIL, 0o300, &dir);
    let Some(through) = as_user(EVIL, &[]) else { return };
    for (below, portable) in [("s.jsonl", false), ("t.jsonl", true), ("new/er/s.jsonl", false)] {
        let session = dir.join(below);
        let through = through.clone();
        let mut user =
            Child::start(&session, How { through, portable, sync: true, ..How::default() });
        user.acquire();
        user.append(json!({"n": 1}));
        assert_eq!(user.ask(&Ask::Rewrite(json!({"n": "torn"}))), Answer::Done);
        user.append(json!({"n": 2}));
        user.release();
        user.tell(&Ask::Turns { writer: 1, count: 5 });
        assert_eq!(user.answer(), Answer::Done);
        fs::OpenOptions::new()
            .append(true)
            .open(&session)
            .and_then(|mut file| std::io::Write::write_all(&mut file, b"{\"torn"))
            .unwrap();
        user.acquire();
        assert_eq!(user.ask(&Ask::Repair), Answer::Done);
        user.release();
        assert_eq!(fs::read_to_string(&session).unwrap().lines().count(), 12);
    }
    assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o300);
}

#[test]
fn a_session_that_was_found_follows_no_link_of_another_user_later() {
    if !am_root("to make a link of another user") {
        return;
    }
    let room = room();
    let (dir, moved, victim) = (room.dir.join("d"), room.dir.join("moved"), room.dir.join("v"));
    for dir in [&dir, &victim] {
        fs::create_dir(dir).unwrap();
    }
    let session = buffered().session(dir.join("s.jsonl")).unwrap();
    session.post_creating_blocking([1]).unwrap();
    fs::rename(&dir, &moved).unwrap();
    std::os::unix::fs::symlink(&victim, &dir).unwrap();
    std::os::unix::fs::lchown(&dir, Some(4242), None).unwrap();
    session.post_creating_blocking([2]).unwrap_err();
    session.turn().try_acquire().map(drop).unwrap_err();
    session.read_blocking().map(drop).unwrap_err();
    assert_eq!(turnlock_testing::names(&victim), [""; 0]);
    assert_eq!(fs::read_to_string(moved.join("s.jsonl")).unwrap(), "1\n");
}
