//! Private keys with names: what IPNS names are signed with.
//!
//! Owns the forms of a key (libp2p's protobuf, PEM), the names it goes by (peer ID, IPNS name), and the verbs of
//! `ipfs key`. Signing and checking is `libp2p-identity`'s. Must not know records or HTTP. Rules: the libp2p specification
//! of peer IDs and keys; kubo `core/coreapi/key.go`; boxo `keystore`.
//!
//! - `pem`: the form that other programs write. `folder`, `hot`: where keys lie.

mod folder;
#[cfg(feature = "hot")]
mod hot;
mod pem;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cid::multibase::Base;
use libp2p_identity::{KeyType, Keypair, PeerId, PublicKey};

use crate::block::{Cid, LIBP2P_KEY};
use crate::error::StoreError;
use crate::unixfs::wire::{self, Reader};

pub use folder::KeyFolder;
#[cfg(feature = "hot")]
pub use hot::{CARRIED, HotKeys};

/// The name of the node's own key, which no other key has.
pub const SELF: &str = "self";

/// The longest form of a key that is read, in bytes: an RSA key of 8192 bits has 5 KB.
pub const MAX_KEY_LEN: usize = 64 * 1024;

/// A key was refused, or could not be read or kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The node's own key is not touched.
    #[error("cannot {0} key with name 'self'")]
    Own(&'static str),
    /// A name without a letter.
    #[error("key name must be at least one character")]
    NoName,
    /// A name that makes no file name.
    #[error("a key name of {0} bytes is too long; 120 are kept")]
    LongName(usize),
    /// A key of the name is there.
    #[error("key with name '{0}' already exists")]
    Exists(String),
    /// The new name of a key is taken.
    #[error("key by that name already exists, refusing to overwrite")]
    Taken,
    /// No key of the name.
    #[error("no key named {0} was found")]
    Missing(String),
    /// No key of the name, and the name is no public name.
    #[error("no key by the given name was found")]
    NoSuchKey,
    /// Neither a name nor an ID of a key.
    #[error("no key by the given name or PeerID was found")]
    Unknown,
    /// No such kind of key.
    #[error("unrecognized key type: {0}")]
    Type(String),
    /// RSA keys take long to make and are large; Kubo makes Ed25519 ones unless it is told otherwise.
    #[error(
        "rsa keys are not generated here; use --type=ed25519, or make one with openssl and import it"
    )]
    RsaIsImported,
    /// A kind of key that has to be asked for.
    #[error(
        "key type {0} is not allowed to be imported, only RSA or Ed25519; use flag --allow-any-key-type if you are sure of what you're doing"
    )]
    NotAllowed(&'static str),
    /// A form that keys do not come in.
    #[error("unrecognized import format: {0}")]
    Format(String),
    /// Bytes that are no key.
    #[error("unable to unmarshall format={format}: {reason}")]
    NoKey {
        /// The form that was expected.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// PEM where a protobuf was expected.
    #[error(
        "unexpected PEM block for format=libp2p-protobuf-cleartext: try again with format=pem-pkcs8-cleartext"
    )]
    IsPem,
    /// PEM of something else, or none.
    #[error("{0}")]
    Pem(String),
    /// Signing failed.
    #[error("signing failed: {0}")]
    Signing(String),
    /// A file of a key could not be read or written.
    #[error("key file {path} cannot be read or written")]
    Io {
        /// The file or folder.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store that holds the keys failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A private key with its public half. `Debug` does not show it.
#[derive(Clone)]
pub struct Key {
    pair: Keypair,
    /// The libp2p private key, a protobuf, as it is stored.
    protobuf: Vec<u8>,
}

/// How a key is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// `libp2p-protobuf-cleartext`.
    Protobuf,
    /// `pem-pkcs8-cleartext`.
    Pem,
}

impl KeyForm {
    /// By its name in `ipfs key import --format`.
    pub fn by_name(name: &str) -> Result<KeyForm, KeyError> {
        match name {
            "libp2p-protobuf-cleartext" => Ok(KeyForm::Protobuf),
            "pem-pkcs8-cleartext" => Ok(KeyForm::Pem),
            other => Err(KeyError::Format(other.to_owned())),
        }
    }
}

