//! Who changed what: one line of the log for each call that changes anything.
//!
//! Owns what is in that line, under a target of its own (`coldfront::changes`), so that it can be kept apart. Bodies, tokens
//! and the values of settings are never in it. Must not know how a command works.

use std::fmt::Write as _;

use coldfront::Cid;

use super::call::Call;
use super::error::Failed;
use super::table::Effect;

/// The target of these lines.
const TARGET: &str = "coldfront::changes";

/// CIDs that are named in one line, and arguments; of more the count is told.
const NAMED: usize = 16;

/// Bytes of an argument that are shown.
const SHOWN: usize = 128;

/// What a call has changed so far.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    first: Vec<Cid>,
    count: u64,
}

impl Changed {
    /// A root that was stored, pinned or removed.
    pub(crate) fn note(&mut self, cid: &Cid) {
        if self.first.len() < NAMED {
            self.first.push(*cid);
        }
        self.count += 1;
    }
}

/// Writes the line, once the call is done.
pub(crate) fn log(call: &Call, result: &Result<(), Failed>) {
    if call.command.effect == Effect::Reads {
        return;
    }
    let user = call.caller.name();
    let outcome = result.as_ref().map_or_else(|failed| failed.message.as_str(), |()| "done");
    tracing::info!(
        target: TARGET,
        user,
        command = call.command.name,
        args = arguments(call.command.name, &call.args),
        changed = roots(&call.changed),
        outcome = shown(outcome),
    );
}

fn roots(changed: &Changed) -> String {
    let mut text = String::new();
    for cid in &changed.first {
        // Writing to a string cannot fail.
        let _ = write!(text, "{}{cid}", if text.is_empty() { "" } else { " " });
    }
    more(&mut text, changed.count);
    text
}

/// Of commands that take settings, only which one it is: values may be secrets.
fn arguments(command: &str, args: &[String]) -> String {
    let is_setting = command.starts_with("config") || command.starts_with("pin/remote");
    let most = if is_setting { 1 } else { NAMED };
    let mut text = String::new();
    for arg in args.iter().take(most) {
        let _ = write!(text, "{}{}", if text.is_empty() { "" } else { " " }, shown(arg));
    }
    more(&mut text, if is_setting { 0 } else { args.len() as u64 });
    text
}

fn more(text: &mut String, count: u64) {
    if count > NAMED as u64 {
        let _ = write!(text, " and {} more", count - NAMED as u64);
    }
}

/// Foreign text as part of a line: cut, and without what would begin another.
fn shown(text: &str) -> String {
    let plain = text.chars().map(|c| if c.is_control() { '?' } else { c });
    let mut taken = String::new();
    for c in plain {
        if taken.len() + c.len_utf8() > SHOWN {
            taken.push('…');
            break;
        }
        taken.push(c);
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_settings_are_not_logged() {
        let args = ["API.Authorizations".to_owned(), "{\"secret\":1}".to_owned()];
        assert_eq!(arguments("config", &args), "API.Authorizations");
        let args = ["svc", "https://x", "key"].map(str::to_owned);
        assert_eq!(arguments("pin/remote/service/add", &args), "svc");
    }

    #[test]
    fn a_line_is_one_line_of_bounded_length() {
        assert_eq!(shown("a\nb\r\u{1b}[31m"), "a?b??[31m");
        assert_eq!(shown(&"ä".repeat(1000)).chars().count(), SHOWN / 2 + 1);
        let many: Vec<String> = (0..100).map(|i| i.to_string()).collect();
        let text = arguments("pin/add", &many);
        assert!(text.ends_with("15 and 84 more"), "{text}");
    }
}
