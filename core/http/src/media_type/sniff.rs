//! Media types by their first bytes. Rules: WHATWG MIME Sniffing §6 and §7, with the containers of
//! streams added (ISO/IEC 13818-1 for MPEG-TS, ISO/IEC 14496-12 for boxes, RFC 8216 for playlists,
//! RFC 9559 for Matroska).

use super::{OCTET_STREAM, PLAIN_TEXT, json};

/// How many bytes from the start of a file are looked at; more change nothing. The same as boxo's,
/// so that the same bytes decide.
pub const SNIFF_LEN: usize = 3072;

/// The type that the first bytes of a file tell. Give it the file's first [`SNIFF_LEN`] bytes, or
/// all of a shorter file, and never the bytes of a range. Always an answer: [`OCTET_STREAM`] when
/// nothing fits. Linear in [`SNIFF_LEN`].
pub fn sniff(first_bytes: &[u8]) -> &'static str {
    let head = first_bytes.get(..SNIFF_LEN).unwrap_or(first_bytes);
    magic(head)
        .or_else(|| iso_box(head))
        .or_else(|| ebml(head))
        .or_else(|| riff(head))
        .or_else(|| transport_stream(head))
        .or_else(|| mpeg_audio(head))
        .or_else(|| tape_archive(head))
        .or_else(|| text(head))
        .unwrap_or(OCTET_STREAM)
}

/// Signatures at the first byte.
const MAGIC: &[(&[u8], &str)] = &[
    (b"\x89PNG\r\n\x1A\n", "image/png"),
    (b"\xFF\xD8\xFF", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"\xFF\x0A", "image/jxl"),
    (b"\0\0\0\x0CJXL \r\n\x87\n", "image/jxl"),
    (b"\0\0\0\x0CjP  \r\n\x87\n", "image/jp2"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"8BPS", "image/vnd.adobe.photoshop"),
    (b"\0\0\x01\0", "image/x-icon"),
    (b"%PDF-", "application/pdf"),
    (b"%!PS-Adobe-", "application/postscript"),
    (b"{\\rtf", "application/rtf"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "application/ogg"),
    (b"MThd\0\0\0\x06", "audio/midi"),
    (b"FLV\x01", "video/x-flv"),
    (b"\0\0\x01\xBA", "video/mpeg"),
    (b"\0\0\x01\xB3", "video/mpeg"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\x1F\x8B\x08", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xFD7zXZ\0", "application/x-xz"),
    (b"\x28\xB5\x2F\xFD", "application/zstd"),
    (b"\x04\x22\x4D\x18", "application/x-lz4"),
    (b"7z\xBC\xAF\x27\x1C", "application/x-7z-compressed"),
    (b"Rar!\x1A\x07", "application/vnd.rar"),
    (b"\0asm", "application/wasm"),
    (b"wOFF", "font/woff"),
    (b"wOF2", "font/woff2"),
    (b"OTTO", "font/otf"),
    (b"\0\x01\0\0\0", "font/ttf"),
    (b"ttcf", "font/collection"),
    (b"SQLite format 3\0", "application/vnd.sqlite3"),
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"glTF", "model/gltf-binary"),
    (b"\xFF\xFE", "text/plain; charset=utf-16le"),
    (b"\xFE\xFF", "text/plain; charset=utf-16be"),
];

fn magic(head: &[u8]) -> Option<&'static str> {
    let (_, found) = MAGIC.iter().find(|(signature, _)| head.starts_with(signature))?;
    match *found {
        "application/ogg" => Some(ogg(head)),
        other => Some(other),
    }
}

/// The first page of an Ogg file names its codec right behind its 28-byte header.
fn ogg(head: &[u8]) -> &'static str {
    match head.get(28..) {
        Some(packet) if packet.starts_with(b"\x80theora") => "video/ogg",
        Some(packet)
            if [&b"OpusHead"[..], b"\x01vorbis", b"\x7FFLAC", b"Speex"]
                .iter()
                .any(|m| packet.starts_with(m)) =>
        {
            "audio/ogg"
        }
        _ => "application/ogg",
    }
}

