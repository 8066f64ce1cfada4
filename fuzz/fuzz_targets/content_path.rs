//! Any text as a content path: nothing panics, an accepted path has no dot segments, and it reads the
//! same when written and read again.
#![no_main]

use coldfront::{ContentPath, parse_cid};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(path) = text.parse::<ContentPath>() {
        assert!(path.segments().all(|segment| !matches!(segment, b"" | b"." | b"..")));
        assert_eq!(path.to_string().parse(), Ok(path));
    }
    if let Ok(cid) = parse_cid(text) {
        assert_eq!(parse_cid(&cid.to_string()), Ok(cid));
    }
});
