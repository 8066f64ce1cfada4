//! Cuts a list into records, without knowing what they say.
//!
//! Owns where a record begins and ends, its line, and the bound on its length. JSON is cut by its brackets alone; whether
//! it is JSON is found out by whoever reads the record.

use std::io::{self, BufRead, BufReader, Read};

use super::Reason;

/// The longest record of a list, in bytes. Longer ones are skipped, without being held.
pub const MAX_RECORD_LEN: usize = 1024 * 1024;

/// Bytes that are read at a time.
const BUFFER_LEN: usize = 64 * 1024;

/// What begins the answer of `ipfs pin ls --enc=json`: one object however many pins there are, so it is taken apart.
const KEYS: &[u8] = b"{\"Keys\":{";

/// A piece of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A line of text, or a string of an array.
    Line(Vec<u8>),
    /// A JSON object, as far as its brackets tell.
    Object(Vec<u8>),
    /// A pair out of `{"Keys":{…}}`: the text of its key, and its value, an object.
    Keyed { key: Vec<u8>, value: Vec<u8> },
    /// No record, and how it begins.
    Bad { reason: Reason, start: Vec<u8> },
}

/// Cuts what is read.
pub(super) struct Splitter<R> {
    input: BufReader<R>,
    /// The line of the next byte, counted from 1.
    line: u64,
    /// Whether the next byte is the first of its line.
    at_line_start: bool,
    /// Whether pairs of `{"Keys":{…}}` come.
    in_keys: bool,
    started: bool,
}

impl<R: Read> Splitter<R> {
    pub(super) fn new(input: R) -> Splitter<R> {
        let input = BufReader::with_capacity(BUFFER_LEN, input);
        Splitter { input, line: 1, at_line_start: true, in_keys: false, started: false }
    }

    /// The next piece and the line on which it begins; `None` at the end.
    pub(super) fn next_piece(&mut self) -> io::Result<Option<(u64, Piece)>> {
        loop {
            let Some(byte) = self.peek()? else { return Ok(self.end()) };
            let line = self.line;
            let piece = match (byte, self.in_keys) {
                (b' ' | b'\t' | b'\r' | b'\n' | b',' | b'[' | b']', _) => {
                    self.skip();
                    continue;
                }
                // Some editors put a mark in front of a file of UTF-8.
                (0xef | 0xbb | 0xbf, _) if !self.started => {
                    self.skip();
                    continue;
                }
                (b'#', _) => {
                    self.text()?;
                    continue;
                }
                // The end of the pairs, or of what was around them.
                (b'}', _) => {
                    self.skip();
                    self.in_keys = false;
                    continue;
                }
                (b'"', false) => self.string()?,
                (b'"', true) => self.pair()?,
                (b'{', _) => match self.object(!self.in_keys)? {
                    Some(piece) => piece,
                    None => continue,
                },
                _ => self.text()?,
            };
            self.started = true;
            return Ok(Some((line, piece)));
        }
    }

    fn end(&mut self) -> Option<(u64, Piece)> {
        let cut = std::mem::take(&mut self.in_keys);
        let start = b"{\"Keys\":{".to_vec();
        cut.then_some((self.line, Piece::Bad { reason: Reason::CutShort, start }))
    }

    /// The rest of the line.
    fn text(&mut self) -> io::Result<Piece> {
        let mut taken = Taken::default();
        while let Some(byte) = self.peek()? {
            if byte == b'\n' {
                break;
            }
            taken.push(byte);
            self.skip();
        }
        Ok(taken.piece(Piece::Line))
    }

    /// A string of an array.
    fn string(&mut self) -> io::Result<Piece> {
        Ok(match self.quoted()? {
            Ok(taken) => taken.piece(Piece::Line),
            Err(start) => Piece::Bad { reason: Reason::CutShort, start },
        })
    }

    /// What stands between two quotes, as it stands there. `Err` where the second is missing on its line.
    fn quoted(&mut self) -> io::Result<Result<Taken, Vec<u8>>> {
        self.skip();
        let mut taken = Taken::default();
        let mut escaped = false;
        while let Some(byte) = self.peek()? {
            if byte == b'\n' {
                break;
            }
            self.skip();
            if byte == b'"' && !escaped {
                return Ok(Ok(taken));
            }
            escaped = byte == b'\\' && !escaped;
            taken.push(byte);
        }
        Ok(Err(taken.bytes))
    }

    /// A key and its object.
    fn pair(&mut self) -> io::Result<Piece> {
        let key = match self.quoted()? {
            Ok(taken) => taken.bytes,
            Err(start) => return Ok(Piece::Bad { reason: Reason::CutShort, start }),
        };
        while let Some(b' ' | b'\t' | b'\r' | b'\n' | b':') = self.peek()? {
            self.skip();
        }
        if self.peek()? != Some(b'{') {
            return Ok(Piece::Bad { reason: Reason::NotReadable, start: key });
        }
        Ok(match self.object(false)? {
            Some(Piece::Object(value)) => Piece::Keyed { key, value },
            Some(Piece::Bad { reason, .. }) => Piece::Bad { reason, start: key },
            _ => Piece::Bad { reason: Reason::NotReadable, start: key },
        })
    }

    /// An object, to the bracket that closes it. `None` when it is one whose pairs come one by one.
    ///
    /// No program that breaks lines puts the bracket of an object within another first on a line. One that stands there
    /// begins a record of its own, so that one broken record does not take the others with it.
    fn object(&mut self, may_be_keys: bool) -> io::Result<Option<Piece>> {
        let mut taken = Taken::default();
        // What came so far without white space, as far as it is of interest.
        let mut head = Vec::with_capacity(KEYS.len());
        let (mut depth, mut in_string, mut escaped) = (0u64, false, false);
        while let Some(byte) = self.peek()? {
            if byte == b'{' && self.at_line_start && depth > 0 {
                break;
            }
            self.skip();
            taken.push(byte);
            if head.len() < KEYS.len() && !byte.is_ascii_whitespace() {
                head.push(byte);
                if may_be_keys && head == KEYS {
                    self.in_keys = true;
                    return Ok(None);
                }
            }
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                b'{' if !in_string => depth += 1,
                b'}' if !in_string => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Ok(Some(taken.piece(Piece::Object)));
            }
        }
        Ok(Some(Piece::Bad { reason: Reason::CutShort, start: taken.bytes }))
    }

    fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            return match self.input.fill_buf() {
                Ok(bytes) => Ok(bytes.first().copied()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }

    /// Steps over the byte that `peek` showed.
    fn skip(&mut self) {
        self.at_line_start = self.input.buffer().first() == Some(&b'\n');
        self.line += u64::from(self.at_line_start);
        self.input.consume(1);
    }
}

/// Bytes of a record, no more than one may have.
#[derive(Default)]
struct Taken {
    bytes: Vec<u8>,
    too_long: bool,
}

impl Taken {
    fn push(&mut self, byte: u8) {
        if self.bytes.len() < MAX_RECORD_LEN {
            self.bytes.push(byte);
        } else {
            self.too_long = true;
        }
    }

    fn piece(self, make: impl FnOnce(Vec<u8>) -> Piece) -> Piece {
        match self.too_long {
            true => Piece::Bad { reason: Reason::TooLong, start: self.bytes },
            false => make(self.bytes),
        }
    }
}
