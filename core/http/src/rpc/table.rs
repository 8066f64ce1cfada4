//! The one table of commands.
//!
//! Owns what a command is: its name, arguments, options, answer, what it does to the repository and which
//! limit it counts against. Everything that has to know the commands reads it here: serving, `commands`, the
//! page of documentation, the OpenAPI description, the scopes of tokens and the tests. Must not know HTTP.

use super::call::Call;
use super::error::Failed;

/// A command of the RPC API.
#[derive(Debug)]
pub(crate) struct Command {
    /// Its path below `/api/v0/`.
    pub(crate) name: &'static str,
    /// One sentence for a reader of the documentation.
    pub(crate) about: &'static str,
    pub(crate) args: &'static [Arg],
    pub(crate) options: &'static [Opt],
    /// The form of its answer, with its fields spelled as on the wire.
    pub(crate) output: &'static str,
    pub(crate) effect: Effect,
    pub(crate) class: Class,
    pub(crate) late: Late,
    pub(crate) run: fn(&mut Call) -> Result<(), Failed>,
}

impl Command {
    /// A command that answers at once and changes nothing; what differs is said with `..`.
    pub(crate) const fn new(
        name: &'static str,
        about: &'static str,
        run: fn(&mut Call) -> Result<(), Failed>,
    ) -> Command {
        Command {
            name,
            about,
            args: &[],
            options: &[],
            output: "{}",
            effect: Effect::Reads,
            class: Class::Quick,
            late: Late::Trailer,
            run,
        }
    }
}

/// What a command does to the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing.
    Reads,
    /// Adds or changes content, pins, names or keys.
    Writes,
    /// Removes some of it.
    Removes,
    /// Changes the server itself.
    Controls,
}

/// Which limit a call counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Answers in the time of some look-ups.
    Quick,
    /// Answers for as long as the client reads, or walks a DAG.
    Stream,
    /// Takes a body.
    Upload,
}

/// How a failure is told after the first bytes of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// By the trailer `X-Stream-Error`, as Kubo does.
    Trailer,
    /// In band, and then the connection is cut: clients act on the success of these (they delete their copy, they count a
    /// pin), and proxies drop trailers.
    Cut,
}

/// An argument.
#[derive(Debug)]
pub(crate) struct Arg {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) required: bool,
    /// Takes all that are left.
    pub(crate) variadic: bool,
    /// May come in the body, one a line.
    pub(crate) stdin: bool,
    /// Comes as files in the body.
    pub(crate) file: bool,
}

impl Arg {
    /// A text that must be given.
    pub(crate) const fn text(name: &'static str, about: &'static str) -> Arg {
        Arg { name, about, required: true, variadic: false, stdin: false, file: false }
    }

    /// Files in the body.
    pub(crate) const fn files(name: &'static str, about: &'static str) -> Arg {
        Arg { file: true, variadic: true, ..Arg::text(name, about) }
    }

    pub(crate) const fn optional(self) -> Arg {
        Arg { required: false, ..self }
    }

    pub(crate) const fn many(self) -> Arg {
        Arg { variadic: true, ..self }
    }

    pub(crate) const fn stdin(self) -> Arg {
        Arg { stdin: true, ..self }
    }
}

/// What an option's text must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    /// 32 bits.
    Int,
    /// 32 bits.
    Uint,
    Int64,
    Text,
    /// May be given several times.
    Texts,
}

impl Kind {
    /// The name it has in sentences, which is Go's.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Bool => "bool",
            Kind::Int => "int",
            Kind::Uint => "uint",
            Kind::Int64 => "int64",
            Kind::Text => "string",
            Kind::Texts => "array",
        }
    }
}

/// An option.
#[derive(Debug)]
pub(crate) struct Opt {
    /// The long name first.
    pub(crate) names: &'static [&'static str],
    pub(crate) kind: Kind,
    /// In the form in which it would be given.
    pub(crate) default: Option<&'static str>,
    pub(crate) about: &'static str,
}

impl Opt {
    pub(crate) const fn new(
        names: &'static [&'static str],
        kind: Kind,
        about: &'static str,
    ) -> Opt {
        Opt { names, kind, default: None, about }
    }

    pub(crate) const fn flag(names: &'static [&'static str], about: &'static str) -> Opt {
        Opt::new(names, Kind::Bool, about)
    }

    pub(crate) const fn text(names: &'static [&'static str], about: &'static str) -> Opt {
        Opt::new(names, Kind::Text, about)
    }

    pub(crate) const fn int(names: &'static [&'static str], about: &'static str) -> Opt {
        Opt::new(names, Kind::Int, about)
    }

    pub(crate) const fn or(self, default: &'static str) -> Opt {
        Opt { default: Some(default), ..self }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }
}

/// Options of every command.
pub(crate) const GLOBAL: &[Opt] = &[
    Opt::text(&["encoding", "enc"], "The form of the answer; always JSON here").or("json"),
    Opt::flag(&["stream-channels"], "Stream channel output"),
    Opt::text(&["timeout"], "Fail after this time, such as 30s"),
    Opt::flag(&["offline"], "Use what is stored here alone"),
    Opt::text(&["cid-base"], "The multibase of CIDs of version 1 in the answer"),
    Opt::flag(&["upgrade-cidv0-in-output"], "Write CIDs of version 0 as version 1"),
];

/// The files that hold commands, a group each.
const GROUPS: &[&[Command]] = &[
    super::add::COMMANDS,
    super::block::COMMANDS,
    super::bootstrap::COMMANDS,
    super::cat::COMMANDS,
    super::cid::COMMANDS,
    super::commands::COMMANDS,
    super::config::COMMANDS,
    super::dag::COMMANDS,
    super::diag::COMMANDS,
    super::files::COMMANDS,
    super::get::COMMANDS,
    super::id::COMMANDS,
    super::key::COMMANDS,
    super::ls::COMMANDS,
    super::multibase::COMMANDS,
    super::name::COMMANDS,
    super::off::COMMANDS,
    super::pin::COMMANDS,
    super::refs::COMMANDS,
    super::repo::COMMANDS,
    super::resolve::COMMANDS,
    super::stats::COMMANDS,
    super::swarm::COMMANDS,
    super::version::COMMANDS,
    super::where_is::COMMANDS,
];

/// All commands.
pub(crate) fn commands() -> impl Iterator<Item = &'static Command> {
    GROUPS.iter().copied().flatten()
}

/// What Kubo's program does by itself and serves to nobody, below a command that takes an argument: it is none.
const OF_CLIENTS: [&str; 1] = ["config/edit"];

/// The command that a path below `/api/v0/` names, and what is left of the path: one segment may follow, which is an
/// argument.
pub(crate) fn find(path: &str) -> Option<(&'static Command, Option<&str>)> {
    if let Some(command) = named(path) {
        return Some((command, None));
    }
    let (above, last) = path.rsplit_once('/').filter(|_| !OF_CLIENTS.contains(&path))?;
    Some((named(above)?, Some(last)))
}

/// The command of exactly that name.
pub(crate) fn named(name: &str) -> Option<&'static Command> {
    commands().find(|command| command.name == name)
}
