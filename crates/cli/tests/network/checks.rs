//! What must hold between machines. The first eight were seen to fail with turnlock 0.1.

use std::time::{Duration, Instant};

use crate::ledger::Ledger;
use crate::rig::{Guest, Job, LEASE, Rig};
use crate::{durability, stays};

pub type Check = fn(&mut Rig);

/// All of them, by name.
pub const ALL: &[(&str, Check)] = &[
    ("a_child_appends_under_a_fresh_turn", a_child_appends_under_a_fresh_turn),
    ("the_command_passes_a_turn_to_the_other_host", the_command_passes_a_turn_to_the_other_host),
    ("no_stale_line_follows_a_revoke", no_stale_line_follows_a_revoke),
    ("no_stale_line_follows_a_takeover", no_stale_line_follows_a_takeover),
    ("status_tells_the_living_from_the_dead", status_tells_the_living_from_the_dead),
    ("a_timeout_is_kept_during_the_grace", a_timeout_is_kept_during_the_grace),
    ("a_reader_follows_over_a_replaced_file", a_reader_follows_over_a_replaced_file),
    ("no_turn_of_two_hosts_fails", no_turn_of_two_hosts_fails),
    ("a_lock_file_stays_for_a_moment", stays::a_lock_file_stays_for_a_moment),
    ("a_lock_file_that_stays_is_in_nobodys_way", stays::a_lock_file_that_stays_is_in_nobodys_way),
    ("no_line_is_lost_with_the_servers_power", durability::no_line_is_lost_with_the_servers_power),
    ("a_failed_sync_acknowledges_nothing", durability::a_failed_sync_acknowledges_nothing),
    ("long_speed_of_a_turn", long_speed_of_a_turn),
    ("long_two_hosts_through_all_faults", crate::faults::long_two_hosts_through_all_faults),
];

pub const SOON: Duration = Duration::from_secs(20);

/// The command and the driver, as the guests call them.
pub fn programs(rig: &Rig) -> String {
    let folder = rig.folder().display();
    format!("PATH={folder}:$PATH; driver() {{ '{folder}/driver' --driver \"$@\"; }}")
}

/// The directory of a test on the clients, and on the server.
pub fn fresh_directory(rig: &Rig, name: &str) -> String {
    rig.a.ok(&format!("mkdir -p /mnt/n/{name}"));
    format!("cd /mnt/n/{name}; {}", programs(rig))
}

/// A process that obeys commands, on one of the machines.
pub struct Holder<'a> {
    guest: &'a Guest,
    job: Job,
    pipe: String,
    told: usize,
}

impl<'a> Holder<'a> {
    pub fn start(guest: &'a Guest, inside: &str, session: &str, timeout: u32) -> Self {
        let pipe = format!("/run/{}", guest.unique("pipe"));
        let who = guest.role();
        guest.ok(&format!("mkfifo {pipe}"));
        let job = guest.begin(&format!(
            "{inside}; exec 8<>{pipe}; driver hold {session} {who} {timeout} < {pipe}"
        ));
        Self { guest, job, pipe, told: 0 }
    }

    /// Gives a command, and does not wait for the answer.
    pub fn tell(&mut self, command: &str) {
        self.guest.begin(&format!("printf '%s\\n' '{command}' > {}", self.pipe));
    }

    /// The next answer.
    #[track_caller]
    pub fn answer(&mut self, limit: Duration) -> String {
        let nth = self.told;
        crate::rig::until(limit, &format!("answer {nth} of {}", self.guest.role()), || {
            self.job.output().lines().count() > nth || self.job.is_over()
        });
        self.told += 1;
        let output = self.job.output();
        output.lines().nth(nth).unwrap_or_else(|| panic!("it ended: {output}")).to_owned()
    }

    #[track_caller]
    pub fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.answer(SOON)
    }

    #[track_caller]
    pub fn ask_well(&mut self, command: &str) -> String {
        let answer = self.ask(command);
        assert!(answer.contains("-> ok"), "{}: {answer}", self.guest.role());
        answer
    }

    /// Begins a turn. Returns its owner.
    #[track_caller]
    pub fn acquire(&mut self) -> String {
        let answer = self.ask_well("acquire");
        answer.split_whitespace().skip_while(|it| *it != "owner").nth(1).unwrap().to_owned()
    }
}

impl Drop for Holder<'_> {
    fn drop(&mut self) {
        self.guest.begin(&format!("echo end > {}; rm -f {}", self.pipe, self.pipe));
    }
}

/// The words that were appended, in the order of the file.
pub fn texts(file: &str) -> Vec<String> {
    let text = |line: &str| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value["text"].as_str().unwrap_or("?").to_owned()
    };
    file.lines().map(text).collect()
}

