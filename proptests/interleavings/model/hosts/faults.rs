//! What happens to hosts, processes and the server.

use super::server::{Host, Tid};
use super::state::{Event, Pc, State};
use super::world::World;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Cut(Host),
    Heal(Host),
    /// The lease of a host that does not answer runs out.
    Expire(Host),
    PowerOff(Host),
    Kill(Tid),
    Restart,
    Reclaim(Host),
    EndGrace,
}

impl World {
    pub fn is_reachable(s: &State, host: Host) -> bool {
        !s.away.has(host) && !s.off.has(host)
    }

    /// What may happen, and what goes by itself: the second kind ends every wait.
    pub fn faults(&self, s: &State) -> (Vec<Fault>, Vec<Fault>) {
        let (mut may, mut will) = (Vec::new(), Vec::new());
        for host in 0..self.hosts() {
            let reachable = Self::is_reachable(s, host);
            may.extend((reachable && s.budget.cut > 0).then_some(Fault::Cut(host)));
            may.extend((!s.off.has(host) && s.budget.off > 0).then_some(Fault::PowerOff(host)));
            will.extend(s.away.has(host).then_some(Fault::Heal(host)));
            let leaves = (!reachable || self.bugs.no_lease) && !s.expired.has(host);
            will.extend((leaves && !s.server.grace).then_some(Fault::Expire(host)));
            let reclaims = reachable && s.server.unclaimed.has(host);
            will.extend(reclaims.then_some(Fault::Reclaim(host)));
        }
        if s.budget.kill > 0 {
            let lives = |tid: &Tid| !matches!(s.thread(*tid).pc, Pc::Done | Pc::Dead);
            let killed = (0..).take(s.threads.len()).filter(lives);
            may.extend(killed.filter(|&tid| self.can_ask(s, tid)).map(Fault::Kill));
        }
        may.extend((s.budget.restart > 0 && !s.server.grace).then_some(Fault::Restart));
        let waits = |host| s.server.unclaimed.has(host) && Self::is_reachable(s, host);
        let all_reclaimed = s.server.grace && !(0..self.hosts()).any(waits);
        will.extend(all_reclaimed.then_some(Fault::EndGrace));
        (may, will)
    }

    pub fn befall(&self, s: &mut State, fault: Fault) {
        match fault {
            Fault::Cut(host) => {
                s.budget.cut -= 1;
                s.away.insert(host);
            }
            Fault::Heal(host) => {
                s.away.remove(host);
                s.expired.remove(host);
            }
            Fault::Expire(host) => self.expire(s, host),
            Fault::PowerOff(host) => {
                s.budget.off -= 1;
                s.off.insert(host);
                for tid in (0..).take(s.threads.len()).filter(|tid| self.host(*tid) == host) {
                    self.die(s, tid);
                }
            }
            Fault::Kill(tid) => {
                s.budget.kill -= 1;
                s.server.unlock(|id| id.tid == tid);
                if s.thread(tid).by_temporary {
                    Self::close_lock(s, tid);
                }
                self.die(s, tid);
            }
            Fault::Restart => self.restart(s),
            Fault::Reclaim(host) => {
                self.saw(Event::Reclaimed);
                s.server.unclaimed.remove(host);
            }
            Fault::EndGrace => {
                let unclaimed = s.server.unclaimed;
                for host in (0..self.hosts()).filter(|host| unclaimed.has(*host)) {
                    self.expire(s, host);
                }
                s.server.unclaimed.clear();
                s.server.grace = false;
            }
        }
    }

    fn die(&self, s: &mut State, tid: Tid) {
        let thread = s.thread_mut(tid);
        (thread.file, thread.data, thread.fresh, thread.turn) = (None, None, None, None);
        (thread.id, thread.data_id, thread.named) = (None, None, None);
        s.go(tid, Pc::Dead);
    }

    fn expire(&self, s: &mut State, host: Host) {
        s.server.expire(host);
        s.expired.insert(host);
        s.lose(|tid, _| self.host(tid) == host);
    }

    fn restart(&self, s: &mut State) {
        s.budget.restart -= 1;
        if self.bugs.no_grace {
            // Whoever asks first has the lock.
            return s.server.unlock(|_| true);
        }
        s.server.grace = true;
        (0..self.hosts()).for_each(|host| s.server.unclaimed.insert(host));
    }
}
