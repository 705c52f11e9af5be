//! Peers in a container, in which their pid means nothing outside.

use turnlock::LockState;
use turnlock_testing::namespace::pid_namespace;
use turnlock_testing::{ended, until};

use crate::node::all;
use crate::program::turnlock;
use crate::room::{buffered, room};

#[test]
fn the_lock_of_a_living_peer_in_a_container_is_respected_outside() {
    let Some(container) = pid_namespace() else { return };
    for peer in all() {
        let room = room();
        let mut node = peer.start_through(&container, &room.session);
        node.acquire();
        node.write("{\"theirs\":1}");
        assert_eq!(room.record()["pid"], 1, "{:?}", peer.kind);

        assert!(buffered().turn(&room.session).try_acquire().is_err(), "{:?}", peer.kind);
        let report = buffered().sweep(&room.dir).unwrap().pop().unwrap();
        assert!(report.state == LockState::Foreign && !report.removed, "{report:?}");
        assert!(report.holder.unwrap().host_pid.is_some(), "{:?}", peer.kind);
        let answer = ended(turnlock(["doctor", "--fix"]).arg(&room.dir));
        assert!(answer.code == Some(0) && room.lock.exists(), "{answer:?}");

        node.write("{\"theirs\":2}");
        node.release();
        buffered().turn(&room.session).try_acquire().unwrap().release_blocking().unwrap();
        node.acquire();
        node.kill();
        // Its namespace may take a moment to end.
        until("the dead peer's lock is ours", || {
            buffered().turn(&room.session).try_acquire().is_ok()
        });
        assert_eq!(room.text(), "{\"theirs\":1}\n{\"theirs\":2}\n", "{:?}", peer.kind);
    }
}