/// 1. The lock file had two names for the whole hold, and everybody refused it.
fn a_child_appends_under_a_fresh_turn(rig: &mut Rig) {
    let inside = fresh_directory(rig, "fresh");
    let names = rig.a.ok(&format!(
        "{inside}; turnlock run s.jsonl -- sh -c 'echo {{}} | turnlock append s.jsonl && ls -a'"
    ));
    assert!(!names.contains(".nfs") && !names.contains(".turnlock-"), "{names}");
    assert_eq!(rig.served("fresh/s.jsonl"), "{}\n");
    let (code, output) =
        rig.a.run(&format!("{inside}; mkdir st; turnlock stress --dir st --seconds 3"));
    assert_eq!(code, 0, "{output}");
}

/// 2. The next host refused a record that nobody held, and so did the same host after a reboot.
fn the_command_passes_a_turn_to_the_other_host(rig: &mut Rig) {
    let inside = fresh_directory(rig, "pass");
    let append = format!("{inside}; echo '{{}}' | turnlock append s.jsonl; echo code $?");
    for guest in [&rig.a, &rig.b, &rig.a] {
        let output = guest.ok(&append);
        assert!(output.ends_with("code 0\n"), "{}: {output}", guest.role());
        let names = rig.server.ok("ls -a /mnt/export/pass");
        assert!(!names.contains(".lock") && !names.contains(".nfs"), "{names}");
    }
    // A command that is killed leaves its record, but no lock.
    rig.a.ok(&format!(
        "{inside}; turnlock run s.jsonl -- sleep 100 & sleep 0.1; \
         until [ -e /mnt/n/pass/s.jsonl.lock ]; do sleep 0.05; done; \
         pkill -KILL -x turnlock; pkill -KILL -x sleep; pkill -KILL -x turnlock; true"
    ));
    assert!(rig.server.ok("ls /mnt/export/pass").contains(".lock"));
    let output = rig.b.ok(&append);
    assert!(output.ends_with("code 0\n"), "{output}");
}

/// 3. The fence was answered from the client's cache.
fn no_stale_line_follows_a_revoke(rig: &mut Rig) {
    let inside = fresh_directory(rig, "revoke");
    for round in 0..3 {
        let session = format!("r{round}.jsonl");
        let mut former = Holder::start(&rig.a, &inside, &session, 10);
        let owner = former.acquire();
        former.ask_well("append one");
        // A waiter on the other host keeps the lock file open, while it is removed there.
        let mut waiting = Holder::start(&rig.b, &inside, &session, 30);
        waiting.tell("acquire");
        let mut next = Holder::start(&rig.b, &inside, &session, 30);
        if round == 0 {
            next.ask_well(&format!("revoke {owner}"));
        } else {
            former.ask_well("append two");
            waiting.guest.ok("sleep 0.3");
            next.ask_well(&format!("revoke {owner}"));
        }
        let answer = waiting.answer(SOON);
        assert!(answer.contains("-> ok"), "{answer}");
        waiting.ask_well("append bee");
        for _ in 0..3 {
            let stale = former.ask("append STALE");
            assert!(stale.contains("ERR") && stale.contains("lost"), "{stale}");
        }
        waiting.ask_well("append bee two");
        waiting.ask_well("release");
        let file = rig.served(&format!("revoke/{session}"));
        assert!(!texts(&file).contains(&"STALE".to_owned()), "{file}");
    }
}

/// 4. A record that another host rewrote in place was invisible to a former holder.
fn no_stale_line_follows_a_takeover(rig: &mut Rig) {
    let inside = fresh_directory(rig, "takeover");
    let mut former = Holder::start(&rig.a, &inside, "s.jsonl", 10);
    former.acquire();
    former.ask_well("append one");
    rig.cut("a", true);
    let began = Instant::now();
    let mut next = Holder::start(&rig.b, &inside, "s.jsonl", 60);
    next.tell("acquire");
    let answer = next.answer(LEASE * 4);
    assert!(answer.contains("-> ok"), "{answer}");
    println!("    a machine that is cut off blocks others for {:.1?}", began.elapsed());
    next.ask_well("append bee");
    rig.cut("a", false);
    former.tell("append STALE");
    let stale = former.answer(LEASE * 4);
    assert!(stale.contains("ERR") && stale.contains("lost"), "{stale}");
    next.ask_well("append bee two");
    next.ask_well("release");
    assert_eq!(texts(&rig.served("takeover/s.jsonl")), ["one", "bee", "bee two"]);
    // It can go on.
    former.ask("release");
    former.acquire();
    former.ask_well("append again");
    former.ask_well("release");
}

