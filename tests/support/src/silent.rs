//! A directory whose files do not answer, as on a network mount without its server.

use std::path::Path;

use nix::sys::fanotify::{EventFFlags, Fanotify, InitFlags, MarkFlags, MaskFlags};

/// As long as it lives, opens of them wait. Then all of them go on.
pub struct Silent {
    /// The kernel asks this descriptor for permission, and nobody answers.
    _asked: Fanotify,
}

impl Silent {
    /// Silences the files. `None`, said aloud, where that is not allowed.
    pub fn new(dir: &Path) -> Option<Self> {
        Self::with(dir, MaskFlags::FAN_EVENT_ON_CHILD)
    }

    /// Silences the directory itself: its names cannot be read.
    pub fn directory(dir: &Path) -> Option<Self> {
        Self::with(dir, MaskFlags::FAN_ONDIR)
    }

    fn with(dir: &Path, what: MaskFlags) -> Option<Self> {
        let silenced = || {
            let flags = InitFlags::FAN_CLASS_CONTENT | InitFlags::FAN_CLOEXEC;
            let asked = Fanotify::init(flags, EventFFlags::O_RDONLY)?;
            let mask = MaskFlags::FAN_OPEN_PERM | what;
            asked.mark(MarkFlags::FAN_MARK_ADD, mask, std::io::stdin(), Some(dir))?;
            nix::Result::Ok(Self { _asked: asked })
        };
        match silenced() {
            Ok(silent) => Some(silent),
            Err(error) => {
                eprintln!("skipped: no right to silence files ({error})");
                None
            }
        }
    }
}
