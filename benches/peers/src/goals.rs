//! Performance goals, and whether they were met.

use crate::common::show::Table;

#[derive(Default)]
pub struct Goals {
    lines: Vec<(String, String, String, bool)>,
}

impl Goals {
    /// Adds a figure that must not exceed the goal.
    pub fn at_most(&mut self, what: &str, figure: f64, goal: f64, unit: &str) {
        self.add(what, figure, format!("≤ {goal}{unit}"), unit, figure <= goal);
    }

    /// Adds a figure that must reach the goal.
    pub fn at_least(&mut self, what: &str, figure: f64, goal: f64, unit: &str) {
        self.add(what, figure, format!("≥ {goal}{unit}"), unit, figure >= goal);
    }

    fn add(&mut self, what: &str, figure: f64, goal: String, unit: &str, met: bool) {
        let figure = if figure >= 100.0 {
            format!("{figure:.0}{unit}")
        } else {
            format!("{figure:.2}{unit}")
        };
        self.lines.push((what.to_owned(), goal, figure, met));
    }

    pub fn print(&self) {
        let mut table = Table::new("Goals", &["what", "goal", "measured", ""]);
        for (what, goal, figure, met) in &self.lines {
            let met = if *met { "met" } else { "missed" };
            table.row([what, goal, figure, met].map(|cell| cell.to_string()));
        }
        table.print();
    }
}
