//! How many bytes a server copies within its own memory, counted call by call in the running program.
//!
//! Owns the counting library (`count_copies.c`, compiled on the spot with `cc`) and the file in which it counts. Works
//! for programs that call memcpy of the C library: coldfront and nginx do, Kubo does not. x86-64 alone. A copy by
//! inlined instructions is not seen; compilers inline copies of known, small length, which payload is not.

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::server::Launch;

const SOURCE: &str = include_str!("count_copies.c");

/// Counts the copies of one server.
#[derive(Debug)]
pub struct Counter {
    library: PathBuf,
    counts: PathBuf,
}

/// Bytes copied so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// By all calls.
    pub all: u64,
    /// By calls of 1 KiB and more: payload.
    pub payload: u64,
}

impl Counter {
    /// Compiles the counting library into `scratch` and begins at zero.
    pub fn make(scratch: &Path, name: &str) -> Result<Self> {
        ensure!(cfg!(target_arch = "x86_64"), "copies are counted on x86-64 alone");
        let source = scratch.join("count_copies.c");
        let library = scratch.join("count_copies.so");
        fs::write(&source, SOURCE).with_context(|| format!("cannot write {}", source.display()))?;
        let status = Command::new("cc")
            .args(["-O2", "-Wall", "-Werror", "-fno-builtin", "-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(&source)
            .status()
            .context("there is no C compiler; apt-get install gcc")?;
        ensure!(status.success(), "cc does not compile {}", source.display());
        let counts = scratch.join(format!("{name}.copies"));
        fs::write(&counts, [0; 16])?;
        Ok(Self { library, counts })
    }

    /// The same server with the counting library in front of the C library.
    pub fn counting(&self, mut launch: Launch) -> Launch {
        launch.command.env("LD_PRELOAD", &self.library).env("COLDFRONT_COUNT_COPIES", &self.counts);
        launch
    }

    /// What was counted until now, in every process that the launch has started.
    pub fn copied(&self) -> Result<Copied> {
        let file = fs::File::open(&self.counts)
            .with_context(|| format!("cannot read {}", self.counts.display()))?;
        let number = |offset| -> Result<u64> {
            let mut bytes = [0; 8];
            file.read_exact_at(&mut bytes, offset)?;
            Ok(u64::from_le_bytes(bytes))
        };
        Ok(Copied { all: number(0)?, payload: number(8)? })
    }
}

#[cfg(test)]
#[cfg(target_arch = "x86_64")]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Counter;
    use std::process::Command;

    #[test]
    fn a_program_that_copies_is_seen_to_copy_and_still_works() {
        let scratch =
            std::env::temp_dir().join(format!("coldfront-benches-copies-{}", std::process::id()));
        std::fs::create_dir_all(&scratch).unwrap();
        let counter = Counter::make(&scratch, "sort").unwrap();
        assert_eq!(counter.copied().unwrap().all, 0);
        let text = scratch.join("text");
        let lines: String = (0..20_000).rev().map(|number| format!("{number:08}\n")).collect();
        std::fs::write(&text, &lines).unwrap();
        let output = Command::new("sort")
            .arg(&text)
            .env("LD_PRELOAD", &counter.library)
            .env("COLDFRONT_COUNT_COPIES", &counter.counts)
            .output()
            .unwrap();
        let sorted: String = (0..20_000).map(|number| format!("{number:08}\n")).collect();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), sorted);
        // `sort` moves every line through an output buffer.
        let copied = counter.copied().unwrap();
        assert!(copied.all > lines.len() as u64 / 2, "{copied:?}");
        std::fs::remove_dir_all(scratch).unwrap();
    }
}
