//! What is known about the kinds of filesystems and their locks.

/// Where the files of a filesystem live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locality {
    /// On this machine, under this kernel.
    Local,
    /// On a server, or on the host of a virtual machine.
    Remote,
    /// FUSE may be either, and so may a kind that is not in the tables.
    Unknown,
}

/// Whether a mount keeps `flock` between all processes that can open its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeepsLocks {
    Kept,
    /// It does not, for this reason.
    NotKept(String),
    /// It depends on a server or a daemon, and the mount does not tell.
    Unknown,
}

const LOCAL: &[&str] = &[
    "aufs",
    "bcachefs",
    "btrfs",
    "devtmpfs",
    "ecryptfs",
    "erofs",
    "exfat",
    "ext2",
    "ext3",
    "ext4",
    "f2fs",
    "fuseblk",
    "hfsplus",
    "hugetlbfs",
    "iso9660",
    "jfs",
    "minix",
    "nilfs2",
    "ntfs",
    "ntfs3",
    "overlay",
    "ramfs",
    "reiserfs",
    "rootfs",
    "squashfs",
    "tmpfs",
    "udf",
    "vfat",
    "xfs",
    "zfs",
];

const REMOTE: &[&str] = &[
    "9p",
    "afs",
    "beegfs",
    "ceph",
    "cifs",
    "coda",
    "fuse.ceph",
    "fuse.glusterfs",
    "fuse.grpcfuse",
    "fuse.osxfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.sshfs",
    "fuse.vmhgfs-fuse",
    "gfs2",
    "gpfs",
    "lustre",
    "nfs",
    "nfs4",
    "ocfs2",
    "prl_fs",
    "smb",
    "smb3",
    "vboxsf",
    "virtiofs",
    "vmhgfs",
    "wslfs",
];

/// Network filesystems that keep `flock` between their hosts, unless an option below says
/// otherwise.
const KEPT_BETWEEN_HOSTS: &[&str] = &["ceph", "gfs2", "gpfs", "ocfs2"];

/// Options with which a network filesystem keeps locks within each host only, or not at all.
const NOT_KEPT: &[(&[&str], &[&str])] = &[
    (&["nfs", "nfs4"], &["nolock", "local_lock=all", "local_lock=flock"]),
    (&["cifs", "smb", "smb3"], &["nobrl", "nolock"]),
    (&["lustre"], &["noflock", "localflock"]),
    (&["gfs2", "ocfs2"], &["localflocks", "lockproto=lock_nolock"]),
];

pub(super) fn locality(kind: &str) -> Locality {
    if LOCAL.contains(&kind) {
        Locality::Local
    } else if REMOTE.contains(&kind) {
        Locality::Remote
    } else {
        Locality::Unknown
    }
}

/// What the kind and the options of a mount say about its locks.
pub(super) fn keeps_locks(kind: &str, options: Option<&str>) -> KeepsLocks {
    if locality(kind) == Locality::Local {
        return KeepsLocks::Kept;
    }
    let options = options.unwrap_or_default();
    if let Some(option) = option_against(kind, options) {
        return KeepsLocks::NotKept(format!(
            "it is mounted with `{option}`, so that hosts do not see each other's locks"
        ));
    }
    // With these options NFS sends `flock` to the server.
    let sent =
        kind.starts_with("nfs") && has(options, &["local_lock=none", "local_lock=posix"]).is_some();
    if sent || KEPT_BETWEEN_HOSTS.contains(&kind) { KeepsLocks::Kept } else { KeepsLocks::Unknown }
}

/// Whether the server of such a filesystem keeps the locks, if the options say so.
pub(super) fn is_served(kind: &str) -> bool {
    matches!(kind, "nfs" | "nfs4")
}

/// Whether a wait for a lock ends soon after the lock is free. Linux's client of 9p asks the server
/// again after 30 s.
pub(super) fn wakes_waiters(kind: &str) -> bool {
    kind != "9p"
}

fn option_against<'a>(kind: &str, options: &'a str) -> Option<&'a str> {
    let (_, wanted) = NOT_KEPT.iter().find(|(kinds, _)| kinds.contains(&kind))?;
    has(options, wanted)
}

fn has<'a>(options: &'a str, wanted: &[&str]) -> Option<&'a str> {
    options.split(',').find(|option| wanted.contains(option))
}
