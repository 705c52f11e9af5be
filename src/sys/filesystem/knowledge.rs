//! What is known about kinds of filesystems and their locks.

/// Where the files of a filesystem live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Locality {
    /// On this machine, under this kernel.
    Local,
    /// On a server, or on the host of a virtual machine.
    Remote,
    /// FUSE may be anything; so may what nobody here has heard of.
    Unknown,
}

/// Whether a mount keeps `flock` among all who can have its files open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeepsLocks {
    Kept,
    /// With the reason.
    NotKept(String),
    /// It depends on a server or a daemon whose ways the mount does not tell.
    Unknown,
}

/// Numbers of `statfs(2)`; the same names as in the mount table, so that the tables below hold for both.
const MAGIC: &[(u32, &str)] = &[
    (0x0000_9660, "iso9660"),
    (0x0000_482b, "hfsplus"),
    (0x0000_4d44, "vfat"),
    (0x0000_517b, "smb"),
    (0x0000_6969, "nfs"),
    (0x0000_ef53, "ext4"),
    (0x0000_f15f, "ecryptfs"),
    (0x00c3_6400, "ceph"),
    (0x0102_1994, "tmpfs"),
    (0x0102_1997, "9p"),
    (0x0116_1970, "gfs2"),
    (0x0bd0_0bd0, "lustre"),
    (0x1501_3346, "udf"),
    (0x1983_0326, "beegfs"),
    (0x2011_bab0, "exfat"),
    (0x2fc1_2fc1, "zfs"),
    (0x3153_464a, "jfs"),
    (0x4750_4653, "gpfs"),
    (0x5265_4973, "reiserfs"),
    (0x5346_414f, "afs"),
    (0x5346_544e, "ntfs"),
    (0x5346_4846, "wslfs"),
    (0x5846_5342, "xfs"),
    (0x6175_6673, "aufs"),
    (0x6573_5546, "fuse"),
    (0x6b41_4653, "afs"),
    (0x7366_746e, "ntfs3"),
    (0x7371_7368, "squashfs"),
    (0x7461_636f, "ocfs2"),
    (0x7375_7245, "coda"),
    (0x786f_4256, "vboxsf"),
    (0x794c_7630, "overlay"),
    (0x7c7c_6673, "prl_fs"),
    (0x8584_58f6, "ramfs"),
    (0x9123_683e, "btrfs"),
    (0xbacb_acbc, "vmhgfs"),
    (0xca45_1a4e, "bcachefs"),
    (0xe0f5_e1e2, "erofs"),
    (0xf2f5_2010, "f2fs"),
    (0xfe53_4d42, "smb3"),
    (0xff53_4d42, "cifs"),
];

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

/// Network filesystems that carry `flock` to all their hosts, unless an option below says otherwise.
const KEPT_BETWEEN_HOSTS: &[&str] = &["ceph", "gfs2", "gpfs", "ocfs2"];

/// Options with which a network filesystem keeps locks on each host for itself, or has none.
const NOT_KEPT: &[(&[&str], &[&str])] = &[
    (&["nfs", "nfs4"], &["nolock", "local_lock=all", "local_lock=flock"]),
    (&["cifs", "smb", "smb3"], &["nobrl", "nolock"]),
    (&["lustre"], &["noflock", "localflock"]),
    (&["gfs2", "ocfs2"], &["localflocks", "lockproto=lock_nolock"]),
];

/// The name for a number of `statfs(2)`.
pub(super) fn name_of(magic: u32) -> Option<&'static str> {
    MAGIC.iter().find(|(number, _)| *number == magic).map(|(_, name)| *name)
}

pub(super) fn locality(kind: &str) -> Locality {
    if LOCAL.contains(&kind) {
        Locality::Local
    } else if REMOTE.contains(&kind) {
        Locality::Remote
    } else {
        Locality::Unknown
    }
}

/// What kind and options of a mount say about its locks.
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
    // An NFS mount that says `local_lock=none` sends them to the server.
    let sent =
        kind.starts_with("nfs") && has(options, &["local_lock=none", "local_lock=posix"]).is_some();
    if sent || KEPT_BETWEEN_HOSTS.contains(&kind) { KeepsLocks::Kept } else { KeepsLocks::Unknown }
}

fn option_against<'a>(kind: &str, options: &'a str) -> Option<&'a str> {
    let (_, wanted) = NOT_KEPT.iter().find(|(kinds, _)| kinds.contains(&kind))?;
    has(options, wanted)
}

fn has<'a>(options: &'a str, wanted: &[&str]) -> Option<&'a str> {
    options.split(',').find(|option| wanted.contains(option))
}
