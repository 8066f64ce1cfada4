//! `where`: where a block lies, what keeps it, and whether all below it is there. A command of coldfront's own: operators of two
//! daemons ask each by hand.

use coldfront::pin::PinStatus;
use coldfront::walk::{Repeats, walk};
use coldfront::{Cid, ReadError};
use serde::Serialize;

use super::call::Call;
use super::error::Failed;
use super::table::{Arg, Class, Command, Opt};

pub(super) const COMMANDS: &[Command] = &[Command {
    args: &[Arg::text("ipfs-path", "The block").stdin()],
    options: &[Opt::flag(&["dag"], "Look at all blocks below as well").or("true")],
    output: r#"{"Cid","Tiers":[{"Tier","Path"?,"Size"?,"Error"?}],"Pinned","Way":[…],"Dag"?:{"Complete","Blocks","Bytes","Missing"?,"PerTier":[{"Tier","Blocks","Bytes"}]}}"#,
    class: Class::Stream,
    ..Command::new("where", "Where a block lies and what keeps it (coldfront)", where_is)
}];

/// Blocks of a DAG that are looked at.
const MAX_BLOCKS: u64 = 100_000_000;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Where {
    cid: String,
    tiers: Vec<Tier>,
    pinned: String,
    way: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dag: Option<Dag>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Tier {
    tier: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Dag {
    complete: bool,
    blocks: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    missing: Option<String>,
    per_tier: Vec<PerTier>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct PerTier {
    tier: String,
    blocks: u64,
    bytes: u64,
}

fn where_is(call: &mut Call) -> Result<(), Failed> {
    let cid = call.resolve_cid(call.arg(0))?;
    let cids = call.cids()?;
    let daemon = call.daemon.clone();
    let tiers: Vec<Tier> = daemon
        .repo()
        .holders(&cid)
        .into_iter()
        .map(|holder| Tier {
            tier: holder.tier,
            path: holder.path,
            size: holder.size.as_ref().ok().copied(),
            error: holder.size.err().map(|error| error.to_string()),
        })
        .collect();
    let (mut pinned, mut way) = ("not pinned".to_owned(), Vec::new());
    if let Some(pins) = daemon.repo().pins() {
        pinned = match pins.status(&cid)? {
            PinStatus::Recursive => "recursive".into(),
            PinStatus::Direct => "direct".into(),
            PinStatus::Indirect { through } => format!("indirect through {}", cids.show(&through)),
            _ => pinned,
        };
        way = pins.why(&cid)?.unwrap_or_default().iter().map(|cid| cids.show(cid)).collect();
    }
    let is_here = tiers.iter().any(|tier| tier.size.is_some());
    let dag = match call.options.flag("dag") && is_here {
        true => Some(dag(call, &cid)?),
        false => None,
    };
    call.once(&Where { cid: cids.show(&cid), tiers, pinned, way, dag })
}

/// Counts what lies below a block, by the tier that answers for it first.
fn dag(call: &Call, root: &Cid) -> Result<Dag, Failed> {
    let repo = call.repo();
    let mut per_tier: Vec<PerTier> = Vec::new();
    let mut dag = Dag { complete: true, blocks: 0, bytes: 0, missing: None, per_tier: Vec::new() };
    for block in walk(&[*root], Repeats::default(), |cid| repo.block(cid)) {
        call.check()?;
        let block = match block {
            Ok(block) => block,
            Err(ReadError::Missing(cid)) => {
                dag.complete = false;
                dag.missing = Some(cid.to_string());
                break;
            }
            Err(error) => return Err(error.into()),
        };
        let bytes = block.data().len() as u64;
        dag.blocks += 1;
        dag.bytes += bytes;
        let holder = repo.holders(block.cid()).into_iter().find(|holder| holder.size.is_ok());
        let tier = holder.map_or_else(|| "in the CID itself".to_owned(), |holder| holder.tier);
        match per_tier.iter_mut().find(|known| known.tier == tier) {
            Some(known) => {
                known.blocks += 1;
                known.bytes += bytes;
            }
            None => per_tier.push(PerTier { tier, blocks: 1, bytes }),
        }
        if dag.blocks >= MAX_BLOCKS {
            return Err(Failed::new(format!(
                "more than {MAX_BLOCKS} blocks lie below; ask with dag=false"
            )));
        }
    }
    dag.per_tier = per_tier;
    Ok(dag)
}
