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
under way may finish within the limit drain_time. A second signal ends at once. SIGHUP looks at tokens
and certificates at once (they are also noticed by themselves within a second), reads the settings again,
and logs which of them were changed and take effect at the next start.";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve archives as an IPFS gateway until SIGTERM or Ctrl-C
    #[command(after_help = AFTER_SERVE, next_line_help = true)]
    Serve(Flags),
    /// Serve a Kubo repository as it lies, in the place of `ipfs daemon`
    #[command(after_help = AFTER_KUBO_DAEMON, next_line_help = true)]
    KuboDaemon(KuboDaemon),
    /// Make, list and remove the tokens of the RPC API
    #[command(subcommand)]
    Token(Token),
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

    /// The certificate that the server shows, or that of who signed it, in PEM: then it is asked through TLS.
    /// [env: COLDFRONT_TLS_CERTIFICATE]
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    pub(crate) tls_certificate: Option<PathBuf>,

    /// The name in that certificate. [default: the address]
    #[arg(long, value_name = "NAME")]
    pub(crate) tls_name: Option<String>,

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

const AFTER_KUBO_DAEMON: &str = "\
The repository is the one at IPFS_PATH, or ~/.ipfs. Its flatfs blocks are read and never written; its addresses, origins
and authorizations are kept; its pins and its MFS root are taken over once. What is added lies in the folder `coldfront`
of the repository. No Kubo may run on it meanwhile.

Flags of `ipfs daemon` are accepted and ignored, but for --repo-dir. Settings of coldfront come from the environment, as
for serve: COLDFRONT_HOT, COLDFRONT_TOKENS, COLDFRONT_OPEN_RPC and so on.";

/// What `ipfs daemon` would be given.
#[derive(Debug, Args)]
pub(crate) struct KuboDaemon {
    /// Flags of `ipfs daemon`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAGS")]
    pub(crate) ignored: Vec<std::ffi::OsString>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token and print its secret, which is kept nowhere else
    #[command(next_line_help = true, after_help = AFTER_TOKEN)]
    Add(TokenAdd),
    /// List tokens, without their secrets
    Ls(TokenLs),
    /// Remove a token: calls with it are refused within a second
    Rm(TokenRm),
}

const AFTER_TOKEN: &str = "\
A client sends the secret as bearer token, or as the password of a user with the token's name:
  ipfs --api /ip4/127.0.0.1/tcp/5001 --api-auth bearer:SECRET add file
  curl -u NAME:SECRET -F file=@file http://127.0.0.1:5001/api/v0/add";

#[derive(Debug, Args)]
pub(crate) struct TokenAdd {
    /// Whose it is: the name in the log of changes
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) file: TokenPath,

    /// What it may call: names of commands such as add,pin/ls, or the words upload (add, block/put,
    /// dag/import and pinning), read (what changes nothing) and all
    #[arg(long, value_name = "NAMES", verbatim_doc_comment)]
    pub(crate) commands: String,

    /// It may remove the pins that it made, and nothing else
    #[arg(long)]
    pub(crate) own_pins: bool,

    /// Calls under way at a time; others wait [default: 64]
    #[arg(long, value_name = "N")]
    pub(crate) streams: Option<String>,

    /// Calls that wait; one more gets 429 [default: 64]
    #[arg(long, value_name = "N")]
    pub(crate) queue: Option<String>,

    /// Bytes a second of bodies and answers together, such as 10MiB [default: no limit]
    #[arg(long, value_name = "BYTES")]
    pub(crate) rate: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct TokenLs {
    #[command(flatten)]
    pub(crate) file: TokenPath,
}

#[derive(Debug, Args)]
pub(crate) struct TokenRm {
    /// Whose it is
    pub(crate) name: String,

    #[command(flatten)]
    pub(crate) file: TokenPath,
}

#[derive(Debug, Args)]
pub(crate) struct TokenPath {
    /// The file of tokens, as given to `serve` [env: COLDFRONT_TOKENS]
    #[arg(long = "tokens", value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
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

    /// The file of tokens that calls of the RPC API need, made by `coldfront-gateway token add`.
    /// Without one the RPC API listens on loopback alone. [env: COLDFRONT_TOKENS]
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    pub(crate) tokens: Option<PathBuf>,

    /// Where to listen for uploads: the RPC API again, with some commands alone. [env: COLDFRONT_UPLOAD]
    #[arg(long, value_name = "ADDR", verbatim_doc_comment)]
    pub(crate) upload: Option<String>,

    /// The commands that are served there: names such as add,pin/ls, or the words upload, read, all.
    /// [env: COLDFRONT_UPLOAD_COMMANDS] [default: upload]
    #[arg(long, value_name = "NAMES", verbatim_doc_comment)]
    pub(crate) upload_commands: Option<String>,

    /// Origins of web pages that may call the RPC API, such as https://app.example.org, separated by commas.
    /// [env: COLDFRONT_RPC_ORIGINS]
    #[arg(long, value_name = "ORIGINS", verbatim_doc_comment)]
    pub(crate) rpc_origins: Option<String>,

    /// The certificates, in PEM, with which the RPC API and uploads are served through TLS.
    /// Both files are read again when they change. [env: COLDFRONT_TLS_CERTIFICATE]
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    pub(crate) tls_certificate: Option<PathBuf>,

    /// The key of the certificate, in PEM. [env: COLDFRONT_TLS_KEY]
    #[arg(long, value_name = "FILE", verbatim_doc_comment)]
    pub(crate) tls_key: Option<PathBuf>,

    /// Lets the RPC API listen beyond loopback without tokens: whoever reaches it may do everything.
    /// [env: COLDFRONT_OPEN_RPC=true]
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        verbatim_doc_comment
    )]
    pub(crate) open_rpc: Option<String>,

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

    /// What to copy into the hot store in the background, as coldfront-migrate run --all does: a flatfs tree,
    /// a stopped Kubo repository, a store or a CAR file. May be given several times. Goes on where it stopped.
    #[arg(long, value_name = "SOURCE", verbatim_doc_comment)]
    pub(crate) adopt: Vec<PathBuf>,

    /// Bytes that --adopt reads in a second, at most. [default: 32MiB]
    #[arg(long, value_name = "SIZE", verbatim_doc_comment)]
    pub(crate) adopt_rate: Option<String>,

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
