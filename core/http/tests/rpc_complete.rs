//! Every command of Kubo 0.42 is served here, or left out on purpose; and what those answer that need neither peers nor
//! blocks, beside what a real Kubo answered.

#![allow(clippy::unwrap_used)]

mod rpc;

use std::collections::BTreeSet;

use rpc::{Server, server};
use serde_json::{Value, json};

const KUBOS: &str = include_str!("rpc/commands-kubo-0.42.txt");

/// Commands that Kubo's own daemon does not serve over HTTP: 404 there and here.
const CLIENTS: [&str; 17] = [
    "commands/completion/bash",
    "commands/completion/fish",
    "commands/completion/zsh",
    "config/edit",
    "diag/datastore/count",
    "diag/datastore/get",
    "diag/datastore/put",
    "files/chroot",
    "key/export",
    "key/rotate",
    "repo/migrate",
    "update",
    "update/check",
    "update/clean",
    "update/install",
    "update/revert",
    "update/versions",
];

/// Commands that are not served, and why.
const LEFT_OUT: [(&str, &str); 1] = [("diag/profile", "a profile of a Go program")];

/// Options on which a client acts itself: they are not sent.
const OF_CLIENTS: [(&str, &str); 7] = [
    ("add", "H"),
    ("add", "dereference-args"),
    ("add", "dereference-symlinks"),
    ("add", "hidden"),
    ("add", "ignore"),
    ("add", "ignore-rules-path"),
    ("add", "stdin-name"),
];

/// Commands and groups that fail whatever their options are, which are not listed here.
const OFF: [&str; 18] = [
    "dht/",
    "files",
    "filestore/",
    "mount",
    "name/pubsub/",
    "object/",
    "p2p/",
    "pin/remote/",
    "ping",
    "provide/",
    "pubsub/",
    "routing/",
    "stats/dht",
    "stats/provide",
    "stats/reprovide",
    "swarm/filters",
    "swarm/resources",
    "version/check",
];

/// Name, whether commands lie below it, and options.
fn kubos() -> impl Iterator<Item = (&'static str, bool, Vec<Vec<&'static str>>)> {
    KUBOS.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        let options = words.map(|names| names.split(',').collect()).collect();
        (name.trim_end_matches('/'), name.ends_with('/'), options)
    })
}

/// Every command that the server says it has, with its options.
fn ours(server: &Server) -> Vec<(String, Vec<Value>)> {
    let mut found = Vec::new();
    let mut open = vec![(String::new(), server.call("commands?flags=true").values()[0].clone())];
    while let Some((path, node)) = open.pop() {
        for sub in node["Subcommands"].as_array().unwrap() {
            let name = sub["Name"].as_str().unwrap();
            let below = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            open.push((below, sub.clone()));
        }
        found.push((path, node["Options"].as_array().unwrap().clone()));
    }
    found
}

#[test]
fn every_command_of_kubo_is_served_or_left_out_on_purpose() {
    let server = server();
    let mut wrong = Vec::new();
    for (name, is_group, _) in kubos() {
        let is_left_out = CLIENTS.contains(&name) || LEFT_OUT.iter().any(|(out, _)| *out == name);
        // Without arguments: an answer or a sentence, but for what is not there.
        let is_there = name == "shutdown" || server.call(name).status != 404;
        if is_there == is_left_out && (is_there || !is_group) {
            wrong.push(name);
        }
    }
    assert_eq!(wrong, Vec::<&str>::new());
}

#[test]
fn every_option_of_kubo_is_known_by_all_its_names_or_left_out_on_purpose() {
    let ours = ours(&server());
    let mut unknown = BTreeSet::new();
    for (name, _, options) in kubos() {
        let is_off = |off: &&&str| name == **off || off.ends_with('/') && name.starts_with(**off);
        let known = ours.iter().find(|(ours, _)| ours == name);
        let (Some((_, known)), None) = (known, OFF.iter().find(is_off)) else { continue };
        let known: Vec<&str> = known
            .iter()
            .flat_map(|option| option["Names"].as_array().unwrap())
            .map(|name| name.as_str().unwrap())
            .collect();
        for option in options.into_iter().flatten().filter(|option| !known.contains(option)) {
            unknown.insert((name, option));
        }
    }
    assert_eq!(unknown, BTreeSet::from(OF_CLIENTS));
}

