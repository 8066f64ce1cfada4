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
        (min..=full_len)
            .contains(&len)
            .then_some(Hasher { function, len })
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
        Identity {
            bytes: [0; MAX_DIGEST_LEN],
            seen: 0,
        }
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
        if self.seen == len {
            Digest::prefix(&self.bytes, len)
        } else {
            None
        }
    }
}
