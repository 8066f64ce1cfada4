//! `multipart/form-data`: the files of a request, one after another.
//!
//! Owns the framing of parts and what their headers say: path, kind, mode and time. Holds one buffer, whatever the
//! length of a part. Must not know what becomes of a file. Rules: RFC 2046 section 5.1, RFC 7578; boxo
//! `files/multipartfile.go` for names and kinds; Go `mime/multipart` where clients differ.

use std::io::{self, Read};

use coldfront::unixfs::import::{Metadata, Mtime};

use super::args::{pairs, query_decoded};

/// The buffer of a body, in bytes.
const BUFFER: usize = 128 * 1024;

/// The longest headers of a part, in bytes.
const MAX_HEADERS: usize = 64 * 1024;

/// The longest path of a part, in bytes, twice what Linux takes: each of its names is a directory to be made, so that one
/// header of 64 KiB would be work for minutes.
const MAX_PATH: usize = 8192;

/// The longest boundary (RFC 2046: 70), with room for odd clients.
const MAX_BOUNDARY: usize = 256;

/// The longest target of a symbolic link, in bytes: that of Linux.
pub(crate) const MAX_TARGET: u64 = 4096;

/// What a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartKind {
    File,
    Directory,
    /// Its content is the target.
    Symlink,
}

/// What the headers of a part say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Names between single slashes, none in front; empty for a part without a name of file.
    pub(crate) path: String,
    pub(crate) kind: PartKind,
    pub(crate) meta: Metadata,
}

/// The parts of a body.
#[derive(Debug)]
pub(crate) struct Parts<R> {
    body: R,
    /// `--BOUNDARY`, with the line end that stands before all but the first.
    delimiter: Vec<u8>,
    finder: memchr::memmem::Finder<'static>,
    buffer: Vec<u8>,
    /// What of the buffer is still to be read.
    start: usize,
    end: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first delimiter.
    Preamble,
    /// At the first byte of a part's content.
    ContentStart,
    Content,
    /// Behind the delimiter that ends a part.
    Between,
    Ended,
}

/// The boundary that a `Content-Type` names, if it is one of form data.
pub(crate) fn boundary(content_type: &str) -> Option<String> {
    let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameter(parameters, "boundary").unwrap_or_default();
    (!boundary.is_empty() && boundary.len() <= MAX_BOUNDARY).then_some(boundary)
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("multipart: {what}"))
}

impl<R: Read> Parts<R> {
    pub(crate) fn new(body: R, boundary: &str) -> Self {
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        Parts {
            body,
            finder: memchr::memmem::Finder::new(&delimiter).into_owned(),
            delimiter,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            state: State::Preamble,
        }
    }

    /// The headers of the next part; what is left of the one before is stepped over. Its content is read from `self`.
    pub(crate) fn next_part(&mut self) -> io::Result<Option<Part>> {
        match self.state {
            State::Preamble => self.find_first()?,
            State::ContentStart | State::Content => {
                while !self.content()?.is_empty() {
                    self.start = self.content_end();
                }
            }
            State::Between | State::Ended => {}
        }
        if self.state == State::Between {
            self.end_of_delimiter()?;
        }
        if self.state == State::Ended {
            return Ok(None);
        }
        let part = self.headers()?;
        self.state = State::ContentStart;
        Ok(Some(part))
    }

    /// Steps over what stands before the first delimiter, which may stand at the very beginning.
    fn find_first(&mut self) -> io::Result<()> {
        let first = self.delimiter.get(2..).unwrap_or_default().to_vec();
        self.fill(first.len())?;
        if self.ready().starts_with(&first) {
            self.start += first.len();
            self.state = State::Between;
            return Ok(());
        }
        self.state = State::Content;
        loop {
            let n = self.content()?.len();
            if n == 0 {
                break;
            }
            self.start += n;
        }
        Ok(())
    }

