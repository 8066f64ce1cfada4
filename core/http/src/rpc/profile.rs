//! `config/profile/apply`: settings that go together. Twin of kubo `core/commands/config.go`; rules: kubo `config/profile.go`.
//!
//! Owns what each profile sets. What of the configuration is heeded here is little; the rest is kept for the Kubo that may
//! run on it again.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::call::Call;
use super::error::Failed;
use super::table::{Arg, Command, Effect, Opt};

pub(super) const COMMAND: Command = Command {
    args: &[Arg::text("profile", "The name of the profile")],
    options: &[Opt::flag(&["dry-run"], "Only tell what would change")],
    output: r#"{"OldCfg","NewCfg"}"#,
    effect: Effect::Controls,
    ..Command::new("config/profile/apply", "Apply a profile to the configuration", apply)
};

/// Networks that no address of the open Internet is in, as a server leaves them alone.
const NOT_PUBLIC: [&str; 19] = [
    "/ip4/10.0.0.0/ipcidr/8",
    "/ip4/100.64.0.0/ipcidr/10",
    "/ip4/127.0.0.0/ipcidr/8",
    "/ip4/169.254.0.0/ipcidr/16",
    "/ip4/172.16.0.0/ipcidr/12",
    "/ip4/192.0.0.0/ipcidr/24",
    "/ip4/192.0.2.0/ipcidr/24",
    "/ip4/192.168.0.0/ipcidr/16",
    "/ip4/198.18.0.0/ipcidr/15",
    "/ip4/198.51.100.0/ipcidr/24",
    "/ip4/203.0.113.0/ipcidr/24",
    "/ip4/240.0.0.0/ipcidr/4",
    "/ip6/::/ipcidr/3",
    "/ip6/::1/ipcidr/128",
    "/ip6/100::/ipcidr/64",
    "/ip6/2001:2::/ipcidr/48",
    "/ip6/2001:db8::/ipcidr/32",
    "/ip6/fc00::/ipcidr/7",
    "/ip6/fe80::/ipcidr/10",
];

/// Profiles that say where a repository's blocks lie: they are for `init` alone.
const DATASTORES: [&str; 7] = [
    "default-datastore",
    "flatfs",
    "flatfs-measure",
    "pebbleds",
    "pebbleds-measure",
    "badgerds",
    "badgerds-measure",
];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Applied {
    old_cfg: Value,
    new_cfg: Value,
}

fn apply(call: &mut Call) -> Result<(), Failed> {
    let name = call.arg(0).to_owned();
    if DATASTORES.contains(&name.as_str()) {
        return Err(Failed::new(format!(
            "{name} says where blocks lie, which is chosen when a repository is made; coldfront-migrate moves them"
        )));
    }
    let settings = call.daemon.settings();
    let old_cfg = settings.shown();
    let new_cfg = match call.options.flag("dry-run") {
        true => {
            let mut config = old_cfg.clone();
            transform(&mut config, &name)?;
            config
        }
        false => {
            settings.change(|config| transform(config, &name))?;
            settings.shown()
        }
    };
    call.once(&Applied { old_cfg, new_cfg })
}

fn transform(config: &mut Value, profile: &str) -> Result<(), Failed> {
    if let "server" | "local-discovery" = profile {
        let is_server = profile == "server";
        for list in ["/Addresses/NoAnnounce", "/Swarm/AddrFilters"] {
            let filters = filtered(config.pointer(list), is_server);
            set(config, list, filters);
        }
        set(config, "/Discovery/MDNS/Enabled", json!(!is_server));
        set(config, "/Swarm/DisableNatPortMap", json!(is_server));
        return Ok(());
    }
    let changes =
        changes(profile).ok_or_else(|| Failed::new(format!("{profile} is not a profile")))?;
    for (pointer, value) in changes {
        set(config, pointer, value);
    }
    Ok(())
}

/// A list of networks with those of a server, or without.
fn filtered(list: Option<&Value>, with: bool) -> Value {
    let list = list.and_then(Value::as_array);
    let old = list.into_iter().flatten().filter_map(Value::as_str);
    let mut all: Vec<&str> = Vec::new();
    let ours = |network: &&str| NOT_PUBLIC.contains(network);
    let new = NOT_PUBLIC.into_iter().filter(|_| with);
    for network in old.filter(|network| with || !ours(network)).chain(new) {
        if !all.contains(&network) {
            all.push(network);
        }
    }
    json!(all)
}

/// Puts a value where a pointer leads; maps on the way are made.
fn set(config: &mut Value, pointer: &str, value: Value) {
    let mut at = config;
    for name in pointer.split('/').skip(1) {
        if !at.is_object() {
            *at = Value::Object(Map::new());
        }
        let Value::Object(map) = at else { return };
        at = map.entry(name).or_insert(Value::Null);
    }
    *at = value;
}

