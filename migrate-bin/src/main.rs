//! `coldfront-migrate`: move the content of Kubo repositories into a hot store, and back.
//!
//! Owns flags and exit codes; each verb has a file. Nothing that a test of the library would want to call.

mod export;
mod pins;
mod plan;
mod release;
mod run;
mod show;
mod status;
mod store;
mod units;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The exit code for work that was done, but for blocks that are missing or bad.
const WITH_FAULTS: u8 = 3;

/// Moves the content of stopped Kubo repositories, flatfs trees and CAR files into a coldfront hot store, and back.
///
/// Exit codes: 0 done; 1 failed, or stopped; 2 wrong usage; 3 done, but some blocks were missing or bad.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Plan(plan::Flags),
    Run(run::Flags),
    Verify(verify::Flags),
    Export(Box<export::Flags>),
    Release(release::Flags),
    Pins(pins::Flags),
    Status(status::Flags),
}

/// How a verb ended that did what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All is well.
    Done,
    /// It went to the end, and the report lists blocks that are missing or bad.
    WithFaults,
    /// It was told to stop. The same command goes on.
    Stopped,
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Plan(flags) => plan::run(&flags),
        Verb::Run(flags) => run::run(&flags),
        Verb::Verify(flags) => verify::run(&flags),
        Verb::Export(flags) => export::run(&flags),
        Verb::Release(flags) => release::run(&flags),
        Verb::Pins(flags) => pins::run(&flags),
        Verb::Status(flags) => status::run(&flags),
    };
    match done {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::WithFaults) => ExitCode::from(WITH_FAULTS),
        Ok(Outcome::Stopped) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("coldfront-migrate: {error:#}");
            ExitCode::FAILURE
        }
    }
}
