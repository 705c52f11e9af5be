//! What a foreign program does to a session file that is in use: it cuts it, copies over it, or
//! puts another file in its place. It takes no lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rand::RngExt;
use rand::rngs::StdRng;

use super::journal::{Journal, Kind, Record, now};

/// How a foreign program changes a session file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// It cuts the file in place, anywhere (`truncate`).
    Cut,
    /// It copies whole lines of an earlier state over the file, in place (`cp`).
    Copy,
    /// It renames a copy of whole lines over the file (`cp` and `mv`).
    Replace,
}

impl Way {
    pub(super) fn code(self) -> u32 {
        self as u32
    }

    pub(super) fn of(code: u32) -> Option<Self> {
        [Self::Cut, Self::Copy, Self::Replace].into_iter().find(|way| way.code() == code)
    }
}

/// At most this much is cut off, mostly.
const LITTLE: u64 = 4000;

/// Changes a session file, and records that.
pub(super) fn change(
    path: &Path,
    session: u16,
    way: Way,
    journal: &Journal,
    random: &mut StdRng,
) -> io::Result<()> {
    let about = Record { session, count: way.code(), ..Record::now(Kind::Changing) };
    journal.note(&about);
    let kept = match apply(path, way, random) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        kept => kept?,
    };
    let (kind, detail) = kept.map_or((Kind::Unchanged, 0), |kept| (Kind::Changed, kept));
    journal.note(&Record { kind, detail, at: now(), ..about });
    Ok(())
}

/// Returns how much of the file is still there. `None` if nothing was done.
fn apply(path: &Path, way: Way, random: &mut StdRng) -> io::Result<Option<u64>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length == 0 {
        return Ok(None);
    }
    let wanted = wanted(length, way, random);
    if way == Way::Cut {
        OpenOptions::new().write(true).open(path)?.set_len(wanted)?;
        return Ok(Some(wanted));
    }
    let lines = whole_lines(&file, wanted)?;
    if way == Way::Copy {
        OpenOptions::new().write(true).truncate(true).open(path)?.write_all(&lines)?;
    } else {
        let copy = path.with_extension("copy");
        fs::write(&copy, &lines)?;
        fs::set_permissions(&copy, file.metadata()?.permissions())?;
        fs::rename(&copy, path)?;
    }
    Ok(Some(lines.len() as u64))
}

/// How much of the file is to stay. A copy that replaces it is mostly of all that is there, as an
/// editor makes it.
fn wanted(length: u64, way: Way, random: &mut StdRng) -> u64 {
    match random.random_range(0..16) {
        0 => 0,
        1 => length / 2,
        _ if way == Way::Replace && random.random_ratio(3, 4) => length,
        _ => length.saturating_sub(random.random_range(1..LITTLE)),
    }
}

/// The whole lines among the first `length` bytes.
fn whole_lines(file: &File, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length as usize];
    // Only this program cuts the file, but a write may be taken back.
    let read = read_at_most(file, &mut bytes)?;
    bytes.truncate(read);
    bytes.truncate(memchr::memrchr(b'\n', &bytes).map_or(0, |newline| newline + 1));
    Ok(bytes)
}

fn read_at_most(file: &File, bytes: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < bytes.len() {
        match file.read_at(&mut bytes[read..], read as u64)? {
            0 => break,
            n => read += n,
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::stress::journal::read;

    fn changed(way: Way) -> (Vec<u8>, Record, bool) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("session-0.jsonl");
        fs::write(&path, "{\"line\":1}\n".repeat(1000)).unwrap();
        let before = File::open(&path).unwrap();
        let journal = Journal::open(dir.path(), None).unwrap();
        change(&path, 3, way, &journal, &mut StdRng::seed_from_u64(2)).unwrap();
        let records = read(dir.path(), None).unwrap();
        assert_eq!((records[0].kind, records[1].kind), (Kind::Changing, Kind::Changed));
        let inode = |file: &File| std::os::unix::fs::MetadataExt::ino(&file.metadata().unwrap());
        let same = inode(&before) == inode(&File::open(&path).unwrap());
        (fs::read(&path).unwrap(), records[1], same)
    }

    #[test]
    fn a_cut_and_a_copy_are_in_place_and_a_replacement_is_another_file() {
        for (way, in_place) in [(Way::Cut, true), (Way::Copy, true), (Way::Replace, false)] {
            let (bytes, record, same) = changed(way);
            assert_eq!((bytes.len() as u64, same), (record.detail, in_place), "{way:?}");
            assert_eq!((record.session, Way::of(record.count)), (3, Some(way)));
            assert!(way == Way::Cut || bytes.last().is_none_or(|last| *last == b'\n'));
        }
    }

    #[test]
    fn nothing_is_done_where_nothing_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("session-0.jsonl");
        let journal = Journal::open(dir.path(), None).unwrap();
        let mut random = StdRng::seed_from_u64(2);
        change(&path, 0, Way::Cut, &journal, &mut random).unwrap();
        fs::write(&path, "").unwrap();
        change(&path, 0, Way::Replace, &journal, &mut random).unwrap();
        let records = read(dir.path(), None).unwrap();
        assert_eq!((records[1].kind, records[3].kind), (Kind::Unchanged, Kind::Unchanged));
    }
}
