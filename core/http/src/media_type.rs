//! The media type of a file: by its name, else by its first bytes.
//!
//! Owns one fixed table and one fixed set of signatures, so that a file has the same type on every
//! machine. Pure: no I/O, and never the host's own list of types. Must not know of ranges: the type
//! of a file does not depend on the part of it that was asked for. Rules: path gateway
//! specification, `Content-Type`; WHATWG MIME Sniffing; IANA's registry; boxo
//! `gateway/handler_unixfs_file.go`.
//!
//! Where Kubo says something else, on purpose:
//!
//! - Kubo asks the host, so its answers differ between machines; often `.ts` is a Qt translation,
//!   `.key` a slide show, `.webm` audio and `.m4s` nothing. Here they are what streams mean by
//!   them: MPEG-TS, an AES key, video, a segment.
//! - Kubo sniffs only when a range begins at 0. Here the type is always that of the whole file.
//! - Source code and configuration are `text/plain`, so that a browser shows them instead of saving
//!   them.
//! - Text that is not UTF-8 and has no telling name is `application/octet-stream`: Kubo guesses a
//!   charset.
//! - HTML carries no charset, as on Kubo, so that the page's own `<meta>` decides.

mod json;
mod sniff;
mod table;

pub use sniff::{SNIFF_LEN, sniff};

/// For what nothing is known of.
pub const OCTET_STREAM: &str = "application/octet-stream";

/// Text that a browser should show as it is.
pub const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// The type that a file name tells: by what follows its last dot, in either case. `None` when there
/// is no dot or the extension is not in the table; then [`sniff`]. One binary search of at most
/// eight steps, no allocation.
pub fn by_name(name: &[u8]) -> Option<&'static str> {
    let dot = name.iter().rposition(|b| *b == b'.')?;
    table::by_extension(name.get(dot + 1..)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_have_the_types_that_players_expect() {
        for (name, media_type) in [
            ("index.m3u8", "application/vnd.apple.mpegurl"),
            ("seg_000.ts", "video/mp2t"),
            ("chunk-stream0-00001.m4s", "video/iso.segment"),
            ("init.mp4", "video/mp4"),
            ("a.m4v", "video/mp4"),
            ("a.cmfv", "video/mp4"),
            ("a.m4a", "audio/mp4"),
            ("a.cmfa", "audio/mp4"),
            ("a.aac", "audio/aac"),
            ("manifest.mpd", "application/dash+xml"),
            ("enc.key", "application/octet-stream"),
            ("subs.vtt", "text/vtt"),
            ("a.webm", "video/webm"),
            ("a.mkv", "video/matroska"),
        ] {
            assert_eq!(by_name(name.as_bytes()), Some(media_type), "{name}");
        }
    }

    /// What Kubo answers wherever the host's list of types does not come into it: Go's own list.
    #[test]
    fn the_web_has_the_types_that_kubo_gives_it() {
        for (name, media_type) in [
            ("a.avif", "image/avif"),
            ("a.css", "text/css; charset=utf-8"),
            ("a.gif", "image/gif"),
            ("a.htm", "text/html"),
            ("index.html", "text/html"),
            ("a.jpeg", "image/jpeg"),
            ("a.jpg", "image/jpeg"),
            ("a.js", "text/javascript; charset=utf-8"),
            ("a.mjs", "text/javascript; charset=utf-8"),
            ("a.json", "application/json"),
            ("a.pdf", "application/pdf"),
            ("a.png", "image/png"),
            ("a.svg", "image/svg+xml"),
            ("a.wasm", "application/wasm"),
            ("a.webp", "image/webp"),
            ("a.txt", "text/plain; charset=utf-8"),
        ] {
            assert_eq!(by_name(name.as_bytes()), Some(media_type), "{name}");
        }
    }

    #[test]
    fn the_last_extension_counts_in_either_case() {
        assert_eq!(by_name(b"photo.JPG"), Some("image/jpeg"));
        assert_eq!(by_name(b"a.tar.gz"), Some("application/gzip"));
        assert_eq!(by_name(b"index.html.txt"), Some(PLAIN_TEXT));
        assert_eq!(by_name(b".vtt"), Some("text/vtt"));
        assert_eq!(by_name(b"\xFF\xFE.png"), Some("image/png"));
    }

    #[test]
    fn a_name_that_tells_nothing_gives_none() {
        for name in [
            &b""[..],
            b".",
            b"README",
            b"file.",
            b"a.unknown",
            b"png",
            b"a.pn",
            b"a.pngx",
            b"a.p\xFFg",
        ] {
            assert_eq!(by_name(name), None, "{name:?}");
        }
        assert_eq!(by_name(&[b"a.".to_vec(), vec![b'x'; 100_000]].concat()), None);
    }
}
