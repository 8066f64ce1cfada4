//! The body of an error: a line or two of text, or a small page for a browser.
//!
//! Owns the look of errors and who gets which. Pure: no I/O. Must not know why something failed:
//! the sentences come from where it did. Rules: RFC 9110 §12.5.1 (`Accept`), boxo
//! `gateway/errors.go` (text unless HTML is asked for).

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, StatusCode};

use super::listing::push_escaped;

/// The longest sentence that is shown, in bytes. A request path, which may be in it, is no longer
/// than a target.
pub const MAX_SENTENCE_LEN: usize = 2048;

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:16px/1.6 system-ui,sans-serif;max-width:40rem;margin:15vh auto 0;padding:0 1rem}\
h1{font-size:1.3rem;margin:0 0 .5rem}p{margin:.5rem 0;overflow-wrap:anywhere}\
.advice{color:color-mix(in srgb,CanvasText 65%,Canvas)}";

/// A rendered error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorBody {
    /// For `Content-Type`.
    pub media_type: &'static str,
    /// What is sent.
    pub bytes: Bytes,
}

/// Renders an error for whoever sent `headers`: what happened, and what to do about it (perhaps
/// empty). Both are plain sentences that may quote the request; nothing in them is taken as HTML or
/// as a line of its own.
pub fn render(headers: &HeaderMap, status: StatusCode, what: &str, advice: &str) -> ErrorBody {
    let (what, advice) = (sentence(what), sentence(advice));
    if wants_html(headers) { page(status, &what, &advice) } else { plain(status, &what, &advice) }
}

/// Whether `Accept` names `text/html` with a quality above 0. Browsers do; `*/*` and `text/*` are
/// not enough.
pub fn wants_html(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().flat_map(|value| value.as_bytes().split(|b| *b == b',')).any(
        |member| {
            let mut parts = member.split(|b| *b == b';').map(<[u8]>::trim_ascii);
            let html = parts
                .next()
                .is_some_and(|media_type| media_type.eq_ignore_ascii_case(b"text/html"));
            html && !parts.any(is_quality_zero)
        },
    )
}

/// `q=0`, `q=0.`, `q=0.000`.
fn is_quality_zero(parameter: &[u8]) -> bool {
    let value = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="));
    value.and_then(|value| value.strip_prefix(b"0")).is_some_and(|rest| match rest {
        [] => true,
        [b'.', digits @ ..] => digits.iter().all(|digit| *digit == b'0'),
        _ => false,
    })
}

fn plain(status: StatusCode, what: &str, advice: &str) -> ErrorBody {
    let line = if advice.is_empty() { "" } else { "\n" };
    let text = format!("{}: {what}\n{advice}{line}", title(status));
    ErrorBody { media_type: "text/plain; charset=utf-8", bytes: Bytes::from(text) }
}

fn page(status: StatusCode, what: &str, advice: &str) -> ErrorBody {
    let title = title(status);
    let mut out = Vec::with_capacity(1024 + what.len() + advice.len());
    out.extend_from_slice(b"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    out.extend_from_slice(
        b"<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
    );
    push_escaped(&mut out, &title);
    out.extend_from_slice(b"</title>\n<style>");
    out.extend_from_slice(STYLE.as_bytes());
    out.extend_from_slice(b"</style></head>\n<body><main><h1>");
    push_escaped(&mut out, &title);
    out.extend_from_slice(b"</h1>\n<p>");
    push_escaped(&mut out, what);
    out.extend_from_slice(b"</p>\n");
    if !advice.is_empty() {
        out.extend_from_slice(b"<p class=\"advice\">");
        push_escaped(&mut out, advice);
        out.extend_from_slice(b"</p>\n");
    }
    out.extend_from_slice(b"</main></body></html>\n");
    ErrorBody { media_type: "text/html; charset=utf-8", bytes: Bytes::from(out) }
}

/// `404 Not Found`.
fn title(status: StatusCode) -> String {
    format!("{} {}", status.as_str(), status.canonical_reason().unwrap_or("Error"))
}

