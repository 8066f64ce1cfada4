//! The query of a call: its arguments and options.
//!
//! Owns decoding and conversion, with the sentences Kubo has for what is wrong. Pure. Rules: go-ipfs-cmds
//! `http/parse.go`, `option.go` and `request.go`; Go `net/url` for the form of a query.

use super::table::{Arg, Command, GLOBAL, Kind, Opt};

/// The value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Bool(bool),
    Int(i64),
    Text(String),
    Texts(Vec<String>),
}

/// The options of a call, by their long names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options(Vec<(&'static str, Value)>);

impl Options {
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// An option that is on or off; `None` when it was not given and has no default.
    pub(crate) fn bool(&self, name: &str) -> Option<bool> {
        match self.get(name) {
            Some(Value::Bool(value)) => Some(*value),
            _ => None,
        }
    }

    /// Whether an option was given, or is by default, on.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.bool(name) == Some(true)
    }

    pub(crate) fn int(&self, name: &str) -> Option<i64> {
        match self.get(name) {
            Some(Value::Int(value)) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Some(Value::Text(value)) => Some(value),
            _ => None,
        }
    }

    /// Name and value of all of them, for `diag/cmds`.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        self.0.iter().map(|(name, value)| (*name, value))
    }
}

/// What a query says.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) args: Vec<String>,
    pub(crate) options: Options,
}

/// Reads a query for a command; `first` is an argument that came in the path. The error is Kubo's sentence.
pub(crate) fn parse(command: &Command, first: Option<&str>, query: &str) -> Result<Parsed, String> {
    let mut args: Vec<String> = first.map(percent_decoded).into_iter().collect();
    let mut given: Vec<(&'static Opt, Vec<String>)> = Vec::new();
    for (key, value) in pairs(query) {
        if key == "arg" {
            args.push(value);
            continue;
        }
        // What nobody knows is ignored.
        let Some(option) = option_named(command, &key) else { continue };
        match given.iter_mut().find(|(known, _)| known.name() == option.name()) {
            Some((_, values)) => values.push(value),
            None => given.push((option, vec![value])),
        }
    }
    let mut options = Options::default();
    for (option, values) in given {
        options.0.push((option.name(), converted(option, values)?));
    }
    for option in GLOBAL.iter().chain(command.options) {
        if let Some(default) = option.default
            && options.get(option.name()).is_none()
        {
            options.0.push((option.name(), converted(option, vec![default.to_owned()])?));
        }
    }
    Ok(Parsed { args, options })
}

/// The first argument that must be there and is not, by its name.
pub(crate) fn missing(command: &Command, args: &[String]) -> Option<&'static Arg> {
    let texts = command.args.iter().filter(|arg| !arg.file);
    texts.take_while(|arg| arg.required).nth(args.len())
}

fn option_named(command: &Command, key: &str) -> Option<&'static Opt> {
    GLOBAL.iter().chain(command.options).find(|option| option.names.contains(&key))
}

fn converted(option: &'static Opt, mut values: Vec<String>) -> Result<Value, String> {
    if option.kind == Kind::Texts {
        return Ok(Value::Texts(values));
    }
    if values.len() > 1 {
        return Err(format!(
            "expected key {} to have only a single value, received [{}]",
            option.name(),
            values.join(" ")
        ));
    }
    let text = values.pop().unwrap_or_default();
    let value = match option.kind {
        Kind::Bool => boolean(&text).map(Value::Bool),
        Kind::Int => integer(&text).filter(|value| i32::try_from(*value).is_ok()).map(Value::Int),
        Kind::Uint => integer(&text).filter(|value| u32::try_from(*value).is_ok()).map(Value::Int),
        Kind::Int64 => integer(&text).map(Value::Int),
        Kind::Text | Kind::Texts => Some(Value::Text(text.clone())),
    };
    value.ok_or_else(|| {
        let shown =
            if text.is_empty() { "empty value".to_owned() } else { format!("value {text:?}") };
        let kind = option.kind.name();
        format!("could not convert {shown} to type \"{kind}\" (for option \"-{}\")", option.name())
    })
}

/// Go's `strconv.ParseBool` of the text in lower case; nothing at all means yes.
fn boolean(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "" | "1" | "t" | "true" => Some(true),
        "0" | "f" | "false" => Some(false),
        _ => None,
    }
}

/// Go's `strconv.ParseInt` with base 0: a prefix says which, and underscores may stand between digits there.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, rest, prefixed) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, lower.get(2..)?, true),
        [b'0', b'b', ..] => (2, lower.get(2..)?, true),
        [b'0', b'o', ..] => (8, lower.get(2..)?, true),
        [b'0', _, ..] => (8, lower.get(1..)?, true),
        _ => (10, lower.as_str(), false),
    };
    let plain = match rest.contains('_') {
        false => rest.to_owned(),
        // Between digits, or between the prefix and a digit.
        true if prefixed && !rest.ends_with('_') && !rest.contains("__") => rest.replace('_', ""),
        true => return None,
    };
    if plain.is_empty() || !plain.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let magnitude = i128::from_str_radix(&plain, radix).ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

/// The pairs of a query, decoded. A pair with a semicolon, or with a percent sign that no two digits follow, is left out, as in
/// Go's `url.ParseQuery`.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';'));
    pairs.filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((query_decoded(key)?, query_decoded(value)?))
    })
}

/// Percent signs and plus signs undone; `None` where a percent sign stands before anything but two digits.
pub(crate) fn query_decoded(text: &str) -> Option<String> {
    decoded(text, true).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Percent signs undone where that is possible.
fn percent_decoded(text: &str) -> String {
    match decoded(text, false) {
        Some(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        None => text.to_owned(),
    }
}

fn decoded(text: &str, plus: bool) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                u8::try_from(high << 4 | low).ok()?
            }
            b'+' if plus => b' ',
            byte => byte,
        });
    }
    Some(out)
}

