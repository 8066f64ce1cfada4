//! `stats/…` and `bitswap/…`: counters of what does not happen here. Twins of kubo `core/commands/stat.go` and `bitswap.go`.

use serde::Serialize;

use super::call::Call;
use super::error::Failed;
use super::table::{Command, Opt};

const BITSWAP: &str = r#"{"Wantlist":[],"Peers":[],"BlocksReceived",…}"#;
const BITSWAP_OPTIONS: &[Opt] =
    &[Opt::flag(&["verbose", "v"], "Ignored"), Opt::flag(&["human"], "Used by clients")];

pub(super) const COMMANDS: &[Command] = &[
    Command {
        options: &[
            Opt::text(&["peer", "p"], "Ignored"),
            Opt::text(&["proto", "t"], "Ignored"),
            Opt::flag(&["poll"], "Ignored: it does not change"),
            Opt::text(&["interval", "i"], "Ignored").or("1s"),
        ],
        output: r#"{"TotalIn","TotalOut","RateIn","RateOut"}"#,
        ..Command::new("stats/bw", "Bandwidth of libp2p: none", bw)
    },
    Command {
        options: BITSWAP_OPTIONS,
        output: BITSWAP,
        ..Command::new("stats/bitswap", "What was exchanged: nothing", bitswap)
    },
    Command {
        options: BITSWAP_OPTIONS,
        output: BITSWAP,
        ..Command::new("bitswap/stat", "What was exchanged: nothing", bitswap)
    },
    Command {
        options: &[Opt::text(&["peer", "p"], "Ignored")],
        output: r#"{"Keys":[]}"#,
        ..Command::new("bitswap/wantlist", "Blocks that are waited for: none", wantlist)
    },
];

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Bandwidth {
    total_in: u64,
    total_out: u64,
    rate_in: u64,
    rate_out: u64,
}

fn bw(call: &mut Call) -> Result<(), Failed> {
    call.emit(&Bandwidth { total_in: 0, total_out: 0, rate_in: 0, rate_out: 0 })
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Bitswap {
    wantlist: [u8; 0],
    peers: [u8; 0],
    blocks_received: u64,
    data_received: u64,
    dup_blks_received: u64,
    dup_data_received: u64,
    messages_received: u64,
    blocks_sent: u64,
    data_sent: u64,
}

fn bitswap(call: &mut Call) -> Result<(), Failed> {
    call.once(&Bitswap::default())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Wantlist {
    keys: [u8; 0],
}

fn wantlist(call: &mut Call) -> Result<(), Failed> {
    call.once(&Wantlist { keys: [] })
}
