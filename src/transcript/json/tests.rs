use super::*;

fn whole(text: &[u8]) -> bool {
    let mut json = Validator::new();
    json.feed(text).is_ok() && json.is_whole()
}

#[test]
fn every_kind_of_value_is_whole() {
    for text in [
        "{}",
        "[]",
        "0",
        "-0",
        "10",
        "-1.5e+10",
        "1E9",
        "0.0",
        "true",
        "false",
        "null",
        r#""""#,
        r#""a\"\\\/\b\f\n\r\t\u00e9""#,
        r#" { "a" : [ 1 , { "b" : null } ] } "#,
        r#""\ud800""#,
        "1e999",
        "[[[]],{\"\":{}}]\r",
    ] {
        assert!(whole(text.as_bytes()), "{text}");
    }
}

#[test]
fn what_is_cut_or_wrong_is_not() {
    for text in [
        "",
        " ",
        "{",
        "[",
        "\"",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "[1,",
        "tru",
        "-",
        "01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "--1",
        "0x10",
        "NaN",
        "Infinity",
        "{a:1}",
        "{'a':1}",
        "[1,]",
        "{\"a\":1,}",
        "[,1]",
        "{,}",
        "[1}",
        "{\"a\":1]",
        "\"\t\"",
        "\"\\x\"",
        "\"\\u12g4\"",
        "{}{}",
        "1 2",
        "nul1",
        "truee",
        "{\"a\" 1}",
        "{1:2}",
        "\u{feff}{}",
        "]",
        "}",
        "\"a\0\"",
        "\0",
    ] {
        assert!(!whole(text.as_bytes()), "{text:?}");
    }
}

#[test]
fn a_second_value_is_rejected_at_its_first_byte() {
    let mut json = Validator::new();
    assert_eq!(json.feed(b"{\"text\":\"one "), Ok(()));
    assert!(!json.is_whole());
    assert_eq!(json.feed(b"two\"}"), Ok(()));
    assert!(json.is_whole());
    assert_eq!(json.feed(b" {"), Err(1));
}

#[test]
fn the_pieces_may_be_cut_anywhere() {
    let text =
        r#"{"key":["a\u00e9\n",-12.5e-3,true,null,{"x":{}}],"long":"0123456789abcdef{0123456789"}"#;
    for cut in 0..text.len() {
        let mut json = Validator::new();
        assert_eq!(json.feed(&text.as_bytes()[..cut]), Ok(()));
        assert!(!json.is_whole(), "cut at {cut}");
        assert_eq!(json.feed(&text.as_bytes()[cut..]), Ok(()));
        assert!(json.is_whole());
    }
}

#[test]
fn a_hundred_thousand_levels_are_accepted_and_more_than_the_cap_is_not() {
    for (levels, good) in [(100_000, true), (MAX_DEPTH, true), (MAX_DEPTH + 1, false)] {
        let mut text = vec![b'['; levels];
        text.resize(levels * 2, b']');
        assert_eq!(whole(&text), good, "{levels} levels");
    }
    let text = format!("{}1{}", "{\"a\":[".repeat(50_000), "]}".repeat(50_000));
    assert!(whole(text.as_bytes()));
    assert!(!whole(&text.as_bytes()[..text.len() - 1]));
}
