use super::*;

const HEADER: &str = concat!(
    r#"{"type":"session","version":3,"id":"s","#,
    r#""timestamp":"2026-01-01T00:00:00.000Z","cwd":"/srv"}"#
);
const MESSAGE: &str = concat!(
    r#"{"type":"message","id":"a","parentId":null,"#,
    r#""timestamp":"2026-01-02T00:00:00.000Z","message":{"role":"user","content":"hi"}}"#
);
const META: &str = concat!(
    r#"{"timestamp":"2026-01-01T00:00:00.000Z","type":"session_meta","payload":{"id":"c","#,
    r#""timestamp":"2026-01-01T00:00:00.000Z","cwd":"/srv","originator":"codex_cli_rs","#,
    r#""cli_version":"0.46.0","git":{"branch":"main"}}}"#
);
const TURN: &str = concat!(
    r#"{"timestamp":"2026-01-02T00:00:00.000Z","type":"turn_context","#,
    r#""payload":{"cwd":"/home/me","model":"m"}}"#
);

#[test]
fn a_format_is_recognised_by_its_records() {
    use Format::*;
    for (record, format) in [
        (HEADER, Some(OpenClaw)),
        (MESSAGE, Some(OpenClaw)),
        (META, Some(Codex)),
        (TURN, Some(Codex)),
        (
            r#"{"parentUuid":null,"sessionId":"s","type":"user","message":{},"uuid":"u"}"#,
            Some(ClaudeCode),
        ),
        (r#"{"type":"summary","summary":"…","leafUuid":"u"}"#, Some(ClaudeCode)),
        (r#"{"sessionId":"s","projectHash":"h","startTime":"","kind":"main"}"#, Some(GeminiCli)),
        (r#"{"id":"1","timestamp":"","type":"gemini","content":"hi"}"#, Some(GeminiCli)),
        (r#"{"type":"session.start","data":{"sessionId":"s"},"id":"e"}"#, Some(CopilotCli)),
        (r#"{"type":"user.message","data":{},"id":"e","parentId":null}"#, Some(CopilotCli)),
        // Odd records, which tell all the same.
        (r#"{"type":"message","id":7,"id":8,"parentId":"\ud800"}"#, Some(OpenClaw)),
        // Records that any program may have written.
        (r#"{"type":"message","id":"a","message":{}}"#, None),
        (r#"{"id":"a","parentId":null}"#, None),
        (r#"{"type":"session"}"#, None),
        (r#"{"type":"user","id":"b","parentId":"a"}"#, None),
        (r#"{"a":{"type":"session","id":"s"}}"#, None),
        (r#"["type","session"]"#, None),
        ("null", None),
        ("", None),
    ] {
        assert_eq!(Format::of_record(record.as_bytes()), format, "{record}");
    }
    assert_eq!(Format::of([&b"{}"[..], MESSAGE.as_bytes()]), Some(OpenClaw));
}

#[track_caller]
fn rebuilt(format: Format, fragment: &str, name: &str) -> (serde_json::Value, Vec<String>) {
    let records = [MESSAGE.as_bytes().to_vec(), TURN.as_bytes().to_vec()];
    let remains = Remains { fragment: fragment.as_bytes(), records: &records, name, now: "now" };
    let rebuilt = format.rebuild(&remains).unwrap();
    assert!(format.is_header(rebuilt.line.as_bytes()), "{}", rebuilt.line);
    (serde_json::from_str(&rebuilt.line).unwrap(), rebuilt.invented)
}

#[test]
fn a_header_is_rebuilt_of_what_is_left_wherever_it_was_cut() {
    let whole: serde_json::Value = serde_json::from_str(HEADER).unwrap();
    for cut in 0..HEADER.len() {
        for glued in ["", MESSAGE, "\0\0"] {
            let fragment = format!("{}{glued}", &HEADER[..cut]);
            let (header, invented) = rebuilt(Format::OpenClaw, &fragment, "s");
            assert_eq!((&header["id"], &header["version"]), (&whole["id"], &whole["version"]));
            for key in ["timestamp", "cwd"] {
                let known = ["timestamp", "cwd"].iter().all(|key| whole[key] == header[key]);
                assert!(known || !invented.is_empty(), "{fragment} {key}");
                assert!(header[key] == whole[key] || key != "cwd" || header[key].is_null());
            }
        }
    }
    let (header, invented) = rebuilt(Format::OpenClaw, &HEADER[..HEADER.len() - 1], "other");
    assert_eq!((header, invented), (whole.clone(), vec![]));
    // Its beginning is lost.
    let (header, _) = rebuilt(Format::OpenClaw, &format!("\0\0\0{}", &HEADER[9..]), "other");
    assert_eq!(header, whole);
    // The end of a record is no header.
    let (header, _) = rebuilt(Format::OpenClaw, r#","id":"x","parentId":"y","cwd":"/"}"#, "s");
    assert_eq!((&header["id"], header.get("cwd")), (&"s".into(), None));
}

#[test]
fn what_is_not_left_is_taken_from_the_name_and_the_records_and_told() {
    let id = "171bf324-9b51-4c6e-b364-a41ba9f5ac0b";
    for name in [id.to_owned(), format!("2026-01-01T00-00-00-000Z_{id}"), format!("{id}-topic-7")] {
        let (header, invented) = rebuilt(Format::OpenClaw, "", &name);
        assert_eq!((&header["id"], &header["version"]), (&id.into(), &3.into()));
        assert_eq!(header["timestamp"], "2026-01-02T00:00:00.000Z");
        assert_eq!(invented.len(), 4, "{invented:?}");
    }
    let name = format!("rollout-2026-01-01T00-00-00-{id}");
    let (header, invented) = rebuilt(Format::Codex, "", &name);
    assert_eq!(
        (&header["payload"]["id"], &header["payload"]["cwd"]),
        (&id.into(), &"/home/me".into())
    );
    assert_eq!(invented.len(), 5, "{invented:?}");
    let (header, invented) = rebuilt(Format::Codex, &META[..META.len() - 2], &name);
    assert_eq!(header["payload"]["git"]["branch"], "main");
    assert_eq!((header["payload"]["id"].as_str(), invented), (Some("c"), vec![]));

    let refused = |format: Format, fragment: &str, name| {
        let remains = Remains { fragment: fragment.as_bytes(), records: &[], name, now: "now" };
        format.rebuild(&remains).unwrap_err();
    };
    refused(Format::OpenClaw, r#"{"type":"session","id":"x"#, "a name");
    refused(Format::Codex, "", "s");
    refused(Format::Codex, "", &name);
    refused(Format::GeminiCli, r#"{"sessionId":"s","projec"#, "s");
    refused(Format::CopilotCli, "", "events");
}
