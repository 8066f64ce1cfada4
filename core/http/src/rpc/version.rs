//! `version`.
//!
//! Clients compare the number with what they know of Kubo's API, so it is the Kubo whose API is spoken. Twin of kubo
//! `core/commands/version.go`.

use serde::Serialize;

use super::call::Call;
use super::error::Failed;
use super::table::{Command, Opt};

/// The Kubo whose API this is.
pub(crate) const KUBO_VERSION: &str = "0.42.0";

/// The version of Kubo's repository that goes with it.
pub(crate) const REPO_VERSION: &str = "18";

pub(super) const COMMANDS: &[Command] = &[
    Command {
        options: &[
            Opt::flag(&["number", "n"], "Only the version number"),
            Opt::flag(&["commit"], "The commit with the version"),
            Opt::flag(&["repo"], "The version of the repository"),
            Opt::flag(&["all"], "All of it"),
        ],
        output: r#"{"Version","Commit","Repo","System","Golang"}"#,
        ..Command::new(
            "version",
            "The version of Kubo whose API this is, and of this program",
            version,
        )
    },
    Command {
        output: r#"{"Path","Version","ReplacedBy","Sum"}, one a line"#,
        ..Command::new(
            "version/deps",
            "What the program consists of: itself; the rest is in Cargo.lock",
            deps,
        )
    },
];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    version: &'static str,
    commit: &'static str,
    repo: &'static str,
    system: String,
    golang: &'static str,
}

fn version(call: &mut Call) -> Result<(), Failed> {
    call.once(&Version {
        version: KUBO_VERSION,
        commit: concat!("coldfront-", env!("CARGO_PKG_VERSION")),
        repo: REPO_VERSION,
        system: system(),
        golang: "",
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Dependency {
    path: &'static str,
    version: &'static str,
    replaced_by: &'static str,
    sum: &'static str,
}

fn deps(call: &mut Call) -> Result<(), Failed> {
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    call.emit(&Dependency { path: "coldfront", version, replaced_by: "", sum: "" })
}

/// Processor and system, in Go's names.
fn system() -> String {
    let processor = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{processor}/{}", std::env::consts::OS)
}
