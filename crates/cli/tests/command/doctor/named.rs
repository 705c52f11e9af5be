//! What is wrong with a line is called by its name.

use std::fs;

use turnlock_testing::{ended, room};

use super::made::{doctor, found};

const H: &str = r#"{"type":"session","version":3,"id":"s","timestamp":"t","cwd":"/"}"#;

#[test]
fn what_other_programs_leave_in_a_line_is_named_and_taken_out() {
    let good = format!("{H}\n{}\n", r#"{"type":"message","id":"a","parentId":null}"#);
    let record = r#"{"type":"message","id":"b","parentId":"a"}"#;
    for (line, name, left) in [
        (r#"{"type":"custom","id":"n","parentId":"a","data":NaN}"#.to_owned(), "nan", None),
        (r#"{"type":"custom","id":"n","parentId":"a","data":[-Infinity]}"#.into(), "nan", None),
        (r#"{"type":"custom","id":"n","parentId":"a","data":undefined}"#.into(), "undefined", None),
        (format!("\u{feff}{record}"), "byte-order-mark", Some(record)),
    ] {
        for end in ["\n", "\r\n", ""] {
            let room = room();
            let text = format!("{good}{line}{end}");
            fs::write(&room.session, &text).unwrap();
            let (answer, _) = found(&[], &room.session);
            let damages = &answer["findings"][0]["problem"]["survey"]["damages"];
            assert_eq!(damages[name], 1, "{text:?}: {answer}");
            assert_eq!(ended(doctor(&["--fix"], &room.session)).code, Some(0));
            let left = left.map_or(String::new(), |record| {
                format!("{record}{}\n", end.trim_end_matches('\n'))
            });
            assert_eq!(room.text(), format!("{good}{left}"));
            assert_eq!(ended(doctor(&["--undo"], &room.session)).code, Some(0));
            assert_eq!(room.text(), text);
        }
    }
}

/// A file that begins with a mark has its header all the same.
#[test]
fn a_mark_at_the_front_hides_no_header() {
    let room = room();
    fs::write(&room.session, format!("\u{feff}{H}\n")).unwrap();
    let (answer, _) = found(&[], &room.session);
    let findings = answer["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{answer}");
    assert_eq!(findings[0]["problem"]["survey"]["damages"]["byte-order-mark"], 1);
    assert_eq!(ended(doctor(&["--fix"], &room.session)).code, Some(0));
    assert_eq!(room.text(), format!("{H}\n"));
}

/// The verdict on a record that lacks its last brace is the same, whoever writes behind it.
#[test]
fn a_torn_record_gives_no_record_whether_it_was_sealed_or_not() {
    let torn = r#"{"type":"message","id":"a","parentId":null,"message":{"content":"two"}"#;
    for front in ["", "\0\0\0", "\0"] {
        for end in ["", "\n", "\r\n"] {
            let room = room();
            // With NULs over its front, only the inner object is left of it.
            let torn = if front.is_empty() { torn } else { r#"{"content":"two"}}"# };
            fs::write(&room.session, format!("{H}\n{front}{torn}{end}")).unwrap();
            assert_eq!(ended(doctor(&["--fix"], &room.session)).code, Some(0));
            assert_eq!(room.text(), format!("{H}\n"));
        }
    }
}
