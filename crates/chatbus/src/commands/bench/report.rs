//! What a benchmark says: rows that were measured, ratios between them, and a table or JSON of both.

use std::fmt::Write as _;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::machine::Machine;
use super::usage::Spent;

/// Everything one `bench` run says.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) bench: &'static str,
    pub(super) driver: String,
    pub(super) seconds: f64,
    pub(super) machine: Machine,
    pub(super) rows: Vec<Row>,
    pub(super) ratios: Vec<Ratio>,
    pub(super) notes: Vec<String>,
}

/// One thing that was measured.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) messages: u64,
    /// Messages a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rate: Option<f64>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(super) latency: Option<Latency>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cpu_seconds_per_1000: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peak_rss_bytes: Option<u64>,
    /// Its rate as a share of its ceiling's, measured in the same run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ratio_to_ceiling: Option<f64>,
}

/// Milliseconds.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Latency {
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    pub(super) max_ms: f64,
}

/// One number beside what it should be.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ratio {
    pub(super) name: &'static str,
    pub(super) value: f64,
    pub(super) unit: &'static str,
    pub(super) target: Target,
    pub(super) met: bool,
}

/// What a number should be.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Target {
    AtLeast(f64),
    Below(f64),
}

/// Times, kept with three digits.
#[derive(Debug)]
pub(super) struct Times(Histogram<u64>);

/// Ten minutes: longer times count as this long.
const MAX_TIME_MICROS: u64 = 600_000_000;

// === impl Report ===

impl Report {
    /// Enters how a row compares with its ceiling, and gives the ratio of their rates.
    pub(super) fn compare(&mut self, row: &str, ceiling: &str) -> f64 {
        let rate = |rows: &[Row], name: &str| rows.iter().find(|r| r.name == name).and_then(|r| r.rate);
        let (ours, theirs) = (rate(&self.rows, row), rate(&self.rows, ceiling));
        let ratio = ours.unwrap_or_default() / theirs.filter(|rate| *rate > 0.0).unwrap_or(f64::NAN);
        if let Some(row) = self.rows.iter_mut().find(|r| r.name == row) {
            row.ratio_to_ceiling = Some(ratio);
        }
        ratio
    }

    pub(super) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    pub(super) fn check(&mut self, name: &'static str, value: f64, unit: &'static str, target: Target) {
        let met = match target {
            Target::AtLeast(least) => value >= least,
            Target::Below(bound) => value < bound,
        };
        self.ratios.push(Ratio { name, value, unit, target, met });
    }

    /// The readable form.
    pub(super) fn table(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "chatbus bench {} --driver {}: {:.0} s each, {}",
            self.bench, self.driver, self.seconds, self.machine
        );
        let width = self.rows.iter().map(|row| row.name.len()).max().unwrap_or(0).max(4);
        let _ = writeln!(
            out,
            "\n{:width$}  {:>10}  {:>9}  {:>8}  {:>8}  {:>8}  {:>10}  {:>9}  {:>8}",
            "", "messages", "per s", "p50 ms", "p99 ms", "p99.9 ms", "CPU s/1000", "peak MiB", "ceiling"
        );
        for row in &self.rows {
            let time = |pick: fn(Latency) -> f64| cell(row.latency.map(pick), 3);
            let _ = writeln!(
                out,
                "{:width$}  {:>10}  {:>9}  {:>8}  {:>8}  {:>8}  {:>10}  {:>9}  {:>8}",
                row.name,
                row.messages,
                cell(row.rate, 0),
                time(|l| l.p50_ms),
                time(|l| l.p99_ms),
                time(|l| l.p999_ms),
                cell(row.cpu_seconds_per_1000, 5),
                cell(row.peak_rss_bytes.map(mib), 1),
                row.ratio_to_ceiling
                    .map_or_else(|| "-".to_owned(), |ratio| format!("{:.0} %", 100.0 * ratio)),
            );
        }
        let width = self.ratios.iter().map(|ratio| ratio.name.len()).max().unwrap_or(0);
        let _ = writeln!(out);
        for ratio in &self.ratios {
            let (word, bound) = match ratio.target {
                Target::AtLeast(least) => ("at least", least),
                Target::Below(bound) => ("below", bound),
            };
            let met = if ratio.met { "met" } else { "MISSED" };
            let _ = writeln!(
                out,
                "{:width$}  {:.2} {}  (target: {word} {bound} {}: {met})",
                ratio.name, ratio.value, ratio.unit, ratio.unit
            );
        }
        for note in &self.notes {
            let _ = writeln!(out, "note: {note}");
        }
        out
    }
}

// === impl Row ===

