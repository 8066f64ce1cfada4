//! Hashing: every function that Kubo lets into a CID, and the verdict on bytes.
//!
//! Owns which functions and digest lengths are allowed and how each is computed. Must not know CIDs,
//! codecs or stores. Rules: boxo `verifcid/allowlist.go` and `verifcid/cid.go` for what is allowed;
//! go-multihash `sum.go` for shortened digests (a prefix of the full one) and `register/` for the
//! lengths of SHAKE and BLAKE3. Keccak-224 and -384 and the shorter BLAKE2s are allowed by Kubo but
//! not computed there; here they are.

use sha2::Digest as _;
use sha3::digest::{ExtendableOutput as _, XofReader as _};

/// The longest digest, in bytes, identity included.
pub const MAX_DIGEST_LEN: usize = 128;
/// The shortest digest that is trusted to name bytes; identity may be shorter.
pub const MIN_DIGEST_LEN: usize = 20;

const IDENTITY: u64 = 0x00;
const SHA1: u64 = 0x11;
const SHA2_256: u64 = 0x12;
const SHA2_512: u64 = 0x13;
const SHA3_512: u64 = 0x14;
const SHA3_384: u64 = 0x15;
const SHA3_256: u64 = 0x16;
const SHA3_224: u64 = 0x17;
const SHAKE_256: u64 = 0x19;
const KECCAK_224: u64 = 0x1a;
const KECCAK_256: u64 = 0x1b;
const KECCAK_384: u64 = 0x1c;
const KECCAK_512: u64 = 0x1d;
const BLAKE3: u64 = 0x1e;
const DBL_SHA2_256: u64 = 0x56;
// BLAKE2b of n bytes has the code BLAKE2B_0 + n, and BLAKE2s likewise.
const BLAKE2B_0: u64 = 0xb200;
const BLAKE2S_0: u64 = 0xb240;
const BLAKE2B_20: u64 = BLAKE2B_0 + 20;
const BLAKE2B_64: u64 = BLAKE2B_0 + 64;
const BLAKE2S_20: u64 = BLAKE2S_0 + 20;
const BLAKE2S_32: u64 = BLAKE2S_0 + 32;

/// What comparing bytes with a digest found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Verdict {
    /// The bytes are those that the digest names.
    Match,
    /// They are others.
    Mismatch,
    /// Nobody can tell: the function is not on Kubo's list, or the digest is shorter or longer than
    /// it allows there.
    UnknownFunction,
}

/// The code of a function by its name in the multicodec table (go-multihash `multihash.go`), whether it
/// is allowed in CIDs or not; `None` for names that nobody knows.
pub fn code_of(name: &str) -> Option<u64> {
    const NAMES: [(&str, u64); 22] = [
        ("identity", IDENTITY),
        ("sha1", SHA1),
        ("sha2-256", SHA2_256),
        ("sha2-512", SHA2_512),
        ("sha3", SHA3_512),
        ("sha3-512", SHA3_512),
        ("sha3-384", SHA3_384),
        ("sha3-256", SHA3_256),
        ("sha3-224", SHA3_224),
        ("shake-128", 0x18),
        ("shake-256", SHAKE_256),
        ("keccak-224", KECCAK_224),
        ("keccak-256", KECCAK_256),
        ("keccak-384", KECCAK_384),
        ("keccak-512", KECCAK_512),
        ("blake3", BLAKE3),
        ("murmur3-x64-64", 0x22),
        ("dbl-sha2-256", DBL_SHA2_256),
        ("md5", 0xd5),
        ("sha2-256-trunc254-padded", 0x1012),
        ("x11", 0x1100),
        ("poseidon-bls12_381-a2-fc1", 0xb401),
    ];
    let blake = |prefix, base, max: u64| {
        let bits: u64 = name.strip_prefix(prefix)?.parse().ok()?;
        let known = bits.is_multiple_of(8) && (1..=max).contains(&(bits / 8));
        (known && name == format!("{prefix}{bits}")).then_some(base + bits / 8)
    };
    let named = NAMES.iter().find(|(known, _)| *known == name).map(|(_, code)| *code);
    named.or_else(|| blake("blake2b-", BLAKE2B_0, 64)).or_else(|| blake("blake2s-", BLAKE2S_0, 32))
}

