//! The real Kubo, where it is at hand.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A repository and the program that works on it.
pub(crate) struct Kubo {
    program: PathBuf,
    pub(crate) repo: PathBuf,
}

impl Kubo {
    /// `None`, with a sentence, where Kubo was not built (`core/http/tests/interop/kubo/build`).
    pub(crate) fn new(repo: impl Into<PathBuf>) -> Option<Kubo> {
        let cache = std::env::var_os("COLDFRONT_CACHE").map(PathBuf::from);
        let cache = cache
            .or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache/coldfront")))?;
        let program = cache.join("kubo-v0.42.0/ipfs");
        if !program.is_file() {
            eprintln!("there is no {}: not compared with Kubo", program.display());
            return None;
        }
        Some(Kubo { program, repo: repo.into() })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).env("IPFS_PATH", &self.repo).stdin(Stdio::null());
        command
    }

    /// What a command says; it has to succeed.
    pub(crate) fn says(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "ipfs {arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn bytes(&self, arguments: &[&str]) -> Vec<u8> {
        let output = self.command(arguments).output().unwrap();
        assert!(output.status.success(), "ipfs {arguments:?}");
        output.stdout
    }

    /// The lines of what a command says, sorted.
    pub(crate) fn lines(&self, arguments: &[&str]) -> Vec<String> {
        let mut lines: Vec<_> = self.says(arguments).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }
}
