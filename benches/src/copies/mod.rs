//! How many bytes a server copies within its own memory, counted call by call in the running program.
//!
//! Owns the counting library (`count_copies.c`, compiled on the spot with `cc`) and the file in which it counts. Works
//! for programs that call memcpy of the C library: coldfront and nginx do, Kubo does not. x86-64 alone. A copy by
//! inlined instructions is not seen; compilers inline copies of known, small length, which payload is not.

mod sent;

use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::server::Launch;

pub use sent::SendfileCount;

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
    use super::{Copied, Counter};
    use std::process::Command;

    /// Moves 4,000 bytes up by one and down by one within one array, copies them to another, and looks at all of it.
    const PROGRAM: &str = "#include <string.h>\n\
        int main(void) { static unsigned char a[5000], b[5000];\n\
        for (int i = 0; i < 5000; i++) a[i] = i % 251;\n\
        memmove(a + 1, a, 4000); for (int i = 0; i < 4000; i++) if (a[i + 1] != i % 251) return 1;\n\
        memmove(a, a + 1, 4000); for (int i = 0; i < 4000; i++) if (a[i] != i % 251) return 2;\n\
        memcpy(b, a, 4000); for (int i = 0; i < 4000; i++) if (b[i] != i % 251) return 3;\n\
        memcpy(b, a, 10); return 0; }";

    #[test]
    fn every_copy_is_counted_by_its_length_and_comes_out_right() {
        let scratch =
            std::env::temp_dir().join(format!("coldfront-benches-copies-{}", std::process::id()));
        std::fs::create_dir_all(&scratch).unwrap();
        let counter = Counter::make(&scratch, "program").unwrap();
        let (source, program) = (scratch.join("program.c"), scratch.join("program"));
        std::fs::write(&source, PROGRAM).unwrap();
        let cc =
            Command::new("cc").args(["-fno-builtin", "-o"]).arg(&program).arg(&source).status();
        assert!(cc.unwrap().success());
        assert_eq!(counter.copied().unwrap(), Copied::default());
        let status = Command::new(&program)
            .env("LD_PRELOAD", &counter.library)
            .env("COLDFRONT_COUNT_COPIES", &counter.counts)
            .status();
        assert_eq!(status.unwrap().code(), Some(0), "which of the three copies went wrong");
        let Copied { all, payload } = counter.copied().unwrap();
        assert_eq!(payload, 12_000);
        assert!((12_010..13_000).contains(&all), "{all}: the loader may copy a little itself");
        std::fs::remove_dir_all(scratch).unwrap();
    }
}
