//! Thousands of calls over connections that are kept: none may fail, and no connection may be closed under its client.

use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use coldfront::Cid;

use super::Course;
use super::contest::{CALLS, Contest, Did};
use super::node::Node;
use super::pins::block;
use super::uploads::ADD;
use crate::caller::{Caller, Form, last_text};
use crate::server::kubo::Store;

/// Calls one after another on one connection.
const SEQUENTIAL: u64 = 10_000;
/// Connections of an agent that calls in parallel.
const PARALLEL: u64 = 200;
/// Calls on each of them.
const EACH: u64 = 50;

/// Both, on all servers in turn. The first failure ends the run with an error.
pub(super) fn run(course: &mut Course<'_>) -> Result<()> {
    let kinds = course.kinds(&[Store::Flatfs]);
    let nodes = kinds.iter().map(|kind| course.ground.fresh(*kind));
    let nodes = nodes.collect::<Result<Vec<Node>>>()?;
    let (sequential, each) = (course.scaled(SEQUENTIAL), course.scaled(EACH));
    course.report.heading(&format!("rpc: {sequential} calls on one connection, 0 failed"));
    let tell = |contest: Contest, course: &mut Course<'_>| contest.tell(CALLS, &[], course.report);
    let contest =
        Contest::hold(&kinds, 1, |index, _, _| one_connection(&nodes[index], sequential))?;
    tell(contest, course);
    course.report.heading(&format!("rpc: {PARALLEL} connections, {each} calls on each, 0 failed"));
    let contest = Contest::hold(&kinds, 1, |index, _, _| many_connections(&nodes[index], each))?;
    tell(contest, course);
    course.told();
    Ok(())
}

fn one_connection(node: &Node, calls: u64) -> Result<Did> {
    let mut caller = node.connect()?;
    node.measure(|| {
        (0..calls).try_for_each(|number| one(&mut caller, number))?;
        Ok(calls as f64)
    })
}

fn many_connections(node: &Node, each: u64) -> Result<Did> {
    node.measure(|| {
        thread::scope(|scope| {
            let clients: Vec<_> = (0..PARALLEL)
                .map(|client| {
                    scope.spawn(move || -> Result<()> {
                        let mut caller = node.connect()?;
                        let first = (client + 1) << 32;
                        (first..first + each).try_for_each(|number| one(&mut caller, number))
                    })
                })
                .collect();
            clients.into_iter().try_for_each(|client| {
                client.join().unwrap_or_else(|_| Err(anyhow!("a client's thread panicked")))
            })
        })?;
        Ok((PARALLEL * each) as f64)
    })
}

/// The CID of a block that nobody has.
fn absent() -> Result<Cid> {
    Ok(*block(u64::MAX)?.cid())
}

/// A call of many kinds in turn, its answer looked at.
fn one(caller: &mut Caller, number: u64) -> Result<()> {
    let content = format!("content {number}");
    let form = || Form::of_bytes(content.as_bytes());
    let mut call = || -> Result<()> {
        match number % 8 {
            0 => ensure!(caller.text("id")?.contains("\"ID\""), "no ID"),
            1 => ensure!(caller.text("version")?.contains("0.42.0"), "no version"),
            2 => drop(last_text(&caller.send_text(ADD, form())?, "Hash")?),
            3 => {
                let cid = last_text(&caller.send_text("block/put", form())?, "Key")?;
                ensure!(caller.text(&format!("cat?arg={cid}"))? == content, "other bytes");
            }
            4 => {
                let cid = last_text(&caller.send_text(ADD, form())?, "Hash")?;
                let text = caller.text(&format!("pin/ls?arg={cid}"))?;
                ensure!(text.contains("recursive"), "{text}");
            }
            5 => ensure!(caller.text("repo/stat?size-only=true")?.contains("RepoSize"), "no size"),
            // A failure is an answer as well, and keeps the connection.
            6 => drop(caller.expect(
                500,
                &format!("block/stat?arg={}", absent()?),
                None,
                &mut |_| (),
            )?),
            _ => ensure!(caller.text("swarm/peers")?.starts_with('{'), "no peers"),
        }
        Ok(())
    };
    call().with_context(|| format!("call number {number}"))
}
