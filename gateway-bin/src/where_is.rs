//! `where CID`: asks a running server where a block lies.
//!
//! Owns one call of the RPC API and how its answer is shown. Blocking, and no client of HTTP beyond what this one call needs.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use coldfront_http::tls::trusting;
use serde_json::Value;

/// How long a server may say nothing: it walks the DAG before it answers.
const PATIENCE: Duration = Duration::from_secs(3600);

/// The longest answer, in bytes.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;

/// A server that waits for TLS closes the connection.
const NO_ANSWER: &str =
    "the server gave no answer; if it wants TLS, name its certificate with --tls-certificate";

/// A server, and how it is known.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) at: SocketAddr,
    /// Its certificate, where it wants TLS, and the name that stands in it.
    pub(crate) tls: Option<(PathBuf, String)>,
}

/// Asks, and shows the answer.
pub(crate) fn ask(
    server: &Server,
    token: Option<&str>,
    path: &str,
    json: bool,
) -> anyhow::Result<String> {
    let answer = call(server, token, path)?;
    if json {
        return Ok(format!("{answer}\n"));
    }
    shown(&answer)
        .context("the server's answer is not one of this command; are both of one version?")
}

fn call(server: &Server, token: Option<&str>, path: &str) -> anyhow::Result<Value> {
    let Server { at, tls } = server;
    let stream = TcpStream::connect_timeout(at, Duration::from_secs(10));
    let stream = stream.with_context(|| {
        format!("no server answers at {at}; start one with `coldfront-gateway serve --rpc`, or name it with --rpc")
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    match tls {
        None => answered(stream, *at, token, path),
        Some((certificate, name)) => {
            answered(trusting(certificate, name, stream)?, *at, token, path).with_context(|| {
                format!("over TLS with {name}, known by {}", certificate.display())
            })
        }
    }
}

fn answered(
    mut stream: impl Read + Write,
    server: SocketAddr,
    token: Option<&str>,
    path: &str,
) -> anyhow::Result<Value> {
    let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let arg = escaped(path);
    write!(
        stream,
        "POST /api/v0/where?arg={arg} HTTP/1.0\r\nHost: {server}\r\n{token}Content-Length: 0\r\n\r\n"
    )
    .context(NO_ANSWER)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).context(NO_ANSWER)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").context(NO_ANSWER)?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status == "200" {
        return Ok(serde_json::from_str(body.trim())?);
    }
    let said: Result<Value, _> = serde_json::from_str(body.trim());
    match said.as_ref().ok().and_then(|said| said["Message"].as_str()) {
        Some(message) => bail!("{message}"),
        None => bail!("the server at {server} answers {status}: {}", body.trim()),
    }
}

/// A text as a value of a query.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            // Writing to a string cannot fail.
            byte => drop(write!(out, "%{byte:02X}")),
        }
        out
    })
}

/// The answer for people.
fn shown(answer: &Value) -> Option<String> {
    let mut out = format!("{}\n", answer["Cid"].as_str()?);
    let tiers = answer["Tiers"].as_array()?;
    if tiers.is_empty() {
        out.push_str("  held nowhere here\n");
    }
    for tier in tiers {
        let name = tier["Tier"].as_str()?;
        let what = match (&tier["Size"], &tier["Error"]) {
            (Value::Number(size), _) => format!("{size} bytes"),
            (_, Value::String(error)) => format!("unusable: {error}"),
            _ => return None,
        };
        let _ = writeln!(out, "  in {name}: {what}");
        if let Some(path) = tier["Path"].as_str() {
            let _ = writeln!(out, "    {path}");
        }
    }
    let _ = writeln!(out, "  pinned: {}", answer["Pinned"].as_str()?);
    let way: Vec<&str> = answer["Way"].as_array()?.iter().filter_map(Value::as_str).collect();
    if way.len() > 1 {
        let _ = writeln!(out, "  kept by: {}", way.join(" > "));
    }
    let dag = &answer["Dag"];
    if dag.is_object() {
        let (blocks, bytes) = (&dag["Blocks"], &dag["Bytes"]);
        match dag["Missing"].as_str() {
            None => drop(writeln!(out, "  complete: {blocks} blocks, {bytes} bytes")),
            Some(missing) => drop(writeln!(
                out,
                "  incomplete: {missing} is held nowhere; {blocks} blocks, {bytes} bytes came before it"
            )),
        }
        for tier in dag["PerTier"].as_array()? {
            let name = tier["Tier"].as_str()?;
            let _ =
                writeln!(out, "    {} blocks, {} bytes from {name}", tier["Blocks"], tier["Bytes"]);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_answer_is_shown_line_by_line() {
        let answer = serde_json::json!({
            "Cid": "Qm1",
            "Tiers": [
                {"Tier": "hot store /h", "Size": 6},
                {"Tier": "/a", "Path": "/a/X.data", "Error": "it is damaged"},
            ],
            "Pinned": "indirect through Qm0",
            "Way": ["Qm0", "Qm1"],
            "Dag": {"Complete": false, "Blocks": 2, "Bytes": 9, "Missing": "Qm3",
                "PerTier": [{"Tier": "hot store /h", "Blocks": 2, "Bytes": 9}]},
        });
        assert_eq!(
            shown(&answer).unwrap(),
            "Qm1\n  in hot store /h: 6 bytes\n  in /a: unusable: it is damaged\n    /a/X.data\n  pinned: indirect through Qm0\n  kept by: Qm0 > Qm1\n  incomplete: Qm3 is held nowhere; 2 blocks, 9 bytes came before it\n    2 blocks, 9 bytes from hot store /h\n"
        );
        assert_eq!(shown(&serde_json::json!({})), None);
    }

    #[test]
    fn a_path_is_escaped() {
        assert_eq!(escaped("/ipfs/Qm1/a b&c\u{e9}"), "/ipfs/Qm1/a%20b%26c%C3%A9");
    }
}
