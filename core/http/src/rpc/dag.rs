//! `dag/…`: nodes of any codec, and CAR files. Twin of kubo `core/commands/dag`.

use std::collections::HashSet;

use bytes::Bytes;
use coldfront::block::{DAG_CBOR, DAG_JSON, IDENTITY};
use coldfront::car::{self, CarWriter};
use coldfront::pin::NewPin;
use coldfront::walk::{Repeats, walk};
use coldfront::{Block, BlockStore, Cid, ReadError};
use serde::Serialize;

use super::block::{ALLOW_BIG, SOFT_LIMIT, TOO_BIG, codec, read_block};
use super::call::Call;
use super::dag_path;
use super::error::Failed;
use super::import_settings::ImportSettings;
use super::ipld;
use super::multihash::multihash;
use super::table::{Arg, Class, Command, Effect, Late, Opt};
use super::to_client::ToClient;

const IGNORED: &str = "Ignored: nothing is announced";
const PROGRESS: Opt = Opt::flag(&["progress", "p"], "Report how far it is");

pub(super) const COMMANDS: &[Command] = &[
    Command {
        args: &[Arg::files("object data", "The nodes, a part each")],
        options: &[
            Opt::text(&["store-codec"], "The codec of the blocks").or("dag-cbor"),
            Opt::text(&["input-codec"], "The codec of the parts").or("dag-json"),
            Opt::flag(&["pin"], "Pin them recursively"),
            Opt::text(&["hash"], "The hash function"),
            ALLOW_BIG,
        ],
        output: r#"{"Cid":{"/":…}} for each part"#,
        effect: Effect::Writes,
        class: Class::Upload,
        late: Late::Cut,
        ..Command::new("dag/put", "Store nodes", put)
    },
    Command {
        args: &[Arg::text("ref", "The node, or a value in it").stdin()],
        options: &[Opt::text(&["output-codec"], "The codec of the answer").or("dag-json")],
        output: "bytes",
        class: Class::Stream,
        ..Command::new("dag/get", "A node in any codec", get)
    },
    Command {
        args: &[Arg::text("ref", "The path").stdin()],
        output: r#"{"Cid":{"/":…},"RemPath"}"#,
        class: Class::Stream,
        ..Command::new("dag/resolve", "The block at the end of a path", resolve)
    },
    Command {
        args: &[Arg::files("path", "CAR files").optional()],
        options: &[
            Opt::flag(&["pin-roots"], "Pin the roots that the headers name").or("true"),
            Opt::flag(&["silent"], "Used by clients"),
            Opt::flag(&["stats"], "Count blocks and bytes"),
            Opt::flag(&["local-only"], "The files hold parts of DAGs: nothing is pinned"),
            Opt::flag(&["fast-provide-root"], IGNORED),
            Opt::flag(&["fast-provide-dag"], IGNORED),
            Opt::flag(&["fast-provide-wait"], IGNORED),
            ALLOW_BIG,
        ],
        output: r#"{"Root":{"Cid":{"/":…},"PinErrorMsg"}} for each root, then {"Stats":{"BlockCount","BlockBytesCount"}} if asked for"#,
        effect: Effect::Writes,
        class: Class::Upload,
        late: Late::Cut,
        ..Command::new("dag/import", "Store the blocks of CAR files", import)
    },
    Command {
        args: &[Arg::text("root", "The root").stdin()],
        options: &[PROGRESS, Opt::flag(&["local-only"], "Leave out what is missing")],
        output: "bytes",
        class: Class::Stream,
        ..Command::new("dag/export", "A DAG as a CAR of version 1", export)
    },
    Command {
        args: &[Arg::text("root", "The roots").many().stdin()],
        options: &[PROGRESS],
        output: r#"{"UniqueBlocks"?,"TotalSize"?,"SharedSize"?,"Ratio"?,"DagStats":[{"Cid","Size","NumBlocks"}]}, the last one complete"#,
        class: Class::Stream,
        ..Command::new("dag/stat", "Blocks and bytes of DAGs", stat)
    },
];

/// A CID as dag-json spells a link.
#[derive(Serialize)]
pub(crate) struct LinkValue {
    #[serde(rename = "/")]
    cid: String,
}

