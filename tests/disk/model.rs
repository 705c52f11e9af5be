//! What a session must hold, to the byte, after what was told; and that the next process can repair
//! it and go on.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use turnlock::Sessions;

use crate::script::{Script, Step, Told};

/// What a repair makes of the damaged beginning.
const REPAIRED: &[u8] = b"{\"n\":\"a\"}\n{\"n\":\"b\"}\n{\"n\":\"c\"}\n";

/// What the session holds for certain, and the step that was under way at the end.
#[derive(Debug)]
pub struct Model {
    bytes: Vec<u8>,
    pending: Option<Step>,
}

impl Model {
    pub fn of(script: Script, told: &[Told]) -> Self {
        let mut model = Self { bytes: script.before().unwrap_or_default().to_vec(), pending: None };
        for told in told {
            model.take(told);
        }
        model
    }

    fn take(&mut self, told: &Told) {
        match told {
            Told::Begin(step) => self.pending = Some(step.clone()),
            Told::Done => {
                let step = self.pending.take().expect("what is done was begun");
                self.bytes = self.after(&step);
            }
            // Renamed, but not synced.
            Told::Failed(kind, _) if kind == "unsynced" => self.take(&Told::Done),
            // A step that failed has changed nothing.
            Told::Failed(..) => self.pending = None,
            Told::Ready | Told::End => {}
        }
    }

    fn after(&self, step: &Step) -> Vec<u8> {
        match step {
            Step::Acquire | Step::Release => self.bytes.clone(),
            Step::Append(lines) => {
                let torn = self.bytes.last().is_some_and(|last| *last != b'\n');
                let seal = if torn { &b"\n"[..] } else { b"" };
                [&self.bytes, seal, &encoded(lines)].concat()
            }
            Step::Rewrite(lines) => encoded(lines),
            Step::Repair => REPAIRED.to_vec(),
        }
    }

    /// Whether the file may hold this: all that was acknowledged, and what the pending step may
    /// leave.
    pub fn check(&self, file: &[u8]) -> Result<(), String> {
        if file == self.bytes {
            return Ok(());
        }
        let Some(step) = &self.pending else { return Err(self.differs(file)) };
        let whole = self.after(step);
        let allowed = match step {
            // A part of it, or space for it that was not written.
            Step::Append(_) => {
                file.starts_with(&self.bytes)
                    && file.len() <= whole.len()
                    && file.iter().zip(&whole).all(|(is, wanted)| is == wanted || *is == 0)
            }
            _ => file == whole,
        };
        if allowed { Ok(()) } else { Err(self.differs(file)) }
    }

    fn differs(&self, file: &[u8]) -> String {
        let same = file.iter().zip(&self.bytes).take_while(|(one, other)| one == other).count();
        let tail = String::from_utf8_lossy(&file[same..file.len().min(same + 200)]);
        let (is, wanted) = (file.len(), self.bytes.len());
        format!(
            "{is} bytes instead of {wanted}, the same up to {same}, then {tail:?}; pending: {:?}",
            self.pending
        )
    }

    /// Another process has the session at once, repairs it and goes on with it. Nothing
    /// acknowledged is lost by that.
    pub fn mend(&self, session: &Path) -> Result<(), String> {
        let before = fs::read(session).unwrap_or_default();
        // A pending rewrite has happened, or it has not.
        let done = self.pending.iter().map(|step| self.after(step)).find(|whole| *whole == before);
        // After a real power cut a lock file without a record is older than the boot, and counts as
        // expired.
        let sessions = Sessions::builder()
            .malformed_grace(Duration::ZERO)
            .build()
            .expect("these rules make sense");
        let mended = || -> turnlock::Result<()> {
            let turn = sessions.turn(session).try_acquire()?;
            turn.repair_blocking()?;
            turn.append_blocking(&json!({"n": "mended"}))?;
            turn.release_blocking()
        };
        mended().map_err(|error| format!("not to be mended: {error}"))?;
        let after = fs::read(session).map_err(|e| e.to_string())?;
        let after = values(&after);
        let broken = after.iter().filter(|line| line.is_none()).count();
        let after: Vec<_> = after.into_iter().flatten().collect();
        let acknowledged: Vec<_> =
            values(done.as_ref().unwrap_or(&self.bytes)).into_iter().flatten().collect();
        let once =
            acknowledged.iter().all(|line| after.iter().filter(|it| *it == line).count() == 1);
        if broken > 0 || !once {
            return Err(format!(
                "after the repair {broken} broken lines, {:?} instead of {:?}",
                names(&after),
                names(&acknowledged)
            ));
        }
        strangers(session)
    }
}

/// Beside the session there are only the files that the documentation names.
fn strangers(session: &Path) -> Result<(), String> {
    let dir = session.parent().expect("a session is in a directory");
    for entry in fs::read_dir(dir).map_err(|e| e.to_string())? {
        let name =
            entry.map_err(|e| e.to_string())?.file_name().into_string().expect("names are UTF-8");
        let known = ["s.jsonl", "s.jsonl.damaged", "snapshot", "lost+found"];
        let temporary = ["s.jsonl.rewrite-", ".turnlock-"].map(|begin| name.starts_with(begin));
        let known =
            known.contains(&name.as_str()) || (temporary.contains(&true) && name.ends_with(".tmp"));
        if !known {
            return Err(format!("{name} was left behind"));
        }
    }
    Ok(())
}

fn encoded(lines: &[Value]) -> Vec<u8> {
    lines.iter().flat_map(|line| format!("{line}\n").into_bytes()).collect()
}

fn names(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["n"].as_str().unwrap_or("?")).collect()
}

fn values(bytes: &[u8]) -> Vec<Option<Value>> {
    let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).ok()).collect()
}
