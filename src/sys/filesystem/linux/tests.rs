use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::super::trial::Fault;
use super::super::{KeepsLocks, Locality, ProbeReport, Trial, filesystem, probe};
use super::mountinfo::{find, parse};
use super::{Dir, Filesystem, describe, mountinfo};

const TABLE: &[u8] = br"22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
31 27 0:40 / /mnt/team rw,relatime shared:2 master:1 - nfs4 srv:/team rw,vers=4.2,local_lock=none
32 27 0:41 / /mnt/team/old\040stuff rw,relatime - nfs srv:/old rw,vers=3,nolock,local_lock=all
33 27 0:42 / /mnt/flock rw - nfs srv:/f rw,vers=3,local_lock=flock
34 27 0:43 / /Users rw,relatime - virtiofs host\043home rw
35 27 0:44 / /mnt/ssh rw,nosuid,nodev - fuse.sshfs me@box: rw,user_id=0
36 27 0:45 / /mnt/over rw - tmpfs first rw
37 27 0:46 / /mnt/over rw - xfs /dev/vdb rw
38 27 0:47 / /mnt/win rw - cifs //box/share rw,vers=3.0,nobrl
39 27 0:48 / /mnt/smb rw - cifs //box/other rw,vers=3.1.1
40 27 0:49 / /mnt/nosource rw - tmpfs  rw
a line of another form
41 27 0:50 / /mnt/fuse rw - fuse something rw
42 27 0:51 / /mnt/\134n\011t\012l\400 rw - tmpfs tmpfs rw
43 27 0:52 / /mnt/ceph rw - ceph mon:/ rw
44 27 0:53 / /mnt/lustre rw - lustre mgs:/fs rw,localflock
45 27 0:54 / /mnt/9 rw - 9p C: rw,trans=fd
46 27 0:55 / /mnt/older rw - nfs srv:/o rw,vers=3
";

fn dir(path: impl AsRef<Path>) -> Dir {
    Dir::open(path.as_ref()).unwrap()
}

fn at(path: &str) -> Filesystem {
    describe(None, find(parse(TABLE), None, Path::new(path)))
}

