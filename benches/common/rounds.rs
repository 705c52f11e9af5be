//! Compares several ways of doing one thing. They are timed in turn, round after round, so that
//! other load on the machine affects all of them alike.

use std::time::{Duration, Instant};

use super::show::{Table, time};

pub struct Rounds<'a> {
    title: String,
    ways: Vec<Way<'a>>,
}

struct Way<'a> {
    name: String,
    once: Box<dyn FnMut() + 'a>,
    nanos: Vec<f64>,
}

/// The result for one way.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub name: String,
    pub time: Duration,
    /// The median of each round's ratio to the first way.
    pub ratio: f64,
}

impl<'a> Rounds<'a> {
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ways: Vec::new() }
    }

    /// Adds a way. The others are compared with the first one.
    pub fn way(mut self, name: impl Into<String>, once: impl FnMut() + 'a) -> Self {
        self.ways.push(Way { name: name.into(), once: Box::new(once), nanos: Vec::new() });
        self
    }

    /// Runs each way `repeats` times in a row, for `rounds` rounds. Prints and returns the medians.
    pub fn run(self, rounds: usize, repeats: u32) -> Vec<Outcome> {
        self.run_of(1, rounds, repeats)
    }

    /// [`run`](Self::run) for ways that repeat their operation `each` times per call.
    pub fn run_of(mut self, each: u32, rounds: usize, repeats: u32) -> Vec<Outcome> {
        // The first call warms up caches, and does what is done only once.
        for way in &mut self.ways {
            (way.once)();
        }
        for _ in 0..rounds {
            for way in &mut self.ways {
                let began = Instant::now();
                for _ in 0..repeats {
                    (way.once)();
                }
                way.nanos.push(began.elapsed().as_nanos() as f64 / f64::from(repeats * each));
            }
        }
        let first = self.ways[0].nanos.clone();
        let outcomes: Vec<_> = self
            .ways
            .iter()
            .map(|way| Outcome {
                name: way.name.clone(),
                time: Duration::from_nanos(median(way.nanos.clone()) as u64),
                ratio: median(
                    way.nanos.iter().zip(&first).map(|(nanos, first)| nanos / first).collect(),
                ),
            })
            .collect();
        let mut table = Table::new(&self.title, &["", "time", "ratio to the first"]);
        for outcome in &outcomes {
            table.row([outcome.name.clone(), time(outcome.time), format!("{:.2}", outcome.ratio)]);
        }
        table.print();
        outcomes
    }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
