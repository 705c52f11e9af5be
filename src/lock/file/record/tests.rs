use std::sync::Arc;

use serde_json::Map;

use super::*;

fn want(label: &str) -> Want {
    Want {
        owner: Uuid::now_v7(),
        label: Some(Arc::from(label)),
        facts: None,
        rules: Arc::default(),
    }
}

#[test]
fn what_is_written_is_read_back() {
    let want = want("a \"reply\"\nto\tsomebody");
    let bytes = encode(&want, None, SystemTime::now(), 0);
    let Reading::Ours(record) = parse(&bytes) else {
        panic!("{}", String::from_utf8_lossy(&bytes))
    };
    assert_eq!(record.owner, Some(want.owner));
    assert_eq!(record.label.as_deref(), want.label.as_deref());
    assert_eq!(record.pid, PidClaim::Pid(std::process::id() as i32));
    assert!(record.holder(true, false).this_process);
    assert!(
        !record.holder(true, false).label.unwrap().contains('\n'),
        "shown without control characters"
    );
}

#[test]
fn a_record_stays_under_4096_bytes_whatever_the_label() {
    let label = "\u{1}".repeat(5000);
    let bytes = encode(&want(cut_label(&label)), None, SystemTime::now(), 100_000);
    assert!(bytes.len() <= 4096);
    assert!(matches!(parse(&bytes), Reading::Ours(_)));
}

#[test]
fn further_facts_are_written_unless_they_are_too_long() {
    let facts =
        |path: String| Some(Arc::new(Map::from_iter([("configPath".to_owned(), path.into())])));
    let written = Want { facts: facts("/etc/x".into()), ..want("gateway") };
    let bytes = encode(&written, None, SystemTime::now(), 0);
    assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap()["configPath"], "/etc/x");
    let written = Want { facts: facts("x".repeat(4096)), ..want("gateway") };
    let bytes = encode(&written, None, SystemTime::now(), 0);
    assert_eq!(serde_json::from_slice::<Value>(&bytes).unwrap().get("configPath"), None);
    let Reading::Ours(record) = parse(&bytes) else { panic!() };
    assert_eq!(record.owner, Some(written.owner));
}

#[test]
fn a_shorter_record_is_padded_over_a_longer_one() {
    let file = tempfile::tempfile().unwrap();
    let long = encode(&want(&"long ".repeat(50)), None, SystemTime::now(), 0);
    rewrite(&file, &long, 0).unwrap();
    let short = want("short");
    let bytes = encode(&short, None, SystemTime::now(), long.len());
    rewrite(&file, &bytes, long.len()).unwrap();
    assert!(is_still(&file, &bytes).unwrap());
    assert!(!is_still(&file, &long).unwrap());
    let Reading::Ours(record) = read(&file).unwrap() else { panic!() };
    assert_eq!(record.owner, Some(short.owner));
}

#[test]
fn hostile_records_are_told_apart() {
    assert_eq!(parse(b""), Reading::Malformed { empty: true });
    assert_eq!(parse(b"{"), Reading::Malformed { empty: false });
    assert_eq!(parse(&vec![b' '; MAX_READ + 1]), Reading::Malformed { empty: false });
    assert_eq!(parse(b"~\"pid\":1}"), Reading::Spoiled);
    assert_eq!(parse(b"[4242]"), Reading::Malformed { empty: false });
    assert_eq!(parse(b"4242"), Reading::Malformed { empty: false });
    assert_eq!(parse("[".repeat(60_000).as_bytes()), Reading::Malformed { empty: false });
    for (text, pid) in [
        (r#"{"pid":-1}"#, PidClaim::Invalid),
        (r#"{"pid":0}"#, PidClaim::Invalid),
        (r#"{"pid":18446744073709551616}"#, PidClaim::Invalid),
        (r#"{"pid":"1; rm -rf /"}"#, PidClaim::Invalid),
        (r#"{"pid":1.5}"#, PidClaim::Invalid),
        (r#"{}"#, PidClaim::Missing),
        (r#"{"pid":77}"#, PidClaim::Pid(77)),
        (r#"{"pid":1,"x":[{}],"pid":77,"x":0}"#, PidClaim::Pid(77)),
    ] {
        let Reading::Foreign(record) = parse(text.as_bytes()) else { panic!("{text}") };
        assert_eq!(record.pid, pid, "{text}");
    }
}

#[test]
fn a_foreign_record_is_understood() {
    let text = r#"{ "pid": 42, "createdAt": "2026-04-15T10:00:00.123Z", "starttime": 99,
        "maxHoldMs": 300000 }"#;
    let Reading::Foreign(record) = parse(text.as_bytes()) else { panic!() };
    assert_eq!((record.pid, record.start_time), (PidClaim::Pid(42), Some(99)));
    assert_eq!(format!("{:.3}", record.created_at.unwrap()), "2026-04-15T10:00:00.123Z");
}