#[test]
fn cids_are_taken_apart_and_written_anew_as_kubo_does_it() {
    let server = server();
    const V0: &str = "QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN";
    const RAW: &str = "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am";
    const V0_AS_V1: &str = "bafybeiffndsajwhk3lwjewwdxqntmjm4b5wxaaanokonsggenkbw6slwk4";
    let one = |query: &str| server.call(query).values()[0].clone();
    let formatted = |cid: &str, text: &str, error: &str| json!({"CidStr": cid, "Formatted": text, "ErrorMsg": error});
    assert_eq!(one(&format!("cid/base32?arg={V0}")), formatted(V0, V0_AS_V1, ""));
    assert_eq!(
        one(&format!("cid/format?arg={V0}&f=%25P")),
        formatted(V0, "cidv0-dag-pb-sha2-256-32", "")
    );
    assert_eq!(
        one(&format!("cid/format?arg={V0}&v=1&b=base58btc&mc=dag-cbor")),
        formatted(V0, "zdpuAwZ8X1b4yQQMhb7pSoJLmjiw1ComF93djHUfberfGZk9C", "")
    );
    assert_eq!(
        one(&format!("cid/format?arg={RAW}&v=0")),
        formatted(RAW, "", "can't convert non-dag-pb nodes to cidv0")
    );
    let all = "%25b%20%25B%20%25v%20%25V%20%25c%20%25C%20%25h%20%25H%20%25L%20%25m%20%25M%20%25d%20%25D%20%25s%20%25S%20%25P%20%25%25";
    let parts = "base32 b cidv1 1 raw 85 sha2-256 18 32 bciqfrenvwurnlxyinuh7bmiq7pm5eg5u7rywhlzu2cbinixii33l4ay ciqfrenvwurnlxyinuh7bmiq7pm5eg5u7rywhlzu2cbinixii33l4ay blci3lnjc2xpqq3ip6cyrb66z2in3j7drmoxtjuecq2roqrxwxybq lci3lnjc2xpqq3ip6cyrb66z2in3j7drmoxtjuecq2roqrxwxybq bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am afkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am cidv1-raw-sha2-256-32 %";
    assert_eq!(one(&format!("cid/format?arg={RAW}&f={all}")), formatted(RAW, parts, ""));
    // What cannot be read stands between those that can.
    let some = server.call(&format!("cid/base32?arg=nope&arg={V0}")).values();
    assert_eq!((some.len(), &some[0]["Formatted"]), (2, &json!("")));
    assert!(some[0]["ErrorMsg"].as_str().unwrap().starts_with("invalid cid: "));
    let message = |query: &str| server.call(&format!("cid/format?arg={V0}&{query}")).message();
    assert_eq!(message("f=%25q"), "unrecognized specifier in format string: %q");
    assert_eq!(message("f=x"), "invalid format string: \"x\"");
    assert_eq!(
        message("v=0&b=base32"),
        "cannot convert to CIDv0 with any multibase other than the implicit base58btc"
    );
    let inspected = one(&format!("cid/inspect?arg={V0}"));
    assert_eq!(
        inspected,
        json!({"cid": V0, "version": 0, "multibase": {"prefix": "z", "name": "base58btc"},
            "multicodec": {"code": 112, "name": "dag-pb"},
            "multihash": {"code": 18, "name": "sha2-256", "length": 32,
                "digest": "a568e404d8eadaec925ac3bc1b36259c0f6d70000d729cd918c46a836f497657"},
            "cidV0": V0, "cidV1": V0_AS_V1})
    );
    const PEER: &str = "12D3KooWNGDmZjkCj15FTLHmsfG2ZsKWoJCbE3xvEJg3649wkcsp";
    let peer = one(&format!("cid/inspect?arg={PEER}"));
    let end = "inspect its CID representation instead:\n  k51qzi5uqu5dksifla1rxojfuqymlbucumnb9wry92s5y3juj3c9mil9512abr";
    assert!(peer["errorMsg"].as_str().unwrap().ends_with(end), "{peer}");
    assert_eq!(one("cid/bases").as_array().unwrap().len(), 21);
    assert_eq!(one("multibase/list"), one("cid/bases"));
    assert_eq!(one("cid/codecs").as_array().unwrap().len(), 44);
    assert_eq!(one("cid/hashes").as_array().unwrap().len(), 73);
}

#[test]
fn bytes_become_text_of_any_base_and_bytes_again() {
    let server = server();
    let answer = |call: &str, body: &[u8]| server.upload(call, &[("x", body)]).text();
    assert_eq!(answer("multibase/encode", b"hello"), "uaGVsbG8");
    assert_eq!(answer("multibase/decode", b"uaGVsbG8"), "hello");
    assert_eq!(answer("multibase/transcode?b=base16", b"uaGVsbG8"), "f68656c6c6f");
    let message = |call: &str, body: &[u8]| server.upload(call, &[("x", body)]).message();
    assert_eq!(message("multibase/encode?b=nope", b"x"), "unsupported multibase encoding: nope");
    assert!(message("multibase/decode", b"zz!").starts_with("failed to decode multibase: "));
    let long = vec![b'1'; 1 << 20];
    assert!(server.upload("multibase/encode", &[("x", &long)]).status == 200);
    assert!(message("multibase/encode", &[&long[..], b"1"].concat()).starts_with("more than "));
}

