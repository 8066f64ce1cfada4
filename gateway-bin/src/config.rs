//! What is to be served: one value for each setting, and where it came from.
//!
//! Owns the order of precedence (flag, environment, file, default), what each value may be, and how all of
//! it is printed. Pure: environment and file are given. Must not open anything.

use std::ffi::OsString;
use std::fmt::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use coldfront::store::hot::HotOptions;
use coldfront::{ArchiveOptions, RepoOptions, TierLimits, Verify};

use crate::bounds::{BOUNDS, Bound, Bounds};
use crate::collecting::Collecting;
use crate::doors::Doors;
use crate::file::File;
use crate::flags::Flags;
use crate::units;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(&'static str),
    Environment(String),
    File { path: PathBuf, line: usize },
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(name) => write!(f, "the flag {name}"),
            Origin::Environment(name) => write!(f, "the environment variable {name}"),
            // A line break in a path would end the comment that it stands in.
            Origin::File { path, line } => {
                write!(f, "the file {}, line {line}", path.display().to_string().replace('\n', "?"))
            }
            Origin::Default => f.write_str("default"),
        }
    }
}

/// A value as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) text: String,
    pub(crate) origin: Origin,
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// An archive, and where what is said of it came from.
#[derive(Debug)]
struct Archive {
    path: Setting<PathBuf>,
    mixed: Setting<bool>,
}

/// Where to listen, for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listeners {
    pub(crate) gateway: Option<SocketAddr>,
    pub(crate) rpc: Option<SocketAddr>,
    pub(crate) upload: Option<SocketAddr>,
}

/// What is in force.
#[derive(Debug)]
pub(crate) struct Config {
    gateway: Option<Setting<SocketAddr>>,
    rpc: Option<Setting<SocketAddr>>,
    pub(crate) doors: Doors,
    hot: Option<Setting<PathBuf>>,
    archives: Vec<Archive>,
    verify: Setting<Verify>,
    /// `None`: one a processor.
    workers: Setting<Option<usize>>,
    pub(crate) collecting: Collecting,
    pub(crate) bounds: Bounds,
    /// Of each of [`BOUNDS`].
    bound_origins: Vec<Origin>,
}

/// Looks up an environment variable.
pub(crate) type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The three sources of a value, in order.
pub(crate) struct Sources<'a> {
    environment: Environment<'a>,
    file: File,
}

