//! Whether bytes are a JSON object or array, or the beginning of one. Rules: RFC 8259.
//!
//! Much of what lies in IPFS without a telling name is JSON: the metadata of tokens. A scanner of
//! one pass, without recursion and without memory that grows.

/// The deepest nesting that is followed. Deeper is not called JSON.
const MAX_DEPTH: u32 = 64;

/// Whether `text`, which is UTF-8, is one JSON object or array with white space around it; or, when
/// it is `cut` off, whether it may go on to be one.
pub(super) fn is_json(text: &[u8], cut: bool) -> bool {
    if !matches!(text.first(), Some(b'{' | b'[')) {
        return false;
    }
    match Scanner::default().scan(text) {
        State::Fault => false,
        State::Done => true,
        _ => cut,
    }
}

/// What may come next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// A value.
    Value,
    /// A value or `]`.
    ValueOrEnd,
    /// A name.
    Name,
    /// A name or `}`.
    NameOrEnd,
    /// `:`.
    Colon,
    /// `,` or the end of the object or array.
    Comma,
    /// Nothing but white space.
    Done,
    /// It is not JSON.
    Fault,
}

/// Where the scanner is.
struct Scanner {
    state: State,
    depth: u32,
    /// Bit `n`: whether nesting level `n` is an object.
    objects: u64,
}

impl Default for Scanner {
    fn default() -> Self {
        Self { state: State::Value, depth: 0, objects: 0 }
    }
}

impl Scanner {
    fn scan(mut self, text: &[u8]) -> State {
        let mut rest = text;
        while let Some((&byte, tail)) = rest.split_first() {
            rest = match byte {
                b' ' | b'\t' | b'\n' | b'\r' => tail,
                b'"' => {
                    self.state = self.after_string();
                    match skip_string(tail) {
                        Text::Ended(tail) => tail,
                        Text::Cut => return self.state,
                        Text::Fault => return State::Fault,
                    }
                }
                b'-' | b'0'..=b'9' | b'a'..=b'z' => {
                    self.state = self.after_scalar();
                    let end = tail.iter().position(|b| !is_scalar(*b));
                    let length = end.map_or(rest.len(), |end| end + 1);
                    let scalar = rest.get(..length).unwrap_or_default();
                    if !scalar_fits(scalar, end.is_none()) {
                        return State::Fault;
                    }
                    rest.get(length..).unwrap_or_default()
                }
                other => {
                    self.punctuation(other);
                    tail
                }
            };
            if self.state == State::Fault {
                return State::Fault;
            }
        }
        self.state
    }

    fn after_string(&self) -> State {
        match self.state {
            State::Name | State::NameOrEnd => State::Colon,
            _ => self.after_scalar(),
        }
    }

    fn after_scalar(&self) -> State {
        match self.state {
            State::Value | State::ValueOrEnd => State::Comma,
            _ => State::Fault,
        }
    }

    fn punctuation(&mut self, byte: u8) {
        self.state = match (byte, self.state) {
            (b'{', State::Value | State::ValueOrEnd) => self.open(true),
            (b'[', State::Value | State::ValueOrEnd) => self.open(false),
            (b'}', State::NameOrEnd) => self.close(true),
            (b']', State::ValueOrEnd) => self.close(false),
            (b'}', State::Comma) => self.close(true),
            (b']', State::Comma) => self.close(false),
            (b',', State::Comma) if self.in_object() => State::Name,
            (b',', State::Comma) => State::Value,
            (b':', State::Colon) => State::Value,
            _ => State::Fault,
        };
    }

    fn open(&mut self, object: bool) -> State {
        if self.depth == MAX_DEPTH {
            return State::Fault;
        }
        self.objects = self.objects << 1 | u64::from(object);
        self.depth += 1;
        if object { State::NameOrEnd } else { State::ValueOrEnd }
    }

    fn close(&mut self, object: bool) -> State {
        if self.depth == 0 || self.in_object() != object {
            return State::Fault;
        }
        self.objects >>= 1;
        self.depth -= 1;
        if self.depth == 0 { State::Done } else { State::Comma }
    }

    fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }
}

enum Text<'t> {
    Ended(&'t [u8]),
    Cut,
    Fault,
}

