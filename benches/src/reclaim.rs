//! What giving space back costs: bytes that a reclaim writes for each byte that it has to move.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use anyhow::{Result, ensure};
use coldfront::gc::{CollectOptions, collect};
use coldfront::pin::{NewPin, PinIndex};
use coldfront::store::hot::{DEFAULT_GARBAGE_RATIO, HotOptions, HotStore};

use crate::random::Random;
use crate::wide::block;
use crate::work::written;

/// Bytes of a block.
const LEN: u64 = 256 * 1024;

/// Fills a store with `count` blocks, of which 4 of 10 at random are garbage, collects, reclaims and prints what that wrote.
pub fn run(store: &Path, count: u64) -> Result<()> {
    let hot = HotStore::open(&HotOptions::new(store))?;
    let pins = PinIndex::new(&hot, Vec::new());
    let mut random = Random::new(4);
    let (mut kept, mut data) = (Vec::new(), vec![0; LEN as usize]);
    let bulk = hot.bulk("reclaim");
    for _ in 0..count {
        random.fill(&mut data);
        let one = block(&data)?;
        bulk.put(std::slice::from_ref(&one))?;
        if random.below(10) >= 4 {
            kept.push(NewPin::new(*one.cid()));
        }
    }
    bulk.flush()?;
    drop(bulk);
    pins.add_all(&kept)?;
    let done = collect(&pins, &CollectOptions::default(), &mut |_| ControlFlow::Continue(()))?;
    ensure!(done.blocks == count - kept.len() as u64, "{} blocks collected", done.blocks);
    let before = written()?;
    let space = hot.settle()?;
    let (settled, price) = (written()?, space.price(DEFAULT_GARBAGE_RATIO));
    let began = Instant::now();
    let after = hot.reclaim(DEFAULT_GARBAGE_RATIO)?;
    let (live, wrote) = (kept.len() as u64 * LEN, written()? - settled);
    println!(
        "reclaim of {} of {} MB: settling wrote {} MB, reclaiming {} MB in {:.1?}, {:.3} of the live bytes moved ({} MB); price told {} MB; {} MB left",
        space.garbage >> 20,
        space.blobs >> 20,
        (settled - before) >> 20,
        wrote >> 20,
        began.elapsed(),
        wrote as f64 / live as f64,
        live >> 20,
        price.writes >> 20,
        after.blobs >> 20,
    );
    Ok(())
}