impl Sources<'_> {
    /// The value of a setting, from the first source that has one.
    pub(crate) fn first(
        &self,
        flag: Option<(&'static str, &str)>,
        variable: &str,
        key: &str,
    ) -> Result<Option<Given>, String> {
        if let Some((name, text)) = flag {
            return Ok(Some(Given { text: text.to_owned(), origin: Origin::Flag(name) }));
        }
        if let Some(text) = (self.environment)(variable) {
            let origin = Origin::Environment(variable.to_owned());
            let text = text.into_string().map_err(|_| format!("{origin}: expected UTF-8"))?;
            return Ok(Some(Given { text, origin }));
        }
        Ok(self.file.values.get(key).cloned())
    }

    /// The same of a path, which need not be UTF-8.
    pub(crate) fn path(
        &self,
        flag: Option<(&'static str, &PathBuf)>,
        variable: &str,
        key: &str,
    ) -> Option<Setting<PathBuf>> {
        if let Some((name, path)) = flag {
            return Some(Setting { value: path.clone(), origin: Origin::Flag(name) });
        }
        if let Some(path) = (self.environment)(variable).filter(|path| !path.is_empty()) {
            let origin = Origin::Environment(variable.into());
            return Some(Setting { value: path.into(), origin });
        }
        let Given { text, origin } = self.file.values.get(key)?.clone();
        Some(Setting { value: text.into(), origin })
    }
}

impl Config {
    /// Puts together what flags, environment and file say. The error is a sentence.
    pub(crate) fn merge(
        flags: &Flags,
        environment: Environment<'_>,
        file: File,
    ) -> Result<Self, String> {
        let archives = archives(flags, environment, &file)?;
        let sources = Sources { environment, file };
        let hot =
            sources.path(flags.hot.as_ref().map(|hot| ("--hot", hot)), "COLDFRONT_HOT", "hot");
        let flag = |name, value: &'_ Option<String>| value.clone().map(|value| (name, value));
        let read = |flag: Option<(&'static str, String)>, variable, key| {
            sources.first(flag.as_ref().map(|(name, text)| (*name, text.as_str())), variable, key)
        };
        let gateway = read(flag("--gateway", &flags.gateway), "COLDFRONT_GATEWAY", "gateway")?;
        let rpc = read(flag("--rpc", &flags.rpc), "COLDFRONT_RPC", "rpc")?;
        let verify = read(flag("--verify", &flags.verify), "COLDFRONT_VERIFY", "verify")?;
        let workers = read(flag("--workers", &flags.workers), "COLDFRONT_WORKERS", "workers")?;
        let gc = |key: &str| {
            let variable = format!("COLDFRONT_GC_{}", key.to_ascii_uppercase());
            sources.first(None, &variable, &format!("gc.{key}"))
        };
        let collecting = Collecting::new([gc("at")?, gc("high")?, gc("low")?])?;
        let (bounds, bound_origins) = bounds(flags, &sources)?;
        Ok(Config {
            gateway: gateway.map(|given| setting(given, "gateway", address)).transpose()?,
            rpc: rpc.map(|given| setting(given, "rpc", address)).transpose()?,
            doors: Doors::merge(flags, &sources)?,
            hot,
            archives,
            verify: or_default(verify, "verify", Verify::Off, policy)?,
            workers: or_default(workers, "workers", None, worker_count)?,
            collecting,
            bounds,
            bound_origins,
        })
    }

    /// Where to listen; else a sentence that says how to name it.
    pub(crate) fn listeners(&self) -> Result<Listeners, String> {
        let gateway = self.gateway.as_ref().map(|gateway| gateway.value);
        let rpc = self.rpc.as_ref().map(|rpc| rpc.value);
        let upload = self.doors.upload.as_ref().map(|upload| upload.value);
        if gateway.is_none() && rpc.is_none() && upload.is_none() {
            return Err(
                "nowhere to listen: name an address with --gateway or --rpc, for example --gateway 8080".into(),
            );
        }
        for address in rpc.into_iter().chain(upload) {
            self.doors.may_listen(address, self.doors.tokens.is_some())?;
        }
        Ok(Listeners { gateway, rpc, upload })
    }

    /// What to serve; else a sentence that says how to name it.
    pub(crate) fn repo(&self) -> Result<RepoOptions, String> {
        if self.archives.is_empty() && self.hot.is_none() {
            return Err(
                "nothing to serve: name a Kubo repository with --archive DIR, or a hot store with --hot DIR".into(),
            );
        }
        let (open_files, verified_blocks) =
            (self.bounds.http.open_files, self.bounds.verified_blocks);
        Ok(RepoOptions {
            hot: self.hot(),
            archives: self.archives.iter().map(Archive::options).collect(),
            verify: self.verify.value,
            node_cache_bytes: self.bounds.node_cache,
            tiers: TierLimits { open_files, verified_blocks },
        })
    }

    /// The hot store, if there is to be one.
    pub(crate) fn hot(&self) -> Option<HotOptions> {
        let path = &self.hot.as_ref()?.value;
        Some(HotOptions { memory: self.bounds.hot_memory, ..HotOptions::new(path) })
    }

    pub(crate) fn workers(&self) -> Option<usize> {
        self.workers.value
    }

    /// All of it as a file that `--config` takes. The error is a sentence.
    pub(crate) fn to_toml(&self) -> Result<String, String> {
        let mut out = String::from(
            "# What is in force; `coldfront-gateway serve --config FILE` takes it as it is.\n\n",
        );
        match &self.gateway {
            Some(Setting { value, origin }) => {
                line(&mut out, "gateway", &quoted(&value.to_string()), origin)
            }
            None => out.push_str("# gateway = \"127.0.0.1:8080\" # not set: nothing listens\n"),
        }
        match &self.rpc {
            Some(Setting { value, origin }) => {
                line(&mut out, "rpc", &quoted(&value.to_string()), origin)
            }
            None => out.push_str("# rpc = \"127.0.0.1:5001\" # not set: no RPC API\n"),
        }
        self.doors.to_toml(&mut out)?;
        match &self.hot {
            Some(Setting { value, origin }) => {
                line(&mut out, "hot", &quoted(&path_text("hot store", value, "--hot")?), origin)
            }
            None => out.push_str("# hot = \"/a/folder\" # not set: nothing can be written\n"),
        }
        line(&mut out, "verify", &quoted(policy_name(self.verify.value)), &self.verify.origin);
        match &self.workers {
            Setting { value: Some(count), origin } => {
                line(&mut out, "workers", &count.to_string(), origin)
            }
            Setting { value: None, origin } => {
                line(&mut out, "# workers", "one a processor", origin)
            }
        }
        if self.archives.is_empty() {
            out.push_str(
                "\n# [[archive]]\n# path = \"/a/repository\" # not set: nothing is served\n",
            );
        }
        for Archive { path, mixed } in &self.archives {
            out.push_str("\n[[archive]]\n");
            line(
                &mut out,
                "path",
                &quoted(&path_text("archive", &path.value, "--archive")?),
                &path.origin,
            );
            line(&mut out, "mixed", &mixed.value.to_string(), &mixed.origin);
        }
        self.collecting_to_toml(&mut out);
        out.push_str("\n[limits]\n");
        for (bound, origin) in BOUNDS.iter().zip(&self.bound_origins) {
            line(&mut out, bound.name, &bound.show(&self.bounds), origin);
        }
        Ok(out)
    }
}

impl Config {
    fn collecting_to_toml(&self, out: &mut String) {
        let Collecting { at, high, low } = &self.collecting;
        out.push_str("\n[gc]\n");
        match at {
            Some(at) => line(out, "at", &quoted(&at.value.to_string()), &at.origin),
            None => {
                out.push_str("# at = \"03:00\" # not set, in UTC: not collected by the clock\n")
            }
        }
        for (name, mark) in [("high", high), ("low", low)] {
            if let Some(Setting { value, origin }) = mark {
                line(out, name, &quoted(&units::show_size(*value)), origin);
            }
        }
        if high.is_none() {
            out.push_str("# high = \"500GiB\" # not set: not collected for the store's size\n");
        }
    }
}

/// A setting from text; the error says where the text came from.
pub(crate) fn setting<T>(
    given: Given,
    name: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Setting<T>, String> {
    let Given { text, origin } = given;
    match read(text.trim()) {
        Ok(value) => Ok(Setting { value, origin }),
        Err(expected) => Err(format!("{origin}: {name} is \"{text}\", {expected}")),
    }
}

pub(crate) fn or_default<T>(
    given: Option<Given>,
    name: &str,
    default: T,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Setting<T>, String> {
    match given {
        Some(given) => setting(given, name, read),
        None => Ok(Setting { value: default, origin: Origin::Default }),
    }
}

impl Archive {
    fn options(&self) -> ArchiveOptions {
        ArchiveOptions { path: self.path.value.clone(), mixed: self.mixed.value }
    }
}

/// The archives of the first source that names any. Whether they are mixed is said for all of them by a
/// flag or the environment, else for each in the file.
fn archives(
    flags: &Flags,
    environment: Environment<'_>,
    file: &File,
) -> Result<Vec<Archive>, String> {
    let none = Sources { environment, file: File::default() };
    let flag = flags.mixed.as_deref().map(|text| ("--mixed", text));
    let given = none.first(flag, "COLDFRONT_MIXED", "mixed")?;
    let of_all = given.map(|given| setting(given, "mixed", yes_or_no)).transpose()?;
    let mixed = |own: Option<Setting<bool>>| {
        let none = Setting { value: false, origin: Origin::Default };
        of_all.clone().or(own).unwrap_or(none)
    };
    let named = |path: PathBuf, origin: &Origin| Archive {
        path: Setting { value: path, origin: origin.clone() },
        mixed: mixed(None),
    };
    if !flags.archive.is_empty() {
        let origin = Origin::Flag("--archive");
        return Ok(flags.archive.iter().map(|path| named(path.clone(), &origin)).collect());
    }
    const VARIABLE: &str = "COLDFRONT_ARCHIVE";
    if let Some(paths) = environment(VARIABLE).filter(|paths| !paths.is_empty()) {
        let origin = Origin::Environment(VARIABLE.into());
        let paths = paths.as_bytes().split(|b| *b == b':').filter(|path| !path.is_empty());
        let path = |path: &[u8]| PathBuf::from(OsString::from_vec(path.to_vec()));
        return Ok(paths.map(|bytes| named(path(bytes), &origin)).collect());
    }
    let in_file = file
        .archives
        .iter()
        .map(|found| Archive { path: found.path.clone(), mixed: mixed(found.mixed.clone()) });
    Ok(in_file.collect())
}

fn bounds(flags: &Flags, sources: &Sources<'_>) -> Result<(Bounds, Vec<Origin>), String> {
    let mut by_flag: Vec<(&Bound, &str)> = Vec::new();
    for limit in &flags.limit {
        let (name, value) = limit.split_once('=').ok_or_else(|| {
            format!("the flag --limit {limit}: expected NAME=VALUE, for example connections=1000")
        })?;
        let bound = Bound::named(name.trim());
        by_flag.push((bound.map_err(|sentence| format!("the flag --limit: {sentence}"))?, value));
    }
    let mut bounds = Bounds::default();
    let mut origins = Vec::with_capacity(BOUNDS.len());
    for bound in &BOUNDS {
        let variable = format!("COLDFRONT_LIMIT_{}", bound.name.to_ascii_uppercase());
        // The last flag of a name has the last word.
        let flag = by_flag.iter().rev().find(|(named, _)| named.name == bound.name);
        let flag = flag.map(|(_, text)| ("--limit", *text));
        let given = sources.first(flag, &variable, &format!("limits.{}", bound.name))?;
        let Some(Given { text, origin }) = given else {
            origins.push(Origin::Default);
            continue;
        };
        bound
            .set(&mut bounds, &text)
            .map_err(|expected| format!("{origin}: {} is \"{text}\", {expected}", bound.name))?;
        origins.push(origin);
    }
    Ok((bounds, origins))
}

/// `8080`, `:8080` and `localhost:8080` are loopback; any other address must be spelled out.
pub(crate) fn address(text: &str) -> Result<SocketAddr, String> {
    let loopback = |port: &str| {
        port.parse().ok().map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    };
    let parsed = text
        .parse()
        .ok()
        .or_else(|| loopback(text.strip_prefix(':').unwrap_or(text)))
        .or_else(|| loopback(text.strip_prefix("localhost:")?));
    parsed.ok_or_else(|| {
        "expected PORT, :PORT, or an IP address with a port such as 127.0.0.1:8080 or [::1]:8080".into()
    })
}

fn policy(text: &str) -> Result<Verify, String> {
    let all = [Verify::Off, Verify::FirstRead, Verify::Always];
    let known = all.into_iter().find(|policy| policy_name(*policy) == text);
    known.ok_or_else(|| "expected off, first-read or always".into())
}

fn policy_name(policy: Verify) -> &'static str {
    match policy {
        Verify::Off => "off",
        Verify::FirstRead => "first-read",
        Verify::Always => "always",
    }
}

/// More threads than any machine has processors only wait for each other.
const MAX_WORKERS: usize = 1024;

fn worker_count(text: &str) -> Result<Option<usize>, String> {
    let count = text.parse().ok().filter(|count| (1..=MAX_WORKERS).contains(count));
    count.map(Some).ok_or_else(|| format!("expected a whole number from 1 to {MAX_WORKERS}"))
}

pub(crate) fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("expected true or false".into()),
    }
}

