//! Kinds of filesystems by their numbers in `statfs(2)`.

/// The names are those of the mount table, so that what is known of a kind holds for both.
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

/// The name of a kind; the number itself if it is not known.
pub(super) fn kind_of(magic: u32) -> String {
    let known = MAGIC.iter().find(|(number, _)| *number == magic);
    known.map_or_else(|| format!("{magic:#x}"), |(_, name)| (*name).to_owned())
}
