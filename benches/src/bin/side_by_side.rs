//! Runs the side-by-side measurements: see `--help`, and `README.md` for what is asked and what was reached.
//! Exit codes: 0 measured, 1 failed (a wrong answer of any server is a failure), 2 wrong usage.

use std::process::ExitCode;

use anyhow::Result;
use coldfront_benches::fixtures::Cache;
use coldfront_benches::machine;
use coldfront_benches::options::{HELP, Options, Peer, Suite};
use coldfront_benches::report::Report;
use coldfront_benches::suite::{cold, copies, hot, http, kernel, memory, migrate, rpc};
use coldfront_benches::work;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let Some((first, words)) = words.split_first()
        && first == "work"
    {
        return ended(work::main(words));
    }
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error:#}");
            return ExitCode::from(2);
        }
    };
    ended(measure(&options))
}

fn ended(done: Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<()> {
    let cache = Cache::open()?;
    let mut report = Report::default();
    if cfg!(debug_assertions) {
        report.line(
            "THIS IS A DEBUG BUILD: its client is slow, its figures mean nothing; use --release\n",
        );
    }
    machine::facts(cache.path()).iter().for_each(|fact| report.line(fact));
    if options.with(Peer::Coldfront) {
        report.line(machine::own_version());
    }
    for suite in &options.suites {
        match suite {
            Suite::Http => http::run(options, &cache, &mut report)?,
            Suite::Hot => hot::run(options, &cache, &mut report)?,
            Suite::Rpc => rpc::run(options, &cache, &mut report)?,
            Suite::Cold => cold::run(options, &cache, &mut report)?,
            Suite::Memory => memory::run(options, &cache, &mut report)?,
            Suite::Migrate => migrate::run(options, &cache, &mut report)?,
            Suite::Kernel => kernel::run(options, &cache, &mut report)?,
            Suite::Copies => copies::run(options, &cache, &mut report)?,
        }
    }
    let name = if options.quick { "quick" } else { "full" };
    eprintln!("kept as {}", report.save(&cache, name)?.display());
    Ok(())
}
