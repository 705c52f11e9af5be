//! What to use instead of a filesystem that does not keep locks.

/// With which option, or with which other filesystem, locks are kept.
pub(super) fn remedy(kind: &str) -> &'static str {
    match kind {
        "nfs" | "nfs4" => "mount it with NFS 4.1 or later, and without `nolock` and `local_lock`",
        "cifs" | "smb" | "smb3" => {
            "SMB has no lock that leaves a file readable: share the directory by NFS 4.1 or later"
        }
        "lustre" => "mount it with `flock`",
        "gfs2" | "ocfs2" => "mount it without `localflocks`",
        "9p" | "virtiofs" | "vboxsf" | "prl_fs" | "vmhgfs" => BEHIND_IT,
        _ if kind.starts_with("fuse") => BEHIND_IT,
        _ => "use a filesystem of this machine, or NFS 4.1 or later",
    }
}

const BEHIND_IT: &str = "use the directory behind it, on the machine that has that, or share it by \
                         NFS 4.1 or later";
