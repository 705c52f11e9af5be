//! A disk whose power can be cut: a filesystem in a file, on a loop device. Its test is to be
//! [in a namespace](crate::namespace::in_a_namespace), which takes the mounts with it.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::ioctl::{Opcode, Setter, ioctl, opcode};
use tempfile::TempDir;

use crate::wait::eventually_within;

/// Kind of its filesystem.
#[allow(missing_docs, reason = "the names say it")]
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Ext4,
    Xfs,
    Btrfs,
}

impl Kind {
    fn make(self) -> (&'static str, &'static [&'static str], u64) {
        match self {
            Self::Ext4 => ("mkfs.ext4", &["-q", "-F"], 64),
            Self::Xfs => ("mkfs.xfs", &["-q", "-f"], 300),
            Self::Btrfs => ("mkfs.btrfs", &["-q", "-f"], 200),
        }
    }

    /// Kind of the disk that its image lies on. Btrfs cannot go down by itself: there it is the
    /// drive that loses what it was not told to keep.
    fn drive(self) -> Option<Self> {
        match self {
            Self::Ext4 | Self::Xfs => None,
            Self::Btrfs => Some(Self::Xfs),
        }
    }
}

/// See the module. It is unmounted when it is dropped.
pub struct Disk {
    image: PathBuf,
    point: PathBuf,
    drive: Option<Box<Disk>>,
    dir: TempDir,
}

impl Disk {
    /// A new one, with its power on; `None`, said aloud, where there are no such disks.
    pub fn new(kind: Kind) -> Option<Self> {
        let (mkfs, options, megabytes) = kind.make();
        let drive = match kind.drive() {
            Some(kind) => Some(Box::new(Self::new(kind)?)),
            None => None,
        };
        let dir = tempfile::tempdir().unwrap();
        let image = drive.as_ref().map_or(dir.path(), |drive| drive.point()).join("image");
        let disk = Self { image, point: dir.path().join("disk"), drive, dir };
        File::create_new(&disk.image).unwrap().set_len(megabytes << 20).unwrap();
        std::fs::create_dir(&disk.point).unwrap();
        if let Err(why) =
            run(Command::new(mkfs).args(options).arg(&disk.image)).and_then(|()| disk.mount())
        {
            eprintln!("skipped: {why}");
            return None;
        }
        Some(disk)
    }

    /// Where it is mounted.
    pub fn point(&self) -> &Path {
        &self.point
    }

    /// A place beside the disk.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn mount(&self) -> Result<(), String> {
        run(Command::new("mount").args(["-o", "loop"]).arg(&self.image).arg(&self.point))
    }

    /// What was not synced by now is lost.
    pub fn cut(&self) {
        match &self.drive {
            Some(drive) => drive.cut(),
            None => go_down(&File::open(&self.point).unwrap()).unwrap(),
        }
    }

    /// The power comes back. Nobody may use the disk.
    pub fn power_on(&self) {
        eventually_within(Duration::from_secs(30), "the disk is unmounted", || {
            run(Command::new("umount").arg(&self.point)).ok()
        });
        if let Some(drive) = &self.drive {
            drive.power_on();
        }
        self.mount().unwrap();
    }

    /// From now on, whoever changes anything on the disk waits, until this is dropped or a minute
    /// is over. However this process ends, the disk is set free: who waits for it cannot even be
    /// killed.
    pub fn freeze(&self) -> Frozen {
        let mut helper = Command::new("sh")
            .args(["-c", "fsfreeze -f \"$0\" && echo; timeout 60 cat; fsfreeze -u \"$0\""])
            .arg(&self.point)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let told = helper.stdout.as_mut().unwrap().read_exact(&mut [0]);
        told.expect("the disk is frozen");
        Frozen(helper)
    }

    /// All that is there now stays.
    pub fn sync(&self) {
        rustix::fs::syncfs(File::open(&self.point).unwrap()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg("-l").arg(&self.point));
    }
}

/// A disk that does not answer.
pub struct Frozen(Child);

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Runs a program to its end; if that is not a good one, says what it said.
pub fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|e| format!("{name}: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim())),
    }
}

/// Shuts the filesystem down without writing its log.
#[allow(unsafe_code, reason = "no crate has a wrapper; the kernel reads one number")]
fn go_down(dir: &File) -> io::Result<()> {
    const GOINGDOWN: Opcode = opcode::read::<u32>(b'X', 125);
    const NO_LOG_FLUSH: u32 = 2;
    // SAFETY: the call takes a pointer to a `u32`, reads it, and changes nothing in this process.
    Ok(unsafe { ioctl(dir, Setter::<GOINGDOWN, u32>::new(NO_LOG_FLUSH)) }?)
}
