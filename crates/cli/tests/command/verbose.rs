//! With `-v` each command says on standard error what happens, and answers as without.

use std::fs;

use turnlock_testing::{fed, room};

use crate::program::turnlock;

#[test]
fn each_command_says_what_happens_if_it_is_asked_to() {
    for (arguments, after, words) in [
        (&["append"][..], &[][..], "written lines=1 offset=8 bytes=8"),
        (&["append"], &[], "turn begins"),
        (&["post"], &[], "written lines=1"),
        (&["run"], &["--", "true"], "the command has ended code=0"),
        (&["run"], &["--", "true"], "release"),
        (&["read"], &[], "reading session="),
        (&["status"], &[], "looked places=1 locks=0"),
        (&["doctor"], &[], "examining"),
    ] {
        let run = |verbose: &[&str]| {
            let room = room();
            fs::write(&room.session, "{\"n\":1}\n").unwrap();
            let mut command = turnlock(verbose);
            command.args(arguments).arg(&room.session).args(after);
            fed(command, "{\"n\":2}\n")
        };
        let (quiet, told) = (run(&[]), run(&["-v"]));
        assert_eq!((quiet.code, quiet.err.as_str()), (Some(0), ""), "{arguments:?}");
        assert_eq!((told.code, &told.out), (quiet.code, &quiet.out));
        assert!(told.err.contains(words), "{arguments:?}: {told:?}");
    }
}

#[test]
fn a_search_says_what_it_has_found() {
    let room = room();
    fs::write(&room.session, "{\"n\":1}\n").unwrap();
    let mut command = turnlock(["-v", "status"]);
    command.arg(&room.dir);
    let told = fed(command, "");
    assert!(told.err.contains("searched for sessions"), "{told:?}");
    assert!(told.err.contains("looked_into=1 places=1"), "{told:?}");
}
