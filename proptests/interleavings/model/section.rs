//! The data lock: open the session file, lock it, compare (I3), and unlock it at the end.

use super::fs::{Ino, Ofd, Tid};
use super::state::{Event, State};
use super::thread::{After, Known, Pc, Then};
use super::world::{Op, World};

impl World {
    /// Enters a section, unless a seeded bug does without.
    pub fn enter(&self, then: Then) -> Pc {
        let bugs = &self.bugs;
        let outside = match then {
            Then::UnlinkCheck => bugs.unlink_outside,
            Then::RevokeCheck => bugs.revoke_outside,
            Then::KeepTry => bugs.unlink_outside,
            Then::Inode => bugs.take_outside,
            _ => false,
        };
        if outside { Self::inside(then) } else { Pc::Open(then) }
    }

    /// The first system call inside.
    fn inside(then: Then) -> Pc {
        match then {
            Then::Look => Pc::Look,
            Then::Inode => Pc::Inode,
            Then::HandCheck => Pc::HandCheck,
            Then::UnlinkCheck => Pc::UnlinkCheck,
            Then::Fence | Then::RewriteFence => Pc::FencePath,
            Then::Write => Pc::Write,
            Then::RevokeCheck => Pc::RevokeCheck,
            Then::KeepTry => Pc::KeepTry,
        }
    }

    pub fn open_session(&self, s: &mut State, tid: Tid, then: Then) {
        let ino = match s.fs.session_path {
            Some(ino) => ino,
            // A post makes no session file: the name may be mistyped, or the session reset.
            None if self.at_post(s, tid) && !self.posts_create => return s.next_op(self, tid),
            None => self.create_session(s, tid),
        };
        s.thread_mut(tid).data = Some(ino);
        let unlocked = self.bugs.post_unlocked && self.at_post(s, tid);
        let pc = if unlocked { Pc::Compare(then) } else { Pc::Lock(then) };
        s.go(tid, pc);
    }

    fn create_session(&self, s: &mut State, tid: Tid) -> u8 {
        let ino = s.fs.new_session(Vec::new());
        s.fs.session_path = Some(ino);
        s.thread_mut(tid).made = self.op(tid, s.thread(tid).op) == Some(Op::Acquire);
        ino
    }

    pub fn lock_session(&self, s: &mut State, tid: Tid, then: Then) {
        let ino = s.thread(tid).data.unwrap();
        s.fs.session_mut(ino).flock = Some(Ofd::Data(tid));
        self.note_lateness(s, tid);
        if self.bugs.no_session_compare {
            self.begin_section(s, tid, then);
        } else {
            s.go(tid, Pc::Compare(then));
        }
    }

    /// Somebody notices that the path names another file than the one waited for (I12). A waiter
    /// that has the turn lock by then lets go of it.
    pub fn watch_data(&self, s: &mut State, tid: Tid, then: Then) {
        self.saw(Event::Restarted);
        s.thread_mut(tid).data = None;
        let then = if then == Then::Inode {
            self.close_wanted(s, tid);
            Then::Look
        } else {
            then
        };
        s.go(tid, Pc::Open(then));
    }

    /// The data lock stays busy: the waiter keeps its place in that queue, and will only try the
    /// turn lock when it is granted the data lock.
    pub fn let_go_of_wanted(&self, s: &mut State, tid: Tid) {
        self.saw(Event::LetGo);
        self.close_wanted(s, tid);
        s.go(tid, Pc::Lock(Then::Look));
    }

    /// Was the turn gone before its section began? Then it must not write in it.
    fn note_lateness(&self, s: &mut State, tid: Tid) {
        let late = s
            .thread(tid)
            .turn
            .is_some_and(|turn| s.lost.has(turn.owner) || s.closed.has(turn.owner));
        s.thread_mut(tid).late = late;
    }

    pub fn compare_session(&self, s: &mut State, tid: Tid, then: Then) {
        if s.thread(tid).data == s.fs.session_path {
            self.note_change(s, tid);
            self.begin_section(s, tid, then);
        } else {
            self.saw(Event::Restarted);
            Self::close_session(s, tid);
            s.go(tid, Pc::Open(then));
        }
    }

    /// Is the file another one than the turn knows, or shorter? That is measured now. If it is cut
    /// later, nobody can tell before the write. Who knows no line can lose none.
    fn note_change(&self, s: &mut State, tid: Tid) {
        let (now, thread) = (self.known_of(s, s.thread(tid).data), s.thread_mut(tid));
        let same =
            |known: Known| now.is_some_and(|now| now.ino == known.ino && now.lines >= known.lines);
        thread.changed = thread.known.is_some_and(|known| known.lines > 0 && !same(known));
    }

    /// This session file as it is now, where a foreign program may change it.
    pub fn known_of(&self, s: &State, file: Option<Ino>) -> Option<Known> {
        let ino = file.filter(|_| self.session_is_changed())?;
        let lines = &s.fs.session(ino).lines;
        let last = lines.last().map(|line| line.id);
        Some(Known { ino, lines: u8::try_from(lines.len()).unwrap(), last })
    }

    fn begin_section(&self, s: &mut State, tid: Tid, then: Then) {
        s.thread_mut(tid).inside = true;
        s.go(tid, Self::inside(then));
    }

    pub fn close_session(s: &mut State, tid: Tid) {
        s.fs.unlock(|ofd| ofd == Ofd::Data(tid));
        let thread = s.thread_mut(tid);
        thread.data = None;
        thread.inside = false;
        thread.late = false;
        thread.changed = false;
        thread.looked = None;
    }

    pub fn unlock_session(&self, s: &mut State, tid: Tid, after: After) {
        if after == After::Told {
            s.thread_mut(tid).known = self.known_of(s, s.thread(tid).data);
        }
        Self::close_session(s, tid);
        match after {
            After::NextOp => {
                if self.at_closure(tid) {
                    s.thread_mut(tid).turn = None;
                }
                s.next_op(self, tid);
            }
            After::Wait => s.go(tid, Pc::Wait),
            After::Poll => s.go(tid, Pc::Poll),
            After::KeepRest => s.go(tid, Pc::KeepRest),
            After::LetGo => s.go(tid, Pc::LetGo),
            After::Lost if self.at_closure(tid) => {
                s.thread_mut(tid).turn = None;
                s.next_op(self, tid);
            }
            After::Lost => {
                Self::drop_rewrite(s, tid);
                s.skip_to_release(self, tid);
            }
            After::Told => {
                Self::drop_rewrite(s, tid);
                s.next_op(self, tid);
            }
        }
    }

    /// The new file of a rewrite that comes to nothing.
    pub fn drop_rewrite(s: &mut State, tid: Tid) {
        s.thread_mut(tid).fresh = None;
        s.thread_mut(tid).carried = 0;
    }
}
