//! Output: tables, times and rates.

use std::time::Duration;

/// A table with a title, in Markdown, so that it can be copied into the documentation.
pub struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new(title: impl Into<String>, head: &[&str]) -> Self {
        Self { title: title.into(), rows: vec![head.iter().map(|&cell| cell.to_owned()).collect()] }
    }

    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub fn print(&self) {
        let columns = self.rows[0].len();
        let width = |column: usize| {
            self.rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).max(3)
        };
        println!("\n{}\n", self.title);
        for (index, row) in self.rows.iter().enumerate() {
            let cells: Vec<_> =
                (0..columns).map(|column| format!("{:<1$}", row[column], width(column))).collect();
            println!("| {} |", cells.join(" | "));
            if index == 0 {
                let lines: Vec<_> = (0..columns).map(|column| "-".repeat(width(column))).collect();
                println!("| {} |", lines.join(" | "));
            }
        }
    }
}

pub fn time(time: Duration) -> String {
    match time.as_nanos() as f64 {
        nanos if nanos < 1e3 => format!("{nanos:.0} ns"),
        nanos if nanos < 1e6 => format!("{:.1} µs", nanos / 1e3),
        nanos if nanos < 1e9 => format!("{:.2} ms", nanos / 1e6),
        nanos => format!("{:.2} s", nanos / 1e9),
    }
}

/// A rate per second, with thousands separated by commas.
pub fn rate(per_second: f64) -> String {
    if per_second < 100.0 {
        return format!("{per_second:.1}");
    }
    let digits = format!("{per_second:.0}");
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}
