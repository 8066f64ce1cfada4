//! Readers of what lies in a store, for fuzz targets: bytes in, nothing out, no panic.

/// A key or a value of the hot store; the first byte picks which.
pub fn hot_row(bytes: &[u8]) {
    crate::store::hot::fuzz_row(bytes);
}

/// The record of a pin.
pub fn pin_record(bytes: &[u8]) {
    crate::pin::fuzz_record(bytes);
}

#[cfg(test)]
mod tests {
    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(0u8.., 0..80)) {
            super::hot_row(&bytes);
            super::pin_record(&bytes);
        }
    }
}
