//! Keys and signed names as records of a hot store, where a migration has put those of a Kubo repository and an
//! export finds them.
//!
//! Owns their names in the space of records [`CARRIED`]: `key/NAME`, `name/PEER`, and `config`, whose identity is the
//! node's own. The identity of a store that came from no repository is the record `self`.

use data_encoding::BASE64;

use super::{Key, KeyError, KeyPlace};
use crate::ipns::NamePlace;
use crate::keys::KeyId;
use crate::store::hot::{HotStore, Records};

/// The space of records that holds what is neither a block nor a pin.
pub const CARRIED: &str = "carried";

/// Records that are read at a time.
const AT_A_TIME: usize = 1000;

/// The keys and names that a hot store holds.
#[derive(Clone, Debug)]
pub struct HotKeys {
    records: Records,
}

impl HotKeys {
    /// Those of a store.
    pub fn of(hot: &HotStore) -> HotKeys {
        HotKeys { records: hot.records(CARRIED) }
    }

    /// The node's own key: that of the repository which the store was filled from, else one that is made and kept now.
    pub fn identity(&self) -> Result<Key, KeyError> {
        if let Some(key) = self.records.get(b"config")?.and_then(|config| of_config(&config)) {
            return Key::from_protobuf(&key);
        }
        if let Some(key) = self.records.get(b"self")? {
            return Key::from_protobuf(&key);
        }
        let key = Key::generate();
        self.records.put(&[(b"self".to_vec(), Some(key.to_protobuf().to_vec()))])?;
        Ok(key)
    }

    /// The names behind a beginning.
    fn names_behind(&self, beginning: &[u8]) -> Result<Vec<Vec<u8>>, KeyError> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        let mut last: Vec<u8> = Vec::new();
        loop {
            let some = self.records.after(beginning, &last, AT_A_TIME)?;
            let Some((name, _)) = some.last() else { return Ok(names) };
            last.clone_from(name);
            let rest = |name: &[u8]| name.get(beginning.len()..).unwrap_or_default().to_vec();
            names.extend(some.iter().map(|(name, _)| rest(name)));
        }
    }
}

/// The private key in a configuration of Kubo's.
fn of_config(config: &[u8]) -> Option<Vec<u8>> {
    let config: serde_json::Value = serde_json::from_slice(config).ok()?;
    let key = config.get("Identity")?.get("PrivKey")?.as_str()?;
    BASE64.decode(key.as_bytes()).ok()
}

fn key_name(name: &str) -> Vec<u8> {
    [b"key/", name.as_bytes()].concat()
}

impl KeyPlace for HotKeys {
    fn names(&self) -> Result<Vec<String>, KeyError> {
        let names = self.names_behind(b"key/")?;
        Ok(names.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect())
    }

    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, KeyError> {
        Ok(self.records.get(&key_name(name))?)
    }

    fn put(&self, name: &str, key: &[u8]) -> Result<(), KeyError> {
        Ok(self.records.put(&[(key_name(name), Some(key.to_vec()))])?)
    }

    fn remove(&self, name: &str) -> Result<(), KeyError> {
        Ok(self.records.put(&[(key_name(name), None)])?)
    }
}

impl NamePlace for HotKeys {
    fn names(&self) -> Result<Vec<KeyId>, KeyError> {
        let names = self.names_behind(b"name/")?;
        Ok(names.iter().filter_map(|peer| KeyId::from_bytes(peer)).collect())
    }

    fn get(&self, id: &KeyId) -> Result<Option<Vec<u8>>, KeyError> {
        Ok(self.records.get(&[b"name/", &id.to_bytes()[..]].concat())?)
    }

    fn put(&self, id: &KeyId, record: &[u8]) -> Result<(), KeyError> {
        let name = [b"name/", &id.to_bytes()[..]].concat();
        Ok(self.records.put(&[(name, Some(record.to_vec()))])?)
    }
}