impl Key {
    /// A new Ed25519 key, from the system's randomness.
    pub fn generate() -> Key {
        let pair = libp2p_identity::ed25519::Keypair::generate();
        let protobuf = protobuf(1, &pair.to_bytes());
        Key { pair: pair.into(), protobuf }
    }

    /// Reads a libp2p private key: RSA, Ed25519, secp256k1, or ECDSA on P-256.
    pub fn from_protobuf(bytes: &[u8]) -> Result<Key, KeyError> {
        let no_key =
            |reason: String| KeyError::NoKey { format: "libp2p-protobuf-cleartext", reason };
        if bytes.len() > MAX_KEY_LEN {
            return Err(no_key(format!("{} bytes, more than any key has", bytes.len())));
        }
        let (kind, data) = fields(bytes).ok_or_else(|| no_key("not a private key".to_owned()))?;
        // Older Ed25519 keys repeat their public half.
        let shorter = match (kind, data.get(64..), data.get(32..64)) {
            (1, Some(again), Some(public)) if again == public => data.get(..64).unwrap_or_default(),
            _ => data,
        };
        let bytes = protobuf(kind, shorter);
        let pair = Keypair::from_protobuf_encoding(&bytes).map_err(|e| no_key(e.to_string()))?;
        Ok(Key { pair, protobuf: bytes })
    }

    /// Reads a key in one of its forms.
    pub fn import(bytes: &[u8], form: KeyForm) -> Result<Key, KeyError> {
        match form {
            KeyForm::Pem => pem::import(bytes),
            KeyForm::Protobuf => Key::from_protobuf(bytes).map_err(|e| match pem::is_pem(bytes) {
                true => KeyError::IsPem,
                false => e,
            }),
        }
    }

    /// The key as libp2p writes it.
    pub fn to_protobuf(&self) -> &[u8] {
        &self.protobuf
    }

    /// The key as PEM. Fails for secp256k1, for which Go has no such form either.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        pem::export(self)
    }

    /// The name it is published under.
    pub fn id(&self) -> KeyId {
        KeyId(self.pair.public().to_peer_id())
    }

    /// The public half, as libp2p writes it.
    pub fn public(&self) -> Vec<u8> {
        self.pair.public().encode_protobuf()
    }

    /// Signs bytes.
    pub fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.pair.sign(bytes).map_err(|e| KeyError::Signing(e.to_string()))
    }

    /// Whether bytes were signed by this key.
    pub fn verify(&self, bytes: &[u8], signature: &[u8]) -> bool {
        self.pair.public().verify(bytes, signature)
    }

    /// Its kind, as Go spells its type, unless it is one that Kubo takes without a word.
    fn unusual(&self) -> Option<&'static str> {
        match self.pair.key_type() {
            KeyType::Ed25519 | KeyType::RSA => None,
            KeyType::Secp256k1 => Some("*crypto.Secp256k1PrivateKey"),
            KeyType::Ecdsa => Some("*crypto.ECDSAPrivateKey"),
        }
    }

    fn kind_and_data(&self) -> (u64, &[u8]) {
        fields(&self.protobuf).unwrap_or_default()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id().to_string()).finish_non_exhaustive()
    }
}

/// The protobuf of a key, private or public: its kind and its bytes.
fn protobuf(kind: u64, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + 8);
    wire::put_number(&mut out, 1, kind);
    wire::put_bytes(&mut out, 2, data);
    out
}

fn fields(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (mut reader, mut kind, mut data) = (Reader::new(bytes), None, None);
    while !reader.is_empty() {
        match reader.key().ok()? {
            (1, wire::VARINT) => kind = Some(reader.varint().ok()?),
            (2, wire::LEN) => data = Some(reader.bytes().ok()?.rest()),
            (field, kind) => reader.skip(field, kind).ok()?,
        }
    }
    Some((kind?, data?))
}

