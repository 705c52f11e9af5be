//! Remarks of a process that must heed signals although nobody reads its standard error: a full
//! pipe blocks whoever writes into it, so that a thread of its own does.

use std::io::{self, Write, stderr};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// So many remarks wait for a reader. Those that come then are dropped.
const MOST: usize = 4096;
/// How long the end of the process waits for a reader.
const LAST: Duration = Duration::from_millis(200);
/// How long it waits for its own thread, if there is room for what that writes.
const BUSY: Duration = Duration::from_secs(3);

static WRITER: OnceLock<SyncSender<Remark>> = OnceLock::new();

enum Remark {
    Text(String),
    /// Answered when everything before it is written.
    Last(Sender<()>),
}

/// Leaves all further remarks to a thread. Without a thread they are written as before.
pub(crate) fn start() {
    let (tell, told) = sync_channel(MOST);
    let started = thread::Builder::new().name("remarks".into()).spawn(move || write_all(&told));
    if started.is_ok() {
        let _ = WRITER.set(tell);
    }
}

fn write_all(told: &Receiver<Remark>) {
    for remark in told {
        match remark {
            Remark::Text(text) => write_here(&text),
            Remark::Last(done) => drop(done.send(())),
        }
    }
}

pub(super) fn write(text: String) {
    match WRITER.get() {
        Some(writer) => drop(writer.try_send(Remark::Text(text))),
        None => write_here(&text),
    }
}

fn write_here(text: &str) {
    let _ = anstream::stderr().lock().write_all(text.as_bytes());
}

/// Waits until the remarks are written. Without a reader, for a fraction of a second at most.
pub(crate) fn finish() {
    let (done, is_done) = channel();
    if let Some(writer) = WRITER.get()
        && writer.try_send(Remark::Last(done)).is_ok()
        && is_done.recv_timeout(LAST).is_err()
        && has_room()
    {
        let _ = is_done.recv_timeout(BUSY);
    }
}

/// Whether a write to standard error would not block.
fn has_room() -> bool {
    let err = stderr();
    let mut watched = [PollFd::new(&err, PollFlags::OUT)];
    poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|ready| ready > 0)
}

/// Standard error, for the log.
pub(crate) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        write(String::from_utf8_lossy(text).into_owned());
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