/// A duration as Go writes it: `300ms`, `1.5h`, `2h45m`. `None` where it is none, or below zero.
pub(crate) fn duration(text: &str) -> Option<std::time::Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(std::time::Duration::ZERO);
    }
    let mut seconds = 0f64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest.get(..end)?.parse().ok()?;
        rest = rest.get(end..)?;
        let unit = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        seconds += number
            * match rest.get(..unit)? {
                "ns" => 1e-9,
                "us" | "µs" | "μs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                _ => return None,
            };
        rest = rest.get(unit..)?;
    }
    std::time::Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn nothing(_: &mut super::super::call::Call) -> Result<(), super::super::error::Failed> {
        Ok(())
    }

    const COMMAND: Command = Command {
        args: &[Arg::text("from", ""), Arg::text("to", ""), Arg::text("more", "").optional()],
        options: &[
            Opt::flag(&["pin", "p"], "").or("true"),
            Opt::int(&["cid-version"], ""),
            Opt::new(&["mode"], Kind::Uint, ""),
            Opt::new(&["mtime"], Kind::Int64, ""),
            Opt::text(&["name", "n"], ""),
            Opt::new(&["ignore"], Kind::Texts, ""),
        ],
        ..Command::new("test", "", nothing)
    };
    static TEST: Command = COMMAND;

    fn value(query: &str, name: &str) -> Result<Option<Value>, String> {
        parse(&TEST, None, query).map(|parsed| parsed.options.get(name).cloned())
    }

    #[test]
    fn short_names_are_the_long_option_and_defaults_fill_in() {
        assert_eq!(value("p=false", "pin"), Ok(Some(Value::Bool(false))));
        assert_eq!(value("", "pin"), Ok(Some(Value::Bool(true))));
        assert_eq!(value("", "name"), Ok(None));
        assert_eq!(value("n=a%20b+c", "name"), Ok(Some(Value::Text("a b c".into()))));
    }

    #[test]
    fn an_empty_boolean_is_yes_and_others_are_as_go_reads_them() {
        for (text, means) in [
            ("", true),
            ("1", true),
            ("T", true),
            ("TRUE", true),
            ("tRue", true),
            ("0", false),
            ("F", false),
        ] {
            assert_eq!(
                value(&format!("pin={text}"), "pin"),
                Ok(Some(Value::Bool(means))),
                "{text}"
            );
        }
        assert_eq!(value("pin", "pin"), Ok(Some(Value::Bool(true))));
        assert_eq!(
            value("p=maybe", "pin"),
            Err("could not convert value \"maybe\" to type \"bool\" (for option \"-pin\")".into())
        );
    }

    #[test]
    fn integers_have_the_base_of_their_prefix() {
        for (text, means) in [
            ("0x1F", 31),
            ("0b11", 3),
            ("0o17", 15),
            ("017", 15),
            ("-1", -1),
            ("+7", 7),
            ("0", 0),
            ("0x_1f", 31),
        ] {
            let text = text.replace('+', "%2B");
            assert_eq!(
                value(&format!("mtime={text}"), "mtime"),
                Ok(Some(Value::Int(means))),
                "{text}"
            );
        }
        for text in ["", "1_000", "0x", "a", "1.5", "9223372036854775808", "--1"] {
            let error = value(&format!("mtime={text}"), "mtime").unwrap_err();
            assert!(error.ends_with("to type \"int64\" (for option \"-mtime\")"), "{error}");
        }
        assert!(value("mode=-1", "mode").is_err());
        assert!(value("cid-version=4294967296", "cid-version").is_err());
        assert_eq!(
            value("cid-version=", "cid-version"),
            Err("could not convert empty value to type \"int\" (for option \"-cid-version\")"
                .into())
        );
    }

    #[test]
    fn an_option_that_takes_one_value_is_not_given_twice() {
        assert_eq!(
            value("pin=true&p=false", "pin"),
            Err("expected key pin to have only a single value, received [true false]".into())
        );
        let both = Value::Texts(vec!["a".into(), "b".into()]);
        assert_eq!(value("ignore=a&ignore=b", "ignore"), Ok(Some(both)));
    }

    #[test]
    fn unknown_options_and_pairs_that_go_refuses_are_ignored() {
        assert!(value("nosuch=1&nosuch=2", "pin").is_ok());
        assert_eq!(value("name=%zz", "name"), Ok(None));
        assert_eq!(value("name=a;b", "name"), Ok(None));
    }

    #[test]
    fn the_first_argument_that_is_missing_is_named() {
        let parsed = |first, query| parse(&TEST, first, query).unwrap().args;
        assert_eq!(missing(&TEST, &parsed(None, "")).unwrap().name, "from");
        assert_eq!(missing(&TEST, &parsed(Some("a%2Fb"), "")).unwrap().name, "to");
        assert_eq!(parsed(Some("a%2Fb"), "arg=c&arg=d"), ["a/b", "c", "d"]);
        assert!(missing(&TEST, &parsed(None, "arg=c&arg=d")).is_none());
    }

    #[test]
    fn durations_are_gos() {
        for (text, seconds) in
            [("30s", 30.0), ("1.5h", 5400.0), ("2h45m", 9900.0), ("300ms", 0.3), ("0", 0.0)]
        {
            assert_eq!(duration(text).unwrap().as_secs_f64(), seconds, "{text}");
        }
        for text in ["", "5", "s", "-1s", "1x", "1e400s", "1.2.3s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_query_stops_the_parser(query in "\\PC{0,200}") {
            let _ = parse(&TEST, None, &query);
        }
    }
}
