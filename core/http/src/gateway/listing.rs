//! The page that lists a directory, in pieces that can be sent as they come: one head, a row for
//! each entry, a tail.
//!
//! Owns the page's look and its tag. Pure: no I/O, and no memory that grows with the directory.
//! Must not know how entries are found, and asks nothing of them but name, CID and the size their
//! link states. Rules: path gateway specification, "Generated HTML with directory index"; the
//! strings are those of boxo `gateway/assets`, which the public conformance suite looks for.
//!
//! No script, nothing from outside, light and dark as the reader has it.

use bytes::Bytes;

use super::target::{Target, is_unreserved, percent_encode};
use crate::conditional::ETag;

/// Says which look the tag stands for. Raise it whenever a byte of the page changes for the same
/// directory, so that caches drop the old page.
const TEMPLATE_VERSION: u32 = 1;

/// The longest name that is shown whole and linked, in bytes. Longer ones, which dag-pb allows, are
/// cut: their escaped form would not fit a request target.
pub const MAX_NAME_LEN: usize = 2048;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:color-mix(in srgb,CanvasText 14%,Canvas);--dim:color-mix(in srgb,CanvasText 62%,Canvas)}\
body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;padding:1.5rem 1rem 3rem}\
h1{font-size:1.15rem;font-weight:600;overflow-wrap:anywhere;margin:0 0 .25rem}\
p{color:var(--dim);margin:.25rem 0 1rem;overflow-wrap:anywhere}\
table{border-collapse:collapse;width:100%}\
th,td{padding:.4rem .6rem;border-bottom:1px solid var(--line);text-align:left;font-weight:400;vertical-align:top}\
thead th{color:var(--dim);font-size:.85rem}\
tbody th{overflow-wrap:anywhere;unicode-bidi:isolate;white-space:pre-wrap}\
tbody tr:hover{background:color-mix(in srgb,CanvasText 5%,Canvas)}\
.size{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\
a{text-decoration:none}a:hover,a:focus-visible{text-decoration:underline}\
.ipfs-hash{white-space:nowrap;font-family:ui-monospace,monospace;font-size:.85rem;color:var(--dim)}\
@media(max-width:34rem){.cid{display:none}}";

/// The listing of one directory at one path.
#[derive(Clone, Debug)]
pub struct Page {
    /// The path as links spell it, a slash at its end.
    base: Vec<u8>,
    head: Bytes,
}

impl Page {
    /// The page for the directory `cid` that `target` led to. Allocates the head, a few kilobytes.
    pub fn new(target: &Target<'_>, cid: &str) -> Self {
        let mut base = Vec::new();
        percent_encode(&mut base, target.path(), |byte| byte == b'/' || is_unreserved(byte));
        if !base.ends_with(b"/") {
            base.push(b'/');
        }
        let head = head(target, &base, cid);
        Self { base, head }
    }

    /// The tag of the page, `"DirIndex-{template}_CID-{cid}"`. `None` when the CID's text is none.
    pub fn etag(cid: &str) -> Option<ETag> {
        ETag::strong(format!("DirIndex-{TEMPLATE_VERSION}_CID-{cid}"))
    }

    /// Everything before the first row.
    pub fn head(&self) -> Bytes {
        self.head.clone()
    }

    /// Appends the row of one entry. `tsize` is the size its link states: of all blocks below, if
    /// the writer was honest. A name no path can hold (empty, `.`, `..`, with a `/` or NUL, or over
    /// [`MAX_NAME_LEN`]) is shown without a link; its CID is linked all the same. At most about 20
    /// bytes are written for each of the name.
    pub fn row(&self, out: &mut Vec<u8>, name: &[u8], cid: &str, tsize: Option<u64>) {
        let shown = shown(name);
        let mut escaped = Vec::with_capacity(shown.len());
        percent_encode(&mut escaped, shown, is_unreserved);

        out.extend_from_slice(b"<tr><th scope=\"row\">");
        if is_addressable(name) {
            out.extend_from_slice(b"<a href=\"");
            out.extend_from_slice(&self.base);
            out.extend_from_slice(&escaped);
            out.extend_from_slice(b"\">");
            push_text(out, shown);
            out.extend_from_slice(b"</a>");
        } else {
            push_name(out, name);
        }
        out.extend_from_slice(
            b"</th><td class=\"cid\"><a class=\"ipfs-hash\" translate=\"no\" href=\"/ipfs/",
        );
        push_escaped(out, cid);
        out.extend_from_slice(b"?filename=");
        // Escaped twice: Kubo's page does so, and the conformance suite asks for it.
        percent_encode(out, &escaped, is_unreserved);
        out.extend_from_slice(b"\">");
        push_escaped(out, &short(cid));
        out.extend_from_slice(b"</a></td><td class=\"size\">");
        out.extend_from_slice(tsize.map_or_else(|| "–".to_owned(), human_size).as_bytes());
        out.extend_from_slice(b"</td></tr>\n");
    }

    /// Appends the row of a name whose link cannot be followed, which is shown as it is, with the reason.
    pub fn bad_row(&self, out: &mut Vec<u8>, name: &[u8], reason: &str) {
        out.extend_from_slice(b"<tr><th scope=\"row\">");
        push_name(out, name);
        out.extend_from_slice(b"</th><td class=\"cid\">");
        push_escaped(out, reason);
        out.extend_from_slice("</td><td class=\"size\">–</td></tr>\n".as_bytes());
    }

    /// Everything after the last row. `entries` is how many there were.
    pub fn tail(&self, entries: u64) -> Bytes {
        let count = match entries {
            0 => "This folder is empty.".to_owned(),
            1 => "1 entry".to_owned(),
            many => format!("{many} entries"),
        };
        Bytes::from(format!("</tbody></table>\n<p>{count}</p>\n</main></body></html>\n"))
    }
}

/// The part of a name that is shown.
fn shown(name: &[u8]) -> &[u8] {
    name.get(..MAX_NAME_LEN).unwrap_or(name)
}

/// A name without a link.
fn push_name(out: &mut Vec<u8>, name: &[u8]) {
    let shown = shown(name);
    push_text(out, shown);
    out.extend_from_slice(if shown.len() < name.len() { "…".as_bytes() } else { b"" });
}

fn head(target: &Target<'_>, base: &[u8], cid: &str) -> Bytes {
    let mut out = Vec::with_capacity(4096);
    out.extend_from_slice(b"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n");
    out.extend_from_slice(
        b"<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>",
    );
    push_text(&mut out, target.path());
    out.extend_from_slice(b"</title>\n<style>");
    out.extend_from_slice(STYLE.as_bytes());
    out.extend_from_slice(b"</style></head>\n<body><main><h1>Index of ");
    breadcrumbs(&mut out, target);
    out.extend_from_slice(b"</h1>\n<p translate=\"no\">");
    push_escaped(&mut out, cid);
    out.extend_from_slice(b"</p>\n<table><thead><tr><th scope=\"col\">Name</th><th scope=\"col\" class=\"cid\">CID</th>");
    out.extend_from_slice(b"<th scope=\"col\" class=\"size\">Size</th></tr></thead>\n<tbody>\n");
    if target.segments().next().is_some() {
        out.extend_from_slice(b"<tr><th scope=\"row\" colspan=\"3\"><a href=\"");
        out.extend_from_slice(base);
        out.extend_from_slice(b"..\">..</a></th></tr>\n");
    }
    Bytes::from(out)
}

/// `/ipfs/<a ..>cid</a>/<a ..>folder</a>`: a link for the root and for each folder below it.
fn breadcrumbs(out: &mut Vec<u8>, target: &Target<'_>) {
    let mut link = Vec::new();
    let names = target.path().split(|b| *b == b'/').filter(|name| !name.is_empty());
    for (at, name) in names.enumerate() {
        link.push(b'/');
        percent_encode(&mut link, name, is_unreserved);
        out.push(b'/');
        if at == 0 {
            push_text(out, name);
        } else {
            out.extend_from_slice(b"<a href=\"");
            out.extend_from_slice(&link);
            out.extend_from_slice(b"\">");
            push_text(out, name);
            out.extend_from_slice(b"</a>");
        }
    }
}

fn is_addressable(name: &[u8]) -> bool {
    !matches!(name, b"" | b"." | b"..")
        && name.len() <= MAX_NAME_LEN
        && !name.iter().any(|b| matches!(b, b'/' | 0))
}

/// Bytes as HTML text: what is not UTF-8, and control characters, as `U+FFFD`.
fn push_text(out: &mut Vec<u8>, bytes: &[u8]) {
    let visible = |character: char| {
        if character.is_control() { char::REPLACEMENT_CHARACTER } else { character }
    };
    push_escaped(out, &String::from_utf8_lossy(bytes).chars().map(visible).collect::<String>());
}

/// Appends text with the five characters escaped that mean something in HTML, in text and in quoted
/// attributes.
pub(super) fn push_escaped(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        match byte {
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'"' => out.extend_from_slice(b"&quot;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            other => out.push(other),
        }
    }
}

/// The first and last letters of a CID, which is how people tell them apart.
fn short(cid: &str) -> String {
    match (cid.get(..6), cid.len().checked_sub(6).and_then(|at| cid.get(at..))) {
        (Some(first), Some(last)) if cid.len() > 16 => format!("{first}…{last}"),
        _ => cid.to_owned(),
    }
}

/// Bytes as people read them: `999 B`, `1.5 KiB`, `460 KiB`.
fn human_size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    // In tenths, rounded down: no size is shown larger than it is.
    let mut tenths = u128::from(bytes) * 10;
    let mut shown = "B";
    for unit in UNITS {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        shown = unit;
    }
    if shown == "B" || tenths >= 100 {
        format!("{} {shown}", tenths / 10)
    } else {
        format!("{}.{} {shown}", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CID: &str = "bafybeig6ka5mlwkl4subqhaiatalkcleo4jgnr3hqwvpmsqfca27cijp3i";
    const CHILD: &str = "bafkreialihlqnf5uwo4byh4n3cmwlntwqzxxs2fg5vanqdi3d7tb2l5xkm";

    fn page(path: &str) -> Page {
        Page::new(&Target::parse(path.as_bytes()).unwrap(), CID)
    }

    fn head(path: &str) -> String {
        String::from_utf8(page(path).head().to_vec()).unwrap()
    }

    fn row(name: &[u8], tsize: Option<u64>) -> String {
        let mut out = Vec::new();
        page(&format!("/ipfs/{CID}/ą/ę/")).row(&mut out, name, CHILD, tsize);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_head_has_the_heading_and_breadcrumbs_of_the_conformance_suite() {
        let head = head(&format!("/ipfs/{CID}/ą/ę/"));
        assert!(head.contains("Index of"));
        let (root, folder) = (format!("/ipfs/{CID}"), "%C4%85");
        assert!(head.contains(&format!(
            "/ipfs/<a href=\"{root}\">{CID}</a>/<a href=\"{root}/{folder}\">ą</a>/<a href=\"{root}/{folder}/%C4%99\">ę</a>"
        )));
        assert!(head.contains(&format!("<title>/ipfs/{CID}/ą/ę/</title>")));
    }

    #[test]
    fn the_way_up_is_shown_below_the_root_only() {
        assert!(
            head(&format!("/ipfs/{CID}/ą/ę/"))
                .contains(&format!("<a href=\"/ipfs/{CID}/%C4%85/%C4%99/..\">..</a>"))
        );
        assert!(
            head("/ipns/docs.example/a/").contains("<a href=\"/ipns/docs.example/a/..\">..</a>")
        );
        for path in [format!("/ipfs/{CID}/"), "/ipns/docs.example/".to_owned()] {
            assert!(!head(&path).contains(">..</a>"), "{path}");
        }
    }

    #[test]
    fn a_row_links_the_path_and_the_cid_as_the_conformance_suite_asks() {
        let row = row("file-źł.txt".as_bytes(), Some(1536));
        let name = "file-%C5%BA%C5%82.txt";
        assert!(
            row.contains(&format!("<a href=\"/ipfs/{CID}/%C4%85/%C4%99/{name}\">file-źł.txt</a>"))
        );
        let twice = "file-%25C5%25BA%25C5%2582.txt";
        assert!(row.contains(&format!(
            "<a class=\"ipfs-hash\" translate=\"no\" href=\"/ipfs/{CHILD}?filename={twice}\">"
        )));
        assert!(row.contains(">bafkre…2l5xkm</a>"));
        assert!(row.contains("<td class=\"size\">1.5 KiB</td>"));
        assert!(row.starts_with("<tr>") && row.ends_with("</tr>\n"));
    }

    #[test]
    fn links_are_right_without_a_trailing_slash_too() {
        let mut out = Vec::new();
        page(&format!("/ipfs/{CID}")).row(&mut out, b"a", CHILD, None);
        assert!(
            String::from_utf8(out).unwrap().contains(&format!("<a href=\"/ipfs/{CID}/a\">a</a>"))
        );
    }

    #[test]
    fn a_hostile_name_stays_text() {
        let row = row(b"<img src=x onerror='a()'>&\"", Some(0));
        assert!(row.contains(">&lt;img src=x onerror=&#39;a()&#39;&gt;&amp;&quot;</a>"));
        assert!(row.contains("/%3Cimg%20src%3Dx%20onerror%3D%27a%28%29%27%3E%26%22\">"));
        assert!(!row.contains("<img"));
        let head = head("/ipfs/c/%3Cscript%3E%22%27&/");
        assert!(
            head.contains("<title>/ipfs/c/&lt;script&gt;&quot;&#39;&amp;/</title>")
                && !head.contains("<script")
        );
    }

    #[test]
    fn a_name_that_is_not_utf_8_is_shown_as_far_as_it_goes_and_linked_by_its_bytes() {
        let row = row(b"caf\xE9\x01\n", None);
        assert!(row.contains("/caf%E9%01%0A\">caf\u{FFFD}\u{FFFD}\u{FFFD}</a>"), "{row}");
        assert!(row.contains("<td class=\"size\">–</td>"));
    }

    #[test]
    fn a_name_no_path_can_hold_is_shown_without_a_link() {
        for name in [&b""[..], b".", b"..", b"a/b.txt", b"a\0b"] {
            let row = row(name, None);
            assert!(!row.contains("<th scope=\"row\"><a"), "{row}");
            assert!(row.contains("class=\"ipfs-hash\""), "{row}");
        }
        let row = row(&[b'n'; MAX_NAME_LEN + 1], None);
        assert!(!row.contains("<th scope=\"row\"><a") && row.contains("nn…</th>"));
        assert!(row.len() < 3 * MAX_NAME_LEN);
    }

    #[test]
    fn the_tail_counts_and_closes_what_the_head_opened() {
        let tail = |entries| String::from_utf8(page("/ipfs/c/").tail(entries).to_vec()).unwrap();
        assert!(tail(0).contains("This folder is empty."));
        assert!(tail(1).contains("<p>1 entry</p>"));
        assert!(tail(300).contains("<p>300 entries</p>"));
        let page = format!("{}{}", head(&format!("/ipfs/{CID}/a/")), tail(1));
        for tag in
            ["html", "head", "body", "main", "table", "thead", "tbody", "style", "title", "h1"]
        {
            let opened = page.matches(&format!("<{tag}>")).count()
                + page.matches(&format!("<{tag} ")).count();
            assert_eq!((opened, page.matches(&format!("</{tag}>")).count()), (1, 1), "{tag}");
        }
    }

    #[test]
    fn a_page_without_rows_is_small_and_loads_nothing() {
        let page = page(&format!("/ipfs/{CID}/"));
        let whole = [page.head(), page.tail(0)].concat();
        assert!(whole.len() < 3 * 1024, "{} bytes", whole.len());
        let whole = String::from_utf8(whole).unwrap();
        for word in ["<script", "src=", "url(", "@import", "http:", "https:"] {
            assert!(!whole.contains(word), "{word}");
        }
    }

    #[test]
    fn a_short_cid_is_shown_whole() {
        assert_eq!(short("bafkqabtimvwgy3y"), "bafkqabtimvwgy3y");
        assert_eq!(short("bafkqabtimvwgy3yk"), "bafkqa…wgy3yk");
    }

    #[test]
    fn the_tag_names_template_and_directory() {
        assert_eq!(
            Page::etag(CID).unwrap().to_string(),
            format!("\"DirIndex-{TEMPLATE_VERSION}_CID-{CID}\"")
        );
    }

    #[test]
    fn sizes_are_never_shown_larger_than_they_are() {
        for (bytes, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (10_239, "9.9 KiB"),
            (10_240, "10 KiB"),
            (471_040, "460 KiB"),
            (1_048_575, "1023 KiB"),
            (1_048_576, "1.0 MiB"),
            (80_000_000_000_000, "72 TiB"),
            (u64::MAX, "15 EiB"),
        ] {
            assert_eq!(human_size(bytes), shown);
        }
    }

    proptest! {
        #[test]
        fn no_name_breaks_out_of_its_row(name in proptest::collection::vec(any::<u8>(), 0..40), tsize: Option<u64>) {
            let row = row(&name, tsize);
            prop_assert_eq!(row.matches('<').count(), row.matches('>').count());
            prop_assert_eq!(row.matches("<tr>").count(), 1);
            let tags = if is_addressable(&name) { 12 } else { 10 };
            prop_assert_eq!(row.matches('<').count(), tags);
            prop_assert_eq!(row.matches('"').count() % 2, 0);
        }

        #[test]
        fn the_link_of_a_name_leads_back_to_it(name in proptest::collection::vec(any::<u8>(), 1..40)) {
            let row = row(&name, None);
            if is_addressable(&name) {
                let link = row.split("<a href=\"").nth(1).unwrap().split('"').next().unwrap();
                let target = Target::parse(link.as_bytes()).unwrap();
                prop_assert_eq!(target.file_name(), Some(&name[..]));
            }
        }
    }
}
