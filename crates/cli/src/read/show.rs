//! Lines and damage in a pipe, on a terminal, or as JSON.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write, stdout};
use std::ops::Range;
use std::os::unix::fs::FileExt;

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use turnlock::{Damage, Item, Line};

use crate::output;

/// How much is copied at a time.
const CHUNK: usize = 64 * 1024;
/// How much of the damage is shown on a terminal.
const EXCERPT: u64 = 160;

enum Way {
    /// Whole lines, byte for byte. Damage goes to standard error.
    Pipe,
    Terminal,
    Json,
}

/// Writes items to standard output.
pub(super) struct Show {
    way: Way,
    out: BufWriter<Box<dyn Write>>,
}

impl Show {
    pub(super) fn new(json: bool) -> Self {
        let terminal = stdout().is_terminal();
        let way = match (json, terminal) {
            (true, _) => Way::Json,
            (false, true) => Way::Terminal,
            (false, false) => Way::Pipe,
        };
        let out: Box<dyn Write> =
            if terminal { Box::new(anstream::stdout()) } else { Box::new(stdout()) };
        Self { way, out: BufWriter::with_capacity(CHUNK, out) }
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    pub(super) fn item(&mut self, file: &File, item: &Item<'_>) -> io::Result<()> {
        match (item, &self.way) {
            (Item::Line(line), Way::Pipe) => self.raw(file, line),
            (Item::Line(line), Way::Terminal) => self.text(file, line, shown),
            (Item::Line(line), Way::Json) => self.json_line(file, line),
            (Item::Damage(damage), Way::Pipe) => {
                output::tell(&damage.to_string());
                Ok(())
            }
            (Item::Damage(damage), Way::Terminal) => self.marked(file, damage),
            (Item::Damage(damage), Way::Json) => self.json_damage(damage),
        }
    }

    fn raw(&mut self, file: &File, line: &Line<'_>) -> io::Result<()> {
        match &line.bytes {
            Some(bytes) => self.out.write_all(bytes)?,
            None => each_chunk(file, line.range.clone(), |chunk| self.out.write_all(chunk))?,
        }
        self.out.write_all(b"\n")
    }

    fn text(
        &mut self,
        file: &File,
        line: &Line<'_>,
        escape: fn(char) -> Option<String>,
    ) -> io::Result<()> {
        self.escaped(file, line, escape)?;
        self.out.write_all(b"\n")
    }

    fn escaped(
        &mut self,
        file: &File,
        line: &Line<'_>,
        escape: fn(char) -> Option<String>,
    ) -> io::Result<()> {
        match &line.bytes {
            Some(bytes) => put_escaped(&mut self.out, &String::from_utf8_lossy(bytes), escape),
            None => {
                // A whole line is UTF-8, but a character may span two chunks.
                let mut pending = Vec::new();
                each_chunk(file, line.range.clone(), |chunk| {
                    pending.extend_from_slice(chunk);
                    let whole = whole_characters(&pending);
                    put_escaped(
                        &mut self.out,
                        &String::from_utf8_lossy(&pending[..whole]),
                        escape,
                    )?;
                    pending.drain(..whole);
                    Ok(())
                })?;
                put_escaped(&mut self.out, &String::from_utf8_lossy(&pending), escape)
            }
        }
    }

    fn json_line(&mut self, file: &File, line: &Line<'_>) -> io::Result<()> {
        write!(
            self.out,
            "{{\"schema\":\"turnlock.read/1\",\"offsetBytes\":{},\"lengthBytes\":{}",
            line.range.start,
            line.range.end - line.range.start
        )?;
        if let Some(number) = line.number {
            write!(self.out, ",\"line\":{number}")?;
        }
        self.out.write_all(b",\"record\":")?;
        self.escaped(file, line, in_json)?;
        self.out.write_all(b"}\n")
    }

    fn json_damage(&mut self, damage: &Damage) -> io::Result<()> {
        #[derive(Serialize)]
        struct Marked<'a> {
            damage: &'a Damage,
        }
        let text = output::json(output::Schema::Read, &Marked { damage });
        self.out.write_all(text?.as_bytes())
    }

    fn marked(&mut self, file: &File, damage: &Damage) -> io::Result<()> {
        let red = AnsiColor::Red.on_default();
        let mut excerpt = Vec::new();
        for removed in damage.removed() {
            let end = removed.end.min(removed.start + EXCERPT - excerpt.len() as u64);
            each_chunk(file, removed.start..end, |chunk| {
                excerpt.extend_from_slice(chunk);
                Ok(())
            })?;
        }
        write!(self.out, "{red}damaged: {damage}{red:#}\n{dim}", dim = Style::new().dimmed())?;
        put_escaped(&mut self.out, &String::from_utf8_lossy(&excerpt), shown)?;
        let more = if damage.removed_bytes() > EXCERPT { " …" } else { "" };
        writeln!(self.out, "{more}{dim:#}", dim = Style::new().dimmed())
    }
}

/// Escapes control characters, so that a terminal does not obey them.
fn shown(c: char) -> Option<String> {
    c.is_control().then(|| c.escape_unicode().to_string())
}

/// Escapes control characters in valid JSON. There they are whitespace between values or, from DEL
/// on, inside strings.
fn in_json(c: char) -> Option<String> {
    match c {
        '\0'..' ' => Some(" ".into()),
        _ => c.is_control().then(|| format!("\\u{:04x}", u32::from(c))),
    }
}

fn put_escaped(
    out: &mut impl Write,
    text: &str,
    escape: fn(char) -> Option<String>,
) -> io::Result<()> {
    let mut rest = text;
    while let Some((at, c, escaped)) =
        rest.char_indices().find_map(|(at, c)| Some((at, c, escape(c)?)))
    {
        out.write_all(&rest.as_bytes()[..at])?;
        out.write_all(escaped.as_bytes())?;
        rest = &rest[at + c.len_utf8()..];
    }
    out.write_all(rest.as_bytes())
}

/// The number of leading bytes that are whole characters, if the rest may be the start of one.
fn whole_characters(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

fn each_chunk(
    file: &File,
    range: Range<u64>,
    mut put: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut chunk = [0; CHUNK];
    let mut at = range.start;
    while at < range.end {
        let size = usize::try_from(range.end - at).unwrap_or(CHUNK).min(CHUNK);
        match file.read_at(&mut chunk[..size], at) {
            // The file was cut back meanwhile.
            Ok(0) => break,
            Ok(read) => {
                put(&chunk[..read])?;
                at += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
