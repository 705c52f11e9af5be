//! Gateways that are to run beside each other.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use turnlock_testing::{Ended, ended};

use crate::rig::*;

fn gateway_with(home: &Home, name: &str, config: &str) -> PathBuf {
    let dir = home.dir.path().join(name);
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("openclaw.json"), config).unwrap();
    dir
}

fn check(gateways: &[&PathBuf]) -> Ended {
    ended(gateway(&["check-isolation"]).args(gateways))
}

#[test]
fn gateways_on_their_own_pass() {
    let home = home();
    let a = gateway_with(
        &home,
        "a",
        "{ gateway: { port: 18789 }, agents: { defaults: { workspace: '/w/a' } } }",
    );
    let b = gateway_with(
        &home,
        "b",
        "// JSON5, as OpenClaw reads it\n\
         { gateway: { port: 18909, }, agents: { defaults: { workspace: '/w/b' } }, unknown: [1], }",
    );
    let c = gateway_with(
        &home,
        "c",
        "{ gateway: { port: 20000 }, agents: { defaults: { workspace: '/w/c' } } }",
    );
    let checked = check(&[&a, &b, &c]);
    assert_eq!(
        (checked.code, checked.out.as_str()),
        (Some(0), "3 gateways, each on its own.\n"),
        "{checked:?}"
    );
}

#[test]
fn conflicts_are_named_with_their_pair() {
    let home = home();
    let a = gateway_with(
        &home,
        "a",
        "{ gateway: { port: 18789 }, agents: { defaults: { workspace: '/w/a' } } }",
    );
    let near = gateway_with(
        &home,
        "near",
        "{ gateway: { port: 18908 }, agents: { defaults: { workspace: '/w/b' } } }",
    );
    let same = gateway_with(
        &home,
        "same",
        "{ agents: { list: [{ id: 'x', workspace: '/w/a' }], defaults: { workspace: '/w/c' } } }",
    );
    let link = home.dir.path().join("link");
    std::os::unix::fs::symlink(&a, &link).unwrap();
    let pair = |x: &PathBuf, y: &PathBuf| format!("- {} and {}: ", x.display(), y.display());

    let checked = check(&[&a, &near]);
    assert_eq!(checked.code, Some(1));
    assert!(
        checked.out.starts_with(&(pair(&a, &near) + "base ports 18789 and 18908 are 119 apart")),
        "{checked:?}"
    );
    let checked = check(&[&a, &same]);
    assert!(checked.out.contains(&(pair(&a, &same) + "the same workspace, /w/a")), "{checked:?}");
    assert!(checked.out.contains("the same port, 18789"), "{checked:?}");
    let checked = check(&[&near, &a, &link]);
    for words in [
        "the same config, ",
        "the same state directory, ",
        "the same workspace, ",
        "the same port, ",
    ] {
        assert!(checked.out.contains(&(pair(&a, &link) + words)), "{words}: {checked:?}");
    }
    assert!(!checked.out.contains(&(pair(&near, &a) + "the same")), "{checked:?}");
    let json = ended(gateway(&["check-isolation", "--json"]).args([&a, &near]));
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["conflicts"][0]["about"], "ports-too-close");
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let home = home();
    let a = gateway_with(&home, "a", "{}");
    let broken = gateway_with(&home, "broken", "{ gateway: { port: 'ninety' } }");
    let high = gateway_with(&home, "high", "{ gateway: { port: 65500 } }");
    for (other, words) in [
        (&broken, "cannot read the config"),
        (&high, "beyond 65535"),
        (&home.dir.path().join("missing"), "No such file"),
    ] {
        let checked = check(&[&a, other]);
        assert!(checked.code == Some(1) && checked.err.contains(words), "{checked:?}");
    }
}

#[test]
fn configs_of_other_kinds_are_refused_at_once() {
    let home = home();
    let a = gateway_with(&home, "a", "{}");
    let deep = format!("{{ x: {}1{} }}", "[".repeat(100_000), "]".repeat(100_000));
    let deep = gateway_with(&home, "deep", &deep);
    // A comment must not hide the rest from the measure.
    let brackets = "[".repeat(100_000);
    let hidden = ["/* ' */", "/* \" */", "// ' \r", "// ' \u{2028}", "// ' \u{2029}"];
    let hidden: Vec<_> = hidden
        .iter()
        .enumerate()
        .map(|(n, comment)| {
            let config = format!("{comment} {{ x: {brackets}1");
            (gateway_with(&home, &format!("hidden-{n}"), &config), "nested deeper")
        })
        .collect();
    let large = format!("{{ x: '{}' }}", "x".repeat(5 << 20));
    let large = gateway_with(&home, "large", &large);
    let pipe = gateway_with(&home, "pipe", "{}");
    let config = pipe.join("openclaw.json");
    std::fs::remove_file(&config).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&config).status().unwrap().success());
    let rest = [
        (large, "larger than"),
        (deep, "nested deeper"),
        (pipe, "not a regular file"),
        (PathBuf::from("/dev/zero"), "not a regular file"),
    ];
    for (other, words) in hidden.into_iter().chain(rest) {
        let checked = check(&[&a, &other]);
        assert!(checked.code == Some(1) && checked.err.contains(words), "{checked:?}");
    }
}

#[test]
fn a_port_is_a_number_however_it_is_written() {
    let home = home();
    let a = gateway_with(&home, "a", "{ gateway: { port: 20500.0 } }");
    let b = gateway_with(&home, "b", "{ gateway: { port: 0x5014 } } // [[[ {{{");
    let checked = check(&[&a, &b]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(checked.out.contains("20500"), "{checked:?}");
    let half = gateway_with(&home, "half", "{ gateway: { port: 20500.5 } }");
    let checked = check(&[&a, &half]);
    assert!(checked.err.contains("20500.5 is no port"), "{checked:?}");
}

#[test]
fn names_that_are_no_utf8_are_told_to_machines() {
    let home = home();
    let name = std::ffi::OsStr::from_bytes(b"a\xff");
    let a = home.dir.path().join(name);
    std::fs::create_dir(&a).unwrap();
    let json = ended(gateway(&["check-isolation", "--json"]).args([&a, &a]));
    let told: serde_json::Value =
        serde_json::from_str(&json.out).unwrap_or_else(|e| panic!("{e}: {json:?}"));
    assert!(
        told["conflicts"][0]["path"].as_str().unwrap().ends_with("a\u{fffd}/openclaw.json"),
        "{json:?}"
    );
    let reclaim = home.state.join(std::ffi::OsStr::from_bytes(b"\xff.jsonl.lock.reclaim"));
    std::fs::create_dir_all(&reclaim).unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::open(&reclaim).unwrap().set_modified(old).unwrap();
    let json = home.ask("doctor", &["--json", "--port", &home.port.to_string()]);
    let told: serde_json::Value =
        serde_json::from_str(&json.out).unwrap_or_else(|e| panic!("{e}: {json:?}"));
    assert!(
        told["findings"][0]["facts"]["path"]
            .as_str()
            .unwrap()
            .ends_with("\u{fffd}.jsonl.lock.reclaim"),
        "{json:?}"
    );
}