/// The public name of a key: a peer ID, and an IPNS name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(PeerId);

impl KeyId {
    /// From a peer ID or an IPNS name in any of their spellings; `None` for anything else.
    pub fn parse(text: &str) -> Option<KeyId> {
        if let Ok(peer) = text.parse::<PeerId>() {
            return Some(KeyId(peer));
        }
        let cid = crate::path::parse_cid(text).ok().filter(|cid| cid.codec() == LIBP2P_KEY)?;
        KeyId::from_bytes(&cid.hash().to_bytes())
    }

    /// From the bytes of a peer ID, a multihash.
    pub fn from_bytes(bytes: &[u8]) -> Option<KeyId> {
        PeerId::from_bytes(bytes).ok().map(KeyId)
    }

    /// The bytes of the peer ID, a multihash.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// The public key that a name holds: of short keys the name is the key.
    pub(crate) fn public(&self) -> Option<PublicKey> {
        let hash = cid::multihash::Multihash::<64>::from_bytes(&self.0.to_bytes()).ok()?;
        let inline = hash.code() == crate::block::IDENTITY;
        inline.then(|| PublicKey::try_decode_protobuf(hash.digest()).ok()).flatten()
    }

    /// Whether bytes were signed by the key of this name; `None` where the name does not hold its key (RSA, ECDSA).
    pub fn verify(&self, bytes: &[u8], signature: &[u8]) -> Option<bool> {
        Some(self.public()?.verify(bytes, signature))
    }

    /// The CID of the name in a multibase; base36 is what Kubo writes (`k51…`).
    pub fn in_base(&self, base: Base) -> String {
        let hash = cid::multihash::Multihash::from_bytes(&self.0.to_bytes()).unwrap_or_default();
        let cid: Cid = Cid::new_v1(LIBP2P_KEY, hash);
        cid::multibase::encode(base, cid.to_bytes())
    }

    /// The peer ID in base58, without a multibase letter (`12D3…`, `Qm…`).
    pub fn peer_id(&self) -> String {
        self.0.to_base58()
    }
}

impl fmt::Display for KeyId {
    /// The name in base36.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.in_base(Base::Base36Lower))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where keys lie, by their names. What is put is durable on return.
pub trait KeyPlace: fmt::Debug + Send + Sync + 'static {
    /// The names of all keys, sorted. As many as there are.
    fn names(&self) -> Result<Vec<String>, KeyError>;

    /// The libp2p private key of a name.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, KeyError>;

    /// Keeps a key under a name, in the place of one that is there.
    fn put(&self, name: &str, key: &[u8]) -> Result<(), KeyError>;

    /// Removes the key of a name, if there is one.
    fn remove(&self, name: &str) -> Result<(), KeyError>;
}

/// A key and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The public name.
    pub id: KeyId,
}

/// The longest name of a key, in bytes: in base32 it makes a file name of less than 255.
const MAX_NAME_LEN: usize = 120;

/// The keys of a node: its own, and those with names. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Keyring {
    own: Arc<Key>,
    place: Arc<dyn KeyPlace>,
    /// Looking and writing are two steps; who changes keys does both alone.
    changing: Arc<Mutex<()>>,
}

impl Keyring {
    /// The node's own key, and where the others lie.
    pub fn new(own: Key, place: Arc<dyn KeyPlace>) -> Keyring {
        Keyring { own: Arc::new(own), place, changing: Arc::default() }
    }

    /// The node's own key.
    pub fn own(&self) -> &Key {
        &self.own
    }

    /// All keys, the node's own first and then by name. Reads each; one that cannot be read is left out.
    pub fn list(&self) -> Result<Vec<Named>, KeyError> {
        let mut all = vec![Named { name: SELF.to_owned(), id: self.own.id() }];
        for name in self.place.names()? {
            if let Ok(Some(key)) = self.get(&name) {
                all.push(Named { name, id: key.id() });
            }
        }
        Ok(all)
    }

