//! A histogram of waits: logarithmic buckets, sixteen per doubling, so that a percentile is exact
//! to about 4 %.

use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Default, Clone)]
pub struct Waits {
    buckets: BTreeMap<u32, u64>,
    pub count: u64,
    pub max: Duration,
}

const PER_DOUBLING: f64 = 16.0;

impl Waits {
    pub fn record(&mut self, wait: Duration) {
        let bucket = ((wait.as_nanos().max(1) as f64).log2() * PER_DOUBLING) as u32;
        *self.buckets.entry(bucket).or_default() += 1;
        self.count += 1;
        self.max = self.max.max(wait);
    }

    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.buckets {
            *self.buckets.entry(*bucket).or_default() += count;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    pub fn percentile(&self, percent: f64) -> Duration {
        let wanted = (self.count as f64 * percent / 100.0).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in &self.buckets {
            seen += count;
            if seen >= wanted {
                let nanos = 2f64.powf((f64::from(*bucket) + 0.5) / PER_DOUBLING);
                return Duration::from_nanos(nanos as u64).min(self.max);
            }
        }
        self.max
    }

    /// Formats it as `count max bucket:count …`, which actors in every language write.
    pub fn to_line(&self) -> String {
        let mut line = format!("{} {}", self.count, self.max.as_nanos());
        for (bucket, count) in &self.buckets {
            line.push_str(&format!(" {bucket}:{count}"));
        }
        line
    }

    pub fn from_line(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let count = words.next()?.parse().ok()?;
        let max = Duration::from_nanos(words.next()?.parse().ok()?);
        let buckets = words
            .map(|word| {
                let (bucket, count) = word.split_once(':')?;
                Some((bucket.parse().ok()?, count.parse().ok()?))
            })
            .collect::<Option<_>>()?;
        Some(Self { buckets, count, max })
    }
}
