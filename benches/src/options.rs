//! The command line of the side-by-side runs. Pure: no I/O.

use anyhow::{Context as _, Result, bail, ensure};

use crate::load::Length;

/// What `--help` prints.
pub const HELP: &str = "\
usage: side_by_side [http|hot|rpc|migrate|cold|memory|kernel|copies|all]... [options]

  http     rate and CPU of segments, ranges and a whole file, against nginx and Kubo
  hot      imports into the hot store, against cp and Kubo
  rpc      the RPC API, against Kubo's daemon
  migrate  copies of Kubo's stores into the hot store, against cp and ipfs-ds-convert
  cold     latency of warm segments beside a cold stream and cold ranges
  memory   resident memory and start over 1,000 and 1,000,000 blocks
  kernel   page cache and slab that 100,000 reads leave behind
  copies   how often a byte of payload is copied, counted in the running programs
  all      everything (the default)

  --quick            3 short rounds: proves that it runs, not how fast
  --rounds N         rounds of each load (default 7)
  --seconds N        seconds of a round (default 2)
  --groups A,B       of http: plain,dag-pb,verify,hot,tmpfs,self (default: all but self, which is nginx against itself)
  --rows A,B         of rpc: add,small,cat,blocks,pins,collect,car,nodes,start,agent (default: all)
  --parts A,B        of migrate: flatfs,pebble,disk,memory,resume (default: all)
  --blocks N         of migrate: blocks of the archive that is copied (default 200000, which are 5 GB)
  --peers A,B        of nginx,coldfront,kubo (default: all; nginx is the measure of http and cannot be left out there)

COLDFRONT_BENCH_DIR names the folder for data (default ~/.cache/coldfront/bench, 25 GB for all),
COLDFRONT_BENCH_KUBO the ipfs program, COLDFRONT_BENCH_GATEWAY a built gateway.";

/// One of the things that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suite {
    /// Rates and CPU time.
    Http,
    /// Imports into the hot store.
    Hot,
    /// The RPC API.
    Rpc,
    /// Copies of Kubo's stores into the hot store.
    Migrate,
    /// Latencies beside cold loads.
    Cold,
    /// Resident memory and start.
    Memory,
    /// Memory of the kernel.
    Kernel,
    /// Copies of a byte of payload.
    Copies,
}

/// A server that takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The measure.
    Nginx,
    /// Our own gateway.
    Coldfront,
    /// The gateway of Kubo.
    Kubo,
}

/// A set of servers that are measured against each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Raw leaves on the file system of the cache folder.
    Plain,
    /// dag-pb leaves.
    DagPb,
    /// Blocks checked against their CIDs.
    Verify,
    /// The same bytes in a hot store.
    Hot,
    /// Everything on tmpfs, which refuses reads that must not wait.
    Tmpfs,
    /// nginx against nginx: what the harness itself scatters.
    Harness,
}

/// A row of the suite `rpc`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RpcRow {
    /// One large upload.
    Add,
    /// Many small files in one request.
    Small,
    /// One large file.
    Cat,
    /// Single blocks and what is known of them.
    Blocks,
    /// Lists of pins.
    Pins,
    /// Collections beside uploads.
    Collect,
    /// CAR files in and out.
    Car,
    /// Small nodes in and out.
    Nodes,
    /// Start and idle memory.
    Start,
    /// Thousands of calls over connections that are kept.
    Agent,
}

/// A part of the suite `migrate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A flatfs repository, beside copies of its files and ipfs-ds-convert.
    Flatfs,
    /// A Pebble repository, beside a copy of its files.
    Pebble,
    /// Reads that the disk is asked for.
    Disk,
    /// Peak memory by number of blocks.
    Memory,
    /// What is done again after a kill.
    Resume,
}

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Options {
    /// What to measure, in the order of the help text.
    pub suites: Vec<Suite>,
    /// Short runs that prove the harness.
    pub quick: bool,
    /// Rounds of each load.
    pub rounds: usize,
    /// How long each round is.
    pub length: Length,
    /// Groups of the suite `http`.
    pub groups: Vec<Group>,
    /// Rows of the suite `rpc`.
    pub rows: Vec<RpcRow>,
    /// Parts of the suite `migrate`.
    pub parts: Vec<Part>,
    /// Blocks of the archive that the suite `migrate` copies.
    pub blocks: u64,
    /// Servers that take part.
    pub peers: Vec<Peer>,
}

const SUITES: [(&str, Suite); 8] = [
    ("http", Suite::Http),
    ("hot", Suite::Hot),
    ("rpc", Suite::Rpc),
    ("migrate", Suite::Migrate),
    ("cold", Suite::Cold),
    ("memory", Suite::Memory),
    ("kernel", Suite::Kernel),
    ("copies", Suite::Copies),
];
const GROUPS: [(&str, Group); 6] = [
    ("plain", Group::Plain),
    ("dag-pb", Group::DagPb),
    ("verify", Group::Verify),
    ("hot", Group::Hot),
    ("tmpfs", Group::Tmpfs),
    ("self", Group::Harness),
];
const ROWS: [(&str, RpcRow); 10] = [
    ("add", RpcRow::Add),
    ("small", RpcRow::Small),
    ("cat", RpcRow::Cat),
    ("blocks", RpcRow::Blocks),
    ("pins", RpcRow::Pins),
    ("collect", RpcRow::Collect),
    ("car", RpcRow::Car),
    ("nodes", RpcRow::Nodes),
    ("start", RpcRow::Start),
    ("agent", RpcRow::Agent),
];
const PARTS: [(&str, Part); 5] = [
    ("flatfs", Part::Flatfs),
    ("pebble", Part::Pebble),
    ("disk", Part::Disk),
    ("memory", Part::Memory),
    ("resume", Part::Resume),
];
const PEERS: [(&str, Peer); 3] =
    [("nginx", Peer::Nginx), ("coldfront", Peer::Coldfront), ("kubo", Peer::Kubo)];

