//! A gateway that is told to end does so, whatever it does at that moment; and what its program is
//! told.

use std::fs::{File, Permissions};
use std::io::{ErrorKind, PipeWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::process::{Pid, Signal, kill_process_group};
use turnlock_testing::namespace::pid_namespace;
use turnlock_testing::process::{children_named, is_installed, signal, through, traced};
use turnlock_testing::signals::COUNTER;
use turnlock_testing::strace::strace;
use turnlock_testing::{Doomed, Running, ended, eventually, kernel_waiters, state_of, until};

use crate::rig::*;

/// A gateway without a terminal, whose program counts.
fn counting(home: &Home, program: &[&str]) -> Command {
    let mut run = home.run(&["--"]);
    run.args(program).args(["-c", COUNTER]);
    through(&["setsid".into()], &run)
}

/// The processes of turnlock, and its program.
fn all_of(gateway: u32) -> [u32; 3] {
    let helper = traced(gateway);
    [gateway, helper, traced(helper)]
}

/// The program is told once, and no more.
#[track_caller]
fn told_once(running: &mut Running, gateway: u32) {
    assert_eq!(running.line(), "told");
    // What turnlock forwards, it forwards in order.
    signal(gateway, Signal::USR1);
    assert_eq!(running.line(), "no more");
}

/// Ends a program that counts.
#[track_caller]
fn ends_with(running: Running, program: u32) {
    signal(program, Signal::USR2);
    let answer = running.end();
    assert_eq!((answer.code, &*answer.out), (Some(5), ""));
}

const COUNTERS: [&[&str]; 2] = [&["python3"], &["setsid", "python3"]];

/// Runs a test with a program that counts, in the helper's group and in a session of its own. It is
/// given the processes of turnlock, and the program.
fn with_counter(test: impl Fn(&mut Running, [u32; 3])) {
    if !is_installed("python3") {
        return;
    }
    for program in COUNTERS {
        let home = home();
        let mut running = Running::start(counting(&home, program));
        assert_eq!(running.line(), "ready");
        let all = all_of(running.pid());
        test(&mut running, all);
        ends_with(running, all[2]);
    }
}

#[test]
fn a_signal_to_the_whole_group_reaches_the_program_once() {
    with_counter(|running, [gateway, ..]| {
        let group = Pid::from_raw(gateway.cast_signed()).unwrap();
        for _ in 0..3 {
            kill_process_group(group, Signal::TERM).unwrap();
            told_once(running, gateway);
        }
    });
}

/// As `kill $(pidof turnlock)` does.
#[test]
fn a_signal_to_all_processes_of_turnlock_reaches_the_program_once() {
    with_counter(|running, [gateway, helper, _]| {
        for order in [[gateway, helper], [helper, gateway]] {
            order.into_iter().for_each(|pid| signal(pid, Signal::TERM));
            told_once(running, gateway);
        }
    });
}

/// turnlock is in another group then, and has not got it.
#[test]
fn what_the_program_sends_to_its_group_hides_no_signal_to_the_gateway() {
    with_counter(|running, [gateway, _, program]| {
        signal(program, Signal::HUP);
        assert_eq!(running.line(), "told");
        signal(gateway, Signal::TERM);
        told_once(running, gateway);
    });
}

/// With `KillMode=control-group`, its default, systemd signals one process after the other.
#[test]
fn a_signal_to_all_processes_of_a_service_reaches_the_program_once() {
    if !is_installed("python3") {
        return;
    }
    for program in COUNTERS {
        let home = home();
        let manager = home.dir.path().join("systemd");
        let script = "#!/bin/sh\n\"$@\" & while read pids; do kill -TERM $pids; done; wait $!";
        std::fs::write(&manager, script).unwrap();
        std::fs::set_permissions(&manager, Permissions::from_mode(0o755)).unwrap();
        let run = counting(&home, program);
        let mut running = Running::start(through(&[text(&manager)], &run));
        assert_eq!(running.line(), "ready");
        let [gateway, helper, program] = all_of(traced(running.pid()));
        for order in [
            [gateway, helper, program],
            [program, helper, gateway],
            [helper, gateway, program],
            [program, gateway, helper],
        ] {
            running.say(&format!("{} {} {}\n", order[0], order[1], order[2]));
            told_once(&mut running, gateway);
        }
        ends_with(running, program);
    }
}

/// The next one may run already.
#[test]
fn a_deaf_program_does_not_outlive_a_lost_lock() {
    let home = home();
    let note = home.dir.path().join("pid");
    let script = format!("trap '' TERM INT HUP; {}", waiting(&note));
    let mut running = ready(home.run(&["--", "sh", "-c", &script]));
    let program = pid_in(&note);
    std::fs::remove_file(home.state_lock()).unwrap();
    let began = Instant::now();
    until("the program is gone", || !lives(program));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(running.wait().code(), Some(1));
}

/// systemd says by process id for whom they are.
#[test]
fn the_variables_of_systemd_are_the_programs() {
    let home = home();
    let tell = "echo $$ $WATCHDOG_PID $LISTEN_PID $LISTEN_FDS";
    let as_service = "export WATCHDOG_PID=$$ LISTEN_PID=$$ LISTEN_FDS=0; exec \"$@\"";
    let as_service = ["sh", "-c", as_service, "sh"].map(String::from);
    let run = home.run(&["--", "sh", "-c", tell]);
    let answer = ended(through(&as_service, &run));
    let words: Vec<_> = answer.out.split_whitespace().collect();
    assert!(words.len() == 4 && words[0] == words[1] && words[0] == words[2], "{answer:?}");
    // What is for another process stays so.
    let for_another = ["sh", "-c", "export WATCHDOG_PID=1 LISTEN_PID=; exec \"$@\"", "sh"];
    let run = home.run(&["--", "sh", "-c", "echo $WATCHDOG_PID,$LISTEN_PID"]);
    assert_eq!(ended(through(&for_another.map(String::from), &run)).out, "1,\n");
}

/// As for process 1 of a container.
#[test]
fn orphans_do_not_stay_as_zombies() {
    for program in [&[][..], &["--", "sleep", "1000"]] {
        let home = home();
        let (note, go) = (home.dir.path().join("pid"), home.dir.path().join("go"));
        let adopt = format!(
            "(while ! [ -e {} ]; do sleep 0.02; done) & echo $! > {}; exec \"$@\"",
            go.display(),
            note.display()
        );
        let adopt = ["sh", "-c", &adopt, "sh"].map(String::from);
        let _running = ready(through(&adopt, &home.run(program)));
        let orphan = pid_in(&note);
        File::create_new(go).unwrap();
        until("it is waited for", || state_of(orphan).is_none());
    }
}

#[test]
fn as_process_1_it_waits_for_orphans_of_others() {
    let Some(container) = pid_namespace() else { return };
    let home = home();
    let go = home.dir.path().join("go");
    let leave = format!("((while ! [ -e {} ]; do sleep 0.02; done) &); exec \"$@\"", go.display());
    let leave = ["sh", "-c", &leave, "sh"].map(String::from);
    let container = [container, leave.to_vec()].concat();
    let running = ready(through(&container, &home.run(&[])));
    let first = traced(running.pid());
    let children = format!("/proc/{first}/task/{first}/children");
    let children = || std::fs::read_to_string(&children).unwrap();
    assert_ne!(children(), "");
    File::create_new(go).unwrap();
    until("none is left", || children().is_empty());
    signal(first, Signal::TERM);
    assert_eq!(running.end().code, Some(0));
}

#[test]
fn as_process_1_it_ends_while_it_waits() {
    let Some(container) = pid_namespace() else { return };
    let home = home();
    let mut owner = ready(home.run(&[]));
    let waiting = Running::start(through(&container, &home.run_within("1h")));
    until("it waits", || kernel_waiters(&home.state_lock()) == 1);
    signal(traced(waiting.pid()), Signal::TERM);
    assert_eq!(waiting.end().code, Some(128 + 15));
    assert!(!owner.has_ended());
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    let home = home();
    let mut run = home.run(&["--", "true"]);
    run.env("OPENCLAW_STATE_DIR", "").env("OPENCLAW_CONFIG_PATH", "");
    assert_eq!(ended(run).code, Some(0));
    std::fs::create_dir(home.dir.path().join(".openclaw")).unwrap();
    for verb in ["status", "doctor"] {
        let mut ask = gateway(&[verb, "--port", &home.port.to_string()]);
        ask.env("OPENCLAW_STATE_DIR", "").env("OPENCLAW_GATEWAY_PORT", "");
        let answer = ended(ask.env("OPENCLAW_CONFIG_PATH", "").env("HOME", home.dir.path()));
        assert!(!answer.err.contains("required") && answer.code != Some(2), "{answer:?}");
    }
    // The state directory is refused before the port is looked at.
    let mut run = gateway(&["run", "--state-dir", "/dev/null/state"]);
    let answer = ended(run.env("OPENCLAW_GATEWAY_PORT", ""));
    assert!(answer.code == Some(1) && answer.err.contains("/dev/null/state"), "{answer:?}");
}

/// A pipe that nobody reads, full.
fn full(pipe: &mut PipeWriter) {
    fcntl_setfl(&*pipe, OFlags::NONBLOCK).unwrap();
    let filled = loop {
        match pipe.write(&[b'x'; 4096]) {
            Ok(written) => assert!(written > 0),
            Err(error) => break error.kind(),
        }
    };
    assert_eq!(filled, ErrorKind::WouldBlock);
    fcntl_setfl(&*pipe, OFlags::empty()).unwrap();
}

#[test]
fn it_ends_when_told_so_also_if_nobody_reads_what_it_says() {
    for program in [&[][..], &["--", "sh", "-c", "setsid sleep 1000 & exec sleep 1000"]] {
        let home = home();
        let (_reader, mut writer) = std::io::pipe().unwrap();
        full(&mut writer);
        let mut run = home.run(program);
        run.stdin(Stdio::null()).stderr(writer);
        let mut running = Doomed(run.spawn().unwrap());
        match program {
            [] => until("it serves", || std::net::TcpStream::connect(home.address()).is_ok()),
            _ => until("it runs", || !helpers_of(running.pid()).is_empty()),
        }
        // It has something to say.
        let began = Instant::now();
        running.signal(Signal::TERM);
        let status = eventually("its end", || running.try_wait().unwrap());
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
        assert!(status.code().is_some_and(|code| [0, 128 + 15].contains(&code)), "{status}");
        assert!(!home.state_lock().exists());
    }
}

/// Others that follow something, and say what they see.
#[test]
fn a_monitor_ends_when_told_so_also_if_nobody_reads_what_it_says() {
    let (_reader, mut writer) = std::io::pipe().unwrap();
    full(&mut writer);
    let home = home();
    let mut monitor = gateway(&["monitor", "--every", "50ms"]);
    monitor.arg(home.address().to_string()).stdin(Stdio::null()).stdout(writer);
    let mut running = Doomed(monitor.spawn().unwrap());
    until("its answer has no room", || is_writing(running.pid()));
    running.signal(Signal::TERM);
    let status = eventually("its end", || running.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
}

/// Whether one of its threads waits for room in a pipe.
fn is_writing(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let mut waits = threads.filter_map(|t| std::fs::read_to_string(t.path().join("wchan")).ok());
    waits.any(|place| place.contains("pipe_write"))
}

fn helpers_of(pid: u32) -> Vec<u32> {
    let helpers = children_named(pid, "turnlock");
    let named = |pid: &u32| children_named(*pid, "sleep");
    helpers.iter().flat_map(named).collect()
}

/// Whatever it asks of its state directory from now on, it gets no answer.
#[test]
fn it_ends_when_told_so_also_if_its_disk_no_longer_answers() {
    let calls = "openat,openat2,newfstatat,statx,unlinkat,renameat,renameat2";
    let no_answer = format!("inject={calls}:delay_enter=600s");
    let Some(tracer) = strace(&["trace=none"]) else { return };
    for program in
        [&[][..], &["--", "sh", "-c", "trap 'exit 5' TERM; echo up; while :; do sleep 0.1; done"]]
    {
        let home = home();
        let mut running = ready(home.run(program));
        match program {
            [] => assert!(get(home.address(), "/healthz").contains("\"ok\":true")),
            _ => assert_eq!(running.line(), "up"),
        }
        let mut trace = Command::new(&tracer[0]);
        trace.args(["-f", "-qq", "-o", "/dev/null", "-e", &no_answer, "-P", &text(&home.state)]);
        trace.stderr(Stdio::null()).arg("-p");
        let mut tracer = Doomed(trace.arg(running.pid().to_string()).spawn().unwrap());
        until("a look hangs", || is_held_up(running.pid()));
        let began = Instant::now();
        signal(running.pid(), Signal::TERM);
        // strace keeps a thread that is killed while its call is delayed, and thereby the process.
        until("its end", || !lives(running.pid()));
        let took = began.elapsed();
        assert!(took < Duration::from_secs(5), "{took:?}");
        tracer.kill();
        assert_eq!(running.wait().code(), Some(if program.is_empty() { 0 } else { 5 }));
    }
}

/// Whether one of its threads is stopped by a tracer.
fn is_held_up(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let mut states =
        threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
    states.any(|stat| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" t")))
}
