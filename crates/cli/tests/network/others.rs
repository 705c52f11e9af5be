//! Filesystems other than NFS: SMB, 9p and FUSE. Each row of the table in `docs/filesystems.md`
//! that a guest can have. The packages that they take are downloaded once more; without them these
//! tests skip, and say so.

pub mod packages;

use std::fs;
use std::time::Duration;

use crate::checks::{Check, programs};
use crate::ledger::Ledger;
use crate::rig::{Guest, Rig};

/// All of them, by name.
pub const ALL: &[(&str, Check)] = &[
    ("smb_is_refused_with_what_to_use_instead", smb_is_refused_with_what_to_use_instead),
    ("ninep_is_shared_by_processes_of_a_host", ninep_is_shared_by_processes_of_a_host),
    ("ninep_turns_of_two_hosts_exclude_each_other", ninep_turns_of_two_hosts_exclude_each_other),
    ("ninep_what_a_dead_host_left_is_revoked", ninep_what_a_dead_host_left_is_revoked),
    ("fuse_is_used_where_it_keeps_locks", fuse_is_used_where_it_keeps_locks),
];

/// What the guests need for these. `false` if it cannot be had, which is said.
fn prepare(rig: &Rig) -> bool {
    let Some(packages) = packages::find() else {
        eprintln!("    skipped: there are no packages of other filesystems");
        return false;
    };
    let folder = rig.folder();
    if folder.join("other").exists() {
        return true;
    }
    let root = packages.display();
    let libraries =
        ["usr/lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu/samba", "lib/x86_64-linux-gnu"]
            .map(|path| format!("{root}/{path}"))
            .join(":");
    let other = format!(
        "#!/bin/bash\nprogram=$1\nshift\nLD_LIBRARY_PATH={libraries} exec \"{root}/$program\" \
         \"$@\"\n"
    );
    for (name, text) in [
        ("other", other.as_str()),
        ("smb.sh", include_str!("guest/smb.sh")),
        ("smb-mount.sh", include_str!("guest/smb-mount.sh")),
        ("ninep.sh", include_str!("guest/ninep.sh")),
        ("ninep-mount.sh", include_str!("guest/ninep-mount.sh")),
        ("fuse-mount.sh", include_str!("guest/fuse-mount.sh")),
    ] {
        use std::os::unix::fs::PermissionsExt;
        fs::write(folder.join(name), text).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    true
}

/// Runs one of the scripts on a machine.
#[track_caller]
fn script(guest: &Guest, variables: &str, name: &str) {
    let packages = packages::find().unwrap_or_default();
    let others = packages.display();
    guest.ok(&format!("export OTHERS={others} {variables}; bash \"$RIG/{name}\""));
}

/// In a fresh directory of a mount, nothing works, nothing is written, and this is said.
#[track_caller]
fn is_refused(rig: &Rig, guest: &Guest, point: &str, words: &[&str]) {
    let inside = format!("rm -rf {point}/t; mkdir {point}/t; cd {point}/t; {}", programs(rig));
    let (code, told) = guest.run(&format!("{inside}; echo '{{}}' | turnlock append s.jsonl"));
    assert_eq!(code, 1, "{point}: {told}");
    for word in words {
        assert!(told.contains(word), "{point}: no {word:?} in: {told}");
    }
    let left = guest.ok(&format!("ls -a {point}/t"));
    assert_eq!(left.split_whitespace().collect::<Vec<_>>(), [".", ".."], "{point}");
    let (code, told) = guest.run(&format!("{inside}; echo '{{}}' > s.jsonl; turnlock doctor ."));
    assert!(code == 1 && told.contains("locks not kept"), "{point}: {code}: {told}");
}

/// Processes of one machine share sessions there, and some of them are killed.
#[track_caller]
fn is_shared(rig: &Rig, guest: &Guest, point: &str) {
    let inside = format!("rm -rf {point}/st; mkdir {point}/st; {}", programs(rig));
    let stress = format!("{inside}; turnlock stress --kill --dir {point}/st --seconds 3");
    let (code, told) = guest.run(&stress);
    assert_eq!(code, 0, "{point}: {told}");
}

/// Its locks are mandatory: a lock file could not be read by others while it is held. Mounted so
/// that hosts do not see each other's locks, it is refused for that.
fn smb_is_refused_with_what_to_use_instead(rig: &mut Rig) {
    if !prepare(rig) {
        return;
    }
    script(&rig.server, "", "smb.sh");
    for (point, options, why) in
        [("/mnt/smb", "", "flock fails"), ("/mnt/smb-nobrl", "nobrl", "mounted with `nobrl`")]
    {
        script(&rig.a, &format!("POINT={point} OPTIONS={options}"), "smb-mount.sh");
        is_refused(rig, &rig.a, point, &["cifs filesystem", why, "by NFS 4.1 or later"]);
        rig.a.ok(&format!("umount {point}"));
    }
}

fn mount_by_9p(rig: &Rig) {
    script(&rig.server, "", "ninep.sh");
    for guest in [&rig.a, &rig.b] {
        let (is_mounted, _) = guest.run("grep -q ' /mnt/p9 ' /proc/mounts");
        if is_mounted != 0 {
            script(guest, "POINT=/mnt/p9", "ninep-mount.sh");
        }
    }
}

/// Linux's client asks for a busy lock again after 30 s, so that nobody waits in the kernel.
fn ninep_is_shared_by_processes_of_a_host(rig: &mut Rig) {
    if prepare(rig) {
        mount_by_9p(rig);
        is_shared(rig, &rig.a, "/mnt/p9");
    }
}

fn ninep_turns_of_two_hosts_exclude_each_other(rig: &mut Rig) {
    if !prepare(rig) {
        return;
    }
    mount_by_9p(rig);
    let inside = format!("mkdir -p /mnt/p9/two; cd /mnt/p9/two; {}", programs(rig));
    let jobs = [&rig.a, &rig.b].map(|guest| {
        let who = guest.role();
        guest.begin(&format!("{inside}; driver loop s.jsonl {who} 10 8 3 1"))
    });
    let outputs = jobs.map(|job| job.wait(Duration::from_secs(60)).1);
    let ledger = Ledger::of(&rig.served("p9/two/s.jsonl"), &outputs);
    println!("    {}", ledger.summary());
    println!("    failed: {:?}", ledger.failures);
    assert!(ledger.is_clean() && ledger.turns.len() == 2, "{ledger:?}");
}

/// Nobody tells whether a holder of another host lives. What it left is taken once that is said.
fn ninep_what_a_dead_host_left_is_revoked(rig: &mut Rig) {
    if !prepare(rig) {
        return;
    }
    mount_by_9p(rig);
    let inside = format!("mkdir -p /mnt/p9/dead; cd /mnt/p9/dead; {}", programs(rig));
    rig.a.ok(&format!(
        "{inside}; turnlock run s.jsonl -- sleep 100 & \
         until [ -e /mnt/p9/dead/s.jsonl.lock ]; do sleep 0.05; done; \
         pkill -KILL -x turnlock; pkill -KILL -x sleep; pkill -KILL -x turnlock; true"
    ));
    let append = format!("{inside}; echo '{{}}' | turnlock append --timeout 1s s.jsonl");
    let (code, told) = rig.b.run(&append);
    assert!(code != 0 && told.contains("--host-is-gone a"), "{code}: {told}");
    let told = rig.b.ok(&format!("{inside}; turnlock status s.jsonl"));
    assert!(told.contains("\tremote\t") && told.contains("\ta\t"), "{told}");
    let (_, told) = rig.b.run(&format!("{inside}; turnlock doctor ."));
    assert!(told.contains("(unknown)") && told.contains("--host-is-gone a"), "{told}");
    // On the host itself the lock tells.
    let told = rig.a.ok(&format!("{inside}; turnlock status s.jsonl"));
    assert!(told.contains("waiting to be taken over"), "{told}");
    // The remedy is followed.
    rig.b.ok(&format!("{inside}; turnlock revoke . --host-is-gone a --yes"));
    let (code, told) = rig.b.run(&append);
    assert_eq!(code, 0, "{told}");
}

fn fuse_is_used_where_it_keeps_locks(rig: &mut Rig) {
    if !prepare(rig) {
        return;
    }
    let mounted = |kind: &str| {
        let point = format!("/mnt/fuse-{kind}");
        script(&rig.a, &format!("POINT={point} KIND={kind}"), "fuse-mount.sh");
        point
    };
    for (kind, why) in [
        ("sshfs", "inode numbers change"),
        ("mergerfs", "inode numbers change"),
        ("bindfs", "could be locked a second time"),
    ] {
        let point = mounted(kind);
        is_refused(rig, &rig.a, &point, &["fuse", why, "use the directory behind it"]);
    }
    is_shared(rig, &rig.a, &mounted("overlay"));
}
