//! What a run found, as Markdown: printed while it runs, kept in the cache folder when it is over.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use crate::fixtures::Cache;

/// The text of one run so far.
#[derive(Debug, Default)]
pub struct Report(String);

impl Report {
    /// Adds a line and prints it.
    pub fn line(&mut self, line: impl AsRef<str>) {
        println!("{}", line.as_ref());
        self.0.push_str(line.as_ref());
        self.0.push('\n');
    }

    /// Adds a heading with an empty line on both sides.
    pub fn heading(&mut self, text: &str) {
        self.line(format!("\n## {text}\n"));
    }

    /// Begins a table.
    pub fn table(&mut self, columns: &[&str]) {
        self.row(columns);
        self.line(format!("|{}", "---|".repeat(columns.len())));
    }

    /// Adds a row to the table begun last.
    pub fn row<T: AsRef<str>>(&mut self, cells: &[T]) {
        let cells: Vec<&str> = cells.iter().map(AsRef::as_ref).collect();
        self.line(format!("| {} |", cells.join(" | ")));
    }

    /// The text so far.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// Writes the text to the folder `results` of the cache and returns the file.
    pub fn save(&self, cache: &Cache, name: &str) -> Result<PathBuf> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let file = cache.folder("results")?.join(format!("{now}-{name}.md"));
        fs::write(&file, &self.0).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }
}

/// Bytes as megabytes of 2^20, with one digit behind the point.
pub fn megabytes(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / f64::from(1 << 20))
}

/// A time as milliseconds, with two digits behind the point.
pub fn millis(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}

/// Whether what was asked was reached, as a table says it.
pub fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "**missed**" }
}