impl LinkValue {
    /// Always in the base of the CID's version: Kubo leaves the option out here.
    pub(crate) fn of(cid: &Cid) -> LinkValue {
        LinkValue { cid: cid.to_string() }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Put {
    cid: LinkValue,
}

fn put(call: &mut Call) -> Result<(), Failed> {
    let daemon = call.daemon.clone();
    let store = daemon.hot()?.leased();
    let text = |name: &str| call.options.text(name).unwrap_or_default();
    let (from, to) = (codec(text("input-codec"))?, codec(text("store-codec"))?);
    let settings = ImportSettings::of(call.daemon.settings())?;
    let hash = call.options.text("hash").filter(|name| !name.is_empty());
    let function = match hash {
        None => settings.hash.unwrap_or_default().code(),
        Some(hash) => coldfront::multihash::code_of(hash)
            .ok_or_else(|| Failed::new(format!("unknown multicodec: {hash:?}")))?,
    };
    let (pin, big) = (call.options.flag("pin"), call.options.flag("allow-big-block"));
    let mut parts = call.files()?;
    let mut pins = Vec::new();
    let mut held = None;
    while parts.next_part()?.is_some() {
        let data = read_block(&mut parts, true)?;
        let node = ipld::decode(from, &data)?;
        let block: Bytes = ipld::encode_as(to, &node)?.into();
        if block.len() as u64 > SOFT_LIMIT && !big {
            return Err(Failed::new(TOO_BIG));
        }
        let cid = Cid::new_v1(to, multihash(function, None, &block)?);
        if cid.hash().code() != IDENTITY {
            store.put(&[Block::verified(cid, block)?])?;
        }
        pins.push(NewPin::new(cid));
        // The last answer waits until all are durable.
        if let Some(earlier) = held.replace(Put { cid: LinkValue::of(&cid) }) {
            call.emit(&earlier)?;
        }
    }
    let cids: Vec<Cid> = pins.iter().map(|pin: &NewPin| pin.cid).collect();
    if pin {
        let claim = call.claim(&mut pins)?;
        daemon.pins()?.add_all(&pins)?;
        call.pinned(&cids, claim)?;
    } else {
        store.sync()?;
        cids.iter().for_each(|cid| call.changed(cid));
    }
    held.map_or(Ok(()), |last| call.emit_last(&last))
}

fn get(call: &mut Call) -> Result<(), Failed> {
    let output = codec(call.options.text("output-codec").unwrap_or("dag-json"))?;
    let path = call.path(call.arg(0))?;
    let end = dag_path::resolve(call.repo(), &path)?;
    let block = call.repo().block(&end.cid)?.ok_or_else(|| Failed::not_found(&end.cid))?;
    let bytes = if end.rest.is_empty()
        && output == end.cid.codec()
        && matches!(output, DAG_CBOR | DAG_JSON)
    {
        block.into_data()
    } else {
        let node = ipld::decode(end.cid.codec(), block.data())?;
        let mut at = &node;
        for name in &end.rest {
            at = ipld::step(at, name)
                .ok_or_else(|| Failed::new(format!("no link named {name:?} under {}", end.cid)))?;
        }
        ipld::encode_as(output, at)?.into()
    };
    call.begin_bytes("text/plain", None)?;
    call.bytes(bytes)
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ResolvedTo {
    cid: LinkValue,
    rem_path: String,
}

fn resolve(call: &mut Call) -> Result<(), Failed> {
    let path = call.path(call.arg(0))?;
    let end = dag_path::resolve(call.repo(), &path)?;
    call.once(&ResolvedTo { cid: LinkValue::of(&end.cid), rem_path: end.rest.join("/") })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RootOutput {
    root: RootMeta,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct RootMeta {
    cid: LinkValue,
    pin_error_msg: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StatsOutput {
    stats: Counts,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Counts {
    block_count: u64,
    block_bytes_count: u64,
}

/// A store that refuses blocks which peers do not exchange.
#[derive(Debug)]
struct Bounded {
    store: coldfront::store::hot::Leased,
    any_size: bool,
}

impl coldfront::BlockSource for Bounded {
    fn get(&self, cid: &Cid) -> Result<Option<Block>, coldfront::StoreError> {
        self.store.get(cid)
    }

    fn locate(&self, cid: &Cid) -> Result<Option<coldfront::Located>, coldfront::StoreError> {
        self.store.locate(cid)
    }

    fn size(&self, cid: &Cid) -> Result<Option<u64>, coldfront::StoreError> {
        self.store.size(cid)
    }
}

impl BlockStore for Bounded {
    fn put(&self, blocks: &[Block]) -> Result<(), coldfront::StoreError> {
        let large = |block: &&Block| !self.any_size && block.data().len() as u64 > SOFT_LIMIT;
        if let Some(block) = blocks.iter().find(large) {
            let (cid, len) = (*block.cid(), block.data().len() as u64);
            return Err(coldfront::StoreError::TooLarge { cid, place: "the CAR".into(), len });
        }
        self.store.put(blocks)
    }

    fn sync(&self) -> Result<(), coldfront::StoreError> {
        self.store.sync()
    }
}

fn import(call: &mut Call) -> Result<(), Failed> {
    let daemon = call.daemon.clone();
    let local_only = call.options.flag("local-only");
    let pin = call.options.flag("pin-roots") && !local_only;
    let any_size = call.options.flag("allow-big-block");
    let store = Bounded { store: daemon.hot()?.leased(), any_size };
    let mut parts = call.files()?;
    let (mut roots, mut counts) = (Vec::new(), Counts { block_count: 0, block_bytes_count: 0 });
    while parts.next_part()?.is_some() {
        let imported = car::import(&mut parts, &store).map_err(import_failed)?;
        counts.block_count += imported.blocks;
        counts.block_bytes_count += imported.bytes;
        roots.extend(
            imported.roots.into_iter().filter(|root| !roots.contains(root)).collect::<Vec<_>>(),
        );
        call.check()?;
    }
    if pin {
        for root in roots {
            let mut pin = NewPin::new(root);
            let claim = call.claim(std::slice::from_mut(&mut pin))?;
            let pinned = daemon.pins()?.add(&pin);
            if pinned.is_ok() {
                call.pinned(&[root], claim)?;
            }
            let failed = pinned.err().map(|error| match Failed::from(error) {
                failed if failed.message == Failed::not_found(&root).message => {
                    format!("ipld: could not find {root}")
                }
                failed => failed.message,
            });
            let cid = LinkValue::of(&root);
            let root = RootMeta { cid, pin_error_msg: failed.unwrap_or_default() };
            call.emit(&RootOutput { root })?;
        }
    }
    if call.options.flag("stats") {
        call.emit(&StatsOutput { stats: counts })?;
    }
    Ok(())
}

fn import_failed(error: car::CarError) -> Failed {
    match error {
        car::CarError::Store(coldfront::StoreError::TooLarge { cid, .. }) => {
            Failed::new(format!("import failed at block {:?}: {TOO_BIG}", cid.to_string()))
        }
        error => Failed::from(error).within("import failed"),
    }
}

fn export(call: &mut Call) -> Result<(), Failed> {
    let root = call.resolve_cid(call.arg(0))?;
    let repo = call.repo().clone();
    // What is missing at the root is an answer with a status.
    if repo.size(&root)?.is_none() && root.hash().code() != IDENTITY {
        return Err(Failed::not_found(&root));
    }
    let local_only = call.options.flag("local-only");
    call.begin_bytes("application/vnd.ipld.car", None)?;
    let out = ToClient::new(call);
    let mut car = CarWriter::new(out, &[root])?;
    let mut missing = HashSet::new();
    let blocks = walk(&[root], Repeats::default(), |cid| match repo.block(cid)? {
        None if local_only => {
            missing.insert(*cid);
            Ok(None)
        }
        found => Ok(found),
    });
    for block in blocks {
        match block {
            Ok(block) => car.put(&block)?,
            Err(error) => {
                // What came before is sent, and the failure told.
                let sent = car.finish();
                return Err(sent.err().map_or_else(|| error.into(), Failed::from));
            }
        }
    }
    car.finish()?;
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Summary {
    #[serde(skip_serializing_if = "is_zero")]
    unique_blocks: u64,
    #[serde(skip_serializing_if = "is_zero")]
    total_size: u64,
    #[serde(skip_serializing_if = "is_zero")]
    shared_size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<Ratio>,
    dag_stats: Vec<DagStat>,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DagStat {
    cid: String,
    size: u64,
    num_blocks: u64,
}

/// A number that Go writes without a point where it can.
#[derive(Serialize)]
#[serde(untagged)]
enum Ratio {
    Whole(u64),
    Other(f32),
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// Blocks between two reports. (Kubo reports every block; a film has ten thousand.)
const REPORT_EVERY: u64 = 1000;

fn stat(call: &mut Call) -> Result<(), Failed> {
    let progress = call.options.bool("progress").unwrap_or(true);
    let (cids, repo) = (call.cids()?, call.repo().clone());
    let mut seen: HashSet<Vec<u8>> = HashSet::new();
    let mut summary = Summary {
        unique_blocks: 0,
        total_size: 0,
        shared_size: 0,
        ratio: None,
        dag_stats: Vec::new(),
    };
    let mut all = 0u64;
    for path in call.args.clone() {
        let path = call.path(&path)?;
        let end = dag_path::resolve(&repo, &path)?;
        if !end.rest.is_empty() {
            return Err(Failed::new(
                "cannot return size for anything other than a DAG with a root CID",
            ));
        }
        let mut this = DagStat { cid: cids.show(&end.cid), size: 0, num_blocks: 0 };
        let failed = |error: ReadError| match &error {
            ReadError::Missing(cid) if *cid == end.cid => Failed::from(error),
            _ => Failed::from(error).within("error traversing DAG"),
        };
        for block in walk(&[end.cid], Repeats::default(), |cid| repo.block(cid)) {
            let block = block.map_err(failed)?;
            let len = block.data().len() as u64;
            this.size += len;
            this.num_blocks += 1;
            all += len;
            if seen.insert(block.cid().to_bytes()) {
                summary.total_size += len;
            }
            if progress && this.num_blocks % REPORT_EVERY == 1 {
                summary.dag_stats.push(this.clone());
                call.emit(&summary)?;
                summary.dag_stats.pop();
            } else {
                call.check()?;
            }
        }
        summary.dag_stats.push(this);
    }
    summary.unique_blocks = seen.len() as u64;
    summary.shared_size = all - summary.total_size;
    summary.ratio = Some(match (all, summary.total_size) {
        (_, 0) => Ratio::Whole(0),
        (all, unique) if all % unique == 0 => Ratio::Whole(all / unique),
        (all, unique) => Ratio::Other(all as f32 / unique as f32),
    });
    call.emit(&summary)
}
