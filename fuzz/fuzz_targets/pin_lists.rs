//! Any bytes as a list of pins: nothing panics, every pin has a line of the list, and one that is written is read again.
#![no_main]

use coldfront::migrate::pin_lists::{Listed, PinList, PinListOptions, write_cluster_pin};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut options = PinListOptions::default();
    options.now = 0;
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
    for listed in PinList::new(bytes, options.clone()) {
        let Listed::Pin(pin) = listed.expect("memory is read to its end") else { continue };
        assert!((1..=lines).contains(&pin.line));
        let mut written = Vec::new();
        write_cluster_pin(&mut written, &pin).expect("memory takes everything");
        let mut again = PinList::new(&written[..], options.clone());
        let Some(Ok(Listed::Pin(same))) = again.next() else { panic!("what was written is read") };
        assert_eq!((same.cid, same.mode, &same.name), (pin.cid, pin.mode, &pin.name));
        assert_eq!((&same.metadata, &same.origins), (&pin.metadata, &pin.origins));
        assert!(again.next().is_none());
    }
});
