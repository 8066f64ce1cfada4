//! Values as Go writes them.
//!
//! Owns the spelling: no spaces, and `<`, `>`, `&` and the two line separators escaped, so that an answer is the same
//! byte for byte. Must not know any value. Rules: Go `encoding/json`, `Encoder`.

use std::io::{self, Write};

use bytes::Bytes;
use serde::Serialize;
use serde_json::ser::{CompactFormatter, Formatter, Serializer};

/// A value and a line end.
pub(crate) fn line(value: &impl Serialize) -> Bytes {
    let mut out = Vec::with_capacity(128);
    write_line(&mut out, value);
    out.into()
}

/// The same at the end of other bytes.
pub(crate) fn write_line(out: &mut Vec<u8>, value: &impl Serialize) {
    // Writing to memory does not fail, and no value here has keys that are not text.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut *out, Go));
    out.push(b'\n');
}

struct Go;

impl Formatter for Go {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let odd = |c: char| matches!(c, '<' | '>' | '&' | '\u{2028}' | '\u{2029}');
        let mut rest = fragment;
        while let Some(at) = rest.find(odd) {
            let (plain, behind) = rest.split_at(at);
            CompactFormatter.write_string_fragment(writer, plain)?;
            let mut letters = behind.chars();
            if let Some(letter) = letters.next() {
                write!(writer, "\\u{:04x}", u32::from(letter))?;
            }
            rest = letters.as_str();
        }
        CompactFormatter.write_string_fragment(writer, rest)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn text_is_escaped_as_go_does_it() {
        let text = "a -> b & <c>\u{2028}\"\\\n\u{1}é";
        let written = line(&text);
        assert_eq!(
            std::str::from_utf8(&written).unwrap(),
            "\"a -\\u003e b \\u0026 \\u003cc\\u003e\\u2028\\\"\\\\\\n\\u0001é\"\n"
        );
        assert_eq!(serde_json::from_slice::<String>(&written).unwrap(), text);
    }
}