pub(crate) fn line(out: &mut String, key: &str, value: &str, origin: &Origin) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{key} = {value} # {origin}");
}

/// A path that means the same wherever the file is used.
pub(crate) fn path_text(what: &str, path: &Path, flag: &str) -> Result<String, String> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    absolute.into_os_string().into_string().map_err(|path| {
        format!(
            "the {what} {} is not UTF-8, so no file of TOML can name it; use {flag}",
            path.display()
        )
    })
}

/// A basic string of TOML.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PATH: &str = "/etc/coldfront.toml";

    fn merge(flags: &Flags, variables: &[(&str, &str)], file: &str) -> Result<Config, String> {
        let environment = |name: &str| {
            variables
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, value)| OsString::from(value))
        };
        Config::merge(flags, &environment, File::parse(Path::new(PATH), file)?)
    }

    fn flags(gateway: &str, limit: &[&str]) -> Flags {
        Flags {
            archive: vec!["/flag".into()],
            gateway: Some(gateway.into()),
            hot: Some("/flag/hot".into()),
            verify: Some("always".into()),
            workers: Some("3".into()),
            limit: limit.iter().map(|text| (*text).into()).collect(),
            ..Flags::default()
        }
    }

    const VARIABLES: [(&str, &str); 6] = [
        ("COLDFRONT_ARCHIVE", "/env/a:/env/b"),
        ("COLDFRONT_HOT", "/env/hot"),
        ("COLDFRONT_GATEWAY", "2222"),
        ("COLDFRONT_VERIFY", "first-read"),
        ("COLDFRONT_WORKERS", "2"),
        ("COLDFRONT_LIMIT_CONNECTIONS", "222"),
    ];

    const FILE: &str = "gateway = 1111\nhot = \"/file/hot\"\nverify = \"off\"\nworkers = 1\n[[archive]]\npath = \"/file\"\n[limits]\nconnections = 111\n";

    /// Gateway, archives, verification, workers and connections, as they are printed.
    fn printed(config: &Config) -> Vec<String> {
        let wanted = ["gateway", "hot", "verify", "workers", "path", "connections"];
        let text = config.to_toml().unwrap();
        let lines = text
            .lines()
            .filter(|line| wanted.iter().any(|key| line.starts_with(&format!("{key} ="))));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn a_flag_beats_all_and_says_so() {
        let config = merge(&flags("3333", &["connections=333"]), &VARIABLES, FILE).unwrap();
        assert_eq!(
            printed(&config),
            [
                "gateway = \"127.0.0.1:3333\" # the flag --gateway",
                "hot = \"/flag/hot\" # the flag --hot",
                "verify = \"always\" # the flag --verify",
                "workers = 3 # the flag --workers",
                "path = \"/flag\" # the flag --archive",
                "connections = 333 # the flag --limit",
            ]
        );
    }

    #[test]
    fn the_environment_beats_the_file() {
        let config = merge(&Flags::default(), &VARIABLES, FILE).unwrap();
        assert_eq!(
            printed(&config),
            [
                "gateway = \"127.0.0.1:2222\" # the environment variable COLDFRONT_GATEWAY",
                "hot = \"/env/hot\" # the environment variable COLDFRONT_HOT",
                "verify = \"first-read\" # the environment variable COLDFRONT_VERIFY",
                "workers = 2 # the environment variable COLDFRONT_WORKERS",
                "path = \"/env/a\" # the environment variable COLDFRONT_ARCHIVE",
                "path = \"/env/b\" # the environment variable COLDFRONT_ARCHIVE",
                "connections = 222 # the environment variable COLDFRONT_LIMIT_CONNECTIONS",
            ]
        );
    }

    #[test]
    fn the_file_beats_the_defaults_and_each_value_names_its_line() {
        let config = merge(&Flags::default(), &[], FILE).unwrap();
        assert_eq!(
            printed(&config),
            [
                "gateway = \"127.0.0.1:1111\" # the file /etc/coldfront.toml, line 1",
                "hot = \"/file/hot\" # the file /etc/coldfront.toml, line 2",
                "verify = \"off\" # the file /etc/coldfront.toml, line 3",
                "workers = 1 # the file /etc/coldfront.toml, line 4",
                "path = \"/file\" # the file /etc/coldfront.toml, line 6",
                "connections = 111 # the file /etc/coldfront.toml, line 8",
            ]
        );
        let defaults = merge(&Flags::default(), &[], "").unwrap().to_toml().unwrap();
        assert!(defaults.contains("connections = 4096 # default\n"), "{defaults}");
    }

    #[test]
    fn what_is_printed_is_read_as_the_same() {
        let odd = Flags {
            archive: vec!["/a \"b\\c\n/d".into()],
            mixed: Some("true".into()),
            ..flags("[::1]:80", &["read_ahead=0", "head_time=1500ms"])
        };
        for flags in [odd, Flags::default()] {
            let first = merge(&flags, &[], "").unwrap();
            let text = first.to_toml().unwrap();
            let again = merge(&Flags::default(), &[], &text).unwrap();
            assert_eq!(again.bounds, first.bounds, "{text}");
            let values = |config: &Config| {
                let archives =
                    config.archives.iter().map(|a| (a.path.value.clone(), a.mixed.value));
                (
                    config.gateway.as_ref().map(|g| g.value),
                    config.verify.value,
                    config.workers.value,
                    archives.collect::<Vec<_>>(),
                )
            };
            assert_eq!(values(&again), values(&first), "{text}");
        }
    }

    #[test]
    fn an_address_without_a_host_is_loopback() {
        for (text, means) in [
            ("8080", "127.0.0.1:8080"),
            (":8080", "127.0.0.1:8080"),
            ("localhost:8080", "127.0.0.1:8080"),
            ("[::1]:8080", "[::1]:8080"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("[::]:80", "[::]:80"),
        ] {
            assert_eq!(address(text).unwrap(), means.parse().unwrap(), "{text}");
        }
        for text in ["", "80801", "example.com:80", "127.0.0.1", "::1:8080:", "*:80", "-1"] {
            assert!(address(text).unwrap_err().starts_with("expected PORT"), "{text}");
        }
    }

    #[test]
    fn a_wrong_value_is_told_with_where_it_came_from() {
        let wrong = |flags: &Flags, variables: &[(&str, &str)], file: &str| {
            merge(flags, variables, file).unwrap_err()
        };
        assert_eq!(
            wrong(&Flags { workers: Some("0".into()), ..Flags::default() }, &[], ""),
            "the flag --workers: workers is \"0\", expected a whole number from 1 to 1024"
        );
        assert_eq!(
            wrong(&Flags::default(), &[("COLDFRONT_VERIFY", "on")], ""),
            "the environment variable COLDFRONT_VERIFY: verify is \"on\", expected off, first-read or always"
        );
        assert_eq!(
            wrong(&Flags::default(), &[], "[limits]\ndisk_threads = 0"),
            "the file /etc/coldfront.toml, line 2: disk_threads is \"0\", expected a whole number from 1 to 4096"
        );
        let limit =
            |text: &str| wrong(&Flags { limit: vec![text.into()], ..Flags::default() }, &[], "");
        assert_eq!(
            limit("conections=1"),
            "the flag --limit: there is no limit \"conections\"; did you mean \"connections\"?"
        );
        assert!(limit("connections").contains("expected NAME=VALUE"));
    }

    #[test]
    fn mixed_is_said_for_each_archive_in_the_file_and_for_all_elsewhere() {
        let file = "[[archive]]\npath = '/a'\nmixed = true\n[[archive]]\npath = '/b'\n";
        let mixed = |flags: &Flags, variables: &[(&str, &str)]| -> Vec<bool> {
            let config = merge(flags, variables, file).unwrap();
            config.archives.iter().map(|archive| archive.mixed.value).collect()
        };
        assert_eq!(mixed(&Flags::default(), &[]), [true, false]);
        let printed = merge(&Flags::default(), &[], file).unwrap().to_toml().unwrap();
        assert!(
            printed.contains("mixed = true # the file /etc/coldfront.toml, line 3\n"),
            "{printed}"
        );
        assert!(printed.contains("mixed = false # default\n"), "{printed}");
        assert_eq!(mixed(&Flags::default(), &[("COLDFRONT_MIXED", "1")]), [true, true]);
        let no = Flags { mixed: Some("false".into()), ..Flags::default() };
        assert_eq!(mixed(&no, &[("COLDFRONT_MIXED", "1")]), [false, false]);
    }

    #[test]
    fn without_an_archive_or_an_address_the_sentence_names_the_flag() {
        let config = merge(&Flags::default(), &[], "").unwrap();
        assert!(config.repo().unwrap_err().contains("--archive"));
        assert!(config.listeners().unwrap_err().contains("--gateway"));
    }
}
