//! One session by the model: its bytes, who has a turn on it, and what each holder has seen.

use std::collections::HashMap;
use std::ops::Range;

use turnlock::testing::repair;

use super::protocol::{line, made};

/// What stands at the lock path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    Absent,
    Held,
    /// A killed holder's file, unless somebody has removed it since.
    Stale,
}

/// A turn that its owner has not let go, lost or not.
#[derive(Debug, Clone)]
pub struct Turn {
    pub actor: usize,
    pub lost: bool,
    file: u64,
    seen: usize,
    /// What the file held up to there.
    held: Vec<u8>,
    unread: Vec<Range<usize>>,
    read_first: bool,
    /// Bytes that a repair has moved before the holder was told of them.
    untold: usize,
}

#[derive(Debug, Clone)]
pub struct Session {
    pub bytes: Vec<u8>,
    pub lock: Lock,
    pub turns: Vec<Turn>,
    pub waiter: Option<usize>,
    /// Somebody has waited here: threads may be parked, and what a release leaves behind is gone a
    /// little later.
    pub waited: bool,
    /// Before and after, of the repairs that were not undone.
    repairs: Vec<(Vec<u8>, Vec<u8>)>,
    pub quarantine: bool,
    /// Number of the file; another file in its place has another one.
    file: u64,
    /// What each actor has noted: which file, and its whole lines.
    notes: HashMap<usize, (u64, Vec<u8>)>,
}

/// Actors 0 and 1 are of this process.
pub const fn process_of(actor: usize) -> usize {
    if actor < 2 { 0 } else { actor }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    pub offset: usize,
    pub intervening: usize,
    pub sealed: bool,
}

impl Session {
    pub fn new() -> Self {
        Self {
            bytes: b"{\"n\":0}\n".to_vec(),
            lock: Lock::Absent,
            turns: Vec::new(),
            waiter: None,
            waited: false,
            repairs: Vec::new(),
            quarantine: false,
            file: 0,
            notes: HashMap::new(),
        }
    }

    pub fn has_note(&self, actor: usize) -> bool {
        self.notes.contains_key(&actor)
    }

    pub fn note(&mut self, actor: usize) {
        let whole = self.whole_lines_to();
        self.notes.insert(actor, (self.file, self.bytes[..whole].to_vec()));
    }

    fn whole_lines_to(&self) -> usize {
        self.bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
    }

    /// Whether what the actor had noted is not there any more.
    pub fn is_note_changed(&self, actor: usize) -> bool {
        let (file, noted) = &self.notes[&actor];
        !noted.is_empty() && (*file != self.file || !self.bytes.starts_with(noted))
    }

    pub fn holder(&self) -> Option<usize> {
        self.turns.iter().find(|turn| !turn.lost).map(|turn| turn.actor)
    }

    pub fn turn_of(&self, actor: usize) -> Option<&Turn> {
        self.turns.iter().find(|turn| turn.actor == actor)
    }

    fn turn(&mut self, actor: usize) -> &mut Turn {
        let file = self.file;
        let turn = self.turns.iter_mut().find(|turn| turn.actor == actor).expect("a turn");
        if turn.file != file && !turn.lost {
            // Another file stands there. The holder has seen nothing of either.
            turn.file = file;
            turn.unread.clear();
        }
        turn
    }

    /// Whether the holder is told of a change, and writes nothing: what it had seen is not there
    /// any more. An append does not look closely at a file that is as long as before.
    pub fn is_changed(&self, actor: usize, closely: bool) -> bool {
        let turn = self.turn_of(actor).expect("a turn");
        let len = self.bytes.len();
        turn.seen > 0
            && (turn.file != self.file
                || len < turn.seen
                || (closely || len > turn.seen) && !self.bytes.starts_with(&turn.held))
    }

    pub fn must_read_first(&self, actor: usize) -> bool {
        self.turn_of(actor).expect("a turn").read_first
    }

    /// Whether what a rewrite of this turn replaces ends inside a line, with which another program
    /// has gone on since.
    pub fn goes_on(&self, actor: usize) -> bool {
        self.is_inside_line(self.turn_of(actor).expect("a turn").seen)
    }

    fn is_inside_line(&self, at: usize) -> bool {
        let before = at.checked_sub(1).and_then(|before| self.bytes.get(before));
        let behind = self.bytes.get(at);
        before.is_some_and(|byte| *byte != b'\n') && behind.is_some_and(|byte| *byte != b'\n')
    }

