//! A line of text as a chunker, and the rest as content: the chunks put together are the content, none is
//! empty or longer than a block may be.
#![no_main]

use coldfront::unixfs::import::Chunker;
use coldfront::unixfs::import::chunker::MAX_CHUNK;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (line, content) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &[][..]),
    };
    let Ok(text) = std::str::from_utf8(line) else { return };
    let Ok(chunker) = text.parse::<Chunker>() else { return };
    let mut rest = content;
    for chunk in chunker.split(content) {
        let chunk = chunk.expect("memory can be read");
        assert!(!chunk.is_empty() && chunk.len() <= MAX_CHUNK);
        rest = rest.strip_prefix(&chunk[..]).expect("a chunk is what comes next");
    }
    assert!(rest.is_empty());
});
