use super::super::lines::Lines;
use super::super::scan::Item;
use super::*;

fn report_of(lines: &[&str], max_line: usize) -> Report {
    let text = lines.join("\n") + "\n";
    let (source, mut graph) = (text.as_bytes(), Graph::default());
    for item in Lines::new(&source, 0..u64::MAX, max_line) {
        if let Item::Line(line) = item.unwrap() {
            graph.follow(&source, &line).unwrap();
        }
    }
    graph.report()
}

fn report(lines: &[&str]) -> Report {
    report_of(lines, usize::MAX)
}

/// Count, id and line.
fn told(found: &Found) -> (u64, Option<&str>, Option<u64>) {
    (found.count, found.first.as_deref(), found.line)
}

const NONE: (u64, Option<&str>, Option<u64>) = (0, None, None);
const HEADER: &str = r#"{"type":"session","version":3,"id":"s","timestamp":"","cwd":"/"}"#;

#[track_caller]
fn expect_sound(report: &Report) {
    let Report { headers, orphans, duplicates, cycles, values, strangers, calls, .. } = report;
    for found in [headers, orphans, duplicates, cycles, values, strangers, calls] {
        assert_eq!(told(found), NONE, "{report:?}");
    }
    assert_eq!(report.unchecked, None);
}

#[test]
fn a_tree_is_sound_also_when_a_parent_comes_later() {
    expect_sound(&report(&[
        HEADER,
        r#"{"type":"message","id":"a","parentId":null}"#,
        r#"{"type":"message","id":"b","parentId":"a"}"#,
        r#"{"type":"message","id":"c","parentId":"d"}"#,
        r#"{"type":"message","id":"d","parentId":"a"}"#,
    ]));
}

#[test]
fn a_missing_parent_and_a_second_header_are_found() {
    let found = report(&[
        HEADER,
        r#"{"type":"message","id":"b","parentId":"a"}"#,
        HEADER,
        r#"{"type":"message","id":"c","parentId":"b"}"#,
    ]);
    assert_eq!(told(&found.orphans), (1, Some("b"), Some(2)));
    assert_eq!((found.missing.as_deref(), told(&found.headers)), (Some("a"), (1, None, Some(3))));
}

