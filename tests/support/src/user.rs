//! Other users, and root with less power.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;

use crate::process::is_allowed;

/// What starts a program as this user, in a group of the same number and in these. `None`, said
/// aloud, where that is not allowed.
pub fn as_user(uid: u32, groups: &[u32]) -> Option<Vec<String>> {
    let groups = groups.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
    let groups =
        if groups.is_empty() { "--clear-groups".to_owned() } else { format!("--groups={groups}") };
    setpriv(&[&format!("--reuid={uid}"), &format!("--regid={uid}"), &groups])
}

/// What starts a program as root without this capability. `None`, said aloud, where that is not
/// allowed.
pub fn without(capability: &str) -> Option<Vec<String>> {
    setpriv(&[&format!("--bounding-set=-{capability}"), &format!("--inh-caps=-{capability}")])
}

fn setpriv(arguments: &[&str]) -> Option<Vec<String>> {
    let program: Vec<_> =
        ["setpriv"].iter().chain(arguments).map(|word| (*word).to_owned()).collect();
    if is_allowed(&program) {
        return Some(program);
    }
    eprintln!("skipped: no right to become another user, or no setpriv");
    None
}

/// Makes a directory with this owner, whose group has the same number, and this mode.
pub fn directory_of(uid: u32, mode: u32, path: &Path) {
    fs::create_dir(path).unwrap();
    give(path, uid, mode);
}

/// Makes a file with this owner, whose group has the same number, and this mode.
pub fn file_of(uid: u32, mode: u32, path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    give(path, uid, mode);
}

/// Makes a symbolic link that belongs to this user.
pub fn link_of(uid: u32, target: &Path, path: &Path) {
    symlink(target, path).unwrap();
    lchown(path, Some(uid), Some(uid)).unwrap();
}

fn give(path: &Path, uid: u32, mode: u32) {
    chown(path, Some(uid), Some(uid)).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
