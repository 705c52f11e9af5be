//! The report of a stress run: a table on a terminal, plain text in a pipe, or JSON.

use std::fmt::{self, Write};
use std::io::{self, IsTerminal};
use std::path::Path;

use anstyle::{AnsiColor, Style};
use comfy_table::Table;
use serde_json::{Value, json};

use super::Args;
use super::check::{Findings, KINDS};
use super::numbers::{Numbers, Times};
use crate::failure::Failure;
use crate::output;

pub(super) struct Report<'a> {
    pub(super) args: &'a Args,
    pub(super) seed: u64,
    pub(super) numbers: &'a Numbers,
    pub(super) findings: &'a Findings,
    /// The directory of the files, if they are kept.
    pub(super) kept: Option<&'a Path>,
}

impl Report<'_> {
    pub(super) fn print(&self) -> Result<(), Failure> {
        if self.args.json {
            return output::answer_json(output::Schema::Stress, &self.json());
        }
        let mut text = String::new();
        self.write(&mut text).map_err(|e| Failure::new(format!("cannot write the report: {e}")))?;
        output::answer(&text)
    }

    fn json(&self) -> Value {
        let counts: serde_json::Map<_, _> = KINDS
            .iter()
            .filter_map(|(kind, _)| {
                let name = serde_json::to_value(kind).ok()?.as_str()?.to_owned();
                Some((name, self.findings.counts.get(kind).copied().unwrap_or(0).into()))
            })
            .collect();
        json!({
            "ok": self.findings.violations() == 0,
            "seed": self.seed,
            "processes": self.args.processes,
            "tasks": self.args.tasks,
            "sessions": self.args.sessions,
            "numbers": self.numbers,
            "fileLines": self.findings.lines,
            "fileBytes": self.findings.bytes,
            "linesCutByKill": self.findings.cut_by_kill,
            "linesCutByOthers": self.findings.cut_by_others,
            "linesLostToOthers": self.findings.lost_to_others,
            "violations": counts,
            "firstViolations": self.findings.first,
            "kept": self.kept.map(|path| path.to_string_lossy()),
        })
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "{}\n", self.what_ran())?;
        let rows = self.rows();
        if io::stdout().is_terminal() {
            let mut table = Table::new();
            table.load_style(comfy_table::presets::NOTHING);
            for (name, value) in rows {
                table.add_row([name.to_owned(), value]);
            }
            writeln!(out, "{table}")?;
        } else {
            for (name, value) in rows {
                writeln!(out, "{name:<28} {value}")?;
            }
        }
        writeln!(out)?;
        self.verdict(out)
    }

    fn what_ran(&self) -> String {
        let args = self.args;
        let mut what = format!(
            "{} processes with {} tasks each took turns on {} session files for {} s",
            args.processes, args.tasks, args.sessions, args.seconds
        );
        let faults = [
            (args.kill, "some were killed (SIGKILL) all the time"),
            (args.stop, "some were stopped (SIGSTOP) and their turns revoked"),
            (args.post, "side writers posted lines meanwhile"),
            (args.rm, "lock files were removed by hand"),
            (args.foreign, "a foreign program locked as OpenClaw does"),
            (args.truncate, "a foreign program cut session files and copied over them"),
            (args.replace, "a foreign program put copies in the place of session files"),
            (args.hardlink, "lock files had second names for a while"),
            (args.panic, "a log subscriber and wakers panicked"),
        ];
        for (_, fault) in faults.iter().filter(|(set, _)| *set) {
            what.push_str("; ");
            what.push_str(fault);
        }
        what.push('.');
        what
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let n = self.numbers;
        let mut rows = vec![
            ("turns", format!("{} ({:.0} per second)", n.turns, n.turns_per_second)),
            ("lines acknowledged", format!("{} ({:.0} per second)", n.lines, n.lines_per_second)),
            ("file size, all sessions", indicatif::BinaryBytes(self.findings.bytes).to_string()),
            ("wait for a turn", times(n.wait.as_ref())),
        ];
        if self.args.kill {
            rows.push(("processes killed", n.kills.to_string()));
            rows.push(("kill of a holder to next", times(n.takeover.as_ref())));
            rows.push((
                "lines cut off by a kill",
                format!("{} (none acknowledged)", self.findings.cut_by_kill),
            ));
        }
        if self.args.stop {
            rows.push(("processes stopped", n.stops.to_string()));
            rows.push(("turns revoked", n.revocations.to_string()));
        }
        if self.args.rm || self.args.foreign {
            rows.push(("lock files removed", n.removals.to_string()));
        }
        if self.args.stop || self.args.rm || self.args.foreign {
            rows.push(("writes refused, lock lost", n.lost_turns.to_string()));
        }
        if self.args.truncate || self.args.replace {
            rows.push(("session files changed", n.changes.to_string()));
            rows.push(("holders told of a change", n.told.to_string()));
            rows.push((
                "lines lost to these changes",
                format!(
                    "{} acknowledged, {} cut in their middle",
                    self.findings.lost_to_others, self.findings.cut_by_others
                ),
            ));
            rows.push(("rewrites", n.rewrites.to_string()));
        }
        if self.args.hardlink {
            rows.push(("second names of lock files", n.links.to_string()));
        }
        if self.args.panic {
            rows.push(("panics", n.panics.to_string()));
        }
        if self.args.post {
            rows.push(("posts", n.posts.to_string()));
        }
        if self.args.foreign {
            rows.push(("turns of the foreign program", n.foreign_turns.to_string()));
        }
        rows.push((
            "turns per process",
            format!("{} fewest, {} most", n.fewest_turns, n.most_turns),
        ));
        rows.push(("given up half-way", n.given_up.to_string()));
        rows
    }

    fn verdict(&self, out: &mut String) -> fmt::Result {
        let (good, bad) =
            (AnsiColor::Green.on_default().bold(), AnsiColor::Red.on_default().bold());
        let mark =
            |out: &mut String, style: Style, text: String| writeln!(out, "{style}{text}{style:#}");
        if self.findings.violations() == 0 {
            mark(
                out,
                good,
                "No violation. Proved by reading the files back without the library:".into(),
            )?;
            for proof in self.proofs() {
                writeln!(out, "  - {proof}")?;
            }
        } else {
            mark(
                out,
                bad,
                format!("{} VIOLATIONS (seed {}):", self.findings.violations(), self.seed),
            )?;
            for (kind, name) in KINDS {
                if let Some(count) = self.findings.counts.get(&kind) {
                    writeln!(out, "  {count:>6}  {name}")?;
                }
            }
            writeln!(out, "The first of each:")?;
            for violation in &self.findings.first {
                let session =
                    violation.session.map_or(String::new(), |n| format!(" session-{n}.jsonl"));
                let offset =
                    violation.offset.map_or(String::new(), |offset| format!(" at byte {offset}"));
                writeln!(out, "  {:?}{session}{offset}: {}", violation.kind, violation.what)?;
            }
        }
        if let Some(kept) = self.kept {
            writeln!(out, "Sessions and journals are kept in {}.", kept.display())?;
        }
        Ok(())
    }

    fn proofs(&self) -> Vec<String> {
        let changed = self.args.truncate || self.args.replace;
        let lost = self.findings.lost_to_others;
        let mut proofs = vec![
            format!(
                "each of the {} acknowledged lines is there, whole, once, in its writer's order{}",
                self.numbers.lines - lost,
                if changed { ", but what the foreign program cut off" } else { "" }
            ),
            "a line acknowledged before another was begun stands before it".into(),
            "no turn's lines lie inside another's".into(),
            "no holder wrote after it lost the lock, and none lost it without a cause".into(),
        ];
        if changed {
            proofs.push("no turn went on after such a change without being told".into());
        }
        if self.args.panic {
            proofs.push("nobody waited for a thread that had panicked".into());
        }
        proofs
    }
}

fn times(times: Option<&Times>) -> String {
    let Some(times) = times else { return "none seen".into() };
    format!("p50 {}, p99 {}, max {}", time(times.p50_us), time(times.p99_us), time(times.max_us))
}

/// A time with three digits. The rest is noise.
fn time(us: u64) -> String {
    let (value, unit) = match us {
        0..1000 => return format!("{us} \u{b5}s"),
        1000..1_000_000 => (us as f64 / 1e3, "ms"),
        _ => (us as f64 / 1e6, "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}