    /// Whether an append would not notice a change, since the file is as long as what was seen.
    pub fn is_changed_unnoticed(&self) -> bool {
        let unnoticed =
            |turn: &Turn| self.is_changed(turn.actor, true) && !self.is_changed(turn.actor, false);
        self.turns.iter().any(unnoticed)
    }

    /// A turn that was lost is in nobody's way: who tries looks whether it was.
    pub fn is_open_to(&self, actor: usize) -> bool {
        let is_in_the_way = |turn: &Turn| !turn.lost && process_of(turn.actor) == process_of(actor);
        self.holder().is_none() && !self.turns.iter().any(is_in_the_way)
    }

    pub fn take(&mut self, actor: usize) {
        let seen = self.bytes.len();
        self.turns.push(Turn {
            actor,
            lost: false,
            file: self.file,
            seen,
            held: self.bytes.clone(),
            unread: Vec::new(),
            read_first: false,
            untold: 0,
        });
        self.lock = Lock::Held;
    }

    pub fn wait(&mut self, actor: usize) {
        self.waiter = Some(actor);
        self.waited = true;
        self.admit();
    }

    /// Nobody waits for what nobody holds (I12).
    fn admit(&mut self) {
        if let Some(actor) = self.waiter
            && self.is_open_to(actor)
        {
            self.waiter = None;
            self.take(actor);
        }
    }

    pub fn let_go(&mut self, actor: usize) {
        if self.holder() == Some(actor) {
            self.lock = Lock::Absent;
        }
        self.turns.retain(|turn| turn.actor != actor);
        self.admit();
    }

    /// The lock file is gone, whoever took it away.
    pub fn rob(&mut self) {
        self.turns.iter_mut().for_each(|turn| turn.lost = true);
        self.lock = Lock::Absent;
        self.admit();
    }

    pub fn kill(&mut self, actor: usize) {
        self.notes.remove(&actor);
        if self.holder() == Some(actor) {
            self.lock = Lock::Stale;
        }
        if self.waiter == Some(actor) {
            self.waiter = None;
        }
        self.turns.retain(|turn| turn.actor != actor);
        self.admit();
    }

    /// Nobody holds it: what a dead one left is cleared away.
    pub fn clear(&mut self) {
        if self.lock == Lock::Stale {
            self.lock = Lock::Absent;
        }
    }

    pub fn post(&mut self, numbers: &[u64]) -> Appended {
        self.post_lines(&lines(numbers))
    }

    /// A line that is made for where it is to stand.
    pub fn made(&self, number: u64) -> Vec<u8> {
        format!("{}\n", made(number, self.bytes.len() as u64)).into_bytes()
    }

    pub fn post_lines(&mut self, lines: &[u8]) -> Appended {
        let sealed = !self.bytes.is_empty() && !self.bytes.ends_with(b"\n");
        if sealed {
            self.bytes.push(b'\n');
        }
        let offset = self.bytes.len();
        self.bytes.extend(lines);
        Appended { offset, intervening: 0, sealed }
    }

    pub fn append(&mut self, actor: usize, lines: &[u8]) -> Appended {
        let before = self.bytes.len();
        let posted = self.post_lines(lines);
        let held = self.bytes.clone();
        let turn = self.turn(actor);
        let others = turn.seen..before;
        (turn.seen, turn.held) = (held.len(), held);
        if !others.is_empty() {
            turn.unread.push(others.clone());
        }
        Appended { intervening: others.len() + std::mem::take(&mut turn.untold), ..posted }
    }

    /// The whole lines that a reader gets.
    pub fn read(&mut self, actor: usize) -> Vec<u8> {
        let whole = self.whole_lines_to();
        let file = self.file;
        let turn = self.turns.iter_mut().find(|turn| turn.actor == actor).expect("a turn");
        let is_there = turn.file == file && self.bytes.starts_with(&turn.held);
        turn.seen = if is_there { whole.max(turn.seen) } else { whole };
        (turn.file, turn.read_first, turn.untold) = (file, false, 0);
        turn.unread.clear();
        let seen = &self.bytes[..turn.seen];
        turn.held = seen.to_vec();
        let mut read = Vec::new();
        for line in seen.split_inclusive(|byte| *byte == b'\n') {
            if line.ends_with(b"\n") && is_json(line) {
                read.extend(line);
            }
        }
        read
    }

    /// How many bytes were carried over; `None` if what was not read could be lost.
    pub fn rewrite(&mut self, actor: usize, numbers: &[u64]) -> Option<usize> {
        let len = self.bytes.len();
        let turn = self.turn(actor).clone();
        if turn.read_first {
            return None;
        }
        let carried: Vec<_> = turn.unread.iter().cloned().chain(Some(turn.seen..len)).collect();
        Some(self.replace_by(actor, numbers, &carried))
    }

