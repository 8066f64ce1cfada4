//! `coldfront-gateway token`: tokens are made, listed and removed.
//!
//! Owns what is printed. A secret is printed once, alone on standard output, so that a script can take it. Must not know how
//! tokens are kept.

use std::path::PathBuf;

use anyhow::Context as _;
use coldfront_http::rpc::tokens::{Listed, NewToken, Scope, TokenFile, TokenLimits};

use crate::flags::{Token, TokenAdd, TokenPath};
use crate::units;
use crate::{Failure, print, usage};

/// The most calls that a token may have under way, or waiting.
const MAX_CALLS: usize = 1_000_000;

pub(crate) fn run(token: &Token) -> Result<(), Failure> {
    match token {
        Token::Add(new) => add(new),
        Token::Ls(ls) => {
            let all = file(&ls.file)?.list().context("tokens cannot be listed");
            print(&all.map_err(Failure::Failed)?.iter().map(shown).collect::<String>())
        }
        Token::Rm(rm) => {
            let removed = file(&rm.file)?.remove(&rm.name);
            removed.context("the token was not removed").map_err(Failure::Failed)
        }
    }
}

fn add(new: &TokenAdd) -> Result<(), Failure> {
    let file = file(&new.file)?;
    let count = |name, text: &Option<String>, default| match text {
        None => Ok(default),
        Some(text) => {
            let count = text.parse().ok().filter(|count| *count <= MAX_CALLS);
            count.ok_or_else(|| {
                usage(format!("{name} is \"{text}\", expected a whole number up to {MAX_CALLS}"))
            })
        }
    };
    let defaults = TokenLimits::default();
    let rate = new.rate.as_deref().map_or(Some(0), units::size);
    let limits = TokenLimits {
        streams: count("--streams", &new.streams, defaults.streams)?.max(1),
        queue: count("--queue", &new.queue, defaults.queue)?,
        bytes_per_second: rate
            .ok_or_else(|| usage("--rate: expected bytes a second, such as 10MiB".into()))?,
    };
    let scope = Scope::parse(&new.commands);
    let scope = scope.map_err(|sentence| usage(format!("--commands: {sentence}")))?;
    let new = NewToken { name: new.name.clone(), scope, limits, own_pins: new.own_pins };
    let secret = file.add(&new).context("the token was not made").map_err(Failure::Failed)?;
    eprintln!("the secret of \"{}\", kept nowhere else:", new.name);
    print(&format!("{secret}\n"))
}

fn file(given: &TokenPath) -> Result<TokenFile, Failure> {
    let path = given.path.clone();
    let path = path.or_else(|| std::env::var_os("COLDFRONT_TOKENS").map(PathBuf::from));
    let path = path.filter(|path| !path.as_os_str().is_empty());
    path.map(TokenFile::new).ok_or_else(|| {
        usage("which tokens? Name their file with --tokens FILE or COLDFRONT_TOKENS".into())
    })
}

/// One line: name, commands, limits.
fn shown(token: &Listed) -> String {
    let TokenLimits { streams, queue, bytes_per_second } = token.limits;
    let own = if token.own_pins { " own-pins" } else { "" };
    let rate = match bytes_per_second {
        0 => String::new(),
        rate => format!(" rate={}/s", units::show_size(rate)),
    };
    format!("{} {} streams={streams} queue={queue}{rate}{own}\n", token.name, token.scope)
}
