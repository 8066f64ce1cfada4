//! The command line.
//!
//! Owns the names of commands and flags and what `--help` says of them. Must not know what a value may
//! be: all of them are text here, and read in one place whether they come from a flag, the environment or
//! a file.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Serve very large IPFS repositories in place: never listed, never written.
#[derive(Debug, Parser)]
#[command(name = "coldfront-gateway", version, after_help = AFTER)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER: &str = "\
Exit codes: 0 done, 1 failed, 2 wrong usage.

Example:
  coldfront-gateway serve --archive /srv/ipfs --gateway 8080";

const AFTER_SERVE: &str = "\
A flag beats its environment variable, which beats the file. `coldfront-gateway emit config` with
the same flags prints what is in force, where each value came from, and the names of all limits.

COLDFRONT_LOG chooses what is logged to stderr: error, warn, info (default), debug.

With a hot store, garbage is collected at a time of day (COLDFRONT_GC_AT=03:00, in UTC) and when the store takes
more room than COLDFRONT_GC_HIGH, until COLDFRONT_GC_LOW is left; in the file: at, high and low of [gc].

Nothing listens unless it was given an address. SIGTERM and Ctrl-C stop: nobody new gets in, answers
under way may finish within the limit drain_time. A second signal ends at once.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve archives as an IPFS gateway until SIGTERM or Ctrl-C
    #[command(after_help = AFTER_SERVE, next_line_help = true)]
    Serve(Flags),
    /// Print a file for another program, made from the settings in force
    #[command(subcommand)]
    Emit(Emit),
    /// Ask a running server where a block lies, what keeps it, and whether all below it is there
    #[command(next_line_help = true)]
    Where(Where),
    /// Print the version
    Version,
}

/// A question to a running server.
#[derive(Clone, Debug, Args)]
pub(crate) struct Where {
    /// A CID, or a path such as /ipfs/CID/a/b
    #[arg(value_name = "CID")]
    pub(crate) path: String,

    /// The address of its RPC API: PORT, :PORT or HOST:PORT. A token that it asks for is taken from
    /// COLDFRONT_TOKEN. [env: COLDFRONT_RPC] [default: 5001]
    #[arg(long, value_name = "ADDR", verbatim_doc_comment)]
    pub(crate) rpc: Option<String>,

    /// The answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Emit {
    /// All settings in force as TOML that --config takes, each with where it came from
    #[command(next_line_help = true)]
    Config(Flags),
}

/// Settings by flag.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Flags {
    /// A Kubo repository, the `blocks` directory of one, or a CAR file.
    /// May be given several times; asked in order.
    /// [env: COLDFRONT_ARCHIVE, paths separated by colons]
    #[arg(long, value_name = "PATH", verbatim_doc_comment)]
    pub(crate) archive: Vec<PathBuf>,

    /// The folder of the hot store, made when it is absent or empty. It is asked before the archives.
    /// [env: COLDFRONT_HOT]
    #[arg(long, value_name = "DIR", verbatim_doc_comment)]
    pub(crate) hot: Option<PathBuf>,

    /// Where to listen for gateway requests: PORT, :PORT or HOST:PORT.
    /// Without a host: loopback. [env: COLDFRONT_GATEWAY]
    #[arg(long, value_name = "ADDR", verbatim_doc_comment)]
    pub(crate) gateway: Option<String>,

    /// Where to listen for calls of the Kubo RPC API, in the same forms. [env: COLDFRONT_RPC]
    #[arg(long, value_name = "ADDR", verbatim_doc_comment)]
    pub(crate) rpc: Option<String>,

    /// A file of settings in TOML. [env: COLDFRONT_CONFIG]
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    pub(crate) config: Option<PathBuf>,

    /// When to hash blocks before their bytes are sent: off, first-read or always.
    /// [env: COLDFRONT_VERIFY] [default: off]
    #[arg(long, value_name = "WHEN", verbatim_doc_comment)]
    pub(crate) verify: Option<String>,

    /// The archives may hold files named by whole CIDs, as repositories before version 12 do.
    /// [env: COLDFRONT_MIXED=true]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        verbatim_doc_comment
    )]
    pub(crate) mixed: Option<String>,

    /// Threads that serve connections. [env: COLDFRONT_WORKERS] [default: one a processor]
    #[arg(long, value_name = "N", verbatim_doc_comment)]
    pub(crate) workers: Option<String>,

    /// A bound, for example connections=1000 or bytes_in_flight=64MiB.
    /// May be given several times. [env: COLDFRONT_LIMIT_CONNECTIONS and so on]
    #[arg(long, value_name = "NAME=VALUE", verbatim_doc_comment)]
    pub(crate) limit: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
