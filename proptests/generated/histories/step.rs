//! The steps of a history, and when each makes sense.

use super::foreign::Scrawl;
use super::model::State;
use super::session::Lock;

pub const ACTORS: usize = 4;

/// One action of one actor on one session. Where no actor acts, `actor` is 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub actor: usize,
    pub session: usize,
    pub act: Act,
}

/// On one line, so that a history is readable.
impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let act = self.act;
        write!(f, "actor {} on session {}: ", self.actor, self.session)?;
        // Never over several lines.
        f.write_str(&format!("{act:?}"))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Try,
    /// With a short timeout.
    Acquire,
    /// Begins to wait without a limit.
    Wait,
    Cancel,
    Append(u8),
    Post,
    /// A line that is made from what the session ends with.
    AppendMade,
    PostMade,
    Release,
    Drop,
    Lost,
    Read,
    Rewrite(u8),
    /// Notes how far the session can be read now.
    Note,
    /// Replaces what lies before that.
    RewriteFrom(u8),
    /// Removes the session, and begins it anew.
    Renew,
    /// The same with an archive.
    Archive,
    Repair,
    Restore,
    Revoke,
    /// Revoke an owner that holds nothing.
    RevokeNobody,
    Status,
    Sweep,
    /// Make, and remove, a leftover of an interrupted rewrite.
    Leftover,
    /// SIGKILL to the actor's process. A new process does what it is asked to do next.
    Kill,
    /// `rm` of the lock file.
    Rm,
    /// A program that takes no lock writes into the session, …
    Scrawl(Scrawl),
    /// … or renames a new file into its place, …
    Replace,
    /// … or cuts it.
    Cut,
}

impl Act {
    /// All actions, each with its weight.
    fn all() -> impl Iterator<Item = (u32, Self)> {
        let acts = [
            (6, Self::Try),
            (4, Self::Acquire),
            (6, Self::Wait),
            (2, Self::Cancel),
            (12, Self::Append(1)),
            (4, Self::Append(3)),
            (2, Self::Append(0)),
            (6, Self::Post),
            (4, Self::AppendMade),
            (3, Self::PostMade),
            (6, Self::Release),
            (2, Self::Drop),
            (2, Self::Lost),
            (4, Self::Read),
            (5, Self::Rewrite(1)),
            (2, Self::Rewrite(0)),
            (4, Self::Note),
            (5, Self::RewriteFrom(1)),
            (1, Self::RewriteFrom(0)),
            (1, Self::Renew),
            (1, Self::Archive),
            (4, Self::Repair),
            (4, Self::Restore),
            (2, Self::Revoke),
            (1, Self::RevokeNobody),
            (1, Self::Status),
            (1, Self::Sweep),
            (1, Self::Leftover),
            (1, Self::Kill),
            (2, Self::Rm),
            (1, Self::Replace),
            (1, Self::Cut),
        ];
        acts.into_iter().chain(Scrawl::ALL.map(|scrawl| (1, Self::Scrawl(scrawl))))
    }

    /// Whether another program does it.
    fn is_foreign(self) -> bool {
        matches!(self, Self::Rm | Self::Scrawl(_) | Self::Replace | Self::Cut)
    }
}

/// Everything that can happen now.
pub fn possible(state: &State) -> Vec<(u32, Step)> {
    let mut steps = Vec::new();
    for session in 0..state.sessions.len() {
        for actor in 0..ACTORS {
            let all = Act::all().map(|(weight, act)| (weight, Step { actor, session, act }));
            steps.extend(all.filter(|(_, step)| step.applies(state)));
        }
    }
    steps
}

impl Step {
    pub fn applies(self, state: &State) -> bool {
        let Some(session) = state.sessions.get(self.session) else { return false };
        let has_turn = session.turn_of(self.actor).is_some();
        let waits = session.waiter == Some(self.actor);
        let writes = matches!(self.act, Act::Post | Act::PostMade | Act::Scrawl(_));
        if writes && !session.turns.is_empty() && state.hides_a_change(self) {
            return false;
        }
        match self.act {
            act if act.is_foreign() && self.actor > 0 => false,
            Act::Try | Act::Acquire => !has_turn && !waits,
            Act::Wait => !has_turn && session.waiter.is_none(),
            Act::Cancel => waits,
            Act::Append(_) | Act::Release | Act::Drop | Act::Lost | Act::Read => has_turn,
            Act::Rewrite(_) | Act::Repair | Act::Restore | Act::AppendMade => has_turn,
            Act::Renew | Act::Archive => has_turn,
            Act::RewriteFrom(_) => has_turn && session.has_note(self.actor),
            Act::Revoke => session.holder().is_some(),
            // Two of the actors are processes of their own.
            Act::Kill => self.actor >= 2 && self.session == 0,
            Act::Rm => session.lock != Lock::Absent,
            Act::Post | Act::PostMade | Act::Note => true,
            Act::RevokeNobody | Act::Status | Act::Sweep | Act::Leftover => true,
            Act::Scrawl(_) | Act::Replace | Act::Cut => true,
        }
    }
}