/// What a profile sets, and where.
fn changes(profile: &str) -> Option<Vec<(&'static str, Value)>> {
    let changes = match profile {
        "test" => vec![
            ("/Addresses/API", json!("/ip4/127.0.0.1/tcp/0")),
            ("/Addresses/Gateway", json!("/ip4/127.0.0.1/tcp/0")),
            ("/Addresses/Swarm", json!(["/ip4/127.0.0.1/tcp/0"])),
            ("/Swarm/DisableNatPortMap", json!(true)),
            ("/Routing/LoopbackAddressesOnLanDHT", json!(true)),
            ("/Bootstrap", json!([])),
            ("/Discovery/MDNS/Enabled", json!(false)),
            ("/AutoTLS/Enabled", json!(false)),
            ("/AutoConf/Enabled", json!(false)),
            ("/DNS/Resolvers", json!({})),
            ("/Routing/DelegatedRouters", json!([])),
            ("/Ipns/DelegatedPublishers", json!([])),
        ],
        "default-networking" => vec![
            ("/Addresses", default_addresses()),
            ("/Bootstrap", json!(["auto"])),
            ("/AutoConf", json!({})),
            ("/Swarm/DisableNatPortMap", json!(false)),
            ("/Discovery/MDNS/Enabled", json!(true)),
            ("/AutoTLS", json!({})),
        ],
        "lowpower" => vec![
            ("/Routing/Type", json!("autoclient")),
            ("/AutoNAT/ServiceMode", json!("disabled")),
            ("/Swarm/RelayService/Enabled", json!(false)),
            ("/Swarm/ConnMgr/Type", json!("basic")),
            ("/Swarm/ConnMgr/LowWater", json!(20)),
            ("/Swarm/ConnMgr/HighWater", json!(40)),
            ("/Swarm/ConnMgr/GracePeriod", json!("1m0s")),
        ],
        "announce-off" => {
            vec![("/Provide/Enabled", json!(false)), ("/Provide/DHT/Interval", json!("0s"))]
        }
        "announce-on" => {
            vec![("/Provide/Enabled", json!(true)), ("/Provide/DHT/Interval", json!("22h0m0s"))]
        }
        "randomports" => {
            vec![("/Addresses/Swarm", json!(["/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0"]))]
        }
        "unixfs-v0-2015" | "legacy-cid-v0" => import(0, false, "size-262144", 174, "links"),
        "unixfs-v1-2025" => import(1, true, "size-1048576", 1024, "block"),
        "autoconf-on" => vec![
            ("/Bootstrap", json!(["auto"])),
            ("/DNS/Resolvers", json!({".": "auto"})),
            ("/Routing/DelegatedRouters", json!(["auto"])),
            ("/Ipns/DelegatedPublishers", json!(["auto"])),
            ("/AutoConf/Enabled", json!(true)),
        ],
        "autoconf-off" => vec![
            ("/Bootstrap", Value::Null),
            ("/DNS/Resolvers", Value::Null),
            ("/Routing/DelegatedRouters", Value::Null),
            ("/Ipns/DelegatedPublishers", Value::Null),
            ("/AutoConf/Enabled", json!(false)),
        ],
        _ => return None,
    };
    Some(changes)
}

fn default_addresses() -> Value {
    json!({
        "Swarm": [
            "/ip4/0.0.0.0/tcp/4001",
            "/ip6/::/tcp/4001",
            "/ip4/0.0.0.0/udp/4001/webrtc-direct",
            "/ip4/0.0.0.0/udp/4001/quic-v1",
            "/ip4/0.0.0.0/udp/4001/quic-v1/webtransport",
            "/ip6/::/udp/4001/webrtc-direct",
            "/ip6/::/udp/4001/quic-v1",
            "/ip6/::/udp/4001/quic-v1/webtransport",
        ],
        "Announce": [],
        "AppendAnnounce": [],
        "NoAnnounce": [],
        "API": "/ip4/127.0.0.1/tcp/5001",
        "Gateway": "/ip4/127.0.0.1/tcp/8080",
    })
}

/// How files become DAGs, as IPIP-499 names it.
fn import(
    version: u8,
    raw_leaves: bool,
    chunker: &str,
    links: u32,
    estimation: &str,
) -> Vec<(&'static str, Value)> {
    vec![
        ("/Import/CidVersion", json!(version)),
        ("/Import/UnixFSRawLeaves", json!(raw_leaves)),
        ("/Import/UnixFSChunker", json!(chunker)),
        ("/Import/HashFunction", json!("sha2-256")),
        ("/Import/UnixFSFileMaxLinks", json!(links)),
        ("/Import/UnixFSDirectoryMaxLinks", json!(0)),
        ("/Import/UnixFSHAMTDirectoryMaxFanout", json!(256)),
        ("/Import/UnixFSHAMTDirectorySizeThreshold", json!("256KiB")),
        ("/Import/UnixFSHAMTDirectorySizeEstimation", json!(estimation)),
        ("/Import/UnixFSDAGLayout", json!("balanced")),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_server_s_networks_come_once_and_go_again() {
        let mine = json!({"Swarm": {"AddrFilters": ["/ip4/1.2.3.0/ipcidr/24", NOT_PUBLIC[0]]}});
        let mut config = mine.clone();
        transform(&mut config, "server").unwrap();
        transform(&mut config, "server").unwrap();
        assert_eq!(config["Swarm"]["AddrFilters"].as_array().unwrap().len(), 20);
        assert_eq!(config["Discovery"]["MDNS"]["Enabled"], false);
        transform(&mut config, "local-discovery").unwrap();
        assert_eq!(config["Swarm"]["AddrFilters"], json!(["/ip4/1.2.3.0/ipcidr/24"]));
        assert_eq!(config["Swarm"]["DisableNatPortMap"], false);
    }

    #[test]
    fn every_profile_changes_something_and_others_are_none() {
        for name in [
            "server",
            "local-discovery",
            "test",
            "default-networking",
            "lowpower",
            "announce-off",
            "announce-on",
            "randomports",
            "unixfs-v0-2015",
            "legacy-cid-v0",
            "unixfs-v1-2025",
            "autoconf-on",
            "autoconf-off",
        ] {
            let mut config = json!({"Bootstrap": ["x"]});
            transform(&mut config, name).unwrap();
            assert_ne!(config, json!({"Bootstrap": ["x"]}), "{name}");
        }
        assert_eq!(transform(&mut json!({}), "nope").unwrap_err().message, "nope is not a profile");
    }
}
