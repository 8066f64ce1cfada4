//! The table as documentation: a page for people, and a description in OpenAPI for programs.
//!
//! Owns their form. Must not know any command beyond its row.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::table::{Arg, Class, Command, Effect, GLOBAL, Kind, Late, Opt, commands};
use super::version::KUBO_VERSION;

/// What stands before the commands on the page.
const ABOUT: &str = "\
# The RPC API

Every command of Kubo's RPC API that is served here. A call is `POST /api/v0/COMMAND?arg=…&option=value`, for example:

```sh
curl -X POST 'http://127.0.0.1:5001/api/v0/version'
curl -X POST -F file=@film.mp4 'http://127.0.0.1:5001/api/v0/add?cid-version=1'
curl -X POST 'http://127.0.0.1:5001/api/v0/cat?arg=CID' > film.mp4
ipfs --api /ip4/127.0.0.1/tcp/5001 pin ls --type=recursive --stream
```

Answers are JSON, a value a line where there are several; `{\"Message\":…,\"Code\":0,\"Type\":\"error\"}` with status 500 (400 for what cannot be)
where a command fails before its first value. A later failure is the trailer `X-Stream-Error`; commands marked *cut* tell it as a last value and
cut the connection, since clients act on their success. 503 and 429 say `Retry-After`: there was no room, and nothing was read or done.

";

/// The page, in Markdown.
pub fn page() -> String {
    let mut page = String::from(ABOUT);
    page.push_str("Options of every command:\n\n");
    options(&mut page, GLOBAL);
    let mut all: Vec<&Command> = commands().collect();
    all.sort_by_key(|command| command.name);
    for command in all {
        one(&mut page, command);
    }
    page
}

fn one(page: &mut String, command: &Command) {
    // Writing to a string cannot fail.
    let _ = writeln!(page, "\n## {}\n\n{}.", command.name, command.about);
    let mut marks = vec![effect(command.effect), class(command.class)];
    if command.late == Late::Cut {
        marks.push("cut");
    }
    let _ = writeln!(page, "*{}.* Answer: `{}`\n", marks.join(", "), command.output);
    for arg in command.args {
        let _ = writeln!(page, "- `{}`{}: {}.", arg_form(arg), arg_marks(arg), arg.about);
    }
    options(page, command.options);
}

fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::Reads => "reads",
        Effect::Writes => "writes",
        Effect::Removes => "removes",
        Effect::Controls => "controls the server",
    }
}

fn class(class: Class) -> &'static str {
    match class {
        Class::Quick => "quick",
        Class::Stream => "stream",
        Class::Upload => "upload",
    }
}

fn arg_form(arg: &Arg) -> String {
    match arg.file {
        true => format!("-F {}", arg.name),
        false => format!("arg={}", arg.name),
    }
}

fn arg_marks(arg: &Arg) -> &'static str {
    match (arg.required, arg.variadic) {
        (true, false) => "",
        (true, true) => " (one or more)",
        (false, false) => " (may be left out)",
        (false, true) => " (any number)",
    }
}

fn options(page: &mut String, options: &[Opt]) {
    for option in options {
        let names: Vec<String> = option.names.iter().map(|name| format!("`{name}`")).collect();
        let kind = option.kind.name();
        let default =
            option.default.map(|value| format!(", default `{value}`")).unwrap_or_default();
        let _ = writeln!(page, "- {} ({kind}{default}): {}.", names.join(", "), option.about);
    }
}

/// The description in OpenAPI 3.1.
pub fn openapi() -> Value {
    let mut paths = Map::new();
    for command in commands() {
        paths.insert(format!("/api/v0/{}", command.name), json!({"post": operation(command)}));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Kubo RPC API, as coldfront serves it",
            "version": KUBO_VERSION,
        },
        "paths": paths,
        "components": {
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["Message", "Code", "Type"],
                    "properties": {
                        "Message": {"type": "string"},
                        "Code": {"type": "integer"},
                        "Type": {"const": "error"},
                    },
                },
            },
        },
    })
}

