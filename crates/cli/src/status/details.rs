//! All that is known of each lock, for `-l`.

use std::fmt::Write;

use super::{Looked, View, words};
use crate::output::printable;

impl View {
    /// A block of lines, and an empty one.
    pub(super) fn details(&self, looked: &Looked) -> String {
        let report = &looked.report;
        let mut text = printable(&report.session().display().to_string()) + "\n";
        let mut line = |name: &str, value: &str| {
            if !value.is_empty() {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "  {name:<11} {}", printable(value));
            }
        };
        let waiters: Vec<_> =
            self.waiting.for_lock(&report.lock).iter().map(u32::to_string).collect();
        let holder = report.holder.as_ref();
        line("instance", &looked.instance.path.display().to_string());
        line("program", looked.instance.program.unwrap_or_default());
        line("state", &words::state(report));
        line("pid", &words::pid(report));
        if let Some(there) = holder.filter(|holder| holder.host_pid.is_some()).and_then(|h| h.pid) {
            line("pid there", &there.to_string());
        }
        line("host", holder.and_then(|holder| holder.host.as_deref()).unwrap_or_default());
        line("container", holder.and_then(|h| h.container.as_deref()).unwrap_or_default());
        line("label", &words::label(report));
        let since = words::since(report);
        if !since.is_empty() {
            line("held since", &format!("{since} ({})", words::age(report)));
        }
        line("owner", &holder.and_then(|h| h.owner).map(|id| id.to_string()).unwrap_or_default());
        line("waiting", &waiters.join(" "));
        line("hidden", holder.and_then(|holder| holder.hidden.as_deref()).unwrap_or_default());
        line("on", self.filesystem_of(report).unwrap_or_default());
        text + "\n"
    }
}
