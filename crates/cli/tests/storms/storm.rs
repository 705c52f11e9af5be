//! How long a storm takes, its numbers, and what all storms do to files.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use turnlock::{Durability, Sessions};
use turnlock_testing::DEADLINE;
use turnlock_testing::env::number;

/// When a storm ends.
pub struct Storm {
    end: Instant,
    pub seed: u64,
}

impl Storm {
    pub fn begin() -> Self {
        let length = Duration::from_secs(number("TURNLOCK_STORM_SECONDS", 3));
        Self { end: Instant::now() + length, seed: number("TURNLOCK_STORM_SEED", 1) }
    }

    pub fn goes_on(&self) -> bool {
        Instant::now() < self.end
    }

    /// The dice of one of its rounds.
    pub fn dice(&self, round: u64) -> Dice {
        Dice(StdRng::seed_from_u64(self.seed.wrapping_mul(1 << 32).wrapping_add(round)))
    }
}

/// The same seed throws the same numbers.
pub struct Dice(StdRng);

impl Dice {
    pub fn below(&mut self, n: usize) -> usize {
        self.0.random_range(0..n)
    }
}

/// Sessions for storms in which syncing is not the point.
pub fn buffered() -> Sessions {
    Sessions::builder().durability(Durability::Buffered).acquire_timeout(DEADLINE).build().unwrap()
}

/// Undoes the latest repair of a session, as `doctor --undo` does. Errors are told as text.
pub fn undo(sessions: &Sessions, session: &Path) -> Result<(), String> {
    let turn = sessions.turn(session).acquire_blocking().unwrap();
    let undone = turn.restore_blocking().map(drop).map_err(|error| error.to_string());
    turn.release_blocking().unwrap();
    undone
}

/// What is in a file, shown so that an assertion can quote it.
pub fn shown(path: &Path) -> String {
    fs::read(path).unwrap_or_default().escape_ascii().to_string()
}
