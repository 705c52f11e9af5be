//! Who has a file open for writing, from `/proc/<pid>/fd` and `fdinfo`.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Dir, Mode, OFlags};

use super::Writer;

pub(super) fn writers(file: &File) -> io::Result<Vec<Writer>> {
    let facts = file.metadata()?;
    // The caller has the file open, so that no other file gets its number.
    let wanted = (facts.dev(), facts.ino());
    // Our own number in this `/proc`, which may be that of another namespace.
    let own = fs::read_link("/proc/self").unwrap_or_default();
    let pids = names_in(Path::new("/proc")).filter_map(|name| {
        let pid = name.to_str()?.parse().ok()?;
        (name != own).then_some(pid)
    });
    let writers = pids.filter(|pid| writes(*pid, wanted));
    Ok(writers.map(|pid| Writer { pid, program: program(pid) }).collect())
}

/// Whether a process has a descriptor of this file through which it may write without this
/// protocol. A process that has gone meanwhile, or that may not be looked at, has none.
fn writes(pid: u32, wanted: (u64, u64)) -> bool {
    let descriptors = Path::new("/proc").join(pid.to_string()).join("fd");
    names_in(&descriptors).any(|number| {
        let path = descriptors.join(&number);
        is_of_a_file(&path)
            && may_be_it(pid, &number, wanted.1)
            // This last: to ask for the number of a file on a dead mount may take for ever.
            && fs::metadata(&path).is_ok_and(|facts| (facts.dev(), facts.ino()) == wanted)
    })
}

/// The names in a directory, as far as they can be read. The standard library would panic if the
/// directory could not be closed.
fn names_in(dir: &Path) -> impl Iterator<Item = OsString> + use<> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(dir, flags, Mode::empty()).and_then(Dir::new);
    let entries = opened.into_iter().flatten().map_while(Result::ok);
    entries.map(|entry| OsStr::from_bytes(entry.file_name().to_bytes()).to_owned())
}

/// Whether a descriptor is that of a file with a name, by the text of its link. Most are not.
fn is_of_a_file(descriptor: &Path) -> bool {
    fs::read_link(descriptor).is_ok_and(|target| {
        let target = target.as_os_str().as_bytes();
        target.starts_with(b"/") && !target.starts_with(b"/dev/") && !target.starts_with(b"/memfd:")
    })
}

fn may_be_it(pid: u32, descriptor: &OsStr, number: u64) -> bool {
    let info = fs::read_to_string(
        Path::new("/proc").join(pid.to_string()).join("fdinfo").join(descriptor),
    )
    .unwrap_or_default();
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let flags = field("flags:").and_then(|flags| u32::from_str_radix(flags, 8).ok());
    // Before Linux 5.14, nothing tells the number of the file.
    let is_number = field("ino:").is_none_or(|told| told.parse() == Ok(number));
    is_number && flags.is_some_and(|flags| is_strange(OFlags::from_bits_retain(flags)))
}

/// Whether a descriptor may be written through, and was not opened as this protocol opens session
/// files: to read and append, without waiting and without following a link. No other program is
/// known to open a regular file in that way.
fn is_strange(flags: OFlags) -> bool {
    let ours = OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    match flags & OFlags::ACCMODE {
        OFlags::RDONLY => false,
        OFlags::RDWR => !flags.contains(ours),
        _ => true,
    }
}

fn program(pid: u32) -> Option<String> {
    let name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    let name = String::from_utf8_lossy(&name).trim_end_matches('\n').to_owned();
    (!name.is_empty()).then_some(name)
}
