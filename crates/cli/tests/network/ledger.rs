//! Compares what was acknowledged to the takers of turns with what is in the file.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// One line: who wrote it, in which of its turns, and which of that turn.
type Line = (String, u64, u64);

/// What a storm brought.
#[derive(Debug, Default)]
pub struct Ledger {
    pub acknowledged: usize,
    /// Turns of each taker.
    pub turns: HashMap<String, usize>,
    pub lost: Vec<Line>,
    pub doubled: Vec<Line>,
    pub torn: Vec<String>,
    /// Turns whose lines are not beside each other.
    pub overlapping: Vec<(String, u64)>,
    /// What failed, and what was not acknowledged.
    pub failures: Vec<String>,
    /// How long appends took, in seconds.
    pub appends: Vec<f64>,
    /// The times without an acknowledged line, the longest first.
    pub gaps: Vec<Gap>,
}

/// A time without an acknowledged line, in seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Gap {
    pub from: f64,
    pub to: f64,
}

impl Gap {
    pub fn seconds(&self) -> f64 {
        self.to - self.from
    }
}

impl Ledger {
    pub fn of(file: &str, outputs: &[String]) -> Self {
        let mut ledger = Self::default();
        let mut there: HashMap<Line, usize> = HashMap::new();
        let mut ended: HashSet<(String, u64)> = HashSet::new();
        let mut last: Option<(String, u64)> = None;
        for text in file.lines() {
            let Some(line) = parse(text) else {
                ledger.torn.push(text.chars().take(120).collect());
                continue;
            };
            let turn = (line.0.clone(), line.1);
            if last.as_ref() != Some(&turn) {
                if ended.contains(&turn) {
                    ledger.overlapping.push(turn.clone());
                }
                ended.extend(last.replace(turn));
            }
            let count = there.entry(line.clone()).or_default();
            *count += 1;
            if *count == 2 {
                ledger.doubled.push(line);
            }
        }
        let mut times = Vec::new();
        for said in outputs.iter().flat_map(|output| output.lines()) {
            let words: Vec<&str> = said.split_whitespace().collect();
            match words[..] {
                [time, who, "ACK", turn, line, took] => {
                    let (Ok(turn), Ok(line)) = (turn.parse(), line.parse()) else { continue };
                    ledger.acknowledged += 1;
                    // Of a machine that lost its power, a line may be mixed with another.
                    let is_time = |time: &f64| (1e9..4e9).contains(time);
                    times.extend(time.parse::<f64>().ok().filter(is_time));
                    ledger.appends.extend(took.parse::<f64>());
                    let line = (who.to_owned(), turn, line);
                    if !there.contains_key(&line) {
                        ledger.lost.push(line);
                    }
                }
                [_, who, "TURN", ..] => *ledger.turns.entry(who.to_owned()).or_default() += 1,
                _ => ledger.failures.push(said.to_owned()),
            }
        }
        times.sort_by(f64::total_cmp);
        ledger.gaps = times.windows(2).map(|pair| Gap { from: pair[0], to: pair[1] }).collect();
        ledger.gaps.sort_by(|one, other| other.seconds().total_cmp(&one.seconds()));
        ledger.appends.sort_by(f64::total_cmp);
        ledger
    }

    /// Nothing acknowledged is lost, and no turn is mixed with another.
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty()
            && self.doubled.is_empty()
            && self.torn.is_empty()
            && self.overlapping.is_empty()
    }

    pub fn summary(&self) -> String {
        let at = |part: f64| {
            let index = (self.appends.len() as f64 * part) as usize;
            self.appends.get(index).copied().unwrap_or_default() * 1000.0
        };
        let mut turns: Vec<_> = self.turns.iter().collect();
        turns.sort();
        format!(
            "{} lines acknowledged, {} lost, {} doubled, {} torn, {} turns overlapping; \
             {} failures; turns {turns:?}; append {:.1} ms (median), {:.1} ms (99 %), \
             {:.1} s (most); longest gap {:.1} s",
            self.acknowledged,
            self.lost.len(),
            self.doubled.len(),
            self.torn.len(),
            self.overlapping.len(),
            self.failures.len(),
            at(0.5),
            at(0.99),
            self.appends.last().copied().unwrap_or_default(),
            self.gaps.first().map(Gap::seconds).unwrap_or_default(),
        )
    }
}

fn parse(text: &str) -> Option<Line> {
    let value: Value = serde_json::from_str(text).ok()?;
    Some((value["who"].as_str()?.to_owned(), value["t"].as_u64()?, value["k"].as_u64()?))
}