/// Cut to [`MAX_SENTENCE_LEN`] at a character, line breaks and other control characters as spaces.
fn sentence(text: &str) -> String {
    let within = |(at, character): &(usize, char)| at + character.len_utf8() <= MAX_SENTENCE_LEN;
    let visible = |(_, character): (usize, char)| {
        if character.is_control() { ' ' } else { character }
    };
    text.char_indices().take_while(within).map(visible).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn accept(values: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT, HeaderValue::from_static(value));
        }
        headers
    }

    fn text(body: &ErrorBody) -> String {
        String::from_utf8(body.bytes.to_vec()).unwrap()
    }

    #[test]
    fn html_goes_to_those_who_name_it_rfc9110_12_5_1() {
        for value in [
            "text/html",
            "TEXT/HTML",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "image/png, text/html ; q=0.1",
            "text/html;level=1;q=0.001",
            "text/html;q=1.0",
        ] {
            assert!(wants_html(&accept(&[value])), "{value}");
        }
        assert!(wants_html(&accept(&["image/png", "text/html"])));
    }

    #[test]
    fn all_others_get_text() {
        for value in [
            "",
            "*/*",
            "text/*",
            "text/plain",
            "text/htmlx",
            "application/json",
            "text/html;q=0",
            "text/html; Q=0.000",
            "text/html;level=1;q=0.",
        ] {
            assert!(!wants_html(&accept(&[value])), "{value}");
        }
        assert!(!wants_html(&HeaderMap::new()));
    }

    #[test]
    fn text_says_the_status_what_happened_and_what_to_do() {
        let body = render(
            &HeaderMap::new(),
            StatusCode::NOT_FOUND,
            "no link named \"b\" under bafy",
            "check the path",
        );
        assert_eq!(body.media_type, "text/plain; charset=utf-8");
        assert_eq!(text(&body), "404 Not Found: no link named \"b\" under bafy\ncheck the path\n");
        let body = render(
            &HeaderMap::new(),
            StatusCode::BAD_REQUEST,
            "invalid path \"/ipfs/QmInvalidCID\"",
            "",
        );
        assert_eq!(text(&body), "400 Bad Request: invalid path \"/ipfs/QmInvalidCID\"\n");
    }

    #[test]
    fn a_page_escapes_all_it_is_told() {
        let headers = accept(&["text/html"]);
        let body =
            render(&headers, StatusCode::NOT_FOUND, "<script>alert('x')</script> & \"y\"", "<b>");
        assert_eq!(body.media_type, "text/html; charset=utf-8");
        let page = text(&body);
        assert!(page.contains(
            "<p>&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &quot;y&quot;</p>"
        ));
        assert!(page.contains("<p class=\"advice\">&lt;b&gt;</p>"));
        assert!(page.contains("<h1>404 Not Found</h1>"));
        assert!(!page.contains("<script"));
        assert!(
            !text(&render(&headers, StatusCode::NOT_FOUND, "x", "")).contains("class=\"advice\"")
        );
    }

    #[test]
    fn a_sentence_is_one_line_and_bounded() {
        let body = render(&HeaderMap::new(), StatusCode::BAD_REQUEST, "a\r\nb\u{1b}[31m", "");
        assert_eq!(text(&body), "400 Bad Request: a  b [31m\n");
        let long = format!("{}ą{}", "a".repeat(MAX_SENTENCE_LEN - 1), "b".repeat(100));
        let body = render(&HeaderMap::new(), StatusCode::BAD_REQUEST, &long, "");
        assert_eq!(text(&body), format!("400 Bad Request: {}\n", "a".repeat(MAX_SENTENCE_LEN - 1)));
    }

    #[test]
    fn a_page_is_small() {
        let page = render(&accept(&["text/html"]), StatusCode::NOT_FOUND, "not here", "look there");
        assert!(page.bytes.len() < 1024, "{} bytes", page.bytes.len());
    }
}
