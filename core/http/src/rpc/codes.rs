//! Numbers and names of codecs and hash functions.
//!
//! Owns the tables as Kubo 0.42 lists them: the codecs that the multicodec table marks as IPLD, and the hash functions that
//! CIDs may have. Must not know which of them are read here.

/// The codecs of the multicodec table with the tag `ipld`.
pub(super) const CODECS: [(u64, &str); 44] = [
    (0x51, "cbor"),
    (0x55, "raw"),
    (0x70, "dag-pb"),
    (0x71, "dag-cbor"),
    (0x72, "libp2p-key"),
    (0x78, "git-raw"),
    (0x7b, "torrent-info"),
    (0x7c, "torrent-file"),
    (0x80, "blake3-hashseq"),
    (0x81, "leofcoin-block"),
    (0x82, "leofcoin-tx"),
    (0x83, "leofcoin-pr"),
    (0x85, "dag-jose"),
    (0x86, "dag-cose"),
    (0x90, "eth-block"),
    (0x91, "eth-block-list"),
    (0x92, "eth-tx-trie"),
    (0x93, "eth-tx"),
    (0x94, "eth-tx-receipt-trie"),
    (0x95, "eth-tx-receipt"),
    (0x96, "eth-state-trie"),
    (0x97, "eth-account-snapshot"),
    (0x98, "eth-storage-trie"),
    (0x99, "eth-receipt-log-trie"),
    (0x9a, "eth-receipt-log"),
    (0xb0, "bitcoin-block"),
    (0xb1, "bitcoin-tx"),
    (0xb2, "bitcoin-witness-commitment"),
    (0xc0, "zcash-block"),
    (0xc1, "zcash-tx"),
    (0xd0, "stellar-block"),
    (0xd1, "stellar-tx"),
    (0xe0, "decred-block"),
    (0xe1, "decred-tx"),
    (0xf0, "dash-block"),
    (0xf1, "dash-tx"),
    (0xfa, "swarm-manifest"),
    (0xfb, "swarm-feed"),
    (0xfc, "beeson"),
    (0x129, "dag-json"),
    (0x1f0, "swhid-1-snp"),
    (0x200, "json"),
    (0xb403, "rdfc-1"),
    (0xb601, "json-jcs"),
];

/// Hash functions that are allowed in CIDs, without those of BLAKE2, of which there is one for each length.
const HASHES: [(u64, &str); 15] = [
    (0x00, "identity"),
    (0x11, "sha1"),
    (0x12, "sha2-256"),
    (0x13, "sha2-512"),
    (0x14, "sha3-512"),
    (0x15, "sha3-384"),
    (0x16, "sha3-256"),
    (0x17, "sha3-224"),
    (0x19, "shake-256"),
    (0x1a, "keccak-224"),
    (0x1b, "keccak-256"),
    (0x1c, "keccak-384"),
    (0x1d, "keccak-512"),
    (0x1e, "blake3"),
    (0x56, "dbl-sha2-256"),
];

/// The family of BLAKE2: name, the number before the one of a digest of one byte, the longest digest in bytes.
const BLAKE2: [(&str, u64, u64); 2] = [("blake2b", 0xb200, 64), ("blake2s", 0xb240, 32)];

/// The shortest digest of BLAKE2 that is allowed in a CID, in bytes.
const SHORTEST: u64 = 20;

/// The hash functions that are allowed in CIDs.
pub(super) fn hashes() -> Vec<(u64, String)> {
    let mut all: Vec<_> = HASHES.iter().map(|(code, name)| (*code, (*name).to_owned())).collect();
    for (name, base, longest) in BLAKE2 {
        all.extend((SHORTEST..=longest).map(|len| (base + len, format!("{name}-{}", len * 8))));
    }
    all
}

/// The name of a codec; of one that is not in the table, its number, as Go writes it.
pub(super) fn codec_name(code: u64) -> String {
    let named = CODECS.iter().find(|(known, _)| *known == code);
    named.map_or_else(|| format!("Code({code})"), |(_, name)| (*name).to_owned())
}

/// The name of a hash function; of an unknown one, its number.
pub(super) fn hash_name(code: u64) -> String {
    let named = HASHES.iter().find(|(known, _)| *known == code).map(|(_, name)| (*name).to_owned());
    let blake = || {
        let of =
            |(_, base, longest): &&(&str, u64, u64)| (base + 1..=base + longest).contains(&code);
        let (name, base, _) = BLAKE2.iter().find(of)?;
        Some(format!("{name}-{}", (code - base) * 8))
    };
    named.or_else(blake).unwrap_or_else(|| format!("hash?{code}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_hash_functions_is_as_long_as_kubos() {
        assert_eq!(hashes().len(), 73);
        assert!(hashes().iter().all(|(code, name)| hash_name(*code) == *name));
        assert!(
            hashes().iter().all(|(code, name)| coldfront::multihash::code_of(name) == Some(*code))
        );
        assert_eq!(
            (hash_name(0x99), codec_name(0x99)),
            ("hash?153".into(), "eth-receipt-log-trie".into())
        );
        assert_eq!(codec_name(0x9999), "Code(39321)");
    }
}