    fn ready(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Reads until so many bytes are ready, or the body ends.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        if self.start > 0 && self.buffer.len() - self.start < wanted.max(BUFFER / 2) {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        while self.end - self.start < wanted {
            let room = self.buffer.get_mut(self.end..).unwrap_or_default();
            if room.is_empty() {
                return Err(broken("a line or a boundary is too long"));
            }
            match self.body.read(room) {
                Ok(0) => return Ok(()),
                Ok(n) => self.end += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Where the content that is ready ends in the buffer: at a delimiter, or before what may be the beginning of one.
    fn content_end(&self) -> usize {
        match self.finder.find(self.ready()) {
            Some(at) => self.start + at,
            None => (self.end + 1).saturating_sub(self.delimiter.len()).max(self.start),
        }
    }

    /// Content that is ready; empty at the end of the part, when the delimiter has been stepped over.
    fn content(&mut self) -> io::Result<&[u8]> {
        if !matches!(self.state, State::ContentStart | State::Content) {
            return Ok(&[]);
        }
        let delimiter_len = self.delimiter.len();
        if self.state == State::ContentStart {
            // Of a part without content the line end before the delimiter may be that of its headers.
            self.fill(delimiter_len)?;
            let bare = self.delimiter.get(2..).unwrap_or_default();
            if self.ready().starts_with(bare) {
                self.start += bare.len();
                self.state = State::Between;
                return Ok(&[]);
            }
            self.state = State::Content;
        }
        loop {
            let end = self.content_end();
            if end > self.start {
                return Ok(self.buffer.get(self.start..end).unwrap_or_default());
            }
            if self.ready().starts_with(&self.delimiter) {
                self.start += delimiter_len;
                self.state = State::Between;
                return Ok(&[]);
            }
            let before = self.end - self.start;
            self.fill(before.max(delimiter_len) + 1)?;
            if self.end - self.start == before {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "multipart: NextPart: EOF: the body ends before its last boundary",
                ));
            }
        }
    }

    /// What follows a boundary: two dashes for the last one, else the end of the line.
    fn end_of_delimiter(&mut self) -> io::Result<()> {
        self.fill(2)?;
        if self.ready().starts_with(b"--") {
            self.state = State::Ended;
            return Ok(());
        }
        let line = self.line()?;
        if line.iter().all(|byte| matches!(byte, b' ' | b'\t')) {
            Ok(())
        } else {
            Err(broken("a boundary is followed by other bytes than the end of its line"))
        }
    }

    /// The next line, without its end.
    fn line(&mut self) -> io::Result<Vec<u8>> {
        let mut searched = 0;
        loop {
            if let Some(at) =
                memchr::memchr(b'\n', self.ready().get(searched..).unwrap_or_default())
            {
                let at = searched + at;
                let line = self.ready().get(..at).unwrap_or_default();
                let line = line.strip_suffix(b"\r").unwrap_or(line).to_vec();
                self.start += at + 1;
                return Ok(line);
            }
            searched = self.ready().len();
            if searched > MAX_HEADERS {
                return Err(broken("the headers of a part are too long"));
            }
            self.fill(searched + 1)?;
            if self.ready().len() == searched {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "multipart: NextPart: EOF: the body ends inside the headers of a part",
                ));
            }
        }
    }

    fn headers(&mut self) -> io::Result<Part> {
        let mut part = Part { path: String::new(), kind: PartKind::File, meta: Metadata::NONE };
        let mut taken = 0;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return match part.path.len() {
                    0..=MAX_PATH => Ok(part),
                    _ => Err(broken("the path of a part has more than 8192 bytes")),
                };
            }
            taken += line.len();
            if taken > MAX_HEADERS {
                return Err(broken("the headers of a part are too long"));
            }
            let line = String::from_utf8_lossy(&line);
            let Some((name, value)) = line.split_once(':') else {
                return Err(broken("a header of a part has no colon"));
            };
            match name.trim().to_ascii_lowercase().as_str() {
                "content-disposition" => disposition(value, &mut part),
                "content-type" => part.kind = kind(value),
                _ => {}
            }
        }
    }
}

impl<R: Read> Read for Parts<R> {
    /// The content of the part at hand.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let content = self.content()?;
        let n = content.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), content.get(..n)) {
            to.copy_from_slice(from);
        }
        self.start += n;
        Ok(n)
    }
}

