//! A program without the data lock writes the beginning of a line between the look at the end of
//! the file and the write. What was acknowledged is a line of its own all the same.

use std::fs;

use rustix::process::Signal;
use serde_json::json;
use turnlock_testing::process::{signal, traced};
use turnlock_testing::strace::strace_at;
use turnlock_testing::{Room, room, state_of, until};

use crate::child::{Answer, Ask, Child, How};

/// A child that is stopped at these calls on the session file.
fn stopped_at(room: &Room, calls: &[&str]) -> Option<Child> {
    let mut options = vec!["trace=pread64,write".to_owned()];
    options.extend(calls.iter().map(|call| {
        let (name, when) = call.split_once(' ').unwrap();
        format!("inject={name}:signal=SIGSTOP:when={when}")
    }));
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let through = strace_at(&room.session, &options)?;
    Some(Child::start(&room.session, How { through, ..How::default() }))
}

/// When it is stopped, somebody writes, and it continues.
fn meanwhile(child: &Child, room: &Room, bytes: &str) {
    let pid = traced(child.pid());
    until("it is stopped", || matches!(state_of(pid), Some('T' | 't')));
    room.scrawl(bytes);
    signal(pid, Signal::CONT);
}

/// A holder that appends a second line behind the line of another program. It looks at what it has
/// seen, and at the last byte, and is stopped then.
fn appending(room: &Room, calls: &[&str]) -> Option<Child> {
    let mut holder = stopped_at(room, calls)?;
    holder.acquire();
    holder.append(json!({"n": 1}));
    room.scrawl("{\"f\":1}\n");
    holder.tell(&Ask::Append(json!({"n": 2})));
    Some(holder)
}

#[test]
fn a_line_that_would_be_glued_to_another_is_written_behind_a_newline() {
    let room = room();
    let Some(mut holder) = appending(&room, &["pread64 2"]) else { return };
    meanwhile(&holder, &room, "{\"f\":2}");
    let sealed = Answer::Appended { offset: 24, bytes: 8, intervening: 15, sealed: true };
    assert_eq!(holder.answer(), sealed);
    assert_eq!(room.text(), "{\"n\":1}\n{\"f\":1}\n{\"f\":2}\n{\"n\":2}\n");
    assert_eq!(
        holder.ask(&Ask::Append(json!({"n": 3}))),
        Answer::Appended { offset: 32, bytes: 8, intervening: 0, sealed: false }
    );
    holder.ask(&Ask::Rewrite(json!({"summary": 1})));
    assert_eq!(room.text(), "{\"summary\":1}\n{\"f\":1}\n{\"f\":2}");
}

#[test]
fn a_line_behind_a_whole_one_of_another_program_stays_where_it_is() {
    let room = room();
    let Some(holder) = appending(&room, &["pread64 2"]) else { return };
    meanwhile(&holder, &room, "{\"f\":2}\n");
    let appended = Answer::Appended { offset: 24, bytes: 8, intervening: 16, sealed: false };
    assert_eq!(holder.answer(), appended);
    assert_eq!(room.text(), "{\"n\":1}\n{\"f\":1}\n{\"f\":2}\n{\"n\":2}\n");
}

/// What another program has written behind the line must not be cut off.
#[test]
fn a_glued_line_that_cannot_be_taken_back_is_not_acknowledged() {
    let room = room();
    let Some(holder) = appending(&room, &["pread64 2", "write 2"]) else { return };
    meanwhile(&holder, &room, "{\"f\":2}");
    until("it has continued, and written", || room.text().contains("{\"n\":2}"));
    meanwhile(&holder, &room, "{\"f\":3}\n");
    let answer = holder.answer();
    assert!(matches!(&answer, Answer::Failed(kind, _) if kind == "overtaken"), "{answer:?}");
    assert_eq!(room.text(), "{\"n\":1}\n{\"f\":1}\n{\"f\":2}{\"n\":2}\n{\"f\":3}\n");
}

#[test]
fn a_post_is_not_glued_to_another_line_either() {
    let room = room();
    fs::write(&room.session, "{\"f\":1}\n").unwrap();
    let Some(mut poster) = stopped_at(&room, &["pread64 1"]) else { return };
    poster.tell(&Ask::Post(json!({"post": 1})));
    meanwhile(&poster, &room, "{\"f\":2}");
    let answer = poster.answer();
    assert!(matches!(answer, Answer::Appended { sealed: true, .. }), "{answer:?}");
    assert_eq!(room.text(), "{\"f\":1}\n{\"f\":2}\n{\"post\":1}\n");
}
