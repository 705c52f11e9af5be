//! Findings as tables for terminals, one per instance.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, Color, ContentArrangement, Table};
use turnlock::doctor::{Examination, Finding, Problem, Treatment};

use crate::output::{self, printable};

/// The findings, in tables.
pub(super) fn show(examination: &Examination) -> String {
    let mut instances: BTreeMap<PathBuf, Vec<(&Finding, String)>> = BTreeMap::new();
    for finding in &examination.findings {
        let (instance, agent) = instance_of(finding.dir());
        instances.entry(instance).or_default().push((finding, agent));
    }
    let mut text = String::new();
    for (instance, findings) in &instances {
        text += &format!("{}\n{}\n\n", printable(&instance.display().to_string()), table(findings));
    }
    text
}

/// The instance and the agent of `<instance>/agents/<agent>/sessions`. Any other directory is its
/// own instance.
fn instance_of(dir: &Path) -> (PathBuf, String) {
    let agent = dir.parent();
    let agents = agent.and_then(Path::parent);
    let named = |path: Option<&Path>, name: &str| {
        path.and_then(Path::file_name).is_some_and(|it| it == name)
    };
    match (agent, agents) {
        (Some(agent), Some(agents))
            if named(Some(dir), "sessions") && named(Some(agents), "agents") =>
        {
            let name = agent.file_name().unwrap_or_default();
            (agents.parent().unwrap_or(agents).to_owned(), name.display().to_string())
        }
        _ => (dir.to_owned(), String::new()),
    }
}

fn table(findings: &[(&Finding, String)]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    // On less, columns would be one letter wide. A terminal that does not know its width says 0.
    if table.width().is_some_and(|width| width >= 60) {
        table.set_content_arrangement(ContentArrangement::Dynamic);
    }
    table.set_header(["agent", "file", "finding", "details", "treatment"]);
    for (finding, agent) in findings {
        let file =
            finding.path.file_name().unwrap_or(finding.path.as_os_str()).display().to_string();
        table.add_row([
            Cell::new(printable(agent)),
            Cell::new(printable(&file)),
            Cell::new(finding.problem.name()).fg(colour(finding)),
            Cell::new(printable(&details(finding))),
            Cell::new(printable(&finding.treatment.to_string())),
        ]);
    }
    table
}

fn colour(finding: &Finding) -> Color {
    match finding.treatment {
        Treatment::None | Treatment::Done { .. } | Treatment::Accepted { .. } => Color::Green,
        Treatment::Failed { .. } => Color::Red,
        _ => Color::Yellow,
    }
}

fn details(finding: &Finding) -> String {
    let problem = finding.problem.to_string();
    match &finding.problem {
        Problem::Lock(report) => match report.holder.as_ref().and_then(|holder| holder.age()) {
            Some(since) => format!("{problem}, since {}", output::age(since)),
            None => problem,
        },
        _ => problem,
    }
}
