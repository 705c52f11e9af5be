use super::*;
use crate::transcript::damage::DamageKind;

fn transcript(bytes: impl AsRef<[u8]>) -> Transcript {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, bytes.as_ref()).unwrap();
    Transcript::from_file(file, "s.jsonl").unwrap()
}

/// Lines as text, damage as its kind in brackets.
fn shown(items: impl IntoIterator<Item = Item<'static>>) -> Vec<String> {
    let show = |item| match item {
        Item::Line(line) => String::from_utf8(line.bytes.unwrap().into_owned()).unwrap(),
        Item::Damage(damage) => format!("[{}]", damage.kind.name()),
    };
    items.into_iter().map(show).collect()
}

#[test]
fn saved_records_follow_the_damage_they_were_in() {
    let transcript = transcript("{\"a\":1}\nx{\"b\":2}\n{\"c\":3}{\"d\":4}\n{\"cut");
    let lines: Vec<_> = transcript.lines().collect::<Result<_, _>>().unwrap();
    if let Item::Line(line) = &lines[2] {
        assert_eq!((line.number, line.range.clone()), (Some(2), 9..16));
    }
    let expected = [
        "{\"a\":1}",
        "[splice]",
        "{\"b\":2}",
        "[missing-newline]",
        "{\"c\":3}",
        "{\"d\":4}",
        "[torn-tail]",
    ];
    assert_eq!(shown(lines), expected);
}

#[test]
fn typed_reading_goes_on_behind_what_does_not_fit() {
    #[derive(serde::Deserialize)]
    struct Record {
        id: u32,
    }
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let text = format!(
        "{{\"id\":1}}\n{{\"no\":2}}\n{deep}\nxx\n{{\"id\":3,\"pad\":\"{}\"}}\n{{\"id\":4}}",
        " ".repeat(5000)
    );
    let transcript = transcript(text).max_line(4000);
    let records: Vec<_> = transcript.records::<Record>().collect();
    assert!(matches!(&records[0], Ok(record) if record.id == 1));
    assert!(matches!(&records[1], Err(RecordError::Mismatch { range, .. }) if *range == (9..17)));
    assert!(matches!(&records[2], Err(RecordError::Mismatch { .. })));
    assert!(matches!(&records[3], Err(RecordError::Damage(d)) if d.kind == DamageKind::NotJson));
    assert!(matches!(&records[4], Err(RecordError::TooLong { .. })));
    assert!(
        matches!(&records[5], Err(RecordError::Damage(d)) if d.kind == DamageKind::MissingNewline)
    );
    assert!(matches!(&records[6], Ok(record) if record.id == 4));
    assert_eq!(records.len(), 7);
}

#[test]
fn the_tail_is_the_last_records() {
    let text: String = (0..100).map(|i| format!("{{\"n\":{i}}}\n\n \n")).collect();
    let transcript = transcript(&text);
    let all = shown(transcript.lines().map(Result::unwrap));
    for n in [0, 1, 2, 10, 99, 100, 101, 1000] {
        let expected = &all[100usize.saturating_sub(n)..];
        assert_eq!(shown(transcript.tail(n).unwrap()), expected, "last {n}");
    }
}

#[test]
fn the_tail_looks_past_damage_until_it_has_enough_records() {
    let text =
        format!("{}{}{{\"z\":1}}{{\"z\":2}}\ncut", "{\"a\":1}\n{\"a\":2}\n", "x\n".repeat(500));
    let transcript = transcript(text);
    assert_eq!(shown(transcript.tail(2).unwrap()), ["{\"z\":1}", "{\"z\":2}", "[torn-tail]"]);
    let three = shown(transcript.tail(3).unwrap());
    assert_eq!((three.len(), three[0].as_str()), (1 + 500 + 4, "{\"a\":2}"));
    assert_eq!(shown(transcript.tail(9).unwrap()).len(), 2 + 500 + 4);
}

#[test]
fn the_tail_crosses_the_borders_of_blocks() {
    for pad in [65_526, 65_527, 65_528, 65_529, 200_000] {
        let text = format!("{{\"a\":1}}\n{{\"b\":\"{}\"}}\n{{\"c\":3}}\n", "x".repeat(pad));
        let transcript = transcript(&text);
        let all: Vec<_> = text.lines().collect();
        for n in 1..=3 {
            assert_eq!(shown(transcript.tail(n).unwrap()), all[3 - n..], "{pad}");
        }
    }
}

#[test]
fn the_tail_is_read_again_if_the_file_shrinks_under_it() {
    let transcript = transcript("{\"a\":1}\n");
    let file = transcript.file().try_clone().unwrap();
    let writer = std::thread::spawn(move || {
        for _ in 0..100 {
            file.set_len(8 << 20).unwrap();
            std::thread::yield_now();
            file.set_len(8).unwrap();
        }
    });
    let mut shrunk = 0;
    while !writer.is_finished() {
        let tail = transcript.tail(1).unwrap();
        assert!(matches!(&tail[0], Item::Line(line) if line.range == (0..7)), "{tail:?}");
        shrunk += 1;
    }
    writer.join().unwrap();
    assert!(shrunk > 0 && shown(transcript.tail(1).unwrap()) == ["{\"a\":1}"]);
}

#[test]
fn only_regular_files_are_opened_and_the_error_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let message = |name: &str| Transcript::open(at(name)).unwrap_err().to_string();
    std::fs::write(at("s.jsonl"), "1\n").unwrap();
    assert!(Transcript::open(at("s.jsonl")).is_ok());
    std::os::unix::fs::symlink(at("s.jsonl"), at("link")).unwrap();
    assert!(message("link").contains("is a symbolic link; name the file that it points to"));
    std::fs::create_dir(at("dir")).unwrap();
    assert!(message("dir").contains("is a directory, not a regular file"));
    make_pipe(&at("pipe"));
    assert!(message("pipe").contains("is a named pipe, not a regular file"));
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    assert!(message("socket").contains("is a socket"));
    assert!(message("none").contains("cannot open it: No such file"));
}

fn make_pipe(path: &Path) {
    use rustix::fs::{CWD, FileType};
    rustix::fs::mknodat(CWD, path, FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
}