fn kind(value: &str) -> PartKind {
    let kind = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match kind.as_str() {
        "application/x-directory" | "multipart/form-data" => PartKind::Directory,
        "application/symlink" => PartKind::Symlink,
        _ => PartKind::File,
    }
}

fn disposition(value: &str, part: &mut Part) {
    let (_, parameters) = value.split_once(';').unwrap_or((value, ""));
    if let Some(name) = parameter(parameters, "filename") {
        // A name that cannot be decoded is one as it stands.
        part.path = cleaned(&query_decoded(&name).unwrap_or(name));
    }
    let name = parameter(parameters, "name").unwrap_or_default();
    if let Some((_, query)) = name.split_once('?') {
        part.meta = metadata(query);
    }
}

/// `mode=0644&mtime=1700000000&mtime-nsecs=5`.
fn metadata(query: &str) -> Metadata {
    let (mut mode, mut seconds, mut nanos) = (None, None, None);
    for (key, value) in pairs(query) {
        match key.as_str() {
            "mode" => mode = mode.or(u32::from_str_radix(&value, 8).ok()),
            "mtime" => seconds = seconds.or(value.parse::<i64>().ok()),
            "mtime-nsecs" => nanos = nanos.or(value.parse::<u32>().ok()),
            _ => {}
        }
    }
    let mtime = seconds.map(|seconds| Mtime { seconds, nanos: nanos.unwrap_or(0) });
    Metadata { mode, mtime }
}

/// Go's `path.Clean` of the name with a slash in front, without that slash.
fn cleaned(name: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in name.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    kept.join("/")
}

