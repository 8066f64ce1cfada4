//! The parsers of the RPC API, one door each, for fuzz targets: bytes in, nothing out, no panic.

use std::io::{self, Read};
use std::sync::Arc;

use coldfront::{BlockSource, Repo, RepoOptions};

use super::call::{Call, Caller, Emitter};
use super::daemon::{Daemon, Identity};
use super::multipart::Parts;
use super::response::{Cancel, EVENTS};
use super::trailers::Framing;
use super::{args, table};

/// Any bytes as the query of any command, and as an argument in its path.
pub fn query(bytes: &[u8]) {
    let Some((which, rest)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let count = table::commands().count().max(1);
    let Some(command) = table::commands().nth(usize::from(*which) % count) else { return };
    for first in [None, Some(&*text)] {
        if let Ok(parsed) = args::parse(command, first, &text) {
            assert!(parsed.args.iter().map(String::len).sum::<usize>() <= 8 * text.len() + 8);
            let _ = args::missing(command, &parsed.args);
        }
    }
    let _ = args::duration(&text);
    let _ = table::find(&text);
}

/// Any bytes as the arguments and options of any command, which runs over a node that holds nothing: it answers or says
/// why not.
pub fn command(bytes: &[u8]) {
    let Some((which, rest)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let count = table::commands().count().max(1);
    let Some(command) = table::commands().nth(usize::from(*which) % count) else { return };
    let Ok(parsed) = args::parse(command, None, &text) else { return };
    if super::check(command, &parsed, false).is_err() {
        return;
    }
    let nothing: [(String, Arc<dyn BlockSource>); 0] = [];
    let repo = Repo::from_sources(nothing, &RepoOptions::default());
    let (sender, mut events) = tokio::sync::mpsc::channel(EVENTS);
    // Whatever it answers, it says something, and lets go of the queue.
    let reader = std::thread::spawn(move || std::iter::from_fn(|| events.blocking_recv()).count());
    super::run(Call {
        command,
        daemon: Arc::new(Daemon::new(repo, Identity::default())),
        args: parsed.args,
        options: parsed.options,
        body: None,
        caller: Caller::default(),
        changed: Default::default(),
        out: Emitter::new(sender, Cancel::default(), None),
    });
    assert!(reader.join().is_ok_and(|events| events > 0), "{} said nothing", command.name);
}

/// Gives its bytes some at a time.
struct Pieces<'a>(&'a [u8], usize);

impl Read for Pieces<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.0.len().min(self.1).min(buf.len());
        let (now, later) = self.0.split_at(n);
        if let Some(to) = buf.get_mut(..n) {
            to.copy_from_slice(now);
        }
        self.0 = later;
        Ok(n)
    }
}

/// Any bytes as a body of form data. However they come, the same parts are found, and no more content than there are bytes.
pub fn multipart(bytes: &[u8]) {
    let Some((piece, body)) = bytes.split_first() else { return };
    let whole = parts(body, body.len().max(1));
    let again = parts(body, usize::from(*piece).max(1));
    assert_eq!(whole, again);
    let content: usize = whole.iter().map(|(_, content)| content.len()).sum();
    assert!(content <= body.len());
    assert!(whole.iter().all(|(path, _)| path.split('/').all(|name| !matches!(name, "." | ".."))));
}

fn parts(body: &[u8], piece: usize) -> Vec<(String, Vec<u8>)> {
    let mut parts = Parts::new(Pieces(body, piece), "B");
    let mut found = Vec::new();
    while let Ok(Some(part)) = parts.next_part() {
        let mut content = Vec::new();
        if parts.read_to_end(&mut content).is_err() {
            break;
        }
        found.push((part.path, content));
    }
    found
}

/// Any bytes as requests of a connection. However they come, they are framed the same.
pub fn framing(bytes: &[u8]) {
    let Some((piece, stream)) = bytes.split_first() else { return };
    let ends = |piece: usize| {
        let (mut framing, mut ends, mut done) = (Framing::new(), Vec::new(), 0);
        for bytes in stream.chunks(piece.max(1)) {
            let mut rest = bytes;
            while let Some(end) = framing.take(rest) {
                done += end;
                ends.push(done);
                rest = rest.get(end..).unwrap_or_default();
            }
            done += rest.len();
        }
        ends
    };
    assert_eq!(ends(stream.len()), ends(usize::from(*piece)));
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn the_doors_take_anything(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
            query(&bytes);
            multipart(&bytes);
            framing(&bytes);
            command(&bytes);
        }

        #[test]
        fn every_command_takes_what_looks_like_arguments(
            which in 0u8..,
            args in "(arg=[^&]{0,12}|arg=/ip(f|n)s/(Qm|bafy|k51)[a-z]{0,4}/x|arg=%[0-9a-f]{2}|f=%25[a-zA-Z%]|[a-z-]{1,12}=(-?[0-9]{1,4}|true|x)|&){0,12}",
        ) {
            command(&[&[which], args.as_bytes()].concat());
        }

        #[test]
        fn the_doors_take_what_looks_right(
            piece in 0u8..,
            body in "(--B|\r\n|\r|\n|-|: |[a-c]|\"|filename=|POST / HTTP/1.1|Content-Length: 3|Transfer-Encoding: chunked|arg=|pin=|%2f|&){0,40}",
        ) {
            let bytes = [&[piece], body.as_bytes()].concat();
            query(&bytes);
            multipart(&bytes);
            framing(&bytes);
        }
    }
}
