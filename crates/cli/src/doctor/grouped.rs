//! Findings for terminals: grouped by instance and file, in lines that fit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anstyle::{AnsiColor, Style};
use turnlock::doctor::{Examination, Finding, Problem, Treatment};

use crate::output::{self, printable, terminal::wrapped};

const FILE: &str = "  ";
const FINDING: &str = "    ";
const TREATMENT: &str = "      ";

/// The findings, by instance and then by file, for a terminal with this many columns.
pub(super) fn show(examination: &Examination, columns: usize) -> String {
    let mut instances: BTreeMap<PathBuf, BTreeMap<String, Vec<&Finding>>> = BTreeMap::new();
    for finding in &examination.findings {
        let (instance, file) = instance_of(finding);
        instances.entry(instance).or_default().entry(file).or_default().push(finding);
    }
    let bold = Style::new().bold();
    let mut text = String::new();
    for (instance, files) in &instances {
        text += &format!("{bold}{}{bold:#}\n", printable(&instance.display().to_string()));
        for (file, findings) in files {
            text += &format!("{FILE}{}\n", printable(file));
            text.extend(findings.iter().map(|finding| told(finding, columns)));
        }
        text += "\n";
    }
    text
}

/// The instance, and the file in it. Of `<instance>/agents/<agent>/sessions/<file>` only agent and
/// file are told. Any other directory is its own instance.
fn instance_of(finding: &Finding) -> (PathBuf, String) {
    let dir = finding.dir();
    let file = finding.path.file_name().unwrap_or(finding.path.as_os_str()).display().to_string();
    let agent = dir.parent();
    let agents = agent.and_then(Path::parent);
    let named = |path: Option<&Path>, name: &str| {
        path.and_then(Path::file_name).is_some_and(|it| it == name)
    };
    match (agent, agents) {
        (Some(agent), Some(agents))
            if named(Some(dir), "sessions") && named(Some(agents), "agents") =>
        {
            let name = agent.file_name().unwrap_or_default().display();
            (agents.parent().unwrap_or(agents).to_owned(), format!("{name}/{file}"))
        }
        _ => (dir.to_owned(), file),
    }
}

/// What is wrong, and what is done about it.
fn told(finding: &Finding, columns: usize) -> String {
    let name = finding.problem.name();
    let facts = match details(finding) {
        facts if facts.is_empty() => format!("{FINDING}{name}"),
        facts => format!("{FINDING}{name}: {}", printable(&facts)),
    };
    // Colours have no width, so they come last.
    let style = colour(finding);
    let facts = wrapped(&facts, columns, TREATMENT.len()).replacen(
        name,
        &format!("{style}{name}{style:#}"),
        1,
    );
    let (treatment, command) = treatment(finding);
    let mut text = facts + "\n";
    if !treatment.is_empty() {
        let treatment = format!("{TREATMENT}{}", printable(&treatment));
        text += &(wrapped(&treatment, columns, TREATMENT.len()) + "\n");
    }
    // The terminal breaks it, so that it can be copied.
    if let Some(command) = command {
        text += &format!("{TREATMENT}{}\n", printable(command));
    }
    text
}

/// The treatment, and the command that it ends with, if it does.
fn treatment(finding: &Finding) -> (String, Option<&str>) {
    if let (Problem::NotUnderstood { .. }, Treatment::Report { reason }) =
        (&finding.problem, &finding.treatment)
        && let Some((words, command)) = reason.split_once(": ")
    {
        let words = Treatment::Report { reason: words.to_owned() };
        return (format!("{words}:"), Some(command));
    }
    (finding.treatment.to_string(), None)
}

fn colour(finding: &Finding) -> Style {
    match finding.treatment {
        Treatment::None | Treatment::Done { .. } | Treatment::Accepted { .. } => AnsiColor::Green,
        Treatment::Failed { .. } => AnsiColor::Red,
        _ => AnsiColor::Yellow,
    }
    .on_default()
}

fn details(finding: &Finding) -> String {
    let problem = finding.problem.to_string();
    match &finding.problem {
        Problem::Lock(report) => match report.holder.as_ref().and_then(|holder| holder.age()) {
            Some(age) => format!("{problem}, since {}", output::age(age)),
            None => problem,
        },
        _ => problem,
    }
}
