//! The gateway of a program that links the library.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::tempdir;
use turnlock::gateway::{self, Gateway, Refused, Supervised};
use turnlock::{Error, Sessions};
use turnlock_testing::{Doomed, alone, test_name};

/// All files in a directory and below it.
fn files_in(dir: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_in(&path) } else { vec![path] }).collect()
}

#[test]
fn one_process_has_one_gateway_for_a_state_directory() {
    let dir = tempdir().unwrap();
    let builder = Gateway::builder(dir.path()).port(0).acquire_timeout(Duration::ZERO);
    let mut gateway = builder.clone().acquire_blocking().unwrap();
    assert_ne!(gateway.address().port(), 0);
    assert_eq!(gateway.take_listener().unwrap().local_addr().unwrap(), gateway.address());
    assert!(gateway.take_listener().is_none());
    let refused = builder.clone().acquire_blocking().unwrap_err();
    assert!(
        refused.is_busy()
            && matches!(&refused, gateway::Error::Refused(Refused::StateLocked { .. })),
        "{refused}"
    );
    gateway.release_blocking().unwrap();
    drop(builder.acquire_blocking().unwrap());
    assert_eq!(files_in(dir.path()), Vec::<PathBuf>::new());
}

/// Alone, since other tests of this process hold sessions.
#[test]
fn a_gateway_is_no_session() {
    alone(&test_name!(), || {
        let dir = tempdir().unwrap();
        let gateway = Gateway::builder(dir.path()).port(0).acquire_blocking().unwrap();
        assert_eq!(Sessions::held_by_this_process(), 0);
        gateway.release_blocking().unwrap();
    });
}

#[tokio::test]
async fn tasks_have_gateways_too() {
    let dir = tempdir().unwrap();
    let builder =
        Gateway::builder(dir.path()).port(0).acquire_timeout(Duration::ZERO).label("agent 7");
    let mut gateway = builder.clone().acquire().await.unwrap();
    let listener = gateway.take_tokio_listener().unwrap().unwrap();
    let connected = tokio::net::TcpStream::connect(gateway.address());
    let (accepted, connected) = tokio::join!(listener.accept(), connected);
    drop((accepted.unwrap(), connected.unwrap()));
    let refused = builder.clone().acquire().await.unwrap_err().to_string();
    assert!(refused.starts_with("gateway already running (pid "), "{refused}");
    drop(listener);
    gateway.release().await.unwrap();
    match builder.acquire_supervised().await.unwrap() {
        Supervised::Started(gateway) => gateway.release().await.unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lock_that_is_taken_away_is_noticed() {
    let dir = tempdir().unwrap();
    let gateway = Gateway::builder(dir.path()).port(0).acquire_blocking().unwrap();
    assert_eq!(gateway.lost().unwrap(), None);
    std::fs::remove_file(gateway.layout().config_lock()).unwrap();
    assert_eq!(gateway.lost().unwrap(), Some(turnlock::LostCause::Removed));
    assert!(matches!(
        gateway.release_blocking(),
        Err(gateway::Error::Lock(Error::LockLost { .. }))
    ));
}

#[test]
fn who_was_lent_the_locks_of_a_gateway_that_lives_is_not_left_behind() {
    let dir = tempdir().unwrap();
    let builder = Gateway::builder(dir.path()).port(0).acquire_timeout(Duration::ZERO);
    let gateway = builder.clone().acquire_blocking().unwrap();
    let mut heir = gateway
        .with_lock_fds(|locks| {
            assert_eq!(locks.len(), 2);
            let inherited = locks[0].try_clone_to_owned().unwrap();
            Doomed(Command::new("sleep").arg("1000").stdin(inherited).spawn().unwrap())
        })
        .unwrap();
    assert_eq!(gateway::remains(&builder).unwrap(), None);
    assert_eq!(gateway::end_remains(&builder, Duration::ZERO).unwrap(), None);
    gateway.release_blocking().unwrap();
    assert_eq!(gateway::remains(&builder).unwrap(), None);
    builder.acquire_blocking().unwrap().release_blocking().unwrap();
    assert!(heir.try_wait().unwrap().is_none(), "nobody ended it");
}
