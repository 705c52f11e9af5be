//! Locks grouped by instance, one line each, for a terminal of 80 columns.

use std::path::Path;

use anstyle::{AnsiColor, Style};
use turnlock::{LockReport, LockState};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{Looked, View, words};
use crate::output::printable;
use crate::places::Instance;

/// The widths of the columns between the session and the label.
const STATE: usize = 10;
/// Linux has none with more digits.
const PID: usize = 7;
const SINCE: usize = 11;
const WAITING: usize = 7;
/// Those, with two spaces before each column.
const BETWEEN: usize = 2 + STATE + 2 + PID + 2 + SINCE + 2 + WAITING + 2;
const INDENT: &str = "  ";
/// The session gets at least so much, and the label the rest.
const SESSION: usize = 12;

impl View {
    pub(super) fn grouped(&self, columns: usize) -> String {
        let mut text = String::new();
        let mut without = Vec::new();
        for instance in &self.instances {
            let locks: Vec<_> =
                self.locks.iter().filter(|lock| lock.instance == *instance).collect();
            if locks.is_empty() {
                without.push(instance);
                continue;
            }
            text += &self.group(instance, &locks, columns);
        }
        text += &closing(&without, columns);
        text
    }

    fn group(&self, instance: &Instance, locks: &[&Looked], columns: usize) -> String {
        let bold = Style::new().bold();
        let dim = Style::new().dimmed();
        let program = instance.program.map(|program| format!(" ({program})")).unwrap_or_default();
        let room = columns.saturating_sub(program.width());
        let path = cut(&printable(&instance.path.display().to_string()), room);
        let names: Vec<_> = locks.iter().map(|lock| name_in(instance, &lock.report)).collect();
        // A record may name any number, which says nothing if a part of it is left out.
        let pid = locks.iter().map(|lock| words::pid(&lock.report).width()).max().unwrap_or(0);
        let pid = pid.max(PID);
        let rest = columns - INDENT.len() - BETWEEN - (pid - PID);
        let longest = names.iter().map(|name| name.width()).max().unwrap_or_default();
        let labelled = locks.iter().any(|lock| !label(&lock.report).is_empty());
        let share = if labelled { rest * 2 / 3 } else { rest };
        let session = longest.clamp(SESSION, share.max(SESSION));
        let mut text = format!("{bold}{path}{bold:#}{program}\n{dim}");
        let titles = ["session", "state", "pid", "held since", "waiting", "label"];
        text += &line(titles.map(str::to_owned), [session, pid, rest - session], Style::new());
        text += &format!("{dim:#}");
        for (lock, name) in locks.iter().zip(&names) {
            let report = &lock.report;
            let waiting = match self.waiting.for_lock(&report.lock).len() {
                0 => String::new(),
                count => count.to_string(),
            };
            let fields = [
                name.clone(),
                words::state_word(report.state).to_owned(),
                words::pid(report),
                words::age(report),
                waiting,
                label(report),
            ];
            text += &line(fields, [session, pid, rest - session], colour(report.state));
        }
        text + "\n"
    }
}

/// The session's path in its instance; of `agents/<agent>/sessions/<file>` only agent and file.
fn name_in(instance: &Instance, report: &LockReport) -> String {
    let session = report.session();
    let below = session.strip_prefix(&instance.path).unwrap_or(&session);
    let names: Vec<_> = below.iter().map(|name| name.display().to_string()).collect();
    let name = match &names[..] {
        [agents, agent, sessions, file] if agents == "agents" && sessions == "sessions" => {
            format!("{agent}/{file}")
        }
        _ if below.is_absolute() => file_name(&session),
        _ => names.join("/"),
    };
    printable(&name)
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().display().to_string()
}

/// What the holder does. One of another machine or container says where.
fn label(report: &LockReport) -> String {
    let (label, host) = (words::label(report), words::host(report));
    let here = rustix::system::uname();
    let host = host.filter(|host| here.nodename().to_str() != Ok(host.as_str()));
    let told = match (host, label.is_empty(), &report.error) {
        (_, _, Some(error)) => error.clone(),
        (Some(host), true, None) => format!("on {host}"),
        (Some(host), false, None) => format!("{label}, on {host}"),
        (None, _, None) => label,
    };
    printable(&told)
}

/// A line with these fields. Given are the widths of the session, the pid and the label.
fn line(fields: [String; 6], widths: [usize; 3], style: Style) -> String {
    let ([name, state, pid, since, waiting, told], [session, number, label]) = (fields, widths);
    let text = format!(
        "{INDENT}{}  {style}{}{style:#}  {}  {}  {}  {}",
        filled(&name, session),
        filled(&state, STATE),
        filled(&pid, number),
        filled(&since, SINCE),
        filled(&waiting, WAITING),
        cut(&told, label)
    );
    text.trim_end().to_owned() + "\n"
}

fn colour(state: LockState) -> Style {
    match state {
        LockState::Held | LockState::Foreign => AnsiColor::Green,
        LockState::Unreadable => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    }
    .on_default()
}

/// The instances that have no lock, in a line.
fn closing(without: &[&Instance], columns: usize) -> String {
    let text = match without {
        [] => return String::new(),
        [one] => format!("no locks: {}", printable(&one.path.display().to_string())),
        many => format!("no locks in {} more instances; --json lists them", many.len()),
    };
    cut(&text, columns) + "\n"
}

/// Text in a column of this width.
fn filled(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let space = width - text.width();
    text + &" ".repeat(space)
}

/// Text that is no wider. Of a longer one the middle is left out: names differ at both ends.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let Some(room) = width.checked_sub(1) else { return String::new() };
    let end = taken(text.chars().rev(), room.div_ceil(2)).chars().rev().collect::<String>();
    taken(text.chars(), room - end.width()) + "…" + &end
}

/// The first characters that fit.
fn taken(characters: impl Iterator<Item = char>, width: usize) -> String {
    let mut left = width;
    characters
        .take_while(|c| {
            let needed = c.width().unwrap_or_default();
            let fits = needed <= left;
            left -= needed.min(left);
            fits
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_wide_loses_its_middle() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abcdefgh", 5), "ab…gh");
        assert_eq!(cut("中文字符集", 6), "中…集");
        for width in 0..12 {
            assert!(cut("日本語の名前.jsonl", width).width() <= width, "{width}");
            assert_eq!(filled("日本語の名前.jsonl", width).width(), width);
        }
    }
}