fn not_kept(filesystem: &Filesystem) -> &str {
    match &filesystem.keeps_locks {
        KeepsLocks::NotKept(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_longest_mount_point_wins_and_covers_what_is_below() {
    assert_eq!(at("/home/me").kind, "ext4");
    assert_eq!(at("/mnt/team/a/b").source.unwrap(), "srv:/team");
    assert_eq!(at("/mnt/teamwork").kind, "ext4");
    assert_eq!(at("/mnt/over/x").kind, "xfs");
    assert_eq!(at("/mnt/team/old stuff/x").source.unwrap(), "srv:/old");
    // The id finds even a mount that is covered.
    let covered = find(parse(TABLE), Some(36), Path::new("/mnt/over"));
    assert_eq!(covered.unwrap().source, "first");
    assert_eq!(find(parse(TABLE), Some(99), Path::new("/mnt/over")), None);
}

#[test]
fn escapes_are_undone() {
    assert_eq!(at("/Users/me").source.unwrap(), "host#home");
    let strange = find(parse(TABLE), Some(42), Path::new("/")).unwrap();
    assert_eq!(strange.point, Path::new("/mnt/\\n\tt\nl\\400"));
}

#[test]
fn lines_of_another_form_are_skipped() {
    assert_eq!(parse(TABLE).len(), 18);
    assert!(parse(b"").is_empty());
    assert!(parse(b"1 2 3\n\n- - -\n").is_empty());
    let sourceless = find(parse(TABLE), Some(40), Path::new("/")).unwrap();
    assert_eq!((sourceless.kind.as_str(), sourceless.source.as_str()), ("tmpfs", ""));
}

#[test]
fn the_options_of_nfs_tell() {
    assert_eq!(at("/mnt/team").keeps_locks, KeepsLocks::Kept);
    assert_eq!(at("/mnt/older").keeps_locks, KeepsLocks::Unknown);
    assert!(not_kept(&at("/mnt/flock")).contains("`local_lock=flock`"));
    assert!(not_kept(&at("/mnt/team/old stuff")).contains("`nolock`"));
    for path in ["/mnt/team", "/mnt/flock"] {
        let nfs = at(path);
        assert!(nfs.locality == Locality::Remote && nfs.wants_probe(), "{nfs}");
    }
}

#[test]
fn other_shared_mounts() {
    assert!(not_kept(&at("/mnt/win")).contains("`nobrl`"));
    assert!(not_kept(&at("/mnt/lustre")).contains("`localflock`"));
    assert_eq!(at("/mnt/ceph").keeps_locks, KeepsLocks::Kept);
    for path in ["/mnt/smb", "/Users", "/mnt/ssh", "/mnt/9"] {
        let shared = at(path);
        assert_eq!(shared.locality, Locality::Remote, "{shared}");
        assert_eq!(shared.keeps_locks, KeepsLocks::Unknown, "{shared}");
    }
    let fuse = at("/mnt/fuse");
    assert!(fuse.locality == Locality::Unknown && fuse.wants_probe());
    assert_eq!(fuse.keeps_locks, KeepsLocks::Unknown);
}

#[test]
fn without_a_mount_table_the_number_tells() {
    let by_number = |magic| describe(Some(magic), None);
    assert_eq!(by_number(0xef53).to_string(), "ext4 filesystem");
    assert_eq!(by_number(0xef53).keeps_locks, KeepsLocks::Kept);
    assert_eq!(by_number(0x6969).locality, Locality::Remote);
    assert_eq!(by_number(0xabcd).to_string(), "0xabcd filesystem");
    assert_eq!(by_number(0xabcd).keeps_locks, KeepsLocks::Unknown);
    assert_eq!(describe(None, None).to_string(), "unknown filesystem");
}

#[test]
fn a_refusal_names_the_mount() {
    let trial =
        Trial { fault: None, hard_links: true, unnamed_files: false, exclusive_rename: false };
    let mut report = ProbeReport { filesystem: at("/mnt/flock/a"), trial };
    assert_eq!(
        report.refusal().unwrap(),
        "nfs filesystem srv:/f mounted at /mnt/flock does not keep locks: it is mounted with \
         `local_lock=flock`, so that hosts do not see each other's locks; mount it with NFS 4.1 \
         or later, and without `nolock` and `local_lock`"
    );
    report.filesystem = at("/Users");
    assert_eq!(report.refusal(), None);
    report.trial.fault = Some(Fault::GrantedTwice);
    let refusal = report.refusal().unwrap();
    assert!(
        refusal
            .starts_with("virtiofs filesystem host#home mounted at /Users does not keep locks: "),
        "{refusal}"
    );
    // What the trial showed outweighs what the mount promises.
    report.filesystem = at("/home");
    report.trial.fault = Some(Fault::Refused("No locks available".into()));
    assert!(report.refusal().unwrap().contains("flock fails (No locks available); use "));
}

#[test]
fn real_directories_pass_and_are_left_clean() {
    for parent in [std::env::temp_dir(), "/dev/shm".into()] {
        let temporary = tempfile::tempdir_in(&parent).unwrap();
        let report = probe(&dir(temporary.path())).unwrap();
        assert_eq!(report.trial.fault, None);
        assert!(report.trial.hard_links && report.trial.exclusive_rename);
        assert_eq!(report.refusal(), None);
        assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
    }
}

#[test]
fn shared_memory_is_a_local_tmpfs() {
    let shm = filesystem(&dir("/dev/shm")).unwrap();
    assert_eq!(shm.kind, "tmpfs");
    assert_eq!(shm.mount_point.as_deref(), Some(Path::new("/dev/shm")));
    assert!(shm.locality == Locality::Local && !shm.wants_probe());
    assert!(shm.options.as_ref().unwrap().contains("rw"));
    assert!(probe(&dir("/dev/shm")).unwrap().trial.unnamed_files);
}

#[test]
fn the_mount_id_and_the_path_lead_to_the_same_mount() {
    let table = std::fs::read("/proc/self/mountinfo").unwrap();
    for path in ["/", "/dev/shm", "/proc"] {
        let by_path = find(parse(&table), None, Path::new(path));
        assert_eq!(mountinfo::of(&dir(path)), by_path, "{path}");
    }
}

#[test]
fn a_directory_that_cannot_be_written_to_is_an_error() {
    let temporary = tempfile::tempdir().unwrap();
    std::fs::set_permissions(temporary.path(), PermissionsExt::from_mode(0o500)).unwrap();
    // Root may write even so.
    if !rustix::process::geteuid().is_root() {
        assert!(probe(&dir(temporary.path())).is_err());
    }
    assert!(probe(&dir("/proc")).is_err());
}
