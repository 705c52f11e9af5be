//! How a holder removes the session, or moves it to another name.

use std::path::Path;
use std::sync::Arc;

use super::open::OpenTurn;
use super::seen::Seen;
use super::{Inner, Turn};
use crate::datafile::quarantine::{name_of, quarantine_path};
use crate::datafile::{Section, accepted, is_leftover};
use crate::error::{Context, Error, Result};
use crate::mode::{Mode, now_or_never};
use crate::outside::note;
use crate::place::{Place, open_shared};
use crate::sys::Dir;

impl Turn {
    /// Removes the session file and its quarantine. Whoever follows the session is told. The turn
    /// goes on: the next append begins a new session.
    ///
    /// Posts that arrived before are removed with it; later ones find no session.
    ///
    /// **Cancel safety**: it is removed or it is not. **Blocking**: file work is done on tokio's
    /// blocking pool.
    ///
    /// # Errors
    /// - those of [`append_all`](Self::append_all)
    /// - [`Error::Unsynced`] if it is removed, but a loss of power may bring it back
    pub async fn remove(&self) -> Result<()> {
        self.remove_as(Mode::Async).await
    }

    /// [`remove`](Self::remove) for threads that may block.
    ///
    /// # Errors
    /// Those of [`remove`](Self::remove).
    pub fn remove_blocking(&self) -> Result<()> {
        now_or_never(self.remove_as(Mode::Blocking))
    }

    async fn remove_as(&self, mode: Mode) -> Result<()> {
        self.with_section(mode, |inner, open, section| inner.remove(open, section)).await
    }

    /// Gives the session file another name on the same filesystem (an archive, a reset), and its
    /// quarantine the name that goes with that. Nothing is replaced. Whoever follows the session is
    /// told. The turn goes on: the next append begins a new session.
    ///
    /// A name that ends in `.jsonl` makes it another session, which others may use at once.
    ///
    /// **Cancel safety**: it has the old name or the new one. **Blocking**: file work is done on
    /// tokio's blocking pool.
    ///
    /// # Errors
    /// - [`Error::Io`] if the new name, or that of the quarantine, is taken, or is on another
    ///   filesystem
    /// - [`Error::NotASession`] if the new name is one that the next takeover would write over, or
    ///   the next rewrite remove: that of a lock file or of a temporary file
    /// - [`Error::NoSession`] if nothing was written into the session so far
    /// - those of [`append_all`](Self::append_all)
    /// - [`Error::Unsynced`] if it has the new name, but a loss of power may undo that
    pub async fn rename_to(&self, path: impl AsRef<Path>) -> Result<()> {
        self.rename_as(Mode::Async, path.as_ref()).await
    }

    /// [`rename_to`](Self::rename_to) for threads that may block.
    ///
    /// # Errors
    /// Those of [`rename_to`](Self::rename_to).
    pub fn rename_to_blocking(&self, path: impl AsRef<Path>) -> Result<()> {
        now_or_never(self.rename_as(Mode::Blocking, path.as_ref()))
    }

    async fn rename_as(&self, mode: Mode, path: &Path) -> Result<()> {
        let path = path.to_owned();
        self.with_section(mode, move |inner, open, section| inner.rename(open, section, &path))
            .await
    }
}

impl Inner {
    fn remove(&self, open: &mut OpenTurn, section: Section) -> Result<()> {
        self.fence(open)?;
        let place = &self.slot.place;
        section
            .end_with(|| place.dir().remove(place.session_name()))
            .context("remove", place.session())?;
        let quarantine = place.dir().remove(&name_of(place.session_name()));
        // Mostly there is none, and what stays of it accepts nothing of another session.
        let _ = place.dir().remove(&accepted::name_of(place.session_name()));
        let synced = place.dir().sync(section.file());
        self.begin_anew(open, section);
        note!(DEBUG, [place = place.clone(), owner = self.owner],
            session = %place.session().display(), %owner, "session removed");
        match quarantine {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(e).context("remove", &quarantine_path(place.session()));
            }
            _ => {}
        }
        self.confirm_synced(synced)
    }

    fn rename(&self, open: &mut OpenTurn, section: Section, path: &Path) -> Result<()> {
        self.fence(open)?;
        let place = &self.slot.place;
        if section.is_unused_of_ours() {
            open.session = section.unlock();
            return Err(Error::NoSession { path: place.session().to_owned() });
        }
        let refuse = |reason| Error::NotASession { path: path.to_owned(), reason };
        let name = path.file_name().ok_or_else(|| refuse("it has no file name"))?;
        if Place::is_lock_name(name) || is_leftover(name) {
            return Err(refuse("its name is that of a lock file, or of one that is left over"));
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let to = open_shared(parent).context("find the directory", parent)?;
        let (quarantine, its_new_name) = (name_of(place.session_name()), name_of(name));
        if place.dir().stat(&quarantine).is_ok_and(|it| it.is_some())
            && to.stat(&its_new_name).is_ok_and(|it| it.is_some())
        {
            // A session without what was taken out of it could not be restored.
            let source = std::io::ErrorKind::AlreadyExists.into();
            let path = quarantine_path(path);
            return Err(Error::Io { action: "give the quarantine's name to", path, source });
        }
        section
            .end_with(|| place.dir().move_to_free(place.session_name(), &to, name))
            .context("give the session's name to", path)?;
        let synced = self.sync_both(&to, &section);
        let moved = place.dir().move_to_free(&quarantine, &to, &its_new_name);
        // Mostly there is none. Without it, what was accepted is found again.
        let accepted = accepted::name_of(place.session_name());
        let _ = place.dir().move_to_free(&accepted, &to, &accepted::name_of(name));
        self.begin_anew(open, section);
        note!(DEBUG, [place = place.clone(), owner = self.owner, path = path.to_owned()],
            session = %place.session().display(), %owner, to = %path.display(),
            "session renamed");
        match moved {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(e).context("move along", &quarantine_path(place.session()));
            }
            _ => {}
        }
        self.confirm_synced(synced)
    }

    fn sync_both(&self, to: &Arc<Dir>, section: &Section) -> std::io::Result<()> {
        to.sync(section.file())?;
        self.slot.place.dir().sync(section.file())
    }

    /// The session has no file any more. The next append of this turn makes one.
    fn begin_anew(&self, open: &mut OpenTurn, section: Section) {
        drop(section);
        open.session = None;
        open.seen = Seen::nothing();
        self.tell_children(open);
    }

    fn confirm_synced(&self, synced: std::io::Result<()>) -> Result<()> {
        let session = || self.slot.place.session().to_owned();
        synced.map_err(|source| Error::Unsynced { session: session(), source })
    }
}
