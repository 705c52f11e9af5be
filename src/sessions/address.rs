//! How a session is found: by its path, each time or once.

use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;

use crate::error::{Error, Result};
use crate::place::Place;
use crate::rules::Rules;
use crate::session::fast_path;
use crate::sys::Users;

/// The path of a session, and the place that it was found to be.
#[derive(Debug)]
pub(crate) struct Address {
    path: PathBuf,
    /// Who may use a session file that is created there.
    users: Users,
    /// The place is kept for the next time. `None` if it is to be found each time.
    kept: Option<Mutex<Option<Place>>>,
}

impl Address {
    /// A path that is walked each time.
    pub(super) fn of(path: &Path, rules: &Rules) -> Self {
        Self { path: path.to_owned(), users: rules.users, kept: None }
    }

    /// A path that is walked once, and again only if it leads to another directory by now. A
    /// directory that does not exist yet is found later.
    pub(super) fn kept(path: &Path, rules: &Rules) -> Result<Self> {
        // What a relative path means changes with the working directory.
        let path = std::path::absolute(path).map_err(|source| Error::Io {
            action: "find the working directory for",
            path: path.to_owned(),
            source,
        })?;
        let found = match Place::resolve(&path, false) {
            Ok(place) => Some(place.for_users(rules.users)),
            Err(error) if is_missing(&error) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { path, users: rules.users, kept: Some(Mutex::new(found)) })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Finds the session. With `create`, a missing directory is created.
    pub(super) fn find(&self, create: bool) -> Result<Place> {
        let Some(kept) = &self.kept else {
            let place = Place::resolve(&self.path, create)?.for_users(self.users);
            fast_path::remember(&self.path, &place);
            return Ok(place);
        };
        let known = kept.lock().clone();
        if let Some(place) = known
            && place.is_where_it_was()?
            && place.is_still_in(&self.path)?
        {
            return Ok(place);
        }
        let place = Place::resolve(&self.path, create)?.for_users(self.users);
        fast_path::remember(&self.path, &place);
        *kept.lock() = Some(place.clone());
        Ok(place)
    }

    /// Finds a session that exists. If its directory is missing, so is the session.
    pub(super) fn find_existing(&self) -> Result<Place> {
        match self.find(false) {
            Err(error) if is_missing(&error) => Err(Error::NoSession { path: self.path.clone() }),
            found => found,
        }
    }
}

fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}