/// Over a string whose opening quote is behind us.
fn skip_string(mut rest: &[u8]) -> Text<'_> {
    loop {
        match rest {
            [] | [b'\\'] => return Text::Cut,
            [b'"', tail @ ..] => return Text::Ended(tail),
            [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' | b'u', tail @ ..] => {
                rest = tail
            }
            [b'\\' | 0x00..=0x1F, ..] => return Text::Fault,
            [_, tail @ ..] => rest = tail,
        }
    }
}

fn is_scalar(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'E' | b'0'..=b'9' | b'+' | b'-' | b'.')
}

/// Whether a word is a number or one of the three names; when it is `cut` off, whether it may
/// become one. Numbers are held to their letters, not to their grammar.
fn scalar_fits(word: &[u8], cut: bool) -> bool {
    let number = |b: &u8| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let named = |name: &[u8]| word == name || (cut && name.starts_with(word));
    [&b"true"[..], b"false", b"null"].into_iter().any(named)
        || (word.iter().all(number) && !matches!(word.first(), Some(b'e')))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn objects_and_arrays_are_json_rfc8259() {
        for text in [
            "{}",
            "[]",
            " [ ] ",
            r#"{"name":"ąę \"q\" \u00e9","n":-1.5e+3,"t":[true,false,null,{}],"o":{"a":[]}}"#,
            "{\n  \"image\": \"ipfs://bafy/1.png\"\n}\n",
            "[1,[2,[3]]]",
        ] {
            assert!(is_json(text.trim_start().as_bytes(), false), "{text}");
        }
    }

    #[test]
    fn what_only_looks_like_it_is_not_json() {
        for text in [
            "",
            "1",
            "\"a\"",
            "true",
            "{",
            "[",
            "{]",
            "[}",
            "[1,]",
            "{,}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "[1 2]",
            "[] []",
            "{}x",
            "[undefined]",
            "[\"\\x\"]",
            "[\"a\nb\"]",
            "[1}",
            "{\"a\":1]",
            "[Link](x)",
            "{{ x }}",
            "[e1]",
        ] {
            assert!(!is_json(text.as_bytes(), false), "{text}");
        }
    }

    #[test]
    fn a_beginning_counts_only_when_it_was_cut_off() {
        for text in
            ["{", "[1,2", "{\"a", "{\"a\\", "{\"a\":", "{\"a\":tr", "[\"x\",\"\\u12", "[[[1],2],-"]
        {
            assert!(is_json(text.as_bytes(), true), "{text}");
            assert!(!is_json(text.as_bytes(), false), "{text}");
        }
        for text in ["{a", "[tx", "{\"a\" \"b", "[,", "{1"] {
            assert!(!is_json(text.as_bytes(), true), "{text}");
        }
    }

    #[test]
    fn nesting_is_followed_to_its_bound_and_no_further() {
        let nested = |depth: usize| [vec![b'['; depth], vec![b']'; depth]].concat();
        assert!(is_json(&nested(MAX_DEPTH as usize), false));
        assert!(!is_json(&nested(MAX_DEPTH as usize + 1), false));
        let objects = [
            b"{\"a\":".repeat(MAX_DEPTH as usize - 1),
            b"{}".to_vec(),
            vec![b'}'; MAX_DEPTH as usize - 1],
        ]
        .concat();
        assert!(is_json(&objects, false));
    }

    proptest! {
        #[test]
        fn what_a_json_writer_writes_is_json_and_so_is_each_beginning(
            leaves in proptest::collection::vec(("[ -~ąę]{0,8}", any::<i32>(), any::<bool>()), 0..6),
            cut in 1_usize..400,
        ) {
            let members: Vec<String> = leaves.iter().map(|(text, number, yes)| {
                let text = text.replace('\\', "\\\\").replace('"', "\\\"");
                format!("{{\"{text}\": [{number}, {yes}, null, \"{text}\", {{}}]}}")
            }).collect();
            let text = format!("[{}]", members.join(", "));
            prop_assert!(is_json(text.as_bytes(), false));
            prop_assert!(is_json(text.as_bytes().get(..cut).unwrap_or(text.as_bytes()), true));
        }

        #[test]
        fn any_bytes_are_judged(bytes in proptest::collection::vec(any::<u8>(), 0..64), cut: bool) {
            is_json(&bytes, cut);
            is_json(&[b"[".to_vec(), bytes].concat(), cut);
        }
    }
}