#[test]
fn the_list_of_bootstrap_peers_is_kept_in_the_configuration() {
    let server = server();
    const PEER: &str =
        "/ip4/1.2.3.4/tcp/4001/p2p/12D3KooWNGDmZjkCj15FTLHmsfG2ZsKWoJCbE3xvEJg3649wkcsp";
    let peers = |query: &str| server.call(query).values()[0]["Peers"].clone();
    assert_eq!(peers("bootstrap/list"), json!([]));
    assert_eq!(peers(&format!("bootstrap/add?arg={PEER}")), json!([PEER]));
    assert_eq!(peers(&format!("bootstrap/add?arg={PEER}")), json!([PEER]));
    assert_eq!(peers("bootstrap"), json!([PEER]));
    assert_eq!(server.call("config?arg=Bootstrap").values()[0]["Value"], json!([PEER]));
    assert_eq!(peers("bootstrap/rm?arg=/ip4/9.9.9.9/tcp/1/p2p/Qmx"), json!([]));
    assert_eq!(peers("bootstrap/rm/all"), json!([PEER]));
    assert_eq!(peers("bootstrap/rm?all=true"), json!([]));
    let message = |query: &str| server.call(query).message();
    assert_eq!(message("bootstrap/add"), "no bootstrap peers to add");
    assert_eq!(
        message("bootstrap/add?arg=nope"),
        "failed to parse multiaddr \"nope\": must begin with /"
    );
    server.call("config?arg=AutoConf.Enabled&arg=false&bool=true");
    assert!(message("bootstrap/add?arg=default").starts_with("cannot add default bootstrap peers"));
}

#[test]
fn a_profile_changes_the_configuration_unless_it_is_only_tried() {
    let server = server();
    let apply = |query: &str| server.call(&format!("config/profile/apply?{query}")).values();
    let tried = &apply("arg=unixfs-v1-2025&dry-run=true")[0];
    assert_eq!(tried["NewCfg"]["Import"]["CidVersion"], 1);
    assert_eq!(server.call("config?arg=Import.CidVersion").status, 500);
    apply("arg=unixfs-v1-2025");
    assert_eq!(server.call("config?arg=Import.CidVersion").values()[0]["Value"], 1);
    let message = |name: &str| server.call(&format!("config/profile/apply?arg={name}")).message();
    assert_eq!(message("nope"), "nope is not a profile");
    assert!(message("flatfs").contains("when a repository is made"));
}

#[test]
fn what_is_off_says_so_at_once_as_kubo_says_it() {
    let server = server();
    const ONLINE: &str = "this command must be run in online mode. Try running 'ipfs daemon' first";
    for (call, sentence) in [
        ("p2p/ls", "libp2p stream mounting not enabled"),
        ("swarm/filters", ONLINE),
        ("swarm/peering/add?arg=/ip4/1.2.3.4/tcp/1/p2p/x", ONLINE),
        ("swarm/peering/add?arg=x", "failed to parse multiaddr \"x\": must begin with /"),
        (
            "swarm/resources",
            "missing ResourceMgr: make sure the daemon is running with Swarm.ResourceMgr.Enabled",
        ),
        ("stats/dht", ONLINE),
        ("provide/stat", ONLINE),
        ("bitswap/reprovide", ONLINE),
        ("version/check", ONLINE),
        ("dht/findprovs?arg=x", "removed, use 'ipfs routing' instead"),
        ("dht/query?arg=x", "routing service is not a DHT"),
        (
            "routing/get?arg=/ipns/x",
            "this action must be run in online mode, try running 'ipfs daemon' first",
        ),
        ("object/patch/set-data", "removed, use 'ipfs dag' or 'ipfs files' instead"),
        ("pin/remote/ls", "a service name must be passed"),
        ("pin/remote/ls?service=x", "service not known"),
        ("name/pubsub/subs", "IPNS pubsub subsystem is not enabled"),
        ("log/level?arg=all&arg=nope", "unrecognized level: \"nope\""),
        ("diag/cmds/set-time?arg=x", "time: invalid duration \"x\""),
        (
            "key/gen?arg=a&type=rsa",
            "rsa keys are not generated here; use --type=ed25519, or make one with openssl and import it",
        ),
        (
            "name/resolve?arg=example.com",
            "DNSLink lookup for \"example.com.\" failed: could not resolve name: DNSLink lookup could not find a TXT record (https://docs.ipfs.tech/concepts/dnslink/)",
        ),
        (
            "resolve?arg=/ipns/example.com",
            "DNSLink lookup for \"example.com.\" failed: could not resolve name: DNSLink lookup could not find a TXT record (https://docs.ipfs.tech/concepts/dnslink/)",
        ),
    ] {
        assert_eq!(server.call(call).message(), sentence, "{call}");
    }
    assert_eq!(server.call("name/pubsub/state").values()[0], json!({"Enabled": false}));
    assert_eq!(server.call("pin/remote/service/ls").values()[0], json!({"RemoteServices": []}));
    assert_eq!(server.call("pubsub/reset").values()[0], json!({"deleted": 0}));
    assert!(server.call("log/level").values()[0]["Levels"][""].is_string());
    assert_eq!(server.call("version/deps").values()[0]["Path"], "coldfront");
    assert_eq!(server.call("dns?arg=example.com").status, 404);
}

