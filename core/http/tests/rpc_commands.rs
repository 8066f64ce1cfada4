//! What commands of the RPC API do to a repository, and what they answer, beyond the recorded calls.

#![allow(clippy::unwrap_used)]

mod rpc;

use std::sync::Arc;

use coldfront::store::memory::Memory;
use coldfront::{Repo, RepoOptions};
use rpc::{Answer, Server, limits, server};
use serde_json::{Value, json};

const HELLO: &str = "QmZULkCELmmk5XNfCgTnCyFgAVxBRBXyDHGGMVoLFLiXEN";

/// The CID of a file that is added now.
fn add(server: &Server, query: &str, content: &[u8]) -> String {
    let answer = server.upload(&format!("add?{query}"), &[("file", content)]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    hash(&answer)
}

/// The CID of the last root of an `add`.
fn hash(answer: &Answer) -> String {
    answer.values().last().unwrap()["Hash"].as_str().unwrap().to_owned()
}

fn names(answer: &Answer, key: &str) -> Vec<String> {
    answer.values().iter().map(|value| value[key].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_top_level_entry_is_a_root_and_a_pin_of_its_own() {
    let server = server();
    let files: &[(&str, &[u8])] =
        &[("a", b"1"), ("d/x", b"2"), ("d/y", b"3"), ("b", b"4"), ("d/z", b"5"), ("", b"6")];
    let answer = server.upload("add", files);
    let events = names(&answer, "Name");
    assert_eq!(events.len(), 8, "{events:?}");
    // The second `d` is another root, as it is to Kubo.
    assert_eq!(events[..7], ["a", "d/x", "d/y", "d", "b", "d/z", "d"]);
    assert!(events[7].starts_with("Qm"));
    assert_eq!(server.call("pin/ls?type=recursive&stream=true").values().len(), 5);
}

#[test]
fn a_file_that_was_added_is_there_after_a_restart_and_after_a_collection() {
    let folder = tempfile::tempdir().unwrap();
    let content: Vec<u8> = (0..3_000_000u32).map(|at| (at % 251) as u8).collect();
    let kept = {
        let server = rpc::start(rpc::hot_repo(folder.path()), limits(), |rpc| rpc);
        add(&server, "pin=false", &content[1..]);
        add(&server, "", &content)
    };
    let server = rpc::start(rpc::hot_repo(folder.path()), limits(), |rpc| rpc);
    assert!(server.call("repo/gc").values().len() > 10);
    assert!(server.call(&format!("cat?arg={kept}")).bytes() == content);
    assert_eq!(server.call("repo/gc").values().len(), 0);
    let last = server.call("repo/verify").values().pop().unwrap();
    assert_eq!(last["Msg"], "verify complete, all blocks validated.");
}

#[test]
fn what_lies_in_an_archive_is_pinned_and_read_and_never_removed() {
    // A node without a hot store stands in for the one that made the archive.
    let archive = Memory::default();
    let block = coldfront::Block::verified(
        "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am".parse().unwrap(),
        bytes::Bytes::from_static(b"hello\n"),
    );
    coldfront::BlockStore::put(&archive, &[block.unwrap()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let hot = coldfront::store::hot::HotStore::open(&coldfront::store::hot::HotOptions {
        memory: 32 * 1024 * 1024,
        ..coldfront::store::hot::HotOptions::new(folder.path())
    });
    let below = [("archive".to_owned(), Arc::new(archive) as _)];
    let repo = Repo::with_hot(&hot.unwrap(), below, &RepoOptions::default());
    let server = rpc::start(repo, limits(), |rpc| rpc);
    const CID: &str = "bafkreicysg23kiwv34eg2d7qweipxwosdo2py4ldv42nbauguluen5v6am";
    assert_eq!(server.call(&format!("pin/add?arg={CID}")).status, 200);
    assert_eq!(server.call(&format!("pin/rm?arg={CID}")).status, 200);
    assert!(server.call("repo/gc").values().is_empty());
    let removed = server.call(&format!("block/rm?arg={CID}"));
    assert_eq!(removed.values()[0]["Error"], "block is in the read-only archive");
    assert_eq!(server.call(&format!("cat?arg={CID}")).text(), "hello\n");
    let place = &server.call(&format!("where?arg={CID}")).values()[0];
    assert_eq!(place["Tiers"], json!([{"Tier": "archive", "Size": 6}]));
    assert_eq!(place["Dag"]["PerTier"], json!([{"Tier": "archive", "Blocks": 1, "Bytes": 6}]));
}

#[test]
fn where_tells_the_tier_what_keeps_a_block_and_what_is_missing() {
    let server = server();
    let root = hash(&server.upload("add?wrap-with-directory=true", &[("d/a", b"hello\n")]));
    let place = &server.call(&format!("where?arg={HELLO}")).values()[0];
    assert_eq!(place["Pinned"], format!("indirect through {root}"));
    let way = place["Way"].as_array().unwrap();
    assert_eq!((way.len(), &way[0], &way[2]), (3, &json!(root), &json!(HELLO)));
    assert!(place["Tiers"][0]["Tier"].as_str().unwrap().starts_with("hot store"));
    assert_eq!(place["Dag"]["Complete"], true);
    let nowhere =
        &server.call("where?arg=QmcKQJXFzZbbBTvmDCi5Cpek1Nbr8BQxckz1AKsDsU8eCP").values()[0];
    assert_eq!((&nowhere["Tiers"], &nowhere["Pinned"]), (&json!([]), &json!("not pinned")));
}

#[test]
fn a_block_is_removed_when_nothing_keeps_it_any_more() {
    let server = server();
    let root = hash(&server.upload("add?wrap-with-directory=true", &[("a", b"hello\n")]));
    let error = |cid: &str| {
        server.call(&format!("block/rm?arg={cid}")).values()[0]["Error"].as_str().map(str::to_owned)
    };
    assert_eq!(error(&root).as_deref(), Some("pinned: recursive"));
    assert_eq!(error(HELLO), Some(format!("pinned via {root}")));
    assert_eq!(server.call(&format!("pin/rm?arg={root}")).status, 200);
    assert_eq!(error(HELLO), None);
    assert_eq!(error(HELLO), Some(format!("ipld: could not find {HELLO}")));
    assert_eq!(error(&root), None);
}

#[test]
fn a_pin_that_hangs_below_another_one_is_indirect_as_well_where_that_is_asked_for() {
    let server = server();
    let root = hash(&server.upload("add?wrap-with-directory=true", &[("a", b"hello\n")]));
    server.call(&format!("pin/add?arg={HELLO}&recursive=false"));
    let kind = |wanted: &str| {
        let keys =
            server.call(&format!("pin/ls?arg={HELLO}&type={wanted}")).values()[0]["Keys"].clone();
        keys[HELLO]["Type"].as_str().unwrap().to_owned()
    };
    assert_eq!((kind("all"), kind("direct")), ("direct".into(), "direct".into()));
    assert_eq!(kind("indirect"), format!("indirect through {root}"));
    // Links of other codecs than dag-pb tell no size.
    let node =
        server.upload("dag/put", &[("x", format!("{{\"a\":{{\"/\":\"{HELLO}\"}}}}").as_bytes())]);
    let node = node.values()[0]["Cid"]["/"].as_str().unwrap().to_owned();
    let links = &server.call(&format!("ls?arg={node}")).values()[0]["Objects"][0]["Links"];
    assert_eq!(links.as_array().unwrap().len(), 1, "{links}");
}

#[test]
fn what_was_removed_is_not_read_any_more_however_lately_it_was() {
    let server = server();
    let cid = add(&server, "pin=false&cid-version=1", b"read");
    let other = add(&server, "pin=false&cid-version=1", b"read as well");
    for cid in [&cid, &other] {
        assert_eq!(server.call(&format!("cat?arg={cid}")).status, 200);
    }
    server.call(&format!("block/rm?arg={other}"));
    assert_eq!(server.call(&format!("cat?arg={other}")).status, 500);
    server.call("repo/gc");
    assert_eq!(server.call(&format!("cat?arg={cid}")).status, 500);
    // Nor is a block that is not there told from one of a codec that is not read as files.
    let node = server.upload("dag/put?pin=false", &[("x", b"{}")]).values()[0]["Cid"]["/"].clone();
    let cat = format!("cat?arg={}", node.as_str().unwrap());
    assert!(server.call(&cat).message().contains("codec 0x71"));
    server.call("repo/gc");
    assert!(server.call(&cat).message().starts_with("block was not found locally"));
}

#[test]
fn pins_have_names_modes_and_a_way_to_become_others() {
    let server = server();
    let a = add(&server, "pin-name=first", b"a");
    let b = add(&server, "pin=false", b"b");
    let list = |query: &str| server.call(&format!("pin/ls?stream=true&{query}")).values();
    assert_eq!(list("names=true"), [json!({"Cid": a, "Name": "first", "Type": "recursive"})]);
    assert_eq!(list("name=irs").len(), 1);
    assert_eq!(list("name=none").len(), 0);
    assert_eq!(server.call(&format!("pin/update?arg={a}&arg={b}")).status, 200);
    assert_eq!(list("names=true"), [json!({"Cid": b, "Name": "first", "Type": "recursive"})]);
    assert_eq!(server.call(&format!("pin/add?arg={a}&recursive=false")).status, 200);
    assert_eq!(list("type=direct"), [json!({"Cid": a, "Type": "direct"})]);
    assert_eq!(server.call(&format!("pin/rm?arg={a}&arg={b}")).values()[0]["Pins"], json!([a, b]));
    assert_eq!(server.call("pin/ls").text(), "{}\n");
    let long = "x".repeat(256);
    let message = server.call(&format!("pin/add?arg={a}&name={long}")).message();
    assert_eq!(message, "pin name is 256 bytes (max 255 bytes)");
}

#[test]
fn a_dag_that_was_exported_is_imported_elsewhere_as_it_was() {
    let from = server();
    let content: Vec<u8> = (0..2_000_000u32).map(|at| (at / 7) as u8).collect();
    let files: &[(&str, &[u8])] = &[("d/a", &content), ("d/b/c", b"c"), ("d/e", b"")];
    let root = hash(&from.upload("add", files));
    let car = from.call(&format!("dag/export?arg={root}"));
    assert_eq!(car.header("Content-Type"), Some("application/vnd.ipld.car"));
    let to = server();
    let imported = to.upload("dag/import?stats=true", &[("x.car", &car.bytes())]).values();
    assert_eq!(imported[0], json!({"Root": {"Cid": {"/": root}, "PinErrorMsg": ""}}));
    assert_eq!(imported[1]["Stats"]["BlockCount"], 13);
    assert!(to.call(&format!("cat?arg={root}/a")).bytes() == content);
    assert_eq!(to.call(&format!("pin/ls?arg={root}")).status, 200);
    let stat = |server: &Server| server.call(&format!("dag/stat?arg={root}&progress=false")).text();
    assert_eq!(stat(&to), stat(&from));
    // Cut anywhere it is no whole CAR, and says so.
    let cut = &car.bytes()[..1_000_000];
    assert!(to.upload("dag/import", &[("x.car", cut)]).message().starts_with("import failed"));
    let mut flipped = car.bytes();
    flipped[500_000] ^= 1;
    assert!(
        server()
            .upload("dag/import", &[("x.car", &flipped)])
            .message()
            .starts_with("import failed")
    );
}

#[test]
fn nodes_of_any_codec_are_put_got_and_walked_by_path() {
    let server = server();
    let put = |query: &str, node: &Value| {
        let answer =
            server.upload(&format!("dag/put?{query}"), &[("x", node.to_string().as_bytes())]);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.values()[0]["Cid"]["/"].as_str().unwrap().to_owned()
    };
    let file = add(&server, "", b"hello\n");
    let inner =
        put("", &json!({"deep": [1, {"file": {"/": file}}], "bytes": {"/": {"bytes": "AAEC"}}}));
    let outer =
        put("store-codec=dag-json", &json!({"inner": {"/": inner}, "n": -1.5, "s": "<&>\u{2028}"}));
    let get = |path: &str| server.call(&format!("dag/get?arg={path}")).text();
    assert_eq!(get(&format!("{outer}/inner/deep/0")), "1");
    assert_eq!(get(&format!("{outer}/inner/bytes")), "{\"/\":{\"bytes\":\"AAEC\"}}");
    assert_eq!(server.call(&format!("cat?arg={outer}/inner/deep/1/file")).status, 500);
    let resolved = server.call(&format!("dag/resolve?arg={outer}/inner/deep/1")).values();
    assert_eq!(resolved[0], json!({"Cid": {"/": inner}, "RemPath": "deep/1"}));
    let ends = server.call(&format!("dag/resolve?arg={outer}/inner/deep/1/file")).values();
    assert_eq!(ends[0], json!({"Cid": {"/": file}, "RemPath": ""}));
    assert_eq!(
        server.call(&format!("resolve?arg=/ipfs/{outer}/inner")).values()[0]["Path"],
        format!("/ipfs/{inner}")
    );
    let message = server.call(&format!("dag/get?arg={outer}/nope")).message();
    assert_eq!(message, format!("no link named \"nope\" under {outer}"));
    // A pin of the outer one keeps the file.
    assert_eq!(server.call(&format!("pin/rm?arg={file}")).status, 200);
    assert_eq!(server.call(&format!("pin/add?arg={outer}")).status, 200);
    server.call("repo/gc");
    assert_eq!(server.call(&format!("cat?arg={file}")).text(), "hello\n");
    let refs = names(&server.call(&format!("refs?arg={outer}&recursive=true")), "Ref");
    assert_eq!(refs, [inner, file]);
}

#[test]
fn a_node_that_is_nested_too_deep_is_refused_and_harms_nobody() {
    let server = server();
    for (codec, deep) in [
        ("dag-json", "[".repeat(100_000).into_bytes()),
        ("dag-cbor", vec![0x81; 100_000]),
        ("dag-json", format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000)).into_bytes()),
    ] {
        let answer = server.upload(&format!("dag/put?input-codec={codec}"), &[("x", &deep)]);
        assert_eq!(answer.status, 500, "{codec}");
        // As a block of bytes it may be there; whoever reads it as a node is told.
        let put = server.upload(&format!("block/put?cid-codec={codec}"), &[("x", &deep)]);
        let cid = put.values()[0]["Key"].as_str().unwrap().to_owned();
        let answer = server.call(&format!("dag/get?arg={cid}&output-codec=dag-pb"));
        assert_eq!(answer.status, 500);
    }
    assert_eq!(server.call("version").status, 200);
}

#[test]
fn a_tar_holds_what_was_added() {
    let server = server();
    let files: &[(&str, &[u8])] = &[("d/a", b"hello\n"), ("d/b/c", &[7; 1000])];
    let root = hash(&server.upload("add", files));
    let answer = server.call(&format!("get?arg={root}"));
    assert_eq!(answer.header("Content-Type"), Some("application/x-tar"));
    let folder = tempfile::tempdir().unwrap();
    let unpack = |bytes: &[u8], how: &str| {
        use std::io::Write;
        let mut tar = std::process::Command::new("tar")
            .args([how, "-", "-C"])
            .arg(folder.path())
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        tar.stdin.take().unwrap().write_all(bytes).unwrap();
        assert!(tar.wait().unwrap().success());
    };
    unpack(&answer.bytes(), "-xf");
    assert_eq!(std::fs::read(folder.path().join(&root).join("b/c")).unwrap(), [7; 1000]);
    let packed =
        server.call(&format!("get?arg={root}&archive=true&compress=true&compression-level=9"));
    assert_eq!(packed.header("Content-Type"), Some("application/gzip"));
    unpack(&packed.bytes(), "-xzf");
    let message =
        server.call(&format!("get?arg={root}&compress=true&compression-level=10")).message();
    assert_eq!(message, "compression level must be between 1 and 9");
}

#[test]
fn blocks_are_put_in_any_form_and_large_ones_when_they_are_allowed() {
    let server = server();
    let large = vec![1; 3 * 1024 * 1024];
    let refused = server.upload("block/put", &[("x", &large)]).message();
    assert!(refused.starts_with("produced block is over 2MiB"), "{refused}");
    let allowed = server.upload("block/put?allow-big-block=true", &[("x", &large)]);
    let cid = allowed.values()[0]["Key"].as_str().unwrap().to_owned();
    assert!(server.call(&format!("block/get?arg={cid}")).bytes() == large);
    let beyond = vec![1; 9 * 1024 * 1024];
    assert!(
        server
            .upload("block/put?allow-big-block=true", &[("x", &beyond)])
            .message()
            .contains("not stored here")
    );
    // Whatever the codec, it is one block.
    let keys: Vec<Value> = ["cid-codec=dag-pb", "cid-codec=raw", "format=v0", "cid-codec=0x71"]
        .iter()
        .map(|query| {
            server.upload(&format!("block/put?{query}"), &[("x", b"bytes")]).values()[0]["Key"]
                .clone()
        })
        .collect();
    let held = names(&server.call("refs/local"), "Ref");
    assert_eq!(held.len(), 2, "{held:?} {keys:?}");
}

#[test]
fn cids_are_told_in_the_base_that_is_asked_for() {
    let server = server();
    add(&server, "", b"hello\n");
    let told = |query: &str| {
        server.call(&format!("block/stat?arg={HELLO}&{query}")).values()[0]["Key"].clone()
    };
    assert_eq!(told(""), HELLO);
    assert_eq!(told("cid-base=base58btc"), HELLO);
    assert!(told("cid-base=base32").as_str().unwrap().starts_with("bafybei"));
    assert!(told("cid-base=base36").as_str().unwrap().starts_with("k2jmtx"));
    assert!(told("upgrade-cidv0-in-output=true").as_str().unwrap().starts_with("bafybei"));
    let message = server.call(&format!("block/stat?arg={HELLO}&cid-base=nope")).message();
    assert_eq!(message, "unsupported multibase encoding: nope");
}

#[test]
fn a_configuration_is_read_and_changed_in_kubos_form() {
    let server = server();
    let id = server.call("id").values()[0]["ID"].clone();
    assert_eq!(server.call("config?arg=Identity.PeerID").values()[0]["Value"], id);
    assert_eq!(
        server.call("config?arg=A.B&arg=true&bool=true").values()[0],
        json!({"Key": "A.B", "Value": true})
    );
    assert_eq!(server.call("config?arg=A.C&arg=[1]&json=true").status, 200);
    assert_eq!(server.call("config/show").values()[0]["A"], json!({"B": true, "C": [1]}));
    let replaced = server.upload("config/replace", &[("config", b"{\"X\":1}")]);
    assert_eq!((replaced.status, replaced.bytes().len()), (200, 0));
    assert_eq!(server.call("config/show").values()[0], json!({"X": 1}));
}

#[test]
fn the_list_of_commands_is_the_table_and_each_of_them_answers() {
    let server = server();
    let root = &server.call("commands?flags=true").values()[0];
    let mut paths = Vec::new();
    let mut open = vec![(String::new(), root.clone())];
    while let Some((above, node)) = open.pop() {
        let subs = node["Subcommands"].as_array().unwrap();
        let path = match above.as_str() {
            "" if node["Name"] == "ipfs" => String::new(),
            "" => node["Name"].as_str().unwrap().to_owned(),
            above => format!("{above}/{}", node["Name"].as_str().unwrap()),
        };
        for sub in subs {
            open.push((path.clone(), sub.clone()));
        }
        paths.push(path);
    }
    assert!(paths.len() > 80, "{}", paths.len());
    for path in paths.iter().filter(|path| !path.is_empty() && *path != "shutdown") {
        // Without arguments: an answer, a sentence, or nothing there (a group); never silence.
        let answer = server.call(path);
        assert!(matches!(answer.status, 200 | 400 | 404 | 500), "{path}: {}", answer.status);
        let answer = server.call(&format!("{path}?arg=x&arg=y&arg=z"));
        assert!(matches!(answer.status, 200 | 400 | 404 | 500), "{path}: {}", answer.status);
    }
    assert_eq!(server.call("shutdown").status, 200);
    server.join();
}
