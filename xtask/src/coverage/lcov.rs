//! The report of llvm-cov in lcov's format: a section a file, a record a line.

use std::collections::BTreeMap;
use std::iter::Sum;
use std::ops::Add;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// For each file, by line number from 1, how often it ran.
pub(super) type Lines = BTreeMap<PathBuf, BTreeMap<usize, u64>>;

/// How many lines could run and how many did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) all: usize,
    pub(super) run: usize,
}

/// Reads `SF:` and `DA:` records and no others.
pub(super) fn parse(report: &str) -> Result<Lines> {
    let mut files = Lines::new();
    let mut file = None;
    for record in report.lines() {
        if let Some(path) = record.strip_prefix("SF:") {
            file = Some(files.entry(PathBuf::from(path)).or_default());
        } else if let Some(line) = record.strip_prefix("DA:") {
            let (number, count) = line.split_once(',').context("a DA record without a count")?;
            let count: u64 = count.parse().with_context(|| record.to_owned())?;
            let lines = file.as_mut().context("a DA record outside a file")?;
            // A file that several programs were built from has several sections.
            *lines.entry(number.parse().with_context(|| record.to_owned())?).or_default() += count;
        }
    }
    Ok(files)
}

/// Counts the lines that are not blank in `production`, the source without its tests.
pub(super) fn count(lines: &BTreeMap<usize, u64>, production: &str) -> Counted {
    let counts = production.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let counts = counts.filter_map(|(at, _)| lines.get(&(at + 1)));
    counts.map(|count| Counted { all: 1, run: usize::from(*count > 0) }).sum()
}

// === impl Counted ===

impl Counted {
    /// As a table shows it: one decimal, rounded down, so that 100.0 means all.
    pub(super) fn percent(self) -> String {
        let tenths = (self.run * 1000).checked_div(self.all).unwrap_or_default();
        format!("{}.{} %", tenths / 10, tenths % 10)
    }

    /// A part without lines reaches nothing: it has moved or is not built.
    pub(super) fn reaches(self, percent: usize) -> bool {
        self.all > 0 && self.run * 100 >= self.all * percent
    }
}

impl Add for Counted {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { all: self.all + other.all, run: self.run + other.run }
    }
}

impl Sum for Counted {
    fn sum<I: Iterator<Item = Self>>(counted: I) -> Self {
        counted.fold(Self::default(), Self::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "SF:/a.rs\nFN:1,f\nDA:1,2\nDA:2,0\nDA:4,7\nLF:3\nend_of_record\n\
                          SF:/b.rs\nDA:9,0\nend_of_record\nSF:/a.rs\nDA:2,1\nend_of_record\n";

    #[test]
    fn sections_of_one_file_are_added() {
        let files = parse(REPORT).expect("parsed");
        assert_eq!(files[&PathBuf::from("/a.rs")], BTreeMap::from([(1, 2), (2, 1), (4, 7)]));
        assert_eq!(files[&PathBuf::from("/b.rs")], BTreeMap::from([(9, 0)]));
    }

    #[test]
    fn a_report_that_is_none_is_an_error() {
        assert!(parse("DA:1,1\n").is_err(), "outside a file");
        assert!(parse("SF:/a\nDA:1\n").is_err(), "no count");
        assert!(parse("SF:/a\nDA:x,1\n").is_err(), "no line");
    }

    #[test]
    fn only_lines_of_production_code_that_can_run_count() {
        let lines = BTreeMap::from([(1, 1), (2, 0), (4, 9)]);
        // Line 3 has code that cannot run, line 4 is a test.
        assert_eq!(count(&lines, "fn a() {\n  b();\n}\n      \n"), Counted { all: 2, run: 1 });
    }

    #[test]
    fn a_floor_is_reached_exactly_at_it_and_never_by_nothing() {
        assert!(Counted { all: 10, run: 9 }.reaches(90));
        assert!(!Counted { all: 1000, run: 899 }.reaches(90));
        assert!(!Counted::default().reaches(0));
    }

    #[test]
    fn a_share_is_rounded_down() {
        assert_eq!(Counted { all: 10_000, run: 9999 }.percent(), "99.9 %");
        assert_eq!(Counted::default().percent(), "0.0 %");
    }
}