/// Files made of ISO base media boxes: a 32-bit length, four letters, a body.
fn iso_box(head: &[u8]) -> Option<&'static str> {
    let (length, rest) = head.split_first_chunk::<4>()?;
    let (kind, body) = rest.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length);
    // 0 means "to the end of the file" and 1 "a 64-bit length follows"; else the box holds at least
    // its own head.
    if (2..8).contains(&length) {
        return None;
    }
    match kind {
        b"ftyp" => {
            let brands = usize::try_from(length).ok()?.saturating_sub(8);
            Some(by_brand(body.get(..brands).unwrap_or(body)))
        }
        b"styp" | b"moof" | b"sidx" | b"emsg" | b"prft" => Some("video/iso.segment"),
        b"moov" => Some("video/mp4"),
        _ => None,
    }
}

/// The major brand, and for still images the compatible ones, which begin at the ninth byte.
fn by_brand(brands: &[u8]) -> &'static str {
    let major = brands.get(..4).unwrap_or_default();
    let compatible = |brand: &[u8]| {
        brands.get(8..).is_some_and(|rest| rest.chunks_exact(4).any(|it| it == brand))
    };
    match major {
        b"avif" | b"avis" => "image/avif",
        b"heic" | b"heix" | b"heim" | b"heis" => "image/heic",
        b"hevc" | b"hevx" => "image/heic-sequence",
        b"mif1" | b"msf1" if compatible(b"avif") || compatible(b"avis") => "image/avif",
        b"mif1" if compatible(b"heic") => "image/heic",
        b"mif1" => "image/heif",
        b"msf1" => "image/heif-sequence",
        b"M4A " | b"M4B " | b"M4P " => "audio/mp4",
        b"qt  " => "video/quicktime",
        [b'3', b'g', b'2', _] => "video/3gpp2",
        [b'3', b'g', _, _] => "video/3gpp",
        _ => "video/mp4",
    }
}

/// Matroska and WebM share a head; its `DocType` (0x4282) tells them apart, near the start.
fn ebml(head: &[u8]) -> Option<&'static str> {
    /// How far into the head the `DocType` may lie.
    const DOC_TYPE_WITHIN: usize = 64;
    let body = head.strip_prefix(b"\x1A\x45\xDF\xA3")?;
    let body = body.get(..DOC_TYPE_WITHIN).unwrap_or(body);
    let webm =
        body.windows(7).any(|seven| matches!(seven, [0x42, 0x82, 0x84, b'w', b'e', b'b', b'm']));
    Some(if webm { "video/webm" } else { "video/matroska" })
}

fn riff(head: &[u8]) -> Option<&'static str> {
    let (start, form) = head.split_first_chunk::<8>()?;
    match (start.get(..4)?, form.get(..4)?) {
        (b"RIFF", b"WEBP") => Some("image/webp"),
        (b"RIFF", b"WAVE") => Some("audio/wav"),
        (b"RIFF", b"AVI ") => Some("video/x-msvideo"),
        (b"FORM", b"AIFF" | b"AIFC") => Some("audio/aiff"),
        _ => None,
    }
}

/// MPEG-TS: a sync byte before every packet of 188 bytes, or of 192 with a time code ahead of each
/// (M2TS). Text may have a `G` there as well, so a file too short for four of them must be two or
/// three whole packets.
fn transport_stream(head: &[u8]) -> Option<&'static str> {
    const SYNC: u8 = 0x47;
    const PACKETS: usize = 4;
    let agrees = |first: usize, packet: usize| {
        let mut syncs = head.iter().skip(first).step_by(packet).take(PACKETS);
        let whole = head.len() >= 2 * packet && head.len().is_multiple_of(packet);
        (whole || syncs.len() == PACKETS) && syncs.all(|byte| *byte == SYNC)
    };
    (agrees(0, 188) || agrees(4, 192)).then_some("video/mp2t")
}

