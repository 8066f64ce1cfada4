//! What a token, or a listener, lets its callers call.
//!
//! Owns the words for sets of commands. A scope is compared with the command that would run, by its name in the table, so
//! no spelling of a path gets around it. Must not know tokens or requests.

use std::fmt;

use crate::rpc::table::{self, Command, Effect};

/// What an uploader needs, and no more. Field reports list the same for the proxies that they replace.
const UPLOAD: [&str; 7] =
    ["add", "block/put", "dag/import", "pin/add", "pin/ls", "pin/rm", "pin/update"];

/// The command that every caller may call: clients ask for it before anything else.
const ALWAYS: &str = "version";

/// A set of commands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    /// Every command.
    All,
    /// Commands that change nothing.
    Read,
    /// Those of an uploader.
    Upload,
    /// One command. A name that no command has lets nothing in.
    Command(String),
    /// A command and those below it, as Kubo's `AllowedPaths` say it.
    Below(String),
}

impl Scope {
    /// Every command.
    pub fn all() -> Scope {
        Scope(vec![Part::All])
    }

    /// `add`, `block/put`, `dag/import` and pinning.
    pub fn upload() -> Scope {
        Scope(vec![Part::Upload])
    }

    /// Names of commands, separated by commas or blanks, and the words `all`, `read` and `upload`.
    ///
    /// # Errors
    /// A sentence, for a name that no command has.
    pub fn parse(text: &str) -> Result<Scope, String> {
        let names = text.split([',', ' ']).filter(|name| !name.is_empty());
        let parts: Vec<Part> = names.map(known).collect::<Result<_, String>>()?;
        if parts.is_empty() {
            return Err("names no command; expected names such as add,pin/ls or the words all, read, upload".into());
        }
        Ok(Scope(parts))
    }

    /// The same of names that were checked when they were written: a command that has gone since lets nothing in.
    pub(super) fn of_names(names: &[String]) -> Scope {
        Scope(
            names
                .iter()
                .map(|name| word(name).unwrap_or_else(|| Part::Command(name.clone())))
                .collect(),
        )
    }

    /// As [`Scope::parse`] takes it, one name each.
    pub(super) fn names(&self) -> Vec<String> {
        self.0.iter().map(Part::to_string).collect()
    }

    /// What Kubo's `AllowedPaths` let in, by whole segments: `/api/v0/pin` is `pin` and `pin/…`, and not `pinxyz`.
    pub(super) fn of_kubo_paths<'a>(paths: impl IntoIterator<Item = &'a str>) -> Scope {
        let part = |path: &str| {
            let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
            match segments.as_slice() {
                [] | ["api"] | ["api", "v0"] => Some(Part::All),
                ["api", "v0", command @ ..] => Some(Part::Below(command.join("/"))),
                _ => None,
            }
        };
        Scope(paths.into_iter().filter_map(part).collect())
    }

    /// Whether a command is in it.
    pub(crate) fn allows(&self, command: &Command) -> bool {
        command.name == ALWAYS || self.0.iter().any(|part| part.allows(command))
    }
}

fn word(name: &str) -> Option<Part> {
    match name {
        "all" => Some(Part::All),
        "read" => Some(Part::Read),
        "upload" => Some(Part::Upload),
        _ => None,
    }
}

fn known(name: &str) -> Result<Part, String> {
    let command = || table::named(name).map(|command| Part::Command(command.name.to_owned()));
    word(name).or_else(command).ok_or_else(|| {
        format!("there is no command \"{name}\"; expected names such as pin/ls, or the words all, read, upload")
    })
}

impl Part {
    fn allows(&self, command: &Command) -> bool {
        match self {
            Part::All => true,
            Part::Read => command.effect == Effect::Reads,
            Part::Upload => UPLOAD.contains(&command.name),
            Part::Command(name) => name == command.name,
            Part::Below(name) => {
                let below = command.name.strip_prefix(name.as_str());
                below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::All => f.write_str("all"),
            Part::Read => f.write_str("read"),
            Part::Upload => f.write_str("upload"),
            Part::Command(name) => f.write_str(name),
            Part::Below(name) => write!(f, "{name}/*"),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(","))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn may(scope: &Scope, name: &str) -> bool {
        scope.allows(table::named(name).unwrap())
    }

    #[test]
    fn a_scope_is_exact_commands_and_the_version() {
        let scope = Scope::parse("block/get, cat").unwrap();
        assert!(may(&scope, "block/get") && may(&scope, "cat") && may(&scope, "version"));
        assert!(!may(&scope, "block/put") && !may(&scope, "add"));
    }

    #[test]
    fn the_words_are_sets() {
        assert!(may(&Scope::all(), "add") && may(&Scope::all(), "id"));
        assert!(may(&Scope::upload(), "add") && !may(&Scope::upload(), "cat"));
        let read = Scope::parse("read").unwrap();
        assert!(may(&read, "cat") && !may(&read, "add"));
    }

    #[test]
    fn a_name_that_no_command_has_is_told() {
        for text in ["ad", "pinxyz", "block", "block/", "/add", "add/..", "*", "block/*"] {
            assert!(Scope::parse(text).unwrap_err().contains(text), "{text}");
        }
        assert!(Scope::parse(" ,").unwrap_err().contains("no command"));
    }

    #[test]
    fn kubos_paths_hold_by_whole_segments() {
        let scope = |path| Scope::of_kubo_paths([path]);
        for path in ["/api/v0", "/api/v0/", "/api", "/", ""] {
            assert!(may(&scope(path), "add"), "{path}");
        }
        assert!(
            may(&scope("/api/v0/block"), "block/get") && may(&scope("/api/v0/block/"), "block/get")
        );
        for path in ["/api/v0/bloc", "/api/v0/block/g", "/api/v1", "/debug", "/api/v0x", "block"] {
            assert!(!may(&scope(path), "block/get"), "{path}");
        }
    }

    #[test]
    fn what_is_written_is_read_as_the_same() {
        let scope = Scope::parse("upload,cat,read").unwrap();
        assert_eq!(Scope::of_names(&scope.names()), scope);
        let gone = Scope::of_names(&["gone".into()]);
        assert!(!may(&gone, "cat") && may(&gone, "version"));
    }
}
