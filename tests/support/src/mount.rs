//! Filesystems to be mounted. The test is to be [in a
//! namespace](crate::namespace::in_a_namespace), which takes the mounts with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs `mount` with these arguments. Where it fails, the test says that it is skipped.
pub fn mounted(arguments: &[&str]) -> bool {
    let there =
        Command::new("mount").args(arguments).output().is_ok_and(|output| output.status.success());
    if !there {
        eprintln!("skipped: no `mount {}`", arguments.join(" "));
    }
    there
}

/// A filesystem in memory.
pub fn tmpfs(point: &Path) -> bool {
    mounted(&["-t", "tmpfs", "tmpfs", text(point)])
}

/// A layered filesystem, as containers have them: what is below cannot be written to.
pub struct Overlay {
    /// Below.
    pub lower: PathBuf,
    /// Where it is mounted.
    pub point: PathBuf,
}

impl Overlay {
    /// One in this empty directory; `fill` gets the directory of the lower layer. `None`, said
    /// aloud, where none can be mounted.
    pub fn new(dir: &Path, fill: impl FnOnce(&Path)) -> Option<Self> {
        // An overlay on an overlay is refused, as in most containers.
        tmpfs(dir).then_some(())?;
        let [lower, upper, work, point] =
            ["lower", "upper", "work", "merged"].map(|name| dir.join(name));
        for dir in [&lower, &upper, &work, &point] {
            fs::create_dir(dir).unwrap();
        }
        fill(&lower);
        let layers = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.display(),
            upper.display(),
            work.display()
        );
        mounted(&["-t", "overlay", "overlay", "-o", &layers, text(&point)])
            .then_some(Self { lower, point })
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary directory has a plain name")
}