/// AAC in ADTS and MPEG layer 3 without an ID3 tag: a frame head of eleven or twelve set bits.
fn mpeg_audio(head: &[u8]) -> Option<&'static str> {
    match head {
        // Layer 0 marks ADTS; the sampling index must be one of thirteen.
        [0xFF, 0xF0 | 0xF1 | 0xF8 | 0xF9, third, _, ..] if (third >> 2) & 0x0F < 13 => {
            Some("audio/aac")
        }
        // Layer 3; neither bit rate nor sampling rate may be the forbidden value.
        [0xFF, second, third, _, ..]
            if second & 0xE6 == 0xE2
                && second & 0x18 != 0x08
                && third >> 4 != 0x0F
                && third & 0x0C != 0x0C =>
        {
            Some("audio/mpeg")
        }
        _ => None,
    }
}

fn tape_archive(head: &[u8]) -> Option<&'static str> {
    head.get(257..262).filter(|magic| *magic == b"ustar").map(|_| "application/x-tar")
}

/// Text of any kind, if the head is UTF-8 without control bytes that no text has.
fn text(head: &[u8]) -> Option<&'static str> {
    let head = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head);
    if head.iter().any(|byte| is_binary(*byte)) || !is_utf8_so_far(head) {
        return None;
    }
    let body = head.trim_ascii_start();
    if body.starts_with(b"#EXTM3U") {
        Some("application/vnd.apple.mpegurl")
    } else if is_web_vtt(head) {
        Some("text/vtt")
    } else if body.starts_with(b"<") {
        Some(markup(body).unwrap_or(PLAIN_TEXT))
    } else if json::is_json(body, head.len() == SNIFF_LEN) {
        Some("application/json")
    } else {
        Some(PLAIN_TEXT)
    }
}

/// WHATWG MIME Sniffing §3, a binary data byte.
fn is_binary(byte: u8) -> bool {
    matches!(byte, 0x00..=0x08 | 0x0B | 0x0E..=0x1A | 0x1C..=0x1F)
}

/// A character cut off at the end of the head is no fault.
fn is_utf8_so_far(head: &[u8]) -> bool {
    match std::str::from_utf8(head) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none() && error.valid_up_to() > 0,
    }
}

fn is_web_vtt(head: &[u8]) -> bool {
    head.strip_prefix(b"WEBVTT")
        .is_some_and(|rest| matches!(rest, [] | [b' ' | b'\t' | b'\n' | b'\r', ..]))
}

/// Walks over comments, an XML declaration and a document type to the first element, and goes by
/// its name. `None` for what only begins like markup.
fn markup(body: &[u8]) -> Option<&'static str> {
    let mut rest = body;
    // What it is when no name tells more.
    let mut otherwise = None;
    loop {
        rest = rest.trim_ascii_start();
        let end: &[u8] = if rest.starts_with(b"<!--") {
            otherwise = otherwise.or(Some("text/html"));
            b"-->"
        } else if strip_prefix_ignore_case(rest, b"<?xml").is_some() {
            otherwise = Some("application/xml");
            b"?>"
        } else if let Some(doctype) = strip_prefix_ignore_case(rest, b"<!DOCTYPE") {
            match by_element(doctype.trim_ascii_start()) {
                Some(found) => return Some(found),
                None => b">",
            }
        } else {
            return rest.strip_prefix(b"<").and_then(by_element).or(otherwise);
        };
        match after(rest, end) {
            Some(next) => rest = next,
            None => return otherwise,
        }
    }
}

/// The elements that tell a page or another well-known document (WHATWG MIME Sniffing §7.1, and
/// roots of our own).
const ELEMENTS: &[(&[u8], &str)] = &[
    (b"html", "text/html"),
    (b"head", "text/html"),
    (b"body", "text/html"),
    (b"script", "text/html"),
    (b"iframe", "text/html"),
    (b"h1", "text/html"),
    (b"div", "text/html"),
    (b"font", "text/html"),
    (b"table", "text/html"),
    (b"a", "text/html"),
    (b"style", "text/html"),
    (b"title", "text/html"),
    (b"b", "text/html"),
    (b"br", "text/html"),
    (b"p", "text/html"),
    (b"meta", "text/html"),
    (b"link", "text/html"),
    (b"svg", "image/svg+xml"),
    (b"mpd", "application/dash+xml"),
    (b"rss", "application/rss+xml"),
    (b"feed", "application/atom+xml"),
    (b"tt", "application/ttml+xml"),
    (b"gpx", "application/gpx+xml"),
];