/// Bytes of a function's digests where nothing else is asked for, 0 for identity; `None` for functions
/// that are not allowed in CIDs.
pub fn usual_len(code: u64) -> Option<usize> {
    match code {
        IDENTITY => Some(0),
        BLAKE3 => Some(32),
        _ => Function::of(code).map(|(_, full_len)| full_len),
    }
}

/// Hashes `data` and compares. Costs one hash, whose speed is the function's.
pub fn verify(code: u64, digest: &[u8], data: &[u8]) -> Verdict {
    let Some(mut hasher) = Hasher::new(code, digest.len()) else {
        return Verdict::UnknownFunction;
    };
    hasher.update(data);
    hasher.verdict(digest)
}

/// The digest of `data`, of `len` bytes. `None` if function and length are not allowed together, and
/// for identity if `data` has another length.
pub fn digest(code: u64, len: usize, data: &[u8]) -> Option<Digest> {
    let mut hasher = Hasher::new(code, len)?;
    hasher.update(data);
    hasher.finish()
}

/// A digest on the stack.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    // Zero from `len` on.
    bytes: [u8; MAX_DIGEST_LEN],
    len: usize,
}

impl Digest {
    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or(&self.bytes)
    }

    /// The first `len` bytes of `full`; `None` if it has fewer.
    fn prefix(full: &[u8], len: usize) -> Option<Digest> {
        let kept = full.get(..len)?;
        Digest::filled(len, |out| out.copy_from_slice(kept))
    }

    /// `len` bytes that `write` fills in; `None` if a digest cannot have as many.
    fn filled(len: usize, write: impl FnOnce(&mut [u8])) -> Option<Digest> {
        let mut bytes = [0; MAX_DIGEST_LEN];
        write(bytes.get_mut(..len)?);
        Some(Digest { bytes, len })
    }
}

impl AsRef<[u8]> for Digest {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Digest(")?;
        for byte in self.as_bytes() {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}

/// Hashes a block piece by piece.
#[derive(Debug, Clone)]
pub struct Hasher {
    function: Function,
    len: usize,
}

impl Hasher {
    /// Starts a digest of `len` bytes. `None` if function and length are not allowed together.
    pub fn new(code: u64, len: usize) -> Option<Hasher> {
        let (function, full_len) = Function::of(code)?;
        let min = if code == IDENTITY { 0 } else { MIN_DIGEST_LEN };
        (min..=full_len).contains(&len).then_some(Hasher { function, len })
    }

    /// Takes in the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        match &mut self.function {
            Function::Identity(identity) => identity.update(piece),
            Function::Sha1(hasher) => hasher.update(piece),
            Function::Sha2_256(hasher) | Function::DblSha2_256(hasher) => hasher.update(piece),
            Function::Sha2_512(hasher) => hasher.update(piece),
            Function::Sha3_224(hasher) => hasher.update(piece),
            Function::Sha3_256(hasher) => hasher.update(piece),
            Function::Sha3_384(hasher) => hasher.update(piece),
            Function::Sha3_512(hasher) => hasher.update(piece),
            Function::Shake256(hasher) => sha3::digest::Update::update(&mut **hasher, piece),
            Function::Keccak224(hasher) => hasher.update(piece),
            Function::Keccak256(hasher) => hasher.update(piece),
            Function::Keccak384(hasher) => hasher.update(piece),
            Function::Keccak512(hasher) => hasher.update(piece),
            Function::Blake2b(state) => drop(state.update(piece)),
            Function::Blake2s(state) => drop(state.update(piece)),
            Function::Blake3(hasher) => drop(hasher.update(piece)),
        }
    }