impl Options {
    /// Reads the words behind the program's name. `None` when help is asked for.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Option<Self>> {
        let mut words = words.into_iter();
        let mut suites = Vec::new();
        let mut groups = vec![Group::Plain, Group::DagPb, Group::Verify, Group::Hot, Group::Tmpfs];
        let mut parts: Vec<Part> = PARTS.map(|(_, part)| part).to_vec();
        let mut peers: Vec<Peer> = PEERS.map(|(_, peer)| peer).to_vec();
        let mut rows: Vec<RpcRow> = ROWS.map(|(_, row)| row).to_vec();
        let (mut quick, mut rounds, mut seconds, mut blocks) = (false, None, None, None);
        while let Some(word) = words.next() {
            let mut value = || words.next().with_context(|| format!("{word} needs a value"));
            match word.as_str() {
                "--help" | "-h" => return Ok(None),
                "--quick" => quick = true,
                "--rounds" => rounds = Some(number(&value()?)?),
                "--seconds" => seconds = Some(number(&value()?)?),
                "--blocks" => blocks = Some(number(&value()?)?),
                "--groups" => groups = list(&value()?, &GROUPS)?,
                "--rows" => rows = list(&value()?, &ROWS)?,
                "--parts" => parts = list(&value()?, &PARTS)?,
                "--peers" => peers = list(&value()?, &PEERS)?,
                "all" => suites.extend(SUITES.map(|(_, suite)| suite)),
                other => suites.push(one(other, &SUITES)?),
            }
        }
        if suites.is_empty() {
            suites.extend(SUITES.map(|(_, suite)| suite));
        }
        let length = Length {
            seconds: seconds.unwrap_or(if quick { 1 } else { 2 }),
            downloads: if quick { 4 } else { 20 },
        };
        let blocks = blocks.unwrap_or(if quick { 20_000 } else { 200_000 });
        let rounds = rounds.unwrap_or(if quick { 3 } else { 7 }) as usize;
        Ok(Some(Self { suites, quick, rounds, length, groups, rows, parts, blocks, peers }))
    }

    /// Whether a server takes part.
    pub fn with(&self, peer: Peer) -> bool {
        self.peers.contains(&peer)
    }
}

fn number(word: &str) -> Result<u64> {
    let number = word.parse().with_context(|| format!("\"{word}\" is not a number"))?;
    ensure!(number > 0, "nothing is measured with 0");
    Ok(number)
}

fn list<T: Copy>(words: &str, known: &[(&str, T)]) -> Result<Vec<T>> {
    words.split(',').map(|word| one(word, known)).collect()
}

fn one<T: Copy>(word: &str, known: &[(&str, T)]) -> Result<T> {
    match known.iter().find(|(name, _)| *name == word) {
        Some((_, value)) => Ok(*value),
        None => {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            bail!("\"{word}\" is unknown, expected one of {}; --help tells more", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{Group, Options, Peer, RpcRow, SUITES, Suite};

    fn parse(line: &str) -> anyhow::Result<Option<Options>> {
        Options::parse(line.split_ascii_whitespace().map(str::to_owned))
    }

    #[test]
    fn nothing_said_means_everything_in_full() {
        let options = parse("").unwrap().unwrap();
        assert_eq!(options.suites, SUITES.map(|(_, suite)| suite));
        assert_eq!((options.rounds, options.length.seconds, options.length.downloads), (7, 2, 20));
        assert!(options.with(Peer::Kubo) && !options.groups.contains(&Group::Harness));
    }

    #[test]
    fn what_is_said_holds_before_what_quick_means() {
        let options =
            parse("http --quick --seconds 5 --groups self,tmpfs --peers nginx").unwrap().unwrap();
        assert_eq!(options.suites, [Suite::Http]);
        assert_eq!((options.rounds, options.length.seconds), (3, 5));
        assert_eq!(options.groups, [Group::Harness, Group::Tmpfs]);
        assert!(!options.with(Peer::Coldfront));
    }

    #[test]
    fn rows_of_the_rpc_api_are_chosen_by_name() {
        let options = parse("rpc --rows pins,cat").unwrap().unwrap();
        assert_eq!(options.rows, [RpcRow::Pins, RpcRow::Cat]);
        assert_eq!(parse("rpc").unwrap().unwrap().rows.len(), 10);
    }

    #[test]
    fn a_wrong_word_is_answered_with_the_right_ones() {
        for line in
            ["htpt", "--rows catt", "--peers apache", "--rounds 0", "--rounds x", "--rounds"]
        {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(
            parse("htpt")
                .unwrap_err()
                .to_string()
                .contains("http, hot, rpc, migrate, cold, memory, kernel, copies")
        );
    }
}