/// 5. Without marks everybody was said to live.
fn status_tells_the_living_from_the_dead(rig: &mut Rig) {
    let inside = fresh_directory(rig, "status");
    let status = format!("{inside}; turnlock status --json s.jsonl || true");
    let mut holder = Holder::start(&rig.a, &inside, "s.jsonl", 10);
    holder.acquire();
    for guest in [&rig.a, &rig.b] {
        let told = guest.ok(&status);
        assert!(told.contains("\"held\"") && !told.contains("\"alive\":false"), "{told}");
    }
    rig.a.ok("pkill -KILL -f -- --driver || true");
    for guest in [&rig.b, &rig.a] {
        let told = guest.ok(&status);
        assert!(told.contains("\"stale\""), "{}: {told}", guest.role());
        assert!(!told.contains("\"alive\":true"), "{}: {told}", guest.role());
    }
}

/// 6. During the server's grace a timeout of 10 s became 42 to 67 s.
fn a_timeout_is_kept_during_the_grace(rig: &mut Rig) {
    let inside = fresh_directory(rig, "grace");
    let mut holder = Holder::start(&rig.a, &inside, "s.jsonl", 2);
    holder.acquire();
    holder.ask_well("append one");
    holder.ask_well("release");
    rig.server.ok("cd \"$RIG\"; ./run usr/sbin/rpc.nfsd 0");
    rig.serve();
    let began = Instant::now();
    let answer = holder.ask("acquire");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{answer} after {took:?}");
    let command = rig.b.ok(&format!(
        "{inside}; date +%s.%N; echo '{{}}' | turnlock append --timeout 2s s.jsonl; echo code $?; \
         date +%s.%N"
    ));
    let times: Vec<f64> = command.lines().filter_map(|it| it.parse().ok()).collect();
    assert!(times[1] - times[0] < 5.0, "{command}");
    // What came late was let go: nobody is kept from a turn afterwards.
    let mut other = Holder::start(&rig.b, &inside, "s.jsonl", 40);
    other.tell("acquire");
    let answer = other.answer(LEASE * 4);
    assert!(answer.contains("-> ok"), "{answer}");
    other.ask_well("append two");
    other.ask_well("release");
    assert!(rig.served("grace/s.jsonl").contains("two"));
}

/// 7. A reader ended with ESTALE when another host replaced the file.
fn a_reader_follows_over_a_replaced_file(rig: &mut Rig) {
    let inside = fresh_directory(rig, "follow");
    let mut writer = Holder::start(&rig.b, &inside, "s.jsonl", 10);
    writer.acquire();
    writer.ask_well("append one");
    let reader = rig.a.begin(&format!("{inside}; turnlock read --follow s.jsonl"));
    reader.until_it_says("one", SOON);
    for round in 0..3 {
        writer.ask_well(&format!("rewrite rewritten{round}"));
        writer.ask_well(&format!("append after{round}"));
        reader.until_it_says(&format!("after{round}"), SOON);
    }
    assert!(!reader.is_over(), "{}", reader.output());
    rig.a.ok("pkill -INT -f 'read --follow' || true");
    writer.ask_well("release");
}

/// 8. One acquire in some hundreds failed with EDEADLK, and others with a lock of two names.
fn no_turn_of_two_hosts_fails(rig: &mut Rig) {
    let ledger = storm(rig, "two", 10, 3, 1);
    println!("    {}", ledger.summary());
    assert!(ledger.is_clean(), "{ledger:?}");
    assert!(ledger.failures.is_empty(), "{:?}", ledger.failures);
    let turns: Vec<usize> = ledger.turns.values().copied().collect();
    let (least, most) = (turns.iter().min().unwrap(), turns.iter().max().unwrap());
    assert!(turns.len() == 2 && *least * 2 >= *most, "unfair: {turns:?}");
}

/// Compares a turn with the bare calls on the same mount. The figures are to be read, not asserted:
/// they are those of this machine's disk.
fn long_speed_of_a_turn(rig: &mut Rig) {
    let inside = fresh_directory(rig, "speed");
    let told = rig.a.ok(&format!("{inside}; driver speed s.jsonl a 10 500"));
    println!("    {told}");
}

/// Both hosts take turns for some seconds.
fn storm(rig: &Rig, name: &str, seconds: u32, lines: u32, pause: u32) -> Ledger {
    let inside = fresh_directory(rig, name);
    let jobs = [&rig.a, &rig.b].map(|guest| {
        let who = guest.role();
        guest.begin(&format!("{inside}; driver loop s.jsonl {who} 10 {seconds} {lines} {pause}"))
    });
    let outputs = jobs.map(|job| job.wait(Duration::from_secs(60) + SOON).1);
    Ledger::of(&rig.served(&format!("{name}/s.jsonl")), &outputs)
}