    /// The digest. `None` only for identity, when what came in was not `len` bytes.
    pub fn finish(self) -> Option<Digest> {
        let len = self.len;
        match self.function {
            Function::Identity(identity) => identity.finish(len),
            Function::Sha1(hasher) => Digest::prefix(&hasher.finalize(), len),
            Function::Sha2_256(hasher) => Digest::prefix(&hasher.finalize(), len),
            Function::DblSha2_256(hasher) => {
                Digest::prefix(&sha2::Sha256::digest(hasher.finalize()), len)
            }
            Function::Sha2_512(hasher) => Digest::prefix(&hasher.finalize(), len),
            Function::Sha3_224(hasher) => Digest::prefix(&hasher.finalize(), len),
            Function::Sha3_256(hasher) => Digest::prefix(&hasher.finalize(), len),
            Function::Sha3_384(hasher) => Digest::prefix(&hasher.finalize(), len),
            Function::Sha3_512(hasher) => Digest::prefix(&hasher.finalize(), len),
            Function::Shake256(hasher) => {
                Digest::filled(len, |out| hasher.finalize_xof().read(out))
            }
            Function::Keccak224(hasher) => Digest::prefix(&hasher.finalize(), len),
            Function::Keccak256(hasher) => Digest::prefix(&hasher.finalize(), len),
            Function::Keccak384(hasher) => Digest::prefix(&hasher.finalize(), len),
            Function::Keccak512(hasher) => Digest::prefix(&hasher.finalize(), len),
            Function::Blake2b(state) => Digest::prefix(state.finalize().as_bytes(), len),
            Function::Blake2s(state) => Digest::prefix(state.finalize().as_bytes(), len),
            Function::Blake3(hasher) => Digest::filled(len, |out| hasher.finalize_xof().fill(out)),
        }
    }

    /// Compares what came in with a digest of the length that was announced to `new`.
    pub fn verdict(self, digest: &[u8]) -> Verdict {
        match self.finish() {
            Some(found) if found.as_bytes() == digest => Verdict::Match,
            _ => Verdict::Mismatch,
        }
    }
}

/// Kubo takes 64 bytes from SHAKE-256 and no more.
const SHAKE_256_LEN: usize = 64;

/// The functions of Kubo's list, under way. The large ones are boxed.
#[derive(Debug, Clone)]
enum Function {
    Identity(Box<Identity>),
    Sha1(sha1::Sha1),
    Sha2_256(sha2::Sha256),
    DblSha2_256(sha2::Sha256),
    Sha2_512(Box<sha2::Sha512>),
    Sha3_224(Box<sha3::Sha3_224>),
    Sha3_256(Box<sha3::Sha3_256>),
    Sha3_384(Box<sha3::Sha3_384>),
    Sha3_512(Box<sha3::Sha3_512>),
    Shake256(Box<sha3::Shake256>),
    Keccak224(Box<sha3::Keccak224>),
    Keccak256(Box<sha3::Keccak256>),
    Keccak384(Box<sha3::Keccak384>),
    Keccak512(Box<sha3::Keccak512>),
    Blake2b(Box<blake2b_simd::State>),
    Blake2s(Box<blake2s_simd::State>),
    Blake3(Box<blake3::Hasher>),
}

impl Function {
    /// A function and the length of its full digest. `None` for what is not on Kubo's list.
    fn of(code: u64) -> Option<(Function, usize)> {
        Some(match code {
            IDENTITY => (Function::Identity(Box::default()), MAX_DIGEST_LEN),
            SHA1 => (Function::Sha1(Default::default()), 20),
            SHA2_256 => (Function::Sha2_256(Default::default()), 32),
            DBL_SHA2_256 => (Function::DblSha2_256(Default::default()), 32),
            SHA2_512 => (Function::Sha2_512(Box::default()), 64),
            SHA3_224 => (Function::Sha3_224(Box::default()), 28),
            SHA3_256 => (Function::Sha3_256(Box::default()), 32),
            SHA3_384 => (Function::Sha3_384(Box::default()), 48),
            SHA3_512 => (Function::Sha3_512(Box::default()), 64),
            SHAKE_256 => (Function::Shake256(Box::default()), SHAKE_256_LEN),
            KECCAK_224 => (Function::Keccak224(Box::default()), 28),
            KECCAK_256 => (Function::Keccak256(Box::default()), 32),
            KECCAK_384 => (Function::Keccak384(Box::default()), 48),
            KECCAK_512 => (Function::Keccak512(Box::default()), 64),
            BLAKE3 => (Function::Blake3(Box::default()), MAX_DIGEST_LEN),
            BLAKE2B_20..=BLAKE2B_64 => {
                let len = (code - BLAKE2B_0) as usize;
                let state = blake2b_simd::Params::new().hash_length(len).to_state();
                (Function::Blake2b(Box::new(state)), len)
            }
            BLAKE2S_20..=BLAKE2S_32 => {
                let len = (code - BLAKE2S_0) as usize;
                let state = blake2s_simd::Params::new().hash_length(len).to_state();
                (Function::Blake2s(Box::new(state)), len)
            }
            _ => return None,
        })
    }
}

