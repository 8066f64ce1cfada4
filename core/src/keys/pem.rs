//! Keys as PEM: PKCS #8 without a password, as openssl writes it.
//!
//! Owns the way between PKCS #8 and what libp2p puts into its protobuf: an Ed25519 seed and its public half, a
//! PKCS #1 RSA key, a SEC 1 ECDSA key. The forms themselves are read and written by the crate `pkcs8`.

use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::{Decode as _, Encode as _};
use pkcs8::spki::AlgorithmIdentifierRef;
use pkcs8::{LineEnding, ObjectIdentifier, PrivateKeyInfoRef, SecretDocument};

use super::{Key, KeyError, MAX_KEY_LEN, protobuf};

const LABEL: &str = "PRIVATE KEY";
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// Whether bytes look like PEM.
pub(super) fn is_pem(bytes: &[u8]) -> bool {
    bytes.windows(11).take(MAX_KEY_LEN).any(|window| window == b"-----BEGIN ")
}

fn not_pkcs8(reason: impl std::fmt::Display) -> KeyError {
    KeyError::Pem(format!("parsing PKCS8 format: {reason}"))
}

pub(super) fn import(bytes: &[u8]) -> Result<Key, KeyError> {
    if !is_pem(bytes) {
        let text = String::from_utf8_lossy(bytes.get(..200).unwrap_or(bytes));
        return Err(KeyError::Pem(format!("PEM block not found in input data:\n{text}")));
    }
    let text = String::from_utf8_lossy(bytes);
    let start = text.find("-----BEGIN ").unwrap_or_default();
    let block = text.get(start..).unwrap_or_default();
    let (label, document) = SecretDocument::from_pem(block).map_err(not_pkcs8)?;
    if label != LABEL {
        return Err(KeyError::Pem(format!(
            "expected PRIVATE KEY type in PEM block but got: {label}"
        )));
    }
    let info = PrivateKeyInfoRef::try_from(document.as_bytes()).map_err(not_pkcs8)?;
    let data = info.private_key.as_bytes();
    match info.algorithm.oid {
        ED25519 => {
            let seed = <&OctetStringRef>::from_der(data).map_err(not_pkcs8)?;
            let mut seed = seed.as_bytes().to_vec();
            let secret = libp2p_identity::ed25519::SecretKey::try_from_bytes(&mut seed);
            let secret = secret.map_err(not_pkcs8)?;
            let pair = libp2p_identity::ed25519::Keypair::from(secret);
            Key::from_protobuf(&protobuf(1, &pair.to_bytes()))
        }
        RSA => Key::from_protobuf(&protobuf(0, data)),
        EC => Key::from_protobuf(&protobuf(3, data)),
        other => {
            Err(not_pkcs8(format!("a key of the algorithm {other}, expected Ed25519, RSA or EC")))
        }
    }
}

pub(super) fn export(key: &Key) -> Result<String, KeyError> {
    let (kind, data) = key.kind_and_data();
    let seed;
    let null = pkcs8::der::asn1::AnyRef::NULL;
    let curve = pkcs8::der::asn1::AnyRef::from(&P256);
    let (oid, parameters, private_key) = match kind {
        0 => (RSA, Some(null), data),
        1 => {
            let octets = OctetStringRef::new(data.get(..32).unwrap_or_default());
            seed = octets.and_then(|octets| octets.to_der()).map_err(not_pkcs8)?;
            (ED25519, None, &seed[..])
        }
        3 => (EC, Some(curve), data),
        _ => {
            return Err(KeyError::Pem(
                "a secp256k1 key has no PKCS8 form; use libp2p-protobuf-cleartext".into(),
            ));
        }
    };
    let octets = OctetStringRef::new(private_key).map_err(not_pkcs8)?;
    let info = PrivateKeyInfoRef::new(AlgorithmIdentifierRef { oid, parameters }, octets);
    let document = SecretDocument::encode_msg(&info).map_err(not_pkcs8)?;
    let pem = document.to_pem(LABEL, LineEnding::LF).map_err(not_pkcs8)?;
    Ok(pem.to_string())
}
