//! Command lines as they are shown: without secrets. Reports and logs are read by more people than
//! the process list, and kept for longer.

use std::borrow::Cow;

const MASK: &str = "***";
/// Parts of names whose values are secret, without `-` and `_`.
const SECRET: [&str; 10] = [
    "token",
    "secret",
    "password",
    "passwd",
    "passphrase",
    "apikey",
    "accesskey",
    "privatekey",
    "credential",
    "authorization",
];
/// What begins so is a secret, whatever its name.
const PREFIXES: [&str; 7] = ["sk-", "ghp_", "gho_", "github_pat_", "xoxb-", "xoxp-", "eyJ"];

/// Joins the words of a command line, with secrets masked.
pub(super) fn masked<'a>(words: impl Iterator<Item = Cow<'a, str>>) -> String {
    let mut line = String::new();
    // Whether the word before names a secret, which this word is then.
    let mut is_value = false;
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        if is_value && !word.starts_with('-') {
            line += MASK;
            is_value = false;
            continue;
        }
        is_value = word.starts_with('-') && !word.contains('=') && is_secret_name(&word);
        line += &word_masked(&word);
    }
    line
}

fn word_masked(word: &str) -> String {
    if let Some((name, _)) = word.split_once(['=', ':'])
        && !name.contains(char::is_whitespace)
        && !name.contains(['/', '?', '&'])
        && is_secret_name(name)
    {
        return word[..=name.len()].to_owned() + MASK;
    }
    // A script or a header has words of its own.
    if word.contains(char::is_whitespace) {
        return masked(word.split_whitespace().map(Cow::Borrowed));
    }
    // The first value of `NAME=VALUE` may be one, too.
    let value = word.rsplit_once('=').map_or(word, |(_, value)| value);
    if PREFIXES.iter().any(|prefix| value.len() > 12 && value.starts_with(prefix)) {
        return word[..word.len() - value.len()].to_owned() + MASK;
    }
    url_masked(word)
}

fn is_secret_name(name: &str) -> bool {
    let mut name = name.to_ascii_lowercase();
    name.retain(|c| !matches!(c, '-' | '_'));
    SECRET.iter().any(|secret| name.contains(secret))
}

/// Masks the password in `scheme://user:password@host`, and secrets in the query.
fn url_masked(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) => format!("{MASK}@{host}"),
        None => authority.to_owned(),
    };
    let (path, query) = path.split_once('?').map_or((path, None), |(path, q)| (path, Some(q)));
    let query = query.map_or_else(String::new, |query| {
        let parts: Vec<_> = query.split('&').map(word_masked).collect();
        format!("?{}", parts.join("&"))
    });
    format!("{scheme}://{authority}{path}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(words: &[&str]) -> String {
        masked(words.iter().map(|word| Cow::Borrowed(*word)))
    }

    #[test]
    fn secrets_are_masked() {
        for (words, line) in [
            (&["node", "--token=abc", "x"][..], "node --token=*** x"),
            (&["node", "--gateway-token", "abc", "x"], "node --gateway-token *** x"),
            (&["node", "--token", "--verbose"], "node --token --verbose"),
            (&["env", "OPENAI_API_KEY=abc", "x"], "env OPENAI_API_KEY=*** x"),
            (&["node", "--password", "two words"], "node --password ***"),
            (&["node", "--PassWord=two words"], "node --PassWord=***"),
            (&["node", "sk-0123456789abcdef"], "node ***"),
            (&["node", "--key=sk-0123456789abcdef"], "node --key=***"),
            (&["sh", "-c", "TOKEN=abc node --secret x y"], "sh -c TOKEN=***"),
            (&["x", "https://me:pw@host/p?a=1&token=t"], "x https://***@host/p?a=1&token=***"),
            (&["sh", "-c", "node --secret x y"], "sh -c node --secret *** y"),
            (&["curl", "X-Api-Key:abc"], "curl X-Api-Key:***"),
            (&["node", "gateway.mjs", "--port=1", "a:b"], "node gateway.mjs --port=1 a:b"),
            (&["node", "/srv/tokens/x.mjs:1"], "node /srv/tokens/x.mjs:1"),
        ] {
            assert_eq!(shown(words), line);
        }
        assert!(!shown(&["curl", "-H", "Authorization: Bearer abc"]).contains("abc"));
    }
}