/// The "hash" that is the bytes themselves: remembers as many as a digest may have.
#[derive(Debug, Clone)]
struct Identity {
    bytes: [u8; MAX_DIGEST_LEN],
    seen: usize,
}

impl Default for Identity {
    fn default() -> Self {
        Identity { bytes: [0; MAX_DIGEST_LEN], seen: 0 }
    }
}

impl Identity {
    fn update(&mut self, piece: &[u8]) {
        let free = self.bytes.get_mut(self.seen..).unwrap_or_default();
        for (to, from) in free.iter_mut().zip(piece) {
            *to = *from;
        }
        self.seen = self.seen.saturating_add(piece.len());
    }

    fn finish(self, len: usize) -> Option<Digest> {
        if self.seen == len { Digest::prefix(&self.bytes, len) } else { None }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn functions_are_known_by_their_names() {
        for (name, code) in [
            ("sha2-256", SHA2_256),
            ("sha3", SHA3_512),
            ("blake2b-256", 0xb220),
            ("blake2b-8", 0xb201),
            ("blake2s-256", 0xb260),
            ("md5", 0xd5),
        ] {
            assert_eq!(code_of(name), Some(code), "{name}");
        }
        for name in ["nope", "", "sha2-257", "blake2b-", "blake2b-7", "blake2b-0256", "blake2s-264"]
        {
            assert_eq!(code_of(name), None, "{name}");
        }
    }

    #[test]
    fn a_usual_length_can_be_computed() {
        for (code, _) in OF_ABC {
            let len = usual_len(code).unwrap();
            assert_eq!(digest(code, len, b"abc").unwrap().as_bytes().len(), len);
        }
        assert_eq!(usual_len(BLAKE3), Some(32));
        assert_eq!(usual_len(0xd5), None);
        assert_eq!(usual_len(BLAKE2B_0 + 8), None, "too short to name bytes");
    }

    /// Every function with its digest of "abc": from go-multihash 0.2.3, and from Python's hashlib
    /// where that has it; Keccak-224 and -384 and BLAKE2s-160 from Python alone.
    const OF_ABC: [(u64, &str); 19] = [
        (SHA1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (SHA2_256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            SHA2_512,
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (
            SHA3_512,
            "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0",
        ),
        (
            SHA3_384,
            "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b298d88cea927ac7f539f1edf228376d25",
        ),
        (SHA3_256, "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
        (SHA3_224, "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf"),
        (
            SHAKE_256,
            "483366601360a8771c6863080cc4114d8db44530f8f1e1ee4f94ea37e78b5739d5a15bef186a5386c75744c0527e1faa9f8726e462a12a4feb06bd8801e751e4",
        ),
        (KECCAK_224, "c30411768506ebe1c2871b1ee2e87d38df342317300a9b97a95ec6a8"),
        (KECCAK_256, "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
        (
            KECCAK_384,
            "f7df1165f033337be098e7d288ad6a2f74409d7a60b49c36642218de161b1f99f8c681e4afaf31a34db29fb763e3c28e",
        ),
        (
            KECCAK_512,
            "18587dc2ea106b9a1563e32b3312421ca164c7f1f07bc922a9c83d77cea3a1e5d0c69910739025372dc14ac9642629379540c17e2a65b19d77aa511a9d00bb96",
        ),
        (BLAKE3, "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
        (DBL_SHA2_256, "4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358"),
        (BLAKE2B_20, "384264f676f39536840523f284921cdc68b6846b"),
        (BLAKE2B_0 + 32, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"),
        (
            BLAKE2B_64,
            "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d17d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923",
        ),
        (BLAKE2S_20, "5ae3b99be29b01834c3b508521ede60438f8de17"),
        (BLAKE2S_32, "508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982"),
    ];

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect()
    }

    #[test]
    fn every_function_gives_its_known_digest() {
        for (code, expected) in OF_ABC {
            let found = digest(code, expected.len() / 2, b"abc").unwrap();
            assert_eq!(hex(found.as_bytes()), expected, "code {code:#x}");
            assert_eq!(verify(code, &unhex(expected), b"abc"), Verdict::Match, "code {code:#x}");
        }
    }

    #[test]
    fn one_changed_bit_is_a_mismatch() {
        for (code, expected) in OF_ABC {
            let mut digest = unhex(expected);
            assert_eq!(verify(code, &digest, b"abb"), Verdict::Mismatch, "code {code:#x}");
            *digest.last_mut().unwrap() ^= 1;
            assert_eq!(verify(code, &digest, b"abc"), Verdict::Mismatch, "code {code:#x}");
        }
    }

    #[test]
    fn pieces_hash_as_the_whole() {
        let data: Vec<u8> = (0..1000u32).map(|i| (i * i) as u8).collect();
        for (code, expected) in OF_ABC {
            let len = expected.len() / 2;
            let mut hasher = Hasher::new(code, len).unwrap();
            for piece in data.chunks(77) {
                hasher.update(piece);
            }
            assert_eq!(hasher.finish(), digest(code, len, &data), "code {code:#x}");
            let mut hasher = Hasher::new(code, len).unwrap();
            hasher.update(&data);
            hasher.update(b"more");
            assert_ne!(hasher.finish(), digest(code, len, &data), "code {code:#x}");
        }
    }

    #[test]
    fn a_shortened_digest_is_the_start_of_the_full_one_and_has_20_bytes_or_more() {
        for (code, expected) in OF_ABC {
            let full = unhex(expected);
            let longest = if code == BLAKE3 { MAX_DIGEST_LEN } else { full.len() };
            assert_eq!(verify(code, &full[..20], b"abc"), Verdict::Match, "code {code:#x}");
            assert_eq!(
                verify(code, &full[..19], b"abc"),
                Verdict::UnknownFunction,
                "code {code:#x}"
            );
            assert!(digest(code, longest, b"abc").is_some(), "code {code:#x}");
            assert_eq!(digest(code, longest + 1, b"abc"), None, "code {code:#x}");
        }
    }

    #[test]
    fn blake3_can_be_as_long_as_128_bytes() {
        let expected = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85\
                        1fb250ae7393f5d02813b65d521a0d492d9ba09cf7ce7f4cffd900f23374bf0b\
                        c08a1fb0b38ed276181ccbd9f7b7edbddf9f86404ad7929605f6ffa3fb1ac879\
                        83105f013384f2f11d38879c985d47003804b905f0c38975e28d36804bb60d8c";
        assert_eq!(verify(BLAKE3, &unhex(expected), b"abc"), Verdict::Match);
    }

    #[test]
    fn what_is_not_on_kubos_list_is_unknown() {
        let known = |code| verify(code, &[0; 20], b"") != Verdict::UnknownFunction;
        const SHAKE_128: u64 = 0x18;
        const MURMUR3_X64_64: u64 = 0x22;
        const MD5: u64 = 0xd5;
        for code in [SHAKE_128, MURMUR3_X64_64, MD5, 0x10, 0x1f, 0x55, 0x57, u64::MAX] {
            assert!(!known(code), "code {code:#x}");
        }
        let blake2: Vec<u64> = (0xb1ff..0xb300).filter(|&code| known(code)).collect();
        let expected: Vec<u64> = (0xb214..=0xb240).chain(0xb254..=0xb260).collect();
        assert_eq!(blake2, expected);
    }

    #[test]
    fn identity_is_the_bytes_themselves_up_to_128_of_them() {
        assert_eq!(verify(IDENTITY, b"", b""), Verdict::Match);
        assert_eq!(verify(IDENTITY, b"abc", b"abc"), Verdict::Match);
        assert_eq!(verify(IDENTITY, b"abc", b"abd"), Verdict::Mismatch);
        assert_eq!(verify(IDENTITY, b"abc", b"ab"), Verdict::Mismatch);
        assert_eq!(verify(IDENTITY, b"abc", b"abcd"), Verdict::Mismatch);
        assert_eq!(verify(IDENTITY, &[7; 128], &[7; 128]), Verdict::Match);
        assert_eq!(verify(IDENTITY, &[7; 128], &[7; 129]), Verdict::Mismatch);
        assert_eq!(verify(IDENTITY, &[7; 129], &[7; 129]), Verdict::UnknownFunction);
        let mut hasher = Hasher::new(IDENTITY, 3).unwrap();
        hasher.update(b"ab");
        hasher.update(b"c");
        assert_eq!(hasher.verdict(b"abc"), Verdict::Match);
    }
}
