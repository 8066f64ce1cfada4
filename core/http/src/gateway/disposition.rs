//! `Content-Disposition`: what a browser should do with an answer, and under which name.
//!
//! Owns the meaning of `?filename=` and `?download=` and the safe spelling of a name in a header.
//! Pure: no I/O. Must not know what is served. Rules: RFC 6266 §4, RFC 8187 §3.2, the path gateway
//! specification on both parameters.

use http::HeaderValue;

use super::target::{Query, is_unreserved, percent_encode};

/// The longest name that is put in the header, in bytes; the rest is cut off. File systems end
/// there as well, and a longer header would not fit the buffers of a proxy in front.
pub const MAX_NAME_LEN: usize = 255;

/// What a browser is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Show it, if it can.
    Inline,
    /// Save it.
    Attachment,
}

/// What the query of a request asks for: `?download=true` an attachment, with a name or without;
/// `?filename=` a name. `None` when it asks for neither, and no header is sent. An empty name is
/// none.
pub fn from_query(query: Query<'_>) -> Option<HeaderValue> {
    let name = query.get("filename").filter(|name| !name.is_empty());
    match (query.is_on("download"), name) {
        (false, None) => None,
        (true, name) => Some(header(Disposition::Attachment, name.as_deref())),
        (false, name) => Some(header(Disposition::Inline, name.as_deref())),
    }
}

/// The header for a disposition and a name: for every client the name with `_` for each character
/// outside ASCII, and for those that read RFC 8187 the whole name. No byte of the name reaches the
/// header that could end the string, the line or a file name: control characters are left out, `/`
/// and `\` become `_`, and in the first form `"` and `%` do as well (some browsers decode the
/// latter). Bytes that are not UTF-8 count as one unknown character.
pub fn header(disposition: Disposition, name: Option<&[u8]>) -> HeaderValue {
    let kind = match disposition {
        Disposition::Inline => "inline",
        Disposition::Attachment => "attachment",
    };
    let name = name.map(file_name).filter(|name| !name.is_empty());
    let Some(name) = name else {
        return HeaderValue::from_static(kind);
    };
    let mut value = format!("{kind}; filename=\"").into_bytes();
    value.extend(name.chars().map(ascii_or_underscore));
    value.extend_from_slice(b"\"; filename*=UTF-8''");
    percent_encode(&mut value, name.as_bytes(), is_unreserved);
    // All of it is visible ASCII or space, which a header takes.
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(kind))
}

/// A name without what no file name holds, cut to [`MAX_NAME_LEN`] at a character.
fn file_name(bytes: &[u8]) -> String {
    let mut name = String::new();
    for character in
        String::from_utf8_lossy(bytes).chars().filter(|character| !character.is_control())
    {
        let character = if matches!(character, '/' | '\\') { '_' } else { character };
        if name.len() + character.len_utf8() > MAX_NAME_LEN {
            break;
        }
        name.push(character);
    }
    name
}

fn ascii_or_underscore(character: char) -> u8 {
    match u8::try_from(character) {
        Ok(byte @ b' '..=b'~') if !matches!(byte, b'"' | b'%') => byte,
        _ => b'_',
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::target::Target;
    use super::*;

    fn asked(query: &str) -> Option<String> {
        let target = format!("/ipfs/c?{query}");
        let value = from_query(Target::parse(target.as_bytes()).unwrap().query())?;
        Some(value.to_str().unwrap().to_owned())
    }

    fn named(name: &[u8]) -> String {
        header(Disposition::Inline, Some(name)).to_str().unwrap().to_owned()
    }

    #[test]
    fn no_parameter_sends_no_header() {
        for query in ["", "format=raw", "filename=", "download=false", "download=0"] {
            assert_eq!(asked(query), None, "{query}");
        }
    }

    #[test]
    fn filename_is_shown_inline_and_saved_with_download() {
        let cyrillic =
            "filename=\"test____.bin\"; filename*=UTF-8''test%D1%82%D0%B5%D1%81%D1%82.bin";
        let query = "filename=test%D1%82%D0%B5%D1%81%D1%82.bin";
        assert_eq!(asked(query).unwrap(), format!("inline; {cyrillic}"));
        assert_eq!(
            asked(&format!("{query}&download=true")).unwrap(),
            format!("attachment; {cyrillic}")
        );
    }

    #[test]
    fn download_without_a_name_is_an_attachment_all_the_same() {
        assert_eq!(asked("download=true").unwrap(), "attachment");
        assert_eq!(asked("download=true&filename=").unwrap(), "attachment");
        assert_eq!(asked("download=true&filename=%0A").unwrap(), "attachment");
    }

    #[test]
    fn nothing_in_a_name_ends_the_string_the_line_or_the_path() {
        assert_eq!(
            named(b"a\r\nSet-Cookie: x"),
            "inline; filename=\"aSet-Cookie: x\"; filename*=UTF-8''aSet-Cookie%3A%20x"
        );
        assert_eq!(named(b"a\"b\\c/d"), "inline; filename=\"a_b_c_d\"; filename*=UTF-8''a%22b_c_d");
        assert_eq!(
            named(b"100%41;x=y"),
            "inline; filename=\"100_41;x=y\"; filename*=UTF-8''100%2541%3Bx%3Dy"
        );
        assert_eq!(
            named("a\u{85}\u{7F}b".as_bytes()),
            "inline; filename=\"ab\"; filename*=UTF-8''ab"
        );
    }

    #[test]
    fn each_character_outside_ascii_is_one_underscore_and_upper_case_hex_rfc8187_3_2() {
        assert_eq!(
            named("źł🚀".as_bytes()),
            "inline; filename=\"___\"; filename*=UTF-8''%C5%BA%C5%82%F0%9F%9A%80"
        );
        assert_eq!(named(b"a\xFFb"), "inline; filename=\"a_b\"; filename*=UTF-8''a%EF%BF%BDb");
    }

    #[test]
    fn a_long_name_is_cut_at_a_character() {
        let long = format!("{}🚀", "a".repeat(MAX_NAME_LEN - 3));
        let kept = "a".repeat(MAX_NAME_LEN - 3);
        assert_eq!(
            named(long.as_bytes()),
            format!("inline; filename=\"{kept}\"; filename*=UTF-8''{kept}")
        );
        let fits = "a".repeat(MAX_NAME_LEN);
        assert!(named(fits.as_bytes()).ends_with(&format!("''{fits}")));
    }

    proptest! {
        #[test]
        fn any_bytes_make_a_header_with_one_quoted_string(name in proptest::collection::vec(any::<u8>(), 0..300)) {
            let value = header(Disposition::Attachment, Some(&name));
            let value = value.to_str().unwrap();
            if let Some(rest) = value.strip_prefix("attachment; filename=\"") {
                let (quoted, rest) = rest.split_once('"').unwrap();
                prop_assert!(quoted.bytes().all(|b| matches!(b, b' '..=b'~')) && !quoted.contains(['\\', '%', '/']));
                let extended = rest.strip_prefix("; filename*=UTF-8''").unwrap();
                prop_assert!(extended.bytes().all(|b| is_unreserved(b) || b == b'%'));
                let target = format!("/?name={extended}");
                let named = Target::parse(target.as_bytes()).unwrap().query().get("name").unwrap();
                let named = String::from_utf8(named.into_owned()).unwrap();
                prop_assert_eq!(quoted.len(), named.chars().count());
            } else {
                prop_assert_eq!(value, "attachment");
            }
        }
    }
}
