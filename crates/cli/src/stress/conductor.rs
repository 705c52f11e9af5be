//! The parent process of a stress run: starts the children, injects the faults, waits for the end.
//! Every wait is bounded.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use turnlock::Sessions;
use uuid::Uuid;

use super::changes::{self, Way};
use super::check::{Findings, Kind as Wrong};
use super::child::{Role, quiet_for, session_path};
use super::journal::{Journal, Kind, Record, now};
use super::links::Links;
use super::{Args, patience, watched};

/// A run that has ended.
pub(super) struct Run {
    /// The number of children, including replacements.
    pub(super) children: u32,
    /// The slot of each writing child. A process and its replacements share a slot.
    pub(super) slots: Vec<Option<u32>>,
    pub(super) time: Duration,
}

/// The longest sleep of the conductor.
const TICK: Duration = Duration::from_millis(10);
/// How long a killed process may take to end.
const DEATH: Duration = Duration::from_secs(10);

pub(super) fn run(
    args: &Args,
    seed: u64,
    dir: &Path,
    interrupted: &AtomicBool,
    findings: &mut Findings,
) -> io::Result<Run> {
    let began = Instant::now();
    let mut conductor = Conductor::new(args, seed, dir)?;
    conductor.start()?;
    let bar = progress_bar(args);
    while now() < conductor.until && !interrupted.load(Ordering::Relaxed) {
        conductor.replace_the_dead(findings)?;
        conductor.faults()?;
        show(&bar, began.elapsed(), &conductor);
        std::thread::sleep(conductor.next_fault().min(TICK));
    }
    conductor.resume();
    if !interrupted.load(Ordering::Relaxed) {
        bar.set_message("waiting for the last turns …");
        conductor.wait_for_all(interrupted, findings)?;
    }
    bar.finish_and_clear();
    conductor.report_errors(findings);
    Ok(Run {
        children: conductor.children,
        slots: std::mem::take(&mut conductor.slots),
        time: began.elapsed(),
    })
}

fn progress_bar(args: &Args) -> ProgressBar {
    if !watched() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(args.seconds * 1000);
    if let Ok(style) = ProgressStyle::with_template("{bar:24} {wide_msg}") {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, elapsed: Duration, conductor: &Conductor) {
    if bar.is_hidden() {
        return;
    }
    let size = |session| {
        fs::metadata(session_path(conductor.dir, session)).map_or(0, |metadata| metadata.len())
    };
    let bytes: u64 = (0..conductor.args.sessions).map(size).sum();
    bar.set_position(elapsed.as_millis() as u64);
    let seconds = conductor.args.seconds.saturating_sub(elapsed.as_secs());
    bar.set_message(format!(
        "{seconds} s to go · {} written · {} processes killed",
        indicatif::BinaryBytes(bytes),
        conductor.kills
    ));
}

/// A place that is always filled by one child.
struct Slot {
    role: Role,
    number: u32,
    child: Child,
}

struct Conductor<'a> {
    args: &'a Args,
    seed: u64,
    dir: &'a Path,
    until: u64,
    journal: Journal,
    random: StdRng,
    living: Vec<Slot>,
    children: u32,
    slots: Vec<Option<u32>>,
    kills: u64,
    next_kill: u64,
    next_stop: u64,
    next_rm: u64,
    next_change: u64,
    next_link: u64,
    links: Links,
    /// Who is stopped, until when.
    stopped: Option<(u32, u64)>,
    /// For revocations. With a short timeout, since the victim may be stopped inside an append.
    sessions: Sessions,
}

impl<'a> Conductor<'a> {
    fn new(args: &'a Args, seed: u64, dir: &'a Path) -> io::Result<Self> {
        let sessions = Sessions::builder().acquire_timeout(Duration::from_millis(50)).build();
        Ok(Self {
            args,
            seed,
            dir,
            until: now() + args.seconds * 1_000_000_000,
            journal: Journal::open(dir, None)?,
            random: StdRng::seed_from_u64(seed),
            living: Vec::new(),
            children: 0,
            slots: Vec::new(),
            kills: 0,
            next_kill: if args.kill { 0 } else { u64::MAX },
            next_stop: if args.stop { 0 } else { u64::MAX },
            next_rm: if args.rm { 0 } else { u64::MAX },
            next_change: if args.truncate || args.replace { 0 } else { u64::MAX },
            next_link: if args.hardlink { 0 } else { u64::MAX },
            links: Links::default(),
            stopped: None,
            sessions: sessions.map_err(io::Error::other)?,
        })
    }