impl Row {
    pub(super) fn new(name: impl Into<String>, messages: u64) -> Self {
        Self { name: name.into(), messages, ..Self::default() }
    }

    /// With what the messages took.
    pub(super) fn spent(mut self, spent: &Spent) -> Self {
        let messages = count(self.messages).max(1.0);
        self.rate = Some(count(self.messages) / spent.wall.as_secs_f64().max(f64::MIN_POSITIVE));
        self.cpu_seconds_per_1000 = Some(1000.0 * spent.cpu.as_secs_f64() / messages);
        self
    }

    pub(super) fn times(mut self, times: &Times) -> Self {
        self.latency = times.latency();
        self
    }

    /// Microseconds of CPU a message.
    pub(super) fn cpu_micros(&self) -> f64 {
        1000.0 * self.cpu_seconds_per_1000.unwrap_or(f64::NAN)
    }
}

// === impl Times ===

impl Times {
    pub(super) fn new() -> anyhow::Result<Self> {
        // With bounds, as one that grows by itself does not grow for what it saturates.
        Ok(Self(Histogram::new_with_bounds(1, MAX_TIME_MICROS, 3)?))
    }

    pub(super) fn record(&mut self, time: std::time::Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    pub(super) fn record_many(&mut self, time: std::time::Duration, count: u64) {
        self.0.saturating_record_n(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), count);
    }

    /// Every time that was met, in microseconds, with how often it was: for another process.
    pub(super) fn counts(&self) -> Vec<(u64, u64)> {
        self.0
            .iter_recorded()
            .map(|met| (met.value_iterated_to(), met.count_since_last_iteration()))
            .collect()
    }

    pub(super) fn add(&mut self, other: &Self) -> anyhow::Result<()> {
        Ok(self.0.add(&other.0)?)
    }

    pub(super) fn len(&self) -> u64 {
        self.0.len()
    }

    /// The 99th percentile in milliseconds; no number where nothing was met.
    pub(super) fn p99_ms(&self) -> f64 {
        self.latency().map_or(f64::NAN, |latency| latency.p99_ms)
    }

    fn latency(&self) -> Option<Latency> {
        let at = |quantile: f64| count(self.0.value_at_quantile(quantile)) / 1000.0;
        (!self.0.is_empty()).then(|| Latency {
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: count(self.0.max()) / 1000.0,
        })
    }
}

fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
}

fn mib(bytes: u64) -> f64 {
    count(bytes) / (1024.0 * 1024.0)
}

#[expect(clippy::cast_precision_loss, reason = "far below what f64 holds exactly")]
pub(super) fn count(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report() -> Report {
        let spent = |wall| Spent { wall: Duration::from_secs(wall), cpu: Duration::from_millis(20) };
        Report {
            bench: "bus",
            driver: "embedded".into(),
            seconds: 1.0,
            machine: Machine::default(),
            rows: vec![Row::new("ours", 1000).spent(&spent(2)), Row::new("bare", 1000).spent(&spent(1))],
            ratios: vec![],
            notes: vec![],
        }
    }

    #[test]
    fn a_row_knows_its_rate_its_cost_and_its_share_of_the_ceiling() {
        let mut report = report();
        assert!((report.compare("ours", "bare") - 0.5).abs() < 1e-9);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["rows"][0]["rate"], 500.0);
        assert_eq!(json["rows"][0]["cpuSecondsPer1000"], 0.02);
        assert_eq!(json["rows"][0]["ratioToCeiling"], 0.5);
        assert!((report.rows[0].cpu_micros() - 20.0).abs() < 1e-9);
        assert!(report.table().contains("50 %"), "{}", report.table());
    }

    #[test]
    fn a_ceiling_that_was_not_reached_meets_no_target() {
        let mut report = report();
        let ratio = report.compare("ours", "missing");
        report.check("share", ratio, "x", Target::AtLeast(0.5));
        assert!(!report.ratios[0].met);
        assert!(report.table().contains("MISSED"));
    }

    #[test]
    fn percentiles_are_in_milliseconds() {
        let mut times = Times::new().unwrap();
        assert!(times.latency().is_none());
        for ms in 1..=1000 {
            times.record(Duration::from_millis(ms));
        }
        let latency = times.latency().unwrap();
        assert!((latency.p50_ms - 500.0).abs() < 1.0 && (latency.p99_ms - 990.0).abs() < 1.0, "{latency:?}");
        assert!((latency.max_ms - 1000.0).abs() < 1.0, "{latency:?}");
        let mut copy = Times::new().unwrap();
        for (micros, count) in times.counts() {
            copy.record_many(Duration::from_micros(micros), count);
        }
        assert_eq!((copy.len(), copy.counts()), (times.len(), times.counts()));
    }
}
