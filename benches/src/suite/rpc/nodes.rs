//! `dag/put` and `dag/get` of nodes of 1 KB, over 64 connections.

use std::time::Duration;

use anyhow::Result;

use super::Course;
use super::contest::{Asked, CALLS, Contest};
use super::node::{Kind, Node};
use crate::caller::{BELOW, Form, form_text, form_type, last_text};
use crate::server::kubo::Store;
use crate::wrk;

/// Connections that are kept.
const CONNECTIONS: u32 = 64;
/// Nodes that are read.
const NODES: u64 = 2000;
/// Bytes that fill a node up to 1 KB.
const PADDING: usize = 990;
/// The shortest answer of `dag/put`.
const PUT_BYTES: u64 = 60;

fn content(number: &str) -> String {
    format!("{{\"n\":{number},\"pad\":\"{}\"}}", "a".repeat(PADDING))
}

/// Both, each on all servers in turn. An answer of coldfront's to `dag/put` is durable, one of Kubo's is not.
pub(super) fn run(course: &mut Course<'_>) -> Result<()> {
    let kinds = course.kinds(&[Store::Flatfs, Store::Pebble]);
    let nodes = kinds.iter().map(|kind| course.ground.fresh(*kind));
    let nodes = nodes.collect::<Result<Vec<Node>>>()?;
    let seconds = course.options.length.seconds;
    let scratch = course.ground.at("");
    let asked = [Store::Flatfs, Store::Pebble].map(|store| Asked {
        of: Kind::Kubo(store),
        rate: 3.0,
        cpu: None,
    });
    course.report.heading("rpc: dag/put of 1 KB, 64 connections");
    let contest = Contest::hold(&kinds, course.options.rounds, |index, _, round| {
        let node = &nodes[index];
        let address = node.server()?.address;
        // Other nodes in each round.
        let script = wrk::bodies_script(
            &format!("{BELOW}dag/put"),
            &form_type(),
            &form_text(&content("%d")),
            (round as u64 + 1) * 1_000_000_000,
        );
        node.measure_timed(|| {
            let counts =
                wrk::run_over(CONNECTIONS, address, &script, seconds, PUT_BYTES, &scratch)?;
            Ok((counts.requests as f64, Duration::from_secs_f64(counts.seconds)))
        })
    })?;
    contest.tell(CALLS, &asked, course.report);
    course.report.heading("rpc: dag/get of 1 KB, 64 connections");
    let mut targets = Vec::new();
    for node in &nodes {
        targets = put(node)?.iter().map(|cid| format!("{BELOW}dag/get?arg={cid}")).collect();
    }
    let script = wrk::calls_script(&targets);
    let length = content("0").len() as u64;
    let contest = Contest::hold(&kinds, course.options.rounds, |index, _, _| {
        let node = &nodes[index];
        let address = node.server()?.address;
        node.measure_timed(|| {
            let counts = wrk::run_over(CONNECTIONS, address, &script, seconds, length, &scratch)?;
            Ok((counts.requests as f64, Duration::from_secs_f64(counts.seconds)))
        })
    })?;
    contest.tell(CALLS, &asked, course.report);
    course.told();
    Ok(())
}

/// Puts the nodes that are read; their CIDs.
fn put(node: &Node) -> Result<Vec<String>> {
    let mut caller = node.connect()?;
    let one = |number: u64| {
        let form = Form::of_bytes(content(&number.to_string()).as_bytes());
        last_text(&caller.send_text("dag/put", form)?, "/")
    };
    (0..NODES).map(one).collect()
}