    fn start(&mut self) -> io::Result<()> {
        for slot in 0..self.args.processes {
            self.add(Role::Writer, slot)?;
        }
        if self.args.post {
            self.add(Role::Poster, u32::MAX)?;
        }
        if self.args.foreign {
            self.add(Role::Foreign, u32::MAX)?;
        }
        // Lets them begin before the first fault.
        let first = now() + 50_000_000;
        for next in [
            &mut self.next_kill,
            &mut self.next_stop,
            &mut self.next_rm,
            &mut self.next_change,
            &mut self.next_link,
        ] {
            *next = (*next).max(first);
        }
        Ok(())
    }

    fn add(&mut self, role: Role, slot: u32) -> io::Result<()> {
        let (number, child) = self.spawn(role, slot)?;
        self.living.push(Slot { role, number, child });
        Ok(())
    }

    fn spawn(&mut self, role: Role, slot: u32) -> io::Result<(u32, Child)> {
        let number = self.children;
        self.children += 1;
        self.slots.push((role == Role::Writer).then_some(slot));
        let role = clap::ValueEnum::to_possible_value(&role)
            .map_or(String::new(), |value| value.get_name().to_owned());
        let mut command = Command::new(std::env::current_exe()?);
        let mut option = |name: &str, value: &dyn std::fmt::Display| {
            command.arg(format!("--{name}={value}"));
        };
        option("role", &role);
        option("child", &number);
        option("parent", &std::process::id());
        option("until", &self.until);
        option("patience-ms", &patience(self.args).as_millis());
        option("tasks", &self.args.tasks);
        option("sessions", &self.args.sessions);
        option("hold-us", &self.args.hold_us);
        option("seed", &self.seed);
        // A rename of ours just after one of another program loses what was written in between.
        let rewrite = self.args.truncate && !self.args.replace;
        let flags = [
            (self.args.post, "--post"),
            (self.args.foreign, "--quiet-spells"),
            (self.args.buffered, "--buffered"),
            (rewrite, "--rewrite"),
            (self.args.panic, "--panic"),
        ];
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let errors =
            OpenOptions::new().append(true).create(true).open(self.dir.join("errors.txt"))?;
        let child = Command::new(std::env::current_exe()?)
            .arg(super::child::NAME)
            .arg("--dir")
            .arg(self.dir)
            .args(arguments)
            .args(flags.iter().filter(|(set, _)| *set).map(|(_, flag)| flag))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(errors)
            // Keeps a terminal's Ctrl-C from the children. The conductor ends them in order.
            .process_group(0)
            .spawn()?;
        Ok((number, child))
    }

    /// Replaces children that ended early, and reports them as violations.
    fn replace_the_dead(&mut self, findings: &mut Findings) -> io::Result<()> {
        for index in 0..self.living.len() {
            if let Some(status) = self.living[index].child.try_wait()? {
                // A child that sees the end of the run before the conductor does has not failed.
                if now() < self.until {
                    let what =
                        format!("child {} ended by itself: {status}", self.living[index].number);
                    findings.add(Wrong::Failed, None, None, what);
                    self.replace(index)?;
                }
            }
        }
        Ok(())
    }

    fn replace(&mut self, index: usize) -> io::Result<()> {
        let role = self.living[index].role;
        let slot = self.slots[self.living[index].number as usize].unwrap_or(u32::MAX);
        let (number, child) = self.spawn(role, slot)?;
        (self.living[index].number, self.living[index].child) = (number, child);
        Ok(())
    }

    fn faults(&mut self) -> io::Result<()> {
        let time = now();
        if self.stopped.is_some_and(|(_, until)| until <= time) {
            self.resume();
        }
        if self.next_kill <= time {
            self.kill_one()?;
            self.next_kill = now() + self.random.random_range(30_000_000..120_000_000);
        }
        if self.next_stop <= time && self.stopped.is_none() {
            self.revoke_one();
            self.next_stop = now() + self.random.random_range(10_000_000..60_000_000);
        }
        if self.next_rm <= time {
            self.remove_a_lock();
            self.next_rm = now() + self.random.random_range(10_000_000..60_000_000);
        }
        if self.next_change <= time {
            self.change_a_session()?;
            self.next_change = now() + self.random.random_range(20_000_000..120_000_000);
        }
        if self.next_link <= time {
            self.link()?;
            self.next_link = now() + self.random.random_range(20_000_000..200_000_000);
        }
        Ok(())
    }

