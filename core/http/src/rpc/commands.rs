//! `commands`: what is served, from the table. Twin of kubo `core/commands/commands.go`.

use serde::Serialize;

use super::call::Call;
use super::error::Failed;
use super::table::{Command, GLOBAL, Opt, commands as all};

pub(super) const COMMANDS: &[Command] = &[Command {
    options: &[Opt::flag(&["flags", "f"], "With their options")],
    output: r#"{"Name","Subcommands":[…],"Options":[{"Names":[…]}]}"#,
    ..Command::new("commands", "All commands", commands)
}];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    name: String,
    subcommands: Vec<Node>,
    options: Vec<Names>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Names {
    names: &'static [&'static str],
}

fn names(options: &[Opt]) -> Vec<Names> {
    options.iter().map(|option| Names { names: option.names }).collect()
}

fn commands(call: &mut Call) -> Result<(), Failed> {
    let mut root = Node { name: "ipfs".into(), subcommands: Vec::new(), options: names(GLOBAL) };
    for command in all() {
        let mut at = &mut root;
        for name in command.name.split('/') {
            let place = match at.subcommands.iter().position(|node| node.name == name) {
                Some(place) => place,
                None => {
                    at.subcommands.push(Node {
                        name: name.into(),
                        subcommands: Vec::new(),
                        options: Vec::new(),
                    });
                    at.subcommands.len() - 1
                }
            };
            // It was found or made just now.
            let Some(next) = at.subcommands.get_mut(place) else { break };
            at = next;
        }
        at.options = names(command.options);
    }
    call.once(&root)
}
