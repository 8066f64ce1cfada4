//! Any bytes as a request target: nothing panics, and an accepted one has a path without dot segments
//! or NUL that begins with one slash.
#![no_main]

use coldfront_http::gateway::target::{MAX_SEGMENTS, Target};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(target) = Target::parse(bytes) else { return };
    let path = target.path();
    assert!(path.starts_with(b"/") && !path.starts_with(b"//") && !path.contains(&0));
    assert!(path.split(|&byte| byte == b'/').all(|segment| !matches!(segment, b"." | b"..")));
    assert!(target.segments().count() <= MAX_SEGMENTS);
    // Built for the answer's headers, of whatever the client sent.
    let redirect = target.redirect_with_slash();
    assert!(redirect.iter().all(|byte| byte.is_ascii_graphic()));
    let _ = (target.x_ipfs_path(), target.ipfs_uri_path(), target.query().get("format"));
});
