//! Lists of pins in every form that Kubo, IPFS Cluster and operators have written: how many pins, of which mode, and what is
//! skipped on which line. Lists that real programs wrote lie in `tests/pin_lists`, with how they were made.

#![cfg(feature = "migrate")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{self, Read};

use coldfront::migrate::pin_lists::{
    Listed, ListedPin, MAX_RECORD_LEN, Note, PinList, PinListOptions, Reason, Skipped, Tally,
    write_cluster_pin, write_text_pin,
};
use coldfront::pin::PinMode;

const A: &str = "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy";
const B: &str = "QmbWqxBEKC3P8tqsKc98xmWNzrzDtRLMiMPL8wBuTGsMnR";
const C: &str = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi";
const PEER: &str = "12D3KooWPeerOne";

fn options() -> PinListOptions {
    let mut options = PinListOptions::default();
    options.now = 1_795_226_224;
    options
}

fn read(list: impl AsRef<[u8]>) -> Vec<Listed> {
    PinList::new(list.as_ref(), options()).map(Result::unwrap).collect()
}

fn pins(list: impl AsRef<[u8]>) -> Vec<ListedPin> {
    let pin = |listed| match listed {
        Listed::Pin(pin) => *pin,
        Listed::Skipped(skipped) => panic!("{skipped:?}"),
    };
    read(list).into_iter().map(pin).collect()
}

fn skipped(list: impl AsRef<[u8]>) -> Vec<(u64, Reason)> {
    let skipped = |listed| match listed {
        Listed::Pin(_) => None,
        Listed::Skipped(Skipped { line, reason, .. }) => Some((line, reason)),
    };
    read(list).into_iter().filter_map(skipped).collect()
}

fn brief(list: impl AsRef<[u8]>) -> Vec<(u64, String, PinMode, String)> {
    let brief = |pin: ListedPin| (pin.line, pin.cid.to_string(), pin.mode, pin.name);
    pins(list).into_iter().map(brief).collect()
}

fn pin(line: u64, cid: &str, mode: PinMode, name: &str) -> (u64, String, PinMode, String) {
    (line, cid.into(), mode, name.into())
}

use PinMode::{Direct, Recursive};

#[test]
fn a_plain_list_has_a_cid_a_line() {
    let list = format!("\u{feff}# roots\n{A}\r\n\n  /ipfs/{B}/ \n{C} # a remark\n{B}");
    let pins = brief(list);
    let expected =
        [(2, A), (4, B), (5, C), (6, B)].map(|(line, cid)| pin(line, cid, Recursive, ""));
    assert_eq!(pins, expected);
}

#[test]
fn ipfs_pin_ls_as_text_has_modes_and_names() {
    let list =
        format!("{A} recursive\n{B} direct two words\n{C} indirect through {A}\n{C} indirect\n");
    let found = read(&list);
    assert_eq!(skipped(&list), [(3, Reason::Indirect), (4, Reason::Indirect)]);
    let Listed::Pin(first) = &found[0] else { panic!() };
    let Listed::Pin(second) = &found[1] else { panic!() };
    assert_eq!((first.mode, first.name.as_str()), (Recursive, ""));
    assert_eq!((second.mode, second.name.as_str()), (Direct, "two words"));
}