    fn next_fault(&self) -> Duration {
        let stopped = self.stopped.map_or(u64::MAX, |(_, until)| until);
        let faults = [self.next_kill, self.next_stop, self.next_rm, self.next_change];
        let next = faults.into_iter().fold(self.next_link.min(stopped), u64::min);
        Duration::from_nanos(next.saturating_sub(now())).max(Duration::from_micros(200))
    }

    /// Kills a process, mostly one that holds a session, and replaces it.
    fn kill_one(&mut self) -> io::Result<()> {
        let holder = if self.random.random_ratio(3, 4) {
            self.holder().map(|(index, ..)| index)
        } else {
            None
        };
        let index = holder.unwrap_or_else(|| self.random.random_range(0..self.living.len()));
        let slot = &mut self.living[index];
        let number = slot.number;
        self.journal.note(&Record { task: number, ..Record::now(Kind::Killing) });
        slot.child.kill()?;
        if self.stopped.is_some_and(|(stopped, _)| stopped == number) {
            self.stopped = None;
        }
        self.kills += 1;
        if !wait(&mut self.living[index].child, DEATH)? {
            return Err(io::Error::other("a killed process does not end; does the disk hang?"));
        }
        self.journal.note(&Record { task: number, ..Record::now(Kind::Killed) });
        self.replace(index)
    }

    /// A living child that holds a session: its index, the session, and the owner.
    fn holder(&mut self) -> Option<(usize, u16, Uuid)> {
        let session = self.random.random_range(0..self.args.sessions);
        let record = self.read_lock(session)?;
        let pid = record.get("pid")?.as_u64()?;
        let index = self.living.iter().position(|slot| u64::from(slot.child.id()) == pid)?;
        let owner =
            record.get("owner").and_then(Value::as_str).and_then(|owner| owner.parse().ok());
        // The record of a foreign writer has no owner. It cannot be revoked.
        Some((index, session, owner.unwrap_or_default()))
    }

    fn read_lock(&self, session: u16) -> Option<Value> {
        let lock = session_path(self.dir, session).with_extension("jsonl.lock");
        serde_json::from_slice(&fs::read(lock).ok()?).ok()
    }

    /// Revokes the turns of a holder. Mostly stops its process first, for a while.
    fn revoke_one(&mut self) {
        let Some((index, ..)) =
            self.holder().filter(|(index, ..)| self.living[*index].role == Role::Writer)
        else {
            return;
        };
        let number = self.living[index].number;
        if self.random.random_ratio(3, 4) && self.signal(index, Signal::STOP) {
            self.journal.note(&Record { task: number, ..Record::now(Kind::Stopped) });
            let long = self.random.random_ratio(1, 8);
            let length = if long { 200_000_000..400_000_000 } else { 5_000_000..60_000_000 };
            self.stopped = Some((number, now() + self.random.random_range(length)));
        }
        for session in 0..self.args.sessions {
            self.revoke(session, index);
        }
    }

    /// Revokes the owner in the lock file, if it is this child's.
    fn revoke(&self, session: u16, index: usize) {
        let path = session_path(self.dir, session);
        let Some(record) = self.read_lock(session) else { return };
        let owner = record
            .get("owner")
            .and_then(Value::as_str)
            .and_then(|owner| owner.parse::<Uuid>().ok());
        let Some(owner) = owner else { return };
        if record.get("pid").and_then(Value::as_u64)
            != Some(u64::from(self.living[index].child.id()))
        {
            return;
        }
        let about = Record { session, owner: owner.as_u128(), ..Record::now(Kind::Revoking) };
        self.journal.note(&about);
        if self.sessions.revoke(&path, owner).is_ok() {
            let length = fs::metadata(&path).map_or(0, |metadata| metadata.len());
            self.journal.note(&Record { kind: Kind::Revoked, at: now(), detail: length, ..about });
        }
    }