/// A parameter of a header: a token, or text in quotes with backslashes.
fn parameter(parameters: &str, wanted: &str) -> Option<String> {
    let mut rest = parameters;
    loop {
        rest = rest.trim_start_matches([';', ' ', '\t']);
        if rest.is_empty() {
            return None;
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = value(after);
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = after;
    }
}

fn value(text: &str) -> (String, &str) {
    let text = text.trim_start();
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return (value.trim().to_owned(), rest);
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices().peekable();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, quoted.get(at + 1..).unwrap_or_default()),
            // Browsers send paths of Windows with single backslashes; only what must be escaped is.
            '\\' if matches!(letters.peek(), Some((_, '"' | '\\'))) => {
                value.extend(letters.next().map(|(_, letter)| letter));
            }
            letter => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Gives its bytes a few at a time.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(self.1).min(buf.len());
            let (now, later) = self.0.split_at(n);
            buf[..n].copy_from_slice(now);
            self.0 = later;
            Ok(n)
        }
    }

    fn all(body: &[u8], piece: usize) -> io::Result<Vec<(Part, Vec<u8>)>> {
        let mut parts = Parts::new(Slow(body, piece), "B");
        let mut found = Vec::new();
        while let Some(part) = parts.next_part()? {
            let mut content = Vec::new();
            parts.read_to_end(&mut content)?;
            found.push((part, content));
        }
        Ok(found)
    }

    fn paths(body: &str) -> Vec<String> {
        all(body.as_bytes(), 7).unwrap().into_iter().map(|(part, _)| part.path).collect()
    }

    #[test]
    fn content_is_what_stands_between_the_boundaries_however_it_comes() {
        let body = b"preamble\r\n--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\n\
            one\r\n--\r\n--b\r\n\r\n--B  \r\n\r\n--B\r\nX: y\r\n\r\n\r\n--B\r\n\r\n\r\n\r\n--B--\r\nepilogue";
        for piece in [1, 2, 3, 5, 64, 1000] {
            let found = all(body, piece).unwrap();
            let contents: Vec<_> = found.iter().map(|(_, content)| &content[..]).collect();
            assert_eq!(contents, [&b"one\r\n--\r\n--b\r\n"[..], b"", b"", b"\r\n"], "{piece}");
        }
        let long = vec![b'\r'; 3 * BUFFER];
        let body = [b"--B\r\n\r\n", &long[..], b"\r\n--B--"].concat();
        assert_eq!(all(&body, BUFFER).unwrap()[0].1, long);
    }

    #[test]
    fn names_are_decoded_and_cleaned_and_say_where_a_file_lies() {
        let part =
            |disposition: &str| format!("--B\r\nContent-Disposition: {disposition}\r\n\r\n\r\n");
        let body = [
            part("form-data; name=file; filename=plain"),
            part("form-data; filename=\"d%2Fsub%2Fb.txt\"; name=\"file-1\""),
            part("form-data; name=\"file\"; filename=\"/../a//./x/../b%20c+d\""),
            part("form-data; name=\"file\"; filename=\"100%\""),
            part("form-data; name=\"file\"; filename=\"q\\\"\\\\w\\x\""),
            part("form-data; name=\"file\""),
            part("attachment; filename=\"\""),
        ]
        .concat()
            + "--B--";
        assert_eq!(paths(&body), ["plain", "d/sub/b.txt", "a/b c d", "100%", "q\"\\w\\x", "", ""]);
    }

    #[test]
    fn kinds_modes_and_times_come_from_the_headers() {
        let body = "--B\r\ncontent-type: application/x-directory\r\nContent-Disposition: form-data; name=\"file?mode=0755&mtime=-5&mtime-nsecs=7\"; filename=\"d\"\r\n\r\n\
            \r\n--B\r\nContent-Disposition: form-data; name=\"file?mode=9\"; filename=\"l\"\r\nContent-Type: application/symlink\r\n\r\na/b\r\n--B--";
        let found = all(body.as_bytes(), 9).unwrap();
        assert_eq!((found[0].0.kind, found[1].0.kind), (PartKind::Directory, PartKind::Symlink));
        let mtime = Some(Mtime { seconds: -5, nanos: 7 });
        assert_eq!(found[0].0.meta, Metadata { mode: Some(0o755), mtime });
        assert_eq!(found[1].0.meta, Metadata::NONE);
        assert_eq!(found[1].1, b"a/b");
    }

    #[test]
    fn a_body_that_ends_early_is_no_body() {
        let body = b"--B\r\nA: b\r\n\r\ncontent\r\n--B--";
        for len in 0..body.len() - 1 {
            assert!(all(&body[..len], 5).is_err(), "{len} bytes");
        }
        assert!(all(b"--Bx\r\n\r\n\r\n--B--", 5).is_err());
        let long = format!("--B\r\nA: {}\r\n\r\n\r\n--B--", "x".repeat(MAX_HEADERS));
        assert!(all(long.as_bytes(), 4096).is_err());
        let many = format!("--B\r\n{}\r\n\r\n--B--", "A: b\r\n".repeat(MAX_HEADERS));
        assert!(all(many.as_bytes(), 4096).is_err());
    }

    #[test]
    fn parts_that_are_not_read_are_stepped_over() {
        let body = format!(
            "--B\r\n\r\n{}\r\n--B\r\nContent-Disposition: x; filename=z\r\n\r\n1\r\n--B--",
            "x".repeat(300_000)
        );
        assert_eq!(paths(&body), ["", "z"]);
        let mut parts = Parts::new(body.as_bytes(), "B");
        parts.next_part().unwrap();
        assert_eq!(parts.next_part().unwrap().unwrap().path, "z");
    }

    #[test]
    fn the_boundary_is_a_parameter_of_the_content_type() {
        assert_eq!(boundary("multipart/form-data; boundary=abc").as_deref(), Some("abc"));
        assert_eq!(
            boundary("Multipart/Form-Data; charset=x; Boundary=\"a b\"").as_deref(),
            Some("a b")
        );
        for none in
            ["", "text/plain; boundary=a", "multipart/form-data", "multipart/form-data; boundary="]
        {
            assert_eq!(boundary(none), None, "{none}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_body_ends(body in "(--B|\r\n|-|:|[a-c]|\")*", piece in 1usize..9) {
            let _ = all(body.as_bytes(), piece);
        }
    }
}