#[test]
fn a_record_that_was_signed_elsewhere_is_kept_and_an_older_one_is_not() {
    let from = server();
    let publish = |path: &str| {
        let query = format!("name/publish?arg={path}&allow-offline=true&resolve=false");
        let name = from.call(&query).values()[0]["Name"].as_str().unwrap().to_owned();
        (name.clone(), from.call(&format!("name/get?arg={name}")).bytes())
    };
    let (name, first) = publish("/ipfs/bafkqaaa");
    let (_, second) = publish("/ipfs/bafkqabdumvzxi");
    let to = server();
    let put = |query: &str, record: &[u8]| {
        to.upload(&format!("name/put?arg={name}&{query}"), &[("x", record)])
    };
    assert!(put("", &first).message().starts_with("can't put while offline: "));
    let kept = put("allow-offline=true", &second).values();
    assert_eq!(kept[0], json!({"Name": name, "Value": "/ipfs/bafkqabdumvzxi"}));
    assert_eq!(
        put("allow-offline=true", &first).message(),
        "existing IPNS record has sequence 1 >= new record sequence 0, use 'ipfs name put --force' to skip this check"
    );
    // The same again changes nothing.
    assert_eq!(put("allow-offline=true", &second).status, 200);
    let resolved = || to.call(&format!("name/resolve?arg={name}")).values()[0]["Path"].clone();
    assert_eq!(resolved(), "/ipfs/bafkqabdumvzxi");
    assert_eq!(put("allow-offline=true&force=true", &first).status, 200);
    assert_eq!(resolved(), "/ipfs/bafkqaaa");
    let mut forged = second.clone();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    for record in [&forged[..], b"nonsense", b""] {
        assert_eq!(put("allow-offline=true&force=true", record).status, 500);
    }
    let other = to.upload("name/put?arg=example.com&allow-offline=true", &[("x", &second)]);
    assert!(other.message().starts_with("invalid IPNS name: "));
}

#[test]
fn what_a_call_does_not_say_of_its_import_the_configuration_says() {
    let server = server();
    let hash = |query: &str, content: &[u8]| {
        let answer = server.upload(&format!("add?{query}"), &[("a", content)]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.values().last().unwrap()["Hash"].as_str().unwrap().to_owned()
    };
    let set = |name: &str, value: &str| {
        let query = format!("config?arg=Import.{name}&arg={value}&json=true");
        assert_eq!(server.call(&query).status, 200);
    };
    let content = vec![7; 1_500_000];
    let asked = hash("cid-version=1&chunker=size-1048576&max-file-links=1024", &content);
    let default = hash("", &content);
    server.call("config/profile/apply?arg=unixfs-v1-2025");
    assert_eq!(hash("", &content), asked);
    // A call has the last word.
    assert_eq!(
        hash("cid-version=0&raw-leaves=false&chunker=size-262144&max-file-links=174", &content),
        default
    );
    // Mutable files are made in the same form, and their root is.
    server.upload("files/write?arg=/f&create=true", &[("x", b"hello")]);
    let stat = |path: &str| {
        server.call(&format!("files/stat?arg={path}")).values()[0]["Hash"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(stat("/f").starts_with("baf") && stat("/").starts_with("bafybei"));
    set("HashFunction", "%22blake2b-256%22");
    let put = server.upload("block/put", &[("x", b"x")]).values()[0]["Key"].clone();
    assert!(put.as_str().unwrap().starts_with("bafk2bzace"), "{put}");
    set("UnixFSChunker", "%22foo-1%22");
    let refused = server.upload("add", &[("a", b"x")]).message();
    assert!(refused.starts_with("Import.UnixFSChunker in the configuration is "), "{refused}");
    set("UnixFSChunker", "null");
    set("UnixFSRawLeaves", "true");
    let refused = server.upload("add?mode=0644", &[("a", b"x")]).message();
    assert!(refused.starts_with("raw-leaves can't be used with UnixFS metadata"), "{refused}");
}