#[test]
fn ipfs_pin_ls_as_json_is_taken_apart_however_it_is_spaced() {
    let pairs = format!(
        r#""{A}":{{"Type":"recursive","Name":"a {{name}}"}},"{B}":{{"Type":"direct","Name":""}}"#
    );
    let tight = format!(r#"{{"Keys":{{{pairs}}}}}"#);
    let wide = tight.replace(':', " :\n\t").replace(',', " ,\n ");
    for list in [&tight, &wide] {
        let found = pins(list);
        let found: Vec<_> =
            found.iter().map(|pin| (pin.cid.to_string(), pin.mode, pin.name.as_str())).collect();
        assert_eq!(found, [(A.into(), Recursive, "a {name}"), (B.into(), Direct, "")]);
    }
    assert_eq!(pins(r#"{"Keys":{}}"#), []);
}

#[test]
fn ipfs_pin_ls_as_a_stream_of_json_has_an_object_a_line() {
    let list = format!(
        "{{\"Cid\":\"{A}\",\"Name\":\"n\",\"Type\":\"recursive\"}}\n{{\"Cid\":\"{B}\",\"Type\":\"direct\"}}\n"
    );
    assert_eq!(brief(list), [pin(1, A, Recursive, "n"), pin(2, B, Direct, "")]);
}

/// An object as Cluster writes it, with fields replaced or added.
fn cluster(cid: &str, fields: &[(&str, &str)]) -> String {
    let cid = format!("\"{cid}\"");
    let mut all = BTreeMap::from([
        ("replication_factor_min", "2"),
        ("replication_factor_max", "3"),
        ("name", "\"dpin\""),
        ("mode", "\"recursive\""),
        ("shard_size", "0"),
        ("user_allocations", "null"),
        ("expire_at", "\"0001-01-01T00:00:00Z\""),
        ("metadata", "null"),
        ("pin_update", "null"),
        ("origins", "[]"),
        ("cid", cid.as_str()),
        ("type", "\"pin\""),
        ("allocations", "[]"),
        ("max_depth", "-1"),
        ("reference", "null"),
        ("timestamp", "\"2026-11-21T01:57:04Z\""),
    ]);
    all.extend(fields.iter().copied());
    let fields: Vec<_> = all.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
    format!("{{{}}}", fields.join(","))
}

#[test]
fn a_cluster_pin_keeps_its_labels_times_and_peers() {
    let list = cluster(
        A,
        &[
            ("metadata", r#"{"owner":"anna","n":"1"}"#),
            ("origins", r#"["/ip4/10.0.0.1/tcp/4001/p2p/12D3KooWX"]"#),
            ("expire_at", r#""2030-01-01T00:00:00Z""#),
            ("allocations", r#"["12D3KooWPeerOne","12D3KooWPeerTwo"]"#),
            ("pin_update", &format!("\"{B}\"")),
        ],
    );
    let found = &pins(list)[0];
    assert_eq!(found.created, Some(1_795_226_224));
    assert_eq!(found.expires, Some(1_893_456_000));
    assert_eq!(found.metadata["owner"], "anna");
    assert_eq!(found.origins, ["/ip4/10.0.0.1/tcp/4001/p2p/12D3KooWX"]);
    assert_eq!(found.cluster.allocations, [PEER, "12D3KooWPeerTwo"]);
    assert_eq!((found.cluster.replication_min, found.cluster.replication_max), (2, 3));
    assert_eq!(found.cluster.update.unwrap().to_string(), B);
    assert_eq!(found.notes, []);
}

#[test]
fn modes_are_told_by_mode_and_depth_together() {
    let cases = [
        (r#""recursive""#, "-1", Recursive, None),
        (r#""direct""#, "0", Direct, None),
        (r#""recursive""#, "0", Recursive, Some(Note::ModesDiffer)),
        (r#""direct""#, "-1", Recursive, Some(Note::ModesDiffer)),
        (r#""recursive""#, "3", Recursive, Some(Note::DepthLimited)),
        ("null", "0", Direct, None),
        ("null", "-1", Recursive, None),
        (r#""direct""#, "null", Direct, None),
        ("null", "null", Recursive, None),
    ];
    for (mode, depth, expected, note) in cases {
        let found = &pins(cluster(A, &[("mode", mode), ("max_depth", depth)]))[0];
        assert_eq!(found.mode, expected, "{mode} {depth}");
        assert_eq!(found.notes, note.into_iter().collect::<Vec<_>>(), "{mode} {depth}");
    }
}

#[test]
fn what_no_longer_counts_or_lies_elsewhere_is_skipped_with_its_reason() {
    let lines = [
        cluster(A, &[("expire_at", r#""2026-11-21T01:57:04Z""#)]),
        cluster(A, &[("type", r#""clusterdag-pin""#)]),
        cluster(A, &[("type", r#""shard-pin""#), ("max_depth", "1")]),
        cluster(A, &[("type", r#""all""#)]),
        cluster("nonsense", &[]),
        cluster(A, &[("cid", "null")]),
        cluster(
            A,
            &[("type", r#""meta-pin""#), ("max_depth", "0"), ("reference", &format!("\"{C}\""))],
        ),
        r#"{"Message":"no such list","Code":0,"Type":"error"}"#.into(),
        r#"{"cid":"unclosed"#.into(),
        cluster(B, &[]),
        "nonsense".into(),
        format!("{A} sideways"),
        r#"{"cid":}"#.into(),
        r#"{"Cid":"#.into(),
    ];
    let found = read(lines.join("\n"));
    let kept: Vec<_> = found
        .iter()
        .filter_map(|one| match one {
            Listed::Pin(pin) => Some((pin.line, pin.notes.clone())),
            Listed::Skipped(_) => None,
        })
        .collect();
    assert_eq!(kept, [(7, vec![Note::Sharded]), (10, vec![])]);
    let reasons = skipped(lines.join("\n"));
    assert_eq!(
        reasons,
        [
            (1, Reason::Expired),
            (2, Reason::ClusterDag),
            (3, Reason::Shard),
            (4, Reason::UnknownType),
            (5, Reason::BadCid),
            (6, Reason::BadCid),
            (8, Reason::NoPin),
            (9, Reason::CutShort),
            (11, Reason::BadCid),
            (12, Reason::UnknownType),
            (13, Reason::NotReadable),
            (14, Reason::CutShort),
        ]
    );
}

#[test]
fn pins_of_other_peers_are_skipped_when_ones_own_is_named() {
    let list = [
        cluster(A, &[("allocations", r#"["12D3KooWPeerTwo"]"#)]),
        cluster(B, &[("allocations", r#"["12D3KooWPeerTwo","12D3KooWPeerOne"]"#)]),
        cluster(C, &[]),
    ]
    .join("\n");
    let mut options = options();
    options.peer = Some(PEER.into());
    let found: Vec<_> = PinList::new(list.as_bytes(), options)
        .map(|one| matches!(one, Ok(Listed::Pin(_))))
        .collect();
    assert_eq!(found, [false, true, true]);
}

#[test]
fn exports_of_older_clusters_mean_the_same() {
    let forms = [
        // 0.9 and before, and 1.0 and since.
        format!(r#"{{"cid":"{B}","name":"old","allocations":null,"replication_factor":-1}}"#),
        // 0.10 to 0.14.
        format!(
            r#"{{"cid":{{"/":"{B}"}},"name":"old","type":2,"allocations":[],"max_depth":-1,"reference":null}}"#
        ),
        format!(r#"[{{"cid":{{"/":"{B}"}},"name":"old","type":2}}]"#),
        format!("[\n    {{\n        \"cid\": \"{B}\",\n        \"name\": \"old\"\n    }}\n]\n"),
    ];
    for form in forms {
        let found = pins(&form);
        assert_eq!(found.len(), 1, "{form}");
        assert_eq!((found[0].cid.to_string().as_str(), found[0].name.as_str()), (B, "old"));
        assert_eq!((found[0].mode, found[0].cluster.replication_min), (Recursive, -1));
    }
    for (number, reason) in [(8, Reason::ClusterDag), (16, Reason::Shard), (3, Reason::UnknownType)]
    {
        assert_eq!(skipped(format!(r#"{{"cid":"{B}","type":{number}}}"#)), [(1, reason)]);
    }
    let meta = pins(format!(r#"{{"cid":"{B}","type":4}}"#));
    assert_eq!(meta[0].notes, [Note::Sharded]);
}

#[test]
fn what_peers_make_of_a_pin_tells_no_mode() {
    let list = format!(
        r#"{{"cid":"{A}","name":"s","allocations":[],"origins":[],"created":"2026-11-21T01:57:04Z","metadata":null,"peer_map":{{"{PEER}":{{"peername":"x","status":"pinned","cid":"{B}"}}}}}}"#
    );
    let found = pins(list);
    assert_eq!((found.len(), found[0].mode, found[0].name.as_str()), (1, Recursive, "s"));
    assert_eq!(found[0].notes, [Note::ModeUnknown]);
}

#[test]
fn one_broken_record_does_not_take_the_others_with_it() {
    let broken = [
        r#"{"cid":"a"#,
        r#"{"cid":{"#,
        "{",
        r#"{"Keys":{"x":{"#,
        r#"{"Keys":{"#,
        r#"{"Keys":{"x":1"#,
        r#"{"Keys":{"x"#,
        r#"""#,
        "[",
    ];
    for broken in broken {
        let list = format!("{broken}\n{}\n{}\n", cluster(A, &[]), cluster(B, &[]));
        let found = read(&list);
        let kept = found.iter().filter(|one| matches!(one, Listed::Pin(_))).count();
        assert_eq!(kept, 2, "{broken}: {found:?}");
    }
}

#[test]
fn a_record_without_an_end_takes_no_memory_and_is_told() {
    let long = "x".repeat(2 * MAX_RECORD_LEN);
    let list = format!("{long}\n{{\"cid\":\"{long}\"}}\n[\"{long}\"]\n{A}\n");
    let found = read(&list);
    let too_long = [(1, Reason::TooLong), (2, Reason::TooLong), (3, Reason::TooLong)];
    assert_eq!(skipped(&list), too_long);
    assert!(matches!(&found[3], Listed::Pin(pin) if pin.line == 4));
    for listed in &found {
        let Listed::Skipped(skipped) = listed else { continue };
        assert!(skipped.text.len() < 200);
    }
}

#[test]
fn a_long_name_is_cut_between_letters_and_told() {
    let name = "ä".repeat(200);
    let found = &pins(format!("{A} recursive {name}"))[0];
    assert_eq!(found.name, "ä".repeat(127));
    assert_eq!(found.notes, [Note::NameCut]);
}

/// Gives its bytes one at a time, and then fails.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.split_first() {
            None => Err(io::Error::other("the cable was pulled")),
            Some((first, rest)) => {
                (buffer[0], self.0) = (*first, rest);
                Ok(1)
            }
        }
    }
}

#[test]
fn a_list_that_cannot_be_read_to_its_end_is_an_error_and_not_an_end() {
    let list = format!("{A}\n{B}");
    let mut found = PinList::new(Failing(list.as_bytes()), options());
    assert!(matches!(found.next(), Some(Ok(Listed::Pin(_)))));
    assert!(matches!(found.next(), Some(Err(_))));
    assert!(found.next().is_none());
}

#[test]
fn a_pin_that_is_written_is_read_again() {
    let list = [
        cluster(A, &[("metadata", r#"{"a":"b"}"#), ("expire_at", r#""2030-01-01T00:00:00Z""#)]),
        cluster(B, &[("mode", r#""direct""#), ("max_depth", "0"), ("name", r#""a \"b\"\n""#)]),
        cluster(C, &[("allocations", r#"["12D3KooWPeerOne"]"#)]),
    ];
    for line in list {
        let first = pins(&line);
        let mut out = Vec::new();
        write_cluster_pin(&mut out, &first[0]).unwrap();
        assert_eq!(pins(&out), first);
        let text = {
            let mut out = Vec::new();
            write_text_pin(&mut out, &first[0]).unwrap();
            out
        };
        let again = pins(text);
        assert_eq!((again.len(), again[0].cid, again[0].mode), (1, first[0].cid, first[0].mode));
    }
}

#[test]
fn a_tally_counts_by_reason_and_names_lines() {
    let list = format!("{A}\n{B} direct\nx\ny\n{}\n", cluster(C, &[("max_depth", "2")]));
    let mut tally = Tally::default();
    read(list).iter().for_each(|one| tally.count(one));
    assert_eq!((tally.recursive, tally.direct, tally.skipped()), (2, 1, 2));
    assert_eq!(tally.passed_over[&Reason::BadCid].first, [3, 4]);
    assert_eq!(
        tally.to_string(),
        "2 recursive and 1 direct pins\n  1 of them: pinned to a limited depth, taken as recursive (line 5)\n2 skipped: no CID (lines 3, 4)"
    );
}

/// What real programs wrote.
#[test]
fn a_state_that_a_real_cluster_exported_is_imported_with_exact_counts() {
    let list = include_str!("pin_lists/cluster-state-export.json");
    let mut tally = Tally::default();
    let found = read(list);
    found.iter().for_each(|one| tally.count(one));
    assert_eq!((tally.recursive, tally.direct, tally.skipped()), (3, 1, 1));
    assert_eq!(tally.passed_over[&Reason::Expired].first, [4]);
    assert_eq!(tally.noted[&Note::Sharded].first, [3]);
    let names: Vec<_> = found
        .iter()
        .filter_map(|one| match one {
            Listed::Pin(pin) => Some((pin.mode, pin.name.as_str())),
            Listed::Skipped(_) => None,
        })
        .collect();
    let expected = [
        (Recursive, "foo"),
        (Recursive, "elsewhere"),
        (Recursive, "in shards"),
        (Direct, "direct <&> one"),
    ];
    assert_eq!(names, expected);
}

#[test]
fn every_form_of_kubos_pin_ls_tells_the_same_pins() {
    let of = |list: &str| {
        let pins = read(list).into_iter().filter_map(|one| match one {
            Listed::Pin(pin) => Some((pin.cid.to_string(), (pin.mode == Direct, pin.name))),
            Listed::Skipped(skipped) => {
                assert_eq!(skipped.reason, Reason::Indirect);
                None
            }
        });
        pins.collect::<BTreeMap<_, _>>()
    };
    let text = of(include_str!("pin_lists/kubo-pin-ls.txt"));
    assert_eq!(text.len(), 3);
    assert_eq!(text, of(include_str!("pin_lists/kubo-pin-ls.json")));
    assert_eq!(text, of(include_str!("pin_lists/kubo-pin-ls-stream.json")));
    let names: Vec<_> = text.values().filter(|(_, name)| !name.is_empty()).cloned().collect();
    assert_eq!(names, [(true, "\"direct\" <one>".into()), (false, "a folder".into())]);
    assert_eq!(of(include_str!("pin_lists/kubo-pin-ls-q.txt")).len(), 5);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_to_their_end(bytes in proptest::collection::vec(proptest::sample::select(b"{}[]\":,\\\n #Keysa1".to_vec()), 0..200)) {
        for listed in PinList::new(&bytes[..], options()) {
            listed.unwrap();
        }
    }
}