fn by_element(name: &[u8]) -> Option<&'static str> {
    let ends =
        |rest: &[u8]| matches!(rest, [b' ' | b'\t' | b'\n' | b'\r' | 0x0C | b'>' | b'/', ..]);
    ELEMENTS
        .iter()
        .find(|(element, _)| strip_prefix_ignore_case(name, element).is_some_and(ends))
        .map(|(_, media_type)| *media_type)
}

fn strip_prefix_ignore_case<'b>(bytes: &'b [u8], prefix: &[u8]) -> Option<&'b [u8]> {
    let (head, tail) = bytes.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(tail)
}

/// What follows the first `end`.
fn after<'b>(bytes: &'b [u8], end: &[u8]) -> Option<&'b [u8]> {
    let at = bytes.windows(end.len()).position(|window| window == end)?;
    bytes.get(at + end.len()..)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(cases: &[(&[u8], &str)]) {
        for (bytes, media_type) in cases {
            assert_eq!(sniff(bytes), *media_type, "{}", bytes.escape_ascii());
        }
    }

    fn transport(first: usize, packet: usize, packets: usize) -> Vec<u8> {
        let mut bytes = vec![0xAA; packet * packets];
        bytes.iter_mut().skip(first).step_by(packet).for_each(|byte| *byte = 0x47);
        bytes
    }

    #[test]
    fn pictures_are_known_by_their_signature_whatwg_6_1() {
        all(&[
            (b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR", "image/png"),
            (b"\xFF\xD8\xFF\xE0\0\x10JFIF", "image/jpeg"),
            (b"GIF89a\x01\0", "image/gif"),
            (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
            (b"\0\0\0\x1Cftypavif\0\0\0\0avifmif1miaf", "image/avif"),
            (b"\0\0\0\x1Cftypmif1\0\0\0\0mif1avifmiaf", "image/avif"),
            (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "image/heic"),
            (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "image/heic"),
            (b"\0\0\0\x14ftypmif1\0\0\0\0mif1heic", "image/heif"),
            (b"II*\0\x08\0\0\0", "image/tiff"),
            (b"\0\0\x01\0\x01\0\x10\x10", "image/x-icon"),
        ]);
    }

    #[test]
    fn boxes_tell_films_from_segments_iso_14496_12() {
        all(&[
            (b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2", "video/mp4"),
            (b"\0\0\0\x14ftypM4A \0\0\0\0M4A ", "audio/mp4"),
            (b"\0\0\0\x14ftypqt  \0\0\x02\0qt  ", "video/quicktime"),
            (b"\0\0\0\x14ftyp3gp4\0\0\0\x003gp4", "video/3gpp"),
            (b"\0\0\0\x18stypmsdh\0\0\0\0msdhmsix", "video/iso.segment"),
            (b"\0\0\0\x60moof\0\0\0\x10mfhd", "video/iso.segment"),
            (b"\0\0\0\x2Csidx\0\0\0\0", "video/iso.segment"),
            (b"\0\0\0\0moov", "video/mp4"),
            (b"\0\0\0\x04ftypisom", OCTET_STREAM),
            (b"\0\0\0\x18fty", OCTET_STREAM),
        ]);
    }

    #[test]
    fn a_transport_stream_has_a_sync_byte_at_every_packet_iso_13818_1() {
        for packets in [2, 3, 4, 17] {
            assert_eq!(sniff(&transport(0, 188, packets)), "video/mp2t", "{packets}");
            assert_eq!(sniff(&transport(4, 192, packets)), "video/mp2t", "{packets}");
        }
        assert_eq!(sniff(&transport(0, 188, 4)[..600]), "video/mp2t");
        let mut broken = transport(0, 188, 8);
        broken[376] = 0x46;
        assert_eq!(sniff(&broken), OCTET_STREAM);
        assert_eq!(sniff(&transport(0, 188, 4)[..565]), "video/mp2t");
        assert_eq!(sniff(&transport(0, 188, 4)[..564]), "video/mp2t");
        assert_eq!(sniff(&transport(0, 188, 4)[..563]), OCTET_STREAM);
        assert_eq!(sniff(&transport(0, 188, 1)), OCTET_STREAM);
        assert_eq!(sniff(&transport(1, 188, 8)), OCTET_STREAM);
        assert_eq!(sniff("Good morning. ".repeat(100).as_bytes()), PLAIN_TEXT);
        assert_eq!(sniff("G".repeat(188).as_bytes()), PLAIN_TEXT);
    }

    #[test]
    fn matroska_and_webm_differ_by_their_document_type_rfc9559() {
        all(&[
            (b"\x1A\x45\xDF\xA3\x9F\x42\x86\x81\x01\x42\x82\x84webm\x42\x87", "video/webm"),
            (b"\x1A\x45\xDF\xA3\xA3\x42\x86\x81\x01\x42\x82\x88matroska", "video/matroska"),
            (b"\x1A\x45\xDF\xA3", "video/matroska"),
        ]);
    }

    #[test]
    fn sound_is_known_with_and_without_a_tag() {
        let ogg = |packet: &[u8]| [b"OggS\0\x02".to_vec(), vec![0; 22], packet.to_vec()].concat();
        all(&[
            (b"ID3\x04\0\0\0\0\0\0", "audio/mpeg"),
            (b"\xFF\xFB\x90\x64\0\0", "audio/mpeg"),
            (b"\xFF\xF3\x40\xC4\0\0", "audio/mpeg"),
            (b"\xFF\xF1\x50\x80\0\x1F", "audio/aac"),
            (b"\xFF\xF9\x50\x80\0\x1F", "audio/aac"),
            (b"\xFF\xF1\xFC\x80\0\x1F", OCTET_STREAM),
            (b"\xFF\xF1\x34\x80\0\x1F", OCTET_STREAM),
            (b"\xFF\xFB\x9C\x64\0\0", OCTET_STREAM),
            (b"\xFF\xFB\xF0\x64\0\0", OCTET_STREAM),
            (b"\xFF\xEB\x90\x64\0\0", OCTET_STREAM),
            (b"\xFF\xFD\x90\x64\0\0", OCTET_STREAM),
            (b"\xFF\xFB\xFC\x64\0\0", OCTET_STREAM),
            (b"fLaC\0\0\0\x22", "audio/flac"),
            (&ogg(b"OpusHead\x01"), "audio/ogg"),
            (&ogg(b"\x01vorbis"), "audio/ogg"),
            (&ogg(b"\x80theora"), "video/ogg"),
            (&ogg(b"fishead\0"), "application/ogg"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "audio/wav"),
        ]);
    }

    #[test]
    fn archives_and_programs_are_known_by_their_signature() {
        let tar = [b"a.txt".to_vec(), vec![0; 252], b"ustar\x0000".to_vec()].concat();
        all(&[
            (b"PK\x03\x04\x14\0", "application/zip"),
            (b"\x1F\x8B\x08\0", "application/gzip"),
            (b"\xFD7zXZ\0\0\x04", "application/x-xz"),
            (b"\x28\xB5\x2F\xFD\x04", "application/zstd"),
            (b"7z\xBC\xAF\x27\x1C\0\x04", "application/x-7z-compressed"),
            (&tar, "application/x-tar"),
            (b"\0asm\x01\0\0\0", "application/wasm"),
            (b"%PDF-1.7\n", "application/pdf"),
            (b"wOF2\0\x01\0\0", "font/woff2"),
        ]);
    }

    #[test]
    fn playlists_and_subtitles_are_text_that_tells_itself_rfc8216() {
        all(&[
            (b"#EXTM3U\n#EXT-X-VERSION:3\n", "application/vnd.apple.mpegurl"),
            (b"\xEF\xBB\xBF#EXTM3U\r\n", "application/vnd.apple.mpegurl"),
            (b"WEBVTT\n\n00:01.000 --> 00:02.000\nHi", "text/vtt"),
            (b"\xEF\xBB\xBFWEBVTT - a film\n", "text/vtt"),
            (b"WEBVTTX", PLAIN_TEXT),
        ]);
    }

    #[test]
    fn markup_goes_by_its_first_element_whatwg_7_1() {
        all(&[
            (b"<!DOCTYPE html><html>", "text/html"),
            (b"\n\t <!doctype HTML>", "text/html"),
            (b"<HTML lang=en>", "text/html"),
            (b"\xEF\xBB\xBF<p>Hi", "text/html"),
            (b"<!-- hello -->\n<body>", "text/html"),
            (b"<!-- an open comment", "text/html"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'>", "image/svg+xml"),
            (b"<?xml version=\"1.0\"?>\n<!-- made by -->\n<svg\nwidth='1'>", "image/svg+xml"),
            (
                b"<?xml version='1.0'?><!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN' ''><svg>",
                "image/svg+xml",
            ),
            (b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash'>", "application/dash+xml"),
            (b"<MPD xmlns='urn:mpeg:dash'>", "application/dash+xml"),
            (b"<?xml version='1.0'?><rss version='2.0'>", "application/rss+xml"),
            (b"<?xml version='1.0'?><other>", "application/xml"),
            (b"<?xml version='1.0'", "application/xml"),
            (b"<?xml version='1.0'?><!-- page --><other>", "application/xml"),
            (b"<!DOCTYPE play SYSTEM 'play.dtd'><svg>", "image/svg+xml"),
            (b"<!DOCTYPE play", PLAIN_TEXT),
            (b"<?php echo 1; ?>", PLAIN_TEXT),
            (b"<htmlx>", PLAIN_TEXT),
            (b"<3 you", PLAIN_TEXT),
            (b"a <html>", PLAIN_TEXT),
        ]);
    }

    #[test]
    fn json_without_a_name_is_json() {
        all(&[
            (b"{\"name\": \"Token 1\", \"image\": \"ipfs://bafy\"}", "application/json"),
            (b"\n[1, 2]\n", "application/json"),
            (b"{ not json }", PLAIN_TEXT),
            (b"{\"cut\":", PLAIN_TEXT),
        ]);
        let long = format!("[{}1]", "1234567, ".repeat(1000));
        assert_eq!(sniff(long.as_bytes()), "application/json");
    }

    #[test]
    fn utf_8_without_control_bytes_is_text_and_the_rest_is_not_whatwg_7_2() {
        all(&[
            (b"", PLAIN_TEXT),
            (b"hello\n", PLAIN_TEXT),
            ("zażółć gęślą jaźń".as_bytes(), PLAIN_TEXT),
            (b"cut in a letter \xC4", PLAIN_TEXT),
            (b"\x1B[31mred\x1B[0m", PLAIN_TEXT),
            (b"\xFF\xFEh\0i\0", "text/plain; charset=utf-16le"),
            (b"\xFE\xFF\0h\0i", "text/plain; charset=utf-16be"),
            (b"caf\xE9 au lait", OCTET_STREAM),
            (b"bell \x07", OCTET_STREAM),
            (b"nul \0", OCTET_STREAM),
            (b"\xC4", OCTET_STREAM),
        ]);
    }

    #[test]
    fn bytes_behind_the_first_3072_change_nothing() {
        let mut bytes = vec![b'a'; SNIFF_LEN];
        bytes.extend([0; 100]);
        assert_eq!(sniff(&bytes), PLAIN_TEXT);
        bytes[SNIFF_LEN - 1] = 0;
        assert_eq!(sniff(&bytes), OCTET_STREAM);
    }

    proptest! {
        #[test]
        fn any_bytes_have_a_type_and_no_more_than_the_first_3072_decide(
            start in "(<|<!--|<\\?xml|<!DOCTYPE|\\{|\\[|#EXTM3U|WEBVTT)?",
            bytes in proptest::collection::vec(any::<u8>(), 0..4000),
        ) {
            let bytes = [start.as_bytes(), &bytes[..]].concat();
            let media_type = sniff(&bytes);
            prop_assert!(media_type.contains('/'));
            prop_assert_eq!(media_type, sniff(bytes.get(..SNIFF_LEN).unwrap_or(&bytes)));
        }
    }
}
