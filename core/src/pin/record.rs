//! What is known of a pin, and its bytes.
//!
//! Owns the value of a row of the family `pins`. Pure; any bytes are either a record or an error.
//!
//! ```text
//! mode      1 byte    0 recursive, 1 direct
//! state     1 byte    0 done, 1 walking, 2 root only, 3 walking and pinned directly before
//! since     8 bytes   seconds since 1970, big-endian
//! serial    8 bytes   tells this pin from an earlier one of the same CID, big-endian
//! length    1 byte    of the multihash
//! multihash           the root's, so that a list of pins reads nothing else
//! name                to the end, UTF-8
//! ```
//!
//! In states 2 and 3 `since` and `name` are those of the pin that was acknowledged, whatever is being made of it.

/// How much a pin keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PinMode {
    /// The block and everything below it.
    Recursive,
    /// The block alone.
    Direct,
}

/// How far a pin has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// All it keeps is in the index.
    Done,
    /// Not acknowledged: everything below its root is being walked.
    Walking,
    /// Acknowledged as a root; what lies below is in an archive and not in the index yet.
    RootOnly,
    /// Walking, and acknowledged as a direct pin before.
    WalkingWasDirect,
}

impl State {
    /// Whether it needs more work.
    pub(super) fn is_unfinished(self) -> bool {
        self != State::Done
    }
}

/// A pin's record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) mode: PinMode,
    pub(super) state: State,
    pub(super) since: u64,
    pub(super) serial: u64,
    pub(super) multihash: Vec<u8>,
    pub(super) name: String,
}

impl Record {
    /// Whether it is a pin to whoever asks, and which.
    pub(super) fn shown(&self) -> Option<PinMode> {
        match self.state {
            State::Done | State::RootOnly => Some(self.mode),
            State::WalkingWasDirect => Some(PinMode::Direct),
            State::Walking => None,
        }
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(19 + self.multihash.len() + self.name.len());
        bytes.push(match self.mode {
            PinMode::Recursive => 0,
            PinMode::Direct => 1,
        });
        bytes.push(match self.state {
            State::Done => 0,
            State::Walking => 1,
            State::RootOnly => 2,
            State::WalkingWasDirect => 3,
        });
        bytes.extend_from_slice(&self.since.to_be_bytes());
        bytes.extend_from_slice(&self.serial.to_be_bytes());
        // No multihash here is longer than 149 bytes.
        bytes.push(u8::try_from(self.multihash.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(&self.multihash);
        bytes.extend_from_slice(self.name.as_bytes());
        bytes
    }

    pub(super) fn parse(bytes: &[u8]) -> Option<Record> {
        let ([mode, state], rest) = bytes.split_first_chunk::<2>()?;
        let (since, rest) = rest.split_first_chunk::<8>()?;
        let (serial, rest) = rest.split_first_chunk::<8>()?;
        let (len, rest) = rest.split_first()?;
        let (multihash, name) = rest.split_at_checked(usize::from(*len))?;
        let mode = match mode {
            0 => PinMode::Recursive,
            1 => PinMode::Direct,
            _ => return None,
        };
        let state = match state {
            0 => State::Done,
            1 => State::Walking,
            2 => State::RootOnly,
            3 => State::WalkingWasDirect,
            _ => return None,
        };
        Some(Record {
            mode,
            state,
            since: u64::from_be_bytes(*since),
            serial: u64::from_be_bytes(*serial),
            multihash: multihash.to_vec(),
            name: std::str::from_utf8(name).ok()?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn record() -> Record {
        Record {
            mode: PinMode::Direct,
            state: State::RootOnly,
            since: 1_700_000_000,
            serial: 42,
            multihash: vec![0x12, 2, 7, 8],
            name: "Ferien".into(),
        }
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let states = [State::Done, State::Walking, State::RootOnly, State::WalkingWasDirect];
        for state in states {
            for mode in [PinMode::Recursive, PinMode::Direct] {
                let record = Record { mode, state, ..record() };
                assert_eq!(Record::parse(&record.to_bytes()).unwrap(), record);
            }
        }
    }

    #[test]
    fn a_record_that_is_cut_short_or_says_what_nobody_knows_is_none() {
        let bytes = record().to_bytes();
        let end_of_multihash = 19 + 4;
        for len in 0..end_of_multihash {
            assert_eq!(Record::parse(&bytes[..len]), None, "{len} bytes");
        }
        for at in [0, 1] {
            let mut other = bytes.clone();
            other[at] = 9;
            assert_eq!(Record::parse(&other), None);
        }
        assert_eq!(Record::parse(&[&bytes[..], &[0xff]].concat()), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_a_record_or_none(bytes in proptest::collection::vec(0u8.., 0..60)) {
            if let Some(record) = Record::parse(&bytes) {
                assert_eq!(record.to_bytes(), bytes);
            }
        }
    }
}
