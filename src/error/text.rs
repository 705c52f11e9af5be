//! Parts of error messages: who holds a session, and what to do about a failed system call.

use std::fmt;
use std::io;
use std::time::SystemTime;

use super::Holder;
use crate::sys;

/// Text from a file is cut to this many characters when it is shown.
const MAX_SHOWN: usize = 1024;

/// Text from a file, made fit to be shown: nothing that a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    text.chars().take(MAX_SHOWN).map(|c| if is_obeyed(c) { '\u{fffd}' } else { c }).collect()
}

/// Whether a character is not shown, but obeyed: control characters, those that change the
/// direction of the text or end a line (a name could look like another), and those that cannot be
/// seen. Joiners (U+200C, U+200D) are part of words and emoji.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// ISO 8601 in UTC with milliseconds, as JavaScript writes it.
pub(crate) fn iso(time: SystemTime) -> Option<String> {
    jiff::Timestamp::try_from(time).ok().map(|time| format!("{time:.3}"))
}

/// `pid=1234 alive=true ageMs=5321`: log searches in the field depend on these words.
pub(super) struct HolderFacts<'a>(pub(super) Option<&'a Holder>);

impl fmt::Display for HolderFacts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(holder) = self.0 else {
            return f.write_str("pid=unknown alive=unknown ageMs=unknown");
        };
        match holder.pid {
            Some(pid) => write!(f, "pid={pid}")?,
            None => f.write_str("pid=unknown")?,
        }
        match (&holder.hidden, holder.unseen) {
            (None, false) => write!(f, " alive={}", holder.alive)?,
            _ => f.write_str(" alive=unknown")?,
        }
        match holder.age() {
            Some(age) => write!(f, " ageMs={}", age.as_millis()),
            None => f.write_str(" ageMs=unknown"),
        }
    }
}

/// ` (label "reply", owner …, host …)`: what else is known about the holder.
pub(super) struct HolderStory<'a>(pub(super) Option<&'a Holder>);

impl fmt::Display for HolderStory<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(holder) = self.0 else { return Ok(()) };
        let mut facts = Vec::new();
        facts.extend(holder.hidden.clone());
        if let Some(label) = &holder.label {
            facts.push(format!("label \"{label}\""));
        }
        if holder.ended {
            facts.push("that process has ended, and what it started keeps the lock".into());
        }
        if let Some(owner) = holder.owner {
            facts.push(format!("owner {owner}"));
        }
        if let Some(host) = &holder.host {
            facts.push(format!("host {host}"));
        }
        if holder.foreign {
            facts.push(foreign_program(holder));
        }
        if holder.this_process {
            facts.push(match holder.foreign {
                true => "another library in this very process".into(),
                false => "this very process: does a task wait for its own turn?".into(),
            });
        }
        if facts.is_empty() { Ok(()) } else { write!(f, " ({})", facts.join(", ")) }
    }
}

/// Which process it is, and what to do about one that cannot be seen.
fn foreign_program(holder: &Holder) -> String {
    let Some(pid) = holder.pid else { return "a foreign program".into() };
    if holder.unseen {
        return format!(
            "a foreign program, pid {pid}, that cannot be seen from this PID namespace"
        );
    }
    let Some(here) = holder.host_pid else { return format!("a foreign program, pid {pid}") };
    let place = holder.container.as_deref().unwrap_or("another PID namespace");
    format!("a foreign program, pid {here} here, pid {pid} in {place}")
}

/// `, but by pid=…`: whom a revoke met instead of the named holder.
pub(super) struct ButBy<'a>(pub(super) Option<&'a Holder>);

impl fmt::Display for ButBy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(_) => write!(f, ", but by {}{}", HolderFacts(self.0), HolderStory(self.0)),
            None => f.write_str(" (no holder is known)"),
        }
    }
}

/// The process that is inside an append, if its id is known.
pub(super) struct Writer(pub(super) Option<u32>);

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(pid) => write!(f, "process {pid}"),
            None => f.write_str("another process"),
        }
    }
}

/// ` (node)`: the name of a program, if it is known.
pub(super) struct InBrackets<'a>(pub(super) Option<&'a str>);

impl fmt::Display for InBrackets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |name| write!(f, " ({})", printable(name)))
    }
}

/// `, as have 2 others`, if there are others.
pub(super) struct AndMore(pub(super) usize);

impl fmt::Display for AndMore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            1 => f.write_str(", as has another process"),
            more => write!(f, ", as have {more} other processes"),
        }
    }
}

/// The error of a write that failed and could not be taken back.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0}; what was written of it stays at the end of the file: \
     the next append seals it, and a repair takes out what is torn"
)]
pub(crate) struct NotTakenBack(io::Error);

impl NotTakenBack {
    pub(crate) fn because(source: io::Error) -> io::Error {
        io::Error::new(source.kind(), Self(source))
    }
}

/// What to do about the most common errors of system calls.
pub(super) fn remedy(source: &io::Error) -> &'static str {
    if let Some(refusal) = sys::Refusal::of(source) {
        return refusal.remedy();
    }
    match source.kind() {
        _ if source.get_ref().is_some_and(|it| it.is::<NotTakenBack>()) => "",
        io::ErrorKind::StorageFull => "; the file is as it was before: make room and try again",
        io::ErrorKind::QuotaExceeded => {
            "; the file is as it was before: raise the quota and try again"
        }
        io::ErrorKind::FileTooLarge => {
            "; the file is as it was before: raise the file size limit (ulimit -f)"
        }
        _ if sys::is_forbidden_by_owner_or_flag(source) => {
            "; run as the user that owns it. If `lsattr` shows a flag `a` or `i`, take it \
             back (`chattr -a`, `chattr -i`)"
        }
        io::ErrorKind::PermissionDenied => "; run as the user that owns it",
        io::ErrorKind::ReadOnlyFilesystem => "; mount it writable",
        _ if sys::is_descriptor_limit(source) => "; raise the descriptor limit (ulimit -n)",
        _ => "",
    }
}
