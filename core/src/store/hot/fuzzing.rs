//! The readers of keys and values, one door each, for fuzz targets and property tests: any bytes are what was written,
//! or an error.

use super::edges;
use super::schema::{Entry, Spelling, parse_ref_key, u32_at, u64_at};

/// The first byte picks the reader.
pub(crate) fn row(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 6 {
        0 => {
            if let Ok(entry) = Entry::parse(bytes) {
                assert_eq!(entry.to_bytes(), bytes);
            }
        }
        1 => id_row(bytes),
        2 => {
            if let Ok(all) = Spelling::parse_all(bytes) {
                let mut again = Vec::new();
                all.iter().for_each(|one| one.write(&mut again));
                // Numbers may be written longer than need be.
                assert!(again.len() <= bytes.len());
                assert_eq!(Spelling::parse_all(&again), Ok(all));
            }
        }
        3 => edges::check_pin_key(bytes),
        4 => assert_eq!(parse_ref_key(bytes).is_ok(), bytes.len() == 16),
        _ => {
            assert_eq!(u64_at(bytes).is_ok(), bytes.len() == 8);
            assert_eq!(u32_at(bytes).is_ok(), bytes.len() == 4);
        }
    }
}

fn id_row(bytes: &[u8]) {
    let Some((key, value)) = bytes.split_at_checked(8) else { return };
    if let Ok((entry, multihash)) = Entry::parse_id_row(key, value) {
        assert_eq!(entry.to_id_value(multihash), value);
        // It may be no multihash: then a CID of it is an error and no panic.
        let _ = Spelling::v1(0x55).cid(multihash);
    }
}
