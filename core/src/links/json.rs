//! Links in dag-json: an object of one member, whose name is `/` and whose value is text.
//!
//! Looks at the tokens one after another; strings and brackets are checked, numbers and words are
//! stepped over. Rules: the dag-json specification.

use crate::block::Cid;

/// A token, as far as links need it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Open(u8),
    Close(u8),
    Colon,
    Comma,
    /// The bytes between the quotes, escapes as they stand there.
    Text(&'a [u8]),
    /// A number or a word.
    Other,
}

pub(super) fn for_each_link(data: &[u8], each: &mut dyn FnMut(Cid)) -> Result<(), String> {
    let mut tokens = Tokens { rest: data, at: 0 };
    let mut open: Vec<u8> = Vec::new();
    // The tokens before the one at hand, the latest last.
    let mut before = [Token::Comma; 4];
    let mut seen = false;
    while let Some((at, token)) = tokens.next()? {
        seen = true;
        match token {
            Token::Open(bracket) => open.push(bracket),
            Token::Close(bracket) if open.pop() != Some(bracket) => {
                return Err(format!("a closing bracket at byte {at} that nothing opens"));
            }
            _ => {}
        }
        if let (
            [Token::Open(b'}'), Token::Text(b"/" | b"\\/"), Token::Colon, Token::Text(cid)],
            Token::Close(b'}'),
        ) = (before, token)
        {
            let cid = std::str::from_utf8(cid).ok().and_then(|text| text.parse().ok());
            each(cid.ok_or_else(|| format!("no CID before byte {at}"))?);
        }
        before.rotate_left(1);
        before[3] = token;
    }
    match (seen, open.is_empty()) {
        (true, true) => Ok(()),
        (false, _) => Err("no dag-json in an empty block".into()),
        (true, false) => Err("the block ends inside an object or list".into()),
    }
}

struct Tokens<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    /// The next token and its offset.
    fn next(&mut self) -> Result<Option<(usize, Token<'a>)>, String> {
        self.skip_while(|byte| byte.is_ascii_whitespace());
        let at = self.at;
        let Some((first, rest)) = self.rest.split_first() else { return Ok(None) };
        let token = match first {
            // Each bracket is known by the one that closes it.
            b'{' => Token::Open(b'}'),
            b'[' => Token::Open(b']'),
            b'}' | b']' => Token::Close(*first),
            b':' => Token::Colon,
            b',' => Token::Comma,
            b'"' => return self.text(rest).map(|text| Some((at, text))),
            _ => {
                self.skip_while(|byte| !byte.is_ascii_whitespace() && !b"{}[]:,\"".contains(&byte));
                return Ok(Some((at, Token::Other)));
            }
        };
        self.step(1);
        Ok(Some((at, token)))
    }

    /// Text whose first quote has been seen.
    fn text(&mut self, rest: &'a [u8]) -> Result<Token<'a>, String> {
        let mut escaped = false;
        let end = rest.iter().position(|byte| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        });
        let end = end.ok_or_else(|| format!("text without an end at byte {}", self.at))?;
        self.step(end + 2);
        Ok(Token::Text(rest.get(..end).unwrap_or_default()))
    }

    fn skip_while(&mut self, skip: impl Fn(u8) -> bool) {
        self.step(self.rest.iter().take_while(|byte| skip(**byte)).count());
    }

    fn step(&mut self, len: usize) {
        self.rest = self.rest.get(len..).unwrap_or_default();
        self.at += len;
    }
}
