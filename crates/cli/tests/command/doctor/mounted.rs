//! A session file that is mounted by itself, as `docker -v file:file` does it: no new file can be
//! put in its place.

use std::fs;
use std::process::Command;

use turnlock_testing::process::through;
use turnlock_testing::{ended, in_a_namespace, mount, room, test_name};

use super::made::doctor;

const DAMAGED: &str = "{\"a\":1}\n{\"cut he{\"b\":2}\n";

#[test]
fn the_remedy_is_told_and_nothing_is_left_of_a_repair_that_never_was() {
    in_a_namespace(&test_name!(), || {
        let (room, elsewhere) = (room(), room());
        fs::write(&elsewhere.session, DAMAGED).unwrap();
        fs::write(&room.session, "").unwrap();
        let [from, to] = [&elsewhere.session, &room.session].map(|path| path.to_str().unwrap());
        if !mount::mounted(&["--bind", from, to]) {
            return;
        }
        // Also where the kernel, or a sandbox, does not know `openat2`, which tells of mounts.
        let blind =
            ["strace", "-f", "-qq", "-e", "trace=openat2", "-e", "inject=openat2:error=ENOSYS"];
        let blind: Vec<_> =
            blind.iter().chain(&["-o", "/dev/null"]).map(|word| (*word).to_owned()).collect();
        let can_trace = Command::new("strace").arg("-V").output().is_ok();
        for blind in [Vec::new(), blind] {
            if !blind.is_empty() && !can_trace {
                eprintln!("skipped: no strace");
                continue;
            }
            let mut command = doctor(&["--fix"], &room.session);
            if !blind.is_empty() {
                command = through(&blind, &command);
            }
            let answer = ended(command);
            assert_eq!(answer.code, Some(1), "{answer:?}");
            assert!(answer.out.contains("mount its directory instead"), "{answer:?}");
            assert_eq!(room.text(), DAMAGED);
            assert_eq!(room.names(), ["s.jsonl"], "no quarantine, and nothing else");
        }
        // The remedy works.
        assert_eq!(ended(doctor(&["--fix"], &elsewhere.session)).code, Some(0));
        assert_eq!(elsewhere.text(), "{\"a\":1}\n{\"b\":2}\n");
        assert!(elsewhere.names().contains(&"s.jsonl.damaged".to_owned()));
    });
}
