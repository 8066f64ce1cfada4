//! `config/…`: the configuration in Kubo's form. Twin of kubo `core/commands/config.go`.

use std::io::Read;

use serde::Serialize;
use serde_json::Value;

use super::call::Call;
use super::error::Failed;
use super::table::{Arg, Class, Command, Effect, Opt};

/// The longest configuration, in bytes.
const MAX_CONFIG: u64 = 16 * 1024 * 1024;

pub(super) const COMMANDS: &[Command] = &[
    Command {
        args: &[
            Arg::text("key", "A dotted key, such as Addresses.API"),
            Arg::text("value", "What it is to be").optional(),
        ],
        options: &[
            Opt::flag(&["bool"], "The value is true or false"),
            Opt::flag(&["json"], "The value is JSON"),
            Opt::flag(&["expand-auto"], "Ignored: nothing is set by a service"),
        ],
        output: r#"{"Key","Value"}"#,
        effect: Effect::Controls,
        ..Command::new("config", "Read or change a value of the configuration", config)
    },
    Command {
        output: "the configuration without secrets",
        options: &[Opt::flag(&["expand-auto"], "Ignored: nothing is set by a service")],
        ..Command::new("config/show", "The configuration", show)
    },
    Command {
        args: &[Arg::files("file", "The new configuration")],
        output: "nothing",
        effect: Effect::Controls,
        class: Class::Upload,
        ..Command::new("config/replace", "Replace the configuration; secrets stay", replace)
    },
    super::profile::COMMAND,
];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Field<'a> {
    key: &'a str,
    value: Value,
}

fn config(call: &mut Call) -> Result<(), Failed> {
    let key = call.arg(0).to_owned();
    let settings = call.daemon.clone();
    let settings = settings.settings();
    if call.args.len() < 2 {
        let value = settings.get(&key)?;
        return call.once(&Field { key: &key, value });
    }
    let text = call.arg(1);
    let value = if call.options.flag("json") {
        serde_json::from_str(text)
            .map_err(|error| Failed::new(format!("failed to unmarshal json. {error}")))?
    } else if call.options.flag("bool") {
        Value::Bool(text == "true")
    } else {
        Value::String(text.to_owned())
    };
    settings.set(&key, value.clone())?;
    call.once(&Field { key: &key, value })
}

fn show(call: &mut Call) -> Result<(), Failed> {
    let shown = call.daemon.settings().shown();
    call.once(&shown)
}

fn replace(call: &mut Call) -> Result<(), Failed> {
    let mut parts = call.files()?;
    if parts.next_part()?.is_none() {
        return Err(Failed::new("expected a file argument"));
    }
    let mut text = Vec::new();
    parts.take(MAX_CONFIG).read_to_end(&mut text)?;
    let value: Value = serde_json::from_slice(&text)
        .map_err(|error| Failed::new(format!("failed to decode file as config: {error}")))?;
    if !value.is_object() {
        return Err(Failed::new("failed to decode file as config: expected an object"));
    }
    call.daemon.settings().replace(value)
}
