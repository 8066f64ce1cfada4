//! `resolve`: a path to the CID at its end. Twin of kubo `core/commands/resolve.go`.

use serde::Serialize;

use super::call::Call;
use super::dag_path;
use super::error::Failed;
use super::table::{Arg, Class, Command, Opt};

pub(super) const COMMANDS: &[Command] = &[Command {
    args: &[Arg::text("name", "The path").stdin()],
    options: &[
        Opt::flag(&["recursive", "r"], "Go on until it is a CID").or("true"),
        Opt::int(&["dht-record-count", "dhtrc"], "Ignored"),
        Opt::text(&["dht-timeout", "dhtt"], "Ignored"),
    ],
    output: r#"{"Path"}"#,
    class: Class::Stream,
    ..Command::new("resolve", "What a path leads to", resolve)
}];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ResolvedPath {
    path: String,
}

fn resolve(call: &mut Call) -> Result<(), Failed> {
    let path = match call.arg(0) {
        name if name.starts_with("/ipns/") => {
            let path = call.daemon.names()?.resolve(name, true)?;
            call.path(&path)?
        }
        path => call.path(path)?,
    };
    let end = dag_path::resolve(call.repo(), &path)?;
    let mut path = format!("/ipfs/{}", call.cids()?.show(&end.cid));
    for name in &end.rest {
        path.push('/');
        path.push_str(name);
    }
    call.once(&ResolvedPath { path })
}