fn operation(command: &Command) -> Value {
    let texts = command.args.iter().filter(|arg| !arg.file).collect::<Vec<_>>();
    let mut parameters: Vec<Value> = Vec::new();
    if !texts.is_empty() {
        let about: Vec<String> = texts
            .iter()
            .map(|arg| format!("{}{}: {}", arg.name, arg_marks(arg), arg.about))
            .collect();
        parameters.push(json!({
            "name": "arg",
            "in": "query",
            "required": texts.iter().any(|arg| arg.required && !arg.stdin),
            "description": about.join("; "),
            "schema": {"type": "array", "items": {"type": "string"}},
            "explode": true,
        }));
    }
    parameters.extend(GLOBAL.iter().chain(command.options).map(parameter));
    let bytes = command.output == "bytes";
    let content = if bytes { "application/octet-stream" } else { "application/json" };
    let error = json!({
        "description": "It failed",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    });
    let mut operation = json!({
        "operationId": command.name.replace('/', "-"),
        "summary": command.about,
        "tags": [command.name.split('/').next().unwrap_or_default()],
        "parameters": parameters,
        "responses": {
            "200": {"description": command.output, "content": {content: {}}},
            "500": error,
        },
    });
    if command.args.iter().any(|arg| arg.file) {
        operation["requestBody"] = json!({
            "content": {"multipart/form-data": {"schema": {
                "type": "object",
                "properties": {"file": {"type": "array", "items": {"type": "string", "format": "binary"}}},
            }}},
        });
    }
    operation
}

fn parameter(option: &Opt) -> Value {
    let kind = match option.kind {
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Int | Kind::Uint | Kind::Int64 => json!({"type": "integer"}),
        Kind::Text => json!({"type": "string"}),
        Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
    };
    let mut parameter = json!({
        "name": option.name(),
        "in": "query",
        "description": option.about,
        "schema": kind,
    });
    if let Some(default) = option.default {
        parameter["schema"]["default"] = match option.kind {
            Kind::Bool => Value::Bool(default == "true"),
            Kind::Int | Kind::Uint | Kind::Int64 => {
                default.parse::<i64>().map_or(Value::Null, Value::from)
            }
            Kind::Text | Kind::Texts => Value::String(default.to_owned()),
        };
    }
    parameter
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::args;
    use super::*;

    /// The page lies beside the crate for people; this makes it anew: `COLDFRONT_WRITE_DOCS=1 cargo test -p coldfront-http docs`.
    #[test]
    fn the_page_that_people_read_is_the_table() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("RPC.md");
        if std::env::var_os("COLDFRONT_WRITE_DOCS").is_some() {
            std::fs::write(&path, page()).unwrap();
        }
        assert!(
            std::fs::read_to_string(path).unwrap() == page(),
            "RPC.md is out of date; see this test"
        );
    }

    #[test]
    fn rows_of_the_table_make_sense() {
        let mut names: Vec<&str> = commands().map(|command| command.name).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "two commands of one name");
        for command in commands() {
            let name = command.name;
            // Defaults are values of their options, and no name stands for two.
            args::parse(command, None, "").unwrap();
            let mut known: Vec<&str> = GLOBAL
                .iter()
                .chain(command.options)
                .flat_map(|option| option.names)
                .copied()
                .collect();
            let count = known.len();
            known.sort_unstable();
            known.dedup();
            assert_eq!(known.len(), count, "{name} has two options of one name");
            // What takes all that is left comes last, and so does what may come in the body.
            let texts: Vec<&Arg> = command.args.iter().filter(|arg| !arg.file).collect();
            let before_last = texts.len().saturating_sub(1);
            assert!(texts[..before_last].iter().all(|arg| !arg.variadic && !arg.stdin), "{name}");
            let optional = texts.iter().position(|arg| !arg.required).unwrap_or(texts.len());
            assert!(texts[optional..].iter().all(|arg| !arg.required), "{name}");
            // Sentences end where they are shown.
            assert!(!command.about.is_empty() && !command.about.ends_with('.'), "{name}");
            let uploads = command.args.iter().any(|arg| arg.file);
            assert_eq!(uploads, command.class == Class::Upload, "{name} takes a body or does not");
        }
    }

    #[test]
    fn every_command_has_its_description_for_programs() {
        let description = openapi();
        let paths = description["paths"].as_object().unwrap();
        assert_eq!(paths.len(), commands().count());
        let add = &paths["/api/v0/add"]["post"];
        assert!(add["requestBody"].is_object());
        let pin =
            add["parameters"].as_array().unwrap().iter().find(|one| one["name"] == "pin").unwrap();
        assert_eq!(pin["schema"], json!({"type": "boolean", "default": true}));
    }
}