    /// How many bytes were carried over.
    pub fn rewrite_from(&mut self, actor: usize, numbers: &[u64]) -> usize {
        let noted = self.notes[&actor].1.len();
        let behind = noted..self.bytes.len();
        self.replace_by(actor, numbers, &[behind])
    }

    fn replace_by(&mut self, actor: usize, numbers: &[u64], carried: &[Range<usize>]) -> usize {
        let mut new = lines(numbers);
        let content = new.len();
        for range in carried.iter().cloned() {
            let posts = &self.bytes[range];
            let blank = posts.iter().take_while(|byte| **byte == b'\n').count();
            if blank < posts.len() && !new.is_empty() && !new.ends_with(b"\n") {
                // A line of its own for each.
                new.push(b'\n');
            }
            new.extend(&posts[blank..]);
        }
        self.put(new);
        let (file, len) = (self.file, self.bytes.len());
        let turn = self.turns.iter_mut().find(|turn| turn.actor == actor).expect("a turn");
        (turn.file, turn.seen, turn.held) = (file, len, self.bytes.clone());
        turn.unread = (len > content).then_some(content..len).into_iter().collect();
        turn.read_first = false;
        len - content
    }

    /// Another file begins with these bytes. The old one is no session any more.
    pub fn renew(&mut self, actor: usize, bytes: Vec<u8>) {
        self.put(bytes);
        let file = self.file;
        self.repairs.clear();
        self.quarantine = false;
        let turn = self.turns.iter_mut().find(|turn| turn.actor == actor).expect("a turn");
        (turn.file, turn.seen, turn.held) = (file, self.bytes.len(), self.bytes.clone());
        (turn.read_first, turn.untold) = (false, 0);
        turn.unread.clear();
    }

    /// Whether there was anything to repair. How it is repaired is the matter of other tests.
    pub fn repair(&mut self, actor: usize) -> bool {
        let before = self.bytes.clone();
        let mut after = Vec::new();
        let done = repair(&&before[..], before.len() as u64, &mut after, &mut std::io::sink())
            .expect("memory");
        let unread = self.has_unread(actor);
        if !done.changed() {
            return false;
        }
        let turn = self.turn(actor);
        turn.untold += before.len().saturating_sub(turn.seen);
        self.repairs.push((before, after.clone()));
        self.quarantine = true;
        self.install(actor, after, unread);
        true
    }

    /// Whether the latest repair could be undone. What was appended since follows the original, on
    /// lines of its own.
    pub fn restore(&mut self, actor: usize) -> bool {
        let unread = self.has_unread(actor);
        let Some((mut bytes, after)) = self.repairs.pop() else { return false };
        let Some(appended) = self.bytes.strip_prefix(&after[..]).map(<[u8]>::to_vec) else {
            self.repairs.push((bytes, after));
            return false;
        };
        let is_torn = !bytes.is_empty() && !bytes.ends_with(b"\n");
        if is_torn && appended.first().is_some_and(|first| *first != b'\n') {
            bytes.push(b'\n');
        }
        bytes.extend(appended);
        let len = self.bytes.len();
        let turn = self.turn(actor);
        turn.untold += len.saturating_sub(turn.seen);
        self.install(actor, bytes, unread);
        true
    }

    fn has_unread(&mut self, actor: usize) -> bool {
        let len = self.bytes.len();
        let turn = self.turn(actor);
        len > turn.seen || !turn.unread.is_empty()
    }

    fn install(&mut self, actor: usize, bytes: Vec<u8>, unread: bool) {
        self.put(bytes);
        let (file, len) = (self.file, self.bytes.len());
        let turn = self.turns.iter_mut().find(|turn| turn.actor == actor).expect("a turn");
        (turn.file, turn.seen, turn.read_first) = (file, len, turn.read_first || unread);
        turn.held.clone_from(&self.bytes);
        turn.unread.clear();
    }

    /// The file loses its second half, in place.
    pub fn cut(&mut self) {
        self.bytes.truncate(self.bytes.len() / 2);
    }

    /// Another file takes the old one's place.
    pub fn put(&mut self, bytes: Vec<u8>) {
        self.bytes = bytes;
        self.file += 1;
    }
}

pub fn lines(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| format!("{}\n", line(*number)).into_bytes()).collect()
}

fn is_json(line: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(line).is_ok()
}