#[test]
fn records_that_are_their_own_ancestors_are_found() {
    for (lines, first) in [
        (&[r#"{"id":"a","parentId":"a"}"#][..], ("a", 2)),
        (&[r#"{"id":"a","parentId":"b"}"#, r#"{"id":"b","parentId":"a"}"#], ("a", 2)),
        (
            &[
                r#"{"id":"a","parentId":null}"#,
                r#"{"id":"b","parentId":"a"}"#,
                r#"{"id":"a","parentId":"b"}"#,
            ],
            ("a", 4),
        ),
        (
            &[
                r#"{"id":"a","parentId":"c"}"#,
                r#"{"id":"b","parentId":"a"}"#,
                r#"{"id":"c","parentId":"b"}"#,
                r#"{"id":"d","parentId":"c"}"#,
            ],
            ("a", 2),
        ),
    ] {
        let found = report(&[&[HEADER], lines].concat());
        assert_eq!(told(&found.cycles), (1, Some(first.0), Some(first.1)), "{lines:?}");
        assert_eq!(told(&found.orphans), NONE);
    }
    let two = report(&[
        HEADER,
        r#"{"id":"a","parentId":"b"}"#,
        r#"{"id":"b","parentId":"a"}"#,
        r#"{"id":"c","parentId":"d"}"#,
        r#"{"id":"d","parentId":"c"}"#,
        r#"{"id":"e","parentId":"f"}"#,
        r#"{"id":"f","parentId":"c"}"#,
    ]);
    assert_eq!(told(&two.cycles), (2, Some("a"), Some(2)), "what leads to one is none");
}

#[test]
fn ids_that_are_there_twice_are_found_and_told_from_the_same_record_again() {
    let a = r#"{"type":"message","id":"a","parentId":null}"#;
    let other = r#"{"type":"message","id":"a","parentId":null,"x":1}"#;
    let found = report(&[HEADER, a, a, other]);
    assert_eq!((told(&found.duplicates), found.repeated), ((2, Some("a"), Some(3)), 1));
}

/// One odd record does not end the check for the rest.
#[test]
fn odd_records_are_passed() {
    let long = format!(r#"{{"id":"long","parentId":"a","text":"{}"}}"#, "x".repeat(100_000));
    let long_at_end = format!(r#"{{"text":"{}","id":"long","parentId":"a"}}"#, "x".repeat(100_000));
    let deep = format!(r#"{{"x":{}1{},"id":"o"}}"#, "[".repeat(1000), "]".repeat(1000));
    for odd in [
        r#"{"id":5,"parentId":null}"#,
        r#"{"id":"x","id":"y","parentId":null}"#,
        r#"{"id":"\ud800","parentId":null}"#,
        r#"{"id":{},"parentId":[]}"#,
        r#"{"id":"","parentId":""}"#,
        &long,
        &long_at_end,
        &deep,
        "{}",
    ] {
        let lines = [
            HEADER,
            r#"{"id":"a","parentId":null}"#,
            odd,
            r#"{"id":"b","parentId":"lost"}"#,
            r#"{"id":"a","parentId":null}"#,
        ];
        let found = report_of(&lines, 1000);
        assert_eq!(told(&found.orphans), (1, Some("b"), Some(4)), "{odd}");
        assert_eq!(told(&found.duplicates), (1, Some("a"), Some(5)), "{odd}");
    }
    // They can be parents.
    for (odd, id) in [
        (r#"{"id":5,"parentId":null}"#, "5"),
        (r#"{"id":"x","id":"y","parentId":null}"#, "\"y\""),
        (r#"{"id":"\ud800","parentId":null}"#, "\"\\ud800\""),
        (r#"{"id":"\u0061\u0062","parentId":null}"#, "\"ab\""),
        (&long, "\"long\""),
        (&long_at_end, "\"long\""),
    ] {
        let child = format!(r#"{{"id":"b","parentId":{id}}}"#);
        let lines = [HEADER, r#"{"id":"a","parentId":null}"#, odd, &child];
        expect_sound(&report_of(&lines, 1000));
    }
}

#[test]
fn lines_that_are_no_objects_are_found_where_the_format_is_known() {
    let a = r#"{"type":"message","id":"a","parentId":null}"#;
    for (line, kind) in [
        ("null", "null"),
        ("[1]", "an array"),
        (" 5", "a number"),
        ("\"x\"", "a string"),
        ("true", "a boolean"),
    ] {
        let found = report(&[HEADER, line, a]);
        assert_eq!(told(&found.values), (1, Some(kind), Some(2)));
        expect_sound(&report(&[line, r#"{"x":1}"#]));
    }
}

#[test]
fn the_links_of_claude_code_are_followed() {
    let record = |id: &str, parent: &str, session: &str| {
        format!(r#"{{"parentUuid":{parent},"type":"user","uuid":"{id}","sessionId":"{session}"}}"#)
    };
    let sound = [record("a", "null", "s"), record("b", "\"a\"", "s")];
    expect_sound(&report(&[&sound[0], &sound[1]]));
    let found =
        report(&[&sound[0], &record("b", "\"lost\"", "s"), &record("c", "\"b\"", "t"), "null"]);
    assert_eq!(told(&found.orphans), (1, Some("b"), Some(2)));
    assert_eq!(told(&found.strangers), (1, Some("t"), Some(3)));
    assert_eq!(told(&found.values), (1, Some("null"), Some(4)));
    let found = report(&[&record("a", "\"b\"", "s"), &record("b", "\"a\"", "s")]);
    assert_eq!(told(&found.cycles), (1, Some("a"), Some(1)));
}

#[test]
fn the_header_of_copilot_is_a_parent() {
    let header = r#"{"type":"session.start","data":{},"id":"e0","parentId":null}"#;
    let first = r#"{"type":"user.message","data":{},"id":"e1","parentId":"e0"}"#;
    expect_sound(&report(&[header, first]));
    assert_eq!(told(&report(&[first]).orphans), (1, Some("e1"), Some(1)));
}

#[test]
fn calls_without_a_result_are_found_once_a_user_has_spoken() {
    let claude = |id: &str, parent: &str, role: &str, content: &str| {
        format!(
            r#"{{"parentUuid":{parent},"type":"{role}","uuid":"{id}","sessionId":"s",
               "message":{{"role":"{role}","content":{content}}}}}"#
        )
        .replace('\n', "")
    };
    let call = claude("a", "null", "assistant", r#"[{"type":"tool_use","id":"t1"}]"#);
    let result =
        claude("b", "\"a\"", "user", r#"[{"type":"tool_result","tool_use_id":"t1","content":[]}]"#);
    let user = claude("c", "\"a\"", "user", r#""go on""#);
    expect_sound(&report(&[&call]));
    expect_sound(&report(&[&call, &result]));
    expect_sound(&report(&[&call, &user, &result]));
    assert_eq!(told(&report(&[&call, &user]).calls), (1, Some("t1"), Some(1)));
    let aside = user
        .replace("\"type\":\"user\",\"uuid\"", "\"isSidechain\":true,\"type\":\"user\",\"uuid\"");
    expect_sound(&report(&[&call, &aside]));

    let openclaw = |id: &str, message: &str| {
        format!(r#"{{"type":"message","id":"{id}","parentId":null,"message":{message}}}"#)
    };
    let call = openclaw("a", r#"{"role":"assistant","content":[{"type":"toolCall","id":"t1"}]}"#);
    let result = openclaw("b", r#"{"role":"toolResult","toolCallId":"t1","content":[]}"#);
    let user = openclaw("c", r#"{"role":"user","content":"go on"}"#);
    expect_sound(&report(&[HEADER, &call, &result, &user]));
    assert_eq!(told(&report(&[HEADER, &call, &user]).calls), (1, Some("t1"), Some(2)));

    let codex = |payload: &str| {
        format!(r#"{{"timestamp":"t","type":"response_item","payload":{payload}}}"#)
    };
    let meta = r#"{"timestamp":"t","type":"session_meta","payload":{"id":"s","cwd":"/"}}"#;
    let call = codex(r#"{"type":"function_call","call_id":"t1"}"#);
    let result = codex(r#"{"type":"function_call_output","call_id":"t1"}"#);
    let user = codex(r#"{"type":"message","role":"user","content":[]}"#);
    expect_sound(&report(&[meta, &call, &result, &user]));
    assert_eq!(told(&report(&[meta, &call, &user]).calls), (1, Some("t1"), Some(2)));
}