    /// The key of a name, without the node's own.
    fn get(&self, name: &str) -> Result<Option<Key>, KeyError> {
        self.place.get(name)?.map(|bytes| Key::from_protobuf(&bytes)).transpose()
    }

    /// The key of a name, or with a public name. Of the latter all keys are read.
    pub fn find(&self, name: &str) -> Result<Key, KeyError> {
        if name == SELF {
            return Ok(self.own().clone());
        }
        if let Some(key) = self.get(name)? {
            return Ok(key);
        }
        let id = KeyId::parse(name).ok_or(KeyError::NoSuchKey)?;
        self.with_id(&id)?.ok_or(KeyError::Unknown)
    }

    /// The key with a public name. Reads all keys.
    pub fn with_id(&self, id: &KeyId) -> Result<Option<Key>, KeyError> {
        if self.own.id() == *id {
            return Ok(Some(self.own().clone()));
        }
        for name in self.place.names()? {
            if let Ok(Some(key)) = self.get(&name)
                && key.id() == *id
            {
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// Makes a key of a kind, `ed25519`, and keeps it.
    pub fn generate(&self, name: &str, kind: &str) -> Result<Named, KeyError> {
        if name == SELF {
            return Err(KeyError::Own("create"));
        }
        let _alone = self.alone();
        self.must_be_free(name)?;
        match kind {
            "ed25519" => self.keep(name, &Key::generate()),
            "rsa" => Err(KeyError::RsaIsImported),
            other => Err(KeyError::Type(other.to_owned())),
        }
    }

    /// Keeps a key that was made elsewhere. `any`: also of kinds that Kubo does not make.
    pub fn import(&self, name: &str, key: &Key, any: bool) -> Result<Named, KeyError> {
        if name == SELF {
            return Err(KeyError::Own("import"));
        }
        if let Some(kind) = key.unusual().filter(|_| !any) {
            return Err(KeyError::NotAllowed(kind));
        }
        let _alone = self.alone();
        self.must_be_free(name)?;
        self.keep(name, key)
    }

    /// Gives a key another name; with `force` also that of another key, which is lost. Says whether one was.
    pub fn rename(&self, from: &str, to: &str, force: bool) -> Result<(Named, bool), KeyError> {
        if from == SELF {
            return Err(KeyError::Own("rename"));
        }
        if to == SELF {
            return Err(KeyError::Own("overwrite"));
        }
        let _alone = self.alone();
        let key = self.get(from)?.ok_or_else(|| KeyError::Missing(from.to_owned()))?;
        if from == to {
            return Ok((Named { name: to.to_owned(), id: key.id() }, false));
        }
        let taken = self.place.get(to)?.is_some();
        if taken && !force {
            return Err(KeyError::Taken);
        }
        // ORDER: a crash between leaves the key under both names, never under none.
        let named = self.keep(to, &key)?;
        self.place.remove(from)?;
        Ok((named, taken))
    }

    /// Removes a key.
    pub fn remove(&self, name: &str) -> Result<Named, KeyError> {
        if name == SELF {
            return Err(KeyError::Own("remove"));
        }
        let _alone = self.alone();
        let key = self.get(name)?.ok_or_else(|| KeyError::Missing(name.to_owned()))?;
        self.place.remove(name)?;
        Ok(Named { name: name.to_owned(), id: key.id() })
    }

    fn alone(&self) -> std::sync::MutexGuard<'_, ()> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn must_be_free(&self, name: &str) -> Result<(), KeyError> {
        match self.place.get(name)? {
            Some(_) => Err(KeyError::Exists(name.to_owned())),
            None => Ok(()),
        }
    }

    fn keep(&self, name: &str, key: &Key) -> Result<Named, KeyError> {
        if name.is_empty() {
            return Err(KeyError::NoName);
        }
        if name.len() > MAX_NAME_LEN {
            return Err(KeyError::LongName(name.len()));
        }
        self.place.put(name, key.to_protobuf())?;
        Ok(Named { name: name.to_owned(), id: key.id() })
    }
}