    fn remove_a_lock(&mut self) {
        let session = self.random.random_range(0..self.args.sessions);
        if self.is_in_foreign_hands(session) {
            return;
        }
        let lock = session_path(self.dir, session).with_extension("jsonl.lock");
        self.journal.remove(&lock, Record { session, ..Record::now(Kind::Removing) });
    }

    /// Whether a foreign writer has the session, or may have it in a moment. It has no fence, and
    /// would write on without its lock.
    fn is_in_foreign_hands(&self, session: u16) -> bool {
        self.read_lock(session).is_some_and(|record| record.get("owner").is_none())
            || self.args.foreign && quiet_for(now()).is_some()
    }

    fn change_a_session(&mut self) -> io::Result<()> {
        let session = self.random.random_range(0..self.args.sessions);
        if self.is_in_foreign_hands(session) {
            return Ok(());
        }
        let in_place = self.args.truncate && (!self.args.replace || self.random.random());
        let way = match in_place {
            true if self.random.random_ratio(2, 3) => Way::Cut,
            true => Way::Copy,
            false => Way::Replace,
        };
        let path = session_path(self.dir, session);
        changes::change(&path, session, way, &self.journal, &mut self.random)
    }

    fn link(&mut self) -> io::Result<()> {
        let (all, stay) = (self.random.random(), self.random.random_ratio(1, 8));
        self.links.come_or_go(self.dir, 0..self.args.sessions, all, stay, &self.journal)
    }

    fn signal(&self, index: usize, signal: Signal) -> bool {
        // The child is not reaped before it is replaced, so its pid is still its own.
        Pid::from_raw(self.living[index].child.id() as i32)
            .is_some_and(|pid| kill_process(pid, signal).is_ok())
    }

    fn resume(&mut self) {
        let Some((number, _)) = self.stopped.take() else { return };
        if let Some(index) = self.living.iter().position(|slot| slot.number == number) {
            self.signal(index, Signal::CONT);
            self.journal.note(&Record { task: number, ..Record::now(Kind::Continued) });
        }
    }

    /// Waits for the children, whose tasks still get the turns that they wait for. A child that
    /// does not end is stuck.
    fn wait_for_all(
        &mut self,
        interrupted: &AtomicBool,
        findings: &mut Findings,
    ) -> io::Result<()> {
        let limit = Instant::now() + patience(self.args) + Duration::from_secs(5);
        for index in 0..self.living.len() {
            let ended = loop {
                if wait(&mut self.living[index].child, TICK)? {
                    break true;
                }
                if Instant::now() >= limit || interrupted.load(Ordering::Relaxed) {
                    break false;
                }
            };
            let number = self.living[index].number;
            if !ended {
                let what = format!("child {number} does not end: {}", self.locks());
                findings.add(Wrong::Stuck, None, None, what);
            } else if let Some(status) =
                self.living[index].child.try_wait()?.filter(|status| !status.success())
            {
                findings.add(
                    Wrong::Failed,
                    None,
                    None,
                    format!("child {number} ended with {status}"),
                );
            }
        }
        Ok(())
    }

    /// The locks, for the report of a run that is stuck.
    fn locks(&self) -> String {
        match self.sessions.status(self.dir) {
            Ok(locks) if locks.is_empty() => "no session is held".into(),
            Ok(locks) => serde_json::to_string(&locks).unwrap_or_default(),
            Err(error) => error.to_string(),
        }
    }

    /// Reports what the children wrote to standard error.
    fn report_errors(&self, findings: &mut Findings) {
        let errors = fs::read_to_string(self.dir.join("errors.txt")).unwrap_or_default();
        for error in errors.lines() {
            findings.add(Wrong::Failed, None, None, error.to_owned());
        }
    }
}

impl Drop for Conductor<'_> {
    fn drop(&mut self) {
        for slot in &mut self.living {
            // Fails for those that have ended.
            let _ = slot.child.kill();
            let _ = wait(&mut slot.child, DEATH);
        }
    }
}

/// Waits for a process to end, for `limit` at most. Returns whether it has ended.
fn wait(child: &mut Child, limit: Duration) -> io::Result<bool> {
    let limit = Instant::now() + limit;
    loop {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        if Instant::now() >= limit {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}
