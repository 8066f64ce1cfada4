//! `config` and `datastore_spec` of a repository.
//!
//! Pure. Owns which store lies where, said twice: Kubo refuses a repository of which the two differ. Rules: kubo
//! `config/init.go`, `repo/fsrepo/datastores.go`.

use coldfront_flatfs::ShardFn;
use serde_json::{Map, Value, json};

use super::error::ExportError;

/// The version of repositories that are written: that of Kubo 0.38 and since.
pub(super) const REPO_VERSION: u32 = 18;

/// What `datastore_spec` holds for blocks in `blocks` and all else in `datastore`: keys sorted, mounts sorted the other way
/// round, and nothing that could be changed later.
pub(super) fn datastore_spec(shards: ShardFn) -> String {
    format!(
        r#"{{"mounts":[{{"mountpoint":"/blocks","path":"blocks","shardFunc":"{shards}","type":"flatfs"}},{{"mountpoint":"/","path":"datastore","type":"levelds"}}],"type":"mount"}}"#
    )
}

/// The same for the config, with what can be changed later.
fn spec(shards: ShardFn) -> Value {
    json!({
        "type": "mount",
        "mounts": [
            {
                "mountpoint": "/blocks",
                "type": "flatfs",
                "prefix": "flatfs.datastore",
                "path": "blocks",
                "sync": false,
                "shardFunc": shards.to_string(),
            },
            {
                "mountpoint": "/",
                "type": "levelds",
                "prefix": "leveldb.datastore",
                "path": "datastore",
                "compression": "none",
            },
        ],
    })
}

/// The config of the repository: the one that was carried over, with the stores that are written now.
///
/// That of a repository of another version would hold fields that Kubo refuses or reads differently now, so only what has
/// always meant the same is taken from it.
pub(super) fn config(carried: &str, version: u32, shards: ShardFn) -> Result<String, ExportError> {
    let bad = |why: String| ExportError::Config { why };
    let carried: Map<String, Value> =
        serde_json::from_str(carried).map_err(|error| bad(format!("it is no JSON: {error}")))?;
    check_identity(&carried)?;
    let mut config = if version == REPO_VERSION { carried } else { fresh(carried) };
    let datastore = config.entry("Datastore").or_insert_with(|| json!({}));
    let Some(datastore) = datastore.as_object_mut() else {
        return Err(bad("its Datastore is no object".into()));
    };
    datastore.insert("Spec".into(), spec(shards));
    serde_json::to_string_pretty(&config).map_err(|error| bad(error.to_string()))
}

fn check_identity(config: &Map<String, Value>) -> Result<(), ExportError> {
    let has = |field: &str| {
        let text = config.get("Identity").and_then(|identity| identity.get(field)?.as_str());
        text.is_some_and(|text| !text.is_empty())
    };
    if has("PeerID") && has("PrivKey") { Ok(()) } else { Err(ExportError::NoIdentity) }
}

/// Sections that have meant the same in all versions.
const KEPT: [&str; 4] = ["Identity", "Addresses", "Peering", "Mounts"];

/// What `ipfs init` of Kubo 0.42 says, for what is not carried over.
fn fresh(mut carried: Map<String, Value>) -> Map<String, Value> {
    let mut config = match json!({
        "Addresses": {
            "API": "/ip4/127.0.0.1/tcp/5001",
            "Gateway": "/ip4/127.0.0.1/tcp/8080",
            "Swarm": [
                "/ip4/0.0.0.0/tcp/4001",
                "/ip6/::/tcp/4001",
                "/ip4/0.0.0.0/udp/4001/quic-v1",
                "/ip6/::/udp/4001/quic-v1",
            ],
        },
        "Bootstrap": ["auto"],
        "DNS": { "Resolvers": { ".": "auto" } },
        "Datastore": {
            "StorageMax": "10GB",
            "StorageGCWatermark": 90,
            "GCPeriod": "1h",
            "HashOnRead": false,
            "BloomFilterSize": 0,
        },
        "Discovery": { "MDNS": { "Enabled": true } },
        "Ipns": { "DelegatedPublishers": ["auto"] },
        "Routing": { "DelegatedRouters": ["auto"] },
    }) {
        Value::Object(config) => config,
        _ => Map::new(),
    };
    for section in KEPT {
        if let Some(value) = carried.remove(section) {
            config.insert(section.into(), value);
        }
    }
    config
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const CARRIED: &str = r#"{"Identity":{"PeerID":"12D3","PrivKey":"CAES"},"Addresses":{"API":"/ip4/127.0.0.1/tcp/1"},"Datastore":{"StorageMax":"90TB","Spec":{"type":"badgerds"}},"Reprovider":{"Interval":"1h"}}"#;

    fn parsed(version: u32) -> Value {
        serde_json::from_str(&config(CARRIED, version, ShardFn::default()).unwrap()).unwrap()
    }

    #[test]
    fn the_spec_is_the_text_that_kubo_makes_of_its_own_config() {
        assert_eq!(
            datastore_spec(ShardFn::default()),
            r#"{"mounts":[{"mountpoint":"/blocks","path":"blocks","shardFunc":"/repo/flatfs/shard/v1/next-to-last/2","type":"flatfs"},{"mountpoint":"/","path":"datastore","type":"levelds"}],"type":"mount"}"#
        );
    }

    #[test]
    fn a_config_of_this_version_stays_but_for_its_stores() {
        let config = parsed(REPO_VERSION);
        assert_eq!(config["Datastore"]["StorageMax"], "90TB");
        assert_eq!(config["Reprovider"]["Interval"], "1h");
        assert_eq!(config["Datastore"]["Spec"]["mounts"][1]["type"], "levelds");
    }

    #[test]
    fn of_an_older_config_only_what_still_means_the_same_stays() {
        let config = parsed(12);
        assert_eq!(config["Identity"]["PeerID"], "12D3");
        assert_eq!(config["Addresses"]["API"], "/ip4/127.0.0.1/tcp/1");
        assert_eq!(config["Datastore"]["StorageMax"], "10GB");
        assert_eq!(config.get("Reprovider"), None);
    }

    #[test]
    fn a_config_without_an_identity_is_refused() {
        for bad in ["{}", r#"{"Identity":{"PeerID":"x"}}"#, r#"{"Identity":7}"#] {
            let refused = config(bad, REPO_VERSION, ShardFn::default());
            assert!(matches!(refused, Err(ExportError::NoIdentity)), "{bad}");
        }
        for bad in ["", "[]", r#"{"Identity":{"PeerID":"x","PrivKey":"y"},"Datastore":[]}"#] {
            let refused = config(bad, REPO_VERSION, ShardFn::default());
            assert!(matches!(refused, Err(ExportError::Config { .. })), "{bad}");
        }
    }
}
