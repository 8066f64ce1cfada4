//! `pin/ls`: all of a million, streamed, and one that is not pinned.
//!
//! Kubo makes some 1,500 pins a second and walks all to say that something is not pinned, so it is asked at a smaller
//! count, and coldfront at that count as well.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use coldfront::block::RAW;
use coldfront::car::CarWriter;
use coldfront::pin::{NewPin, PinIndex};
use coldfront::store::hot::{HotOptions, HotStore};
use coldfront::{Block, Cid};
use sha2::{Digest as _, Sha256};

use super::Course;
use super::node::{Kind, Node, clear};
use crate::caller::Form;
use crate::fixtures::once;
use crate::options::Peer;
use crate::report::{megabytes, millis, verdict};
use crate::rounds::median;
use crate::server::kubo::{self, Store};

/// Pins of ours.
const PINS: u64 = 1_000_000;
/// Pins of Kubo's.
const KUBOS_PINS: u64 = 20_000;
/// Blocks and pins that are made together.
const AT_A_TIME: u64 = 10_000;
/// Calls for something that is not pinned.
const MISSES: u64 = 200;
/// How many of them Kubo is asked.
const KUBOS_MISSES: u64 = 5;

const FIRST_ROW_LIMIT: Duration = Duration::from_millis(20);
const ALL_LIMIT: Duration = Duration::from_secs(3);
const GROWTH_LIMIT: u64 = 16 << 20;
const MISS_LIMIT: Duration = Duration::from_millis(2);

/// A repository with pins.
#[derive(Debug)]
pub(super) struct Pinned {
    pub(super) kind: Kind,
    pub(super) folder: PathBuf,
    pub(super) count: u64,
}

/// A small raw block, another for each number.
pub(super) fn block(number: u64) -> Result<Block> {
    let bytes = format!("pinned block {number:08}").into_bytes();
    let mut cid = vec![0x01, RAW as u8, 0x12, 0x20];
    cid.extend_from_slice(&Sha256::digest(&bytes));
    Ok(Block::verified(Cid::try_from(cid.as_slice())?, bytes.into())?)
}

/// A store of ours with a million pins (a tenth of that in a quick run), made if it is not there.
pub(super) fn own_pins(course: &Course<'_>) -> Result<Pinned> {
    own(course, course.scaled(PINS))
}

fn own(course: &Course<'_>, count: u64) -> Result<Pinned> {
    let place = course.cache.folder(&format!("rpc-pins-{count}"))?;
    let folder = place.join("hot");
    once(&place, "1", || {
        clear(&folder)?;
        let store = HotStore::open(&HotOptions::new(&folder))?;
        let pins = PinIndex::new(&store, Vec::new());
        for first in (0..count).step_by(AT_A_TIME as usize) {
            let blocks: Vec<Block> =
                (first..count.min(first + AT_A_TIME)).map(block).collect::<Result<_>>()?;
            let bulk = store.bulk("bench");
            bulk.put(&blocks)?;
            bulk.flush()?;
            let new: Vec<NewPin> = blocks.iter().map(|block| NewPin::new(*block.cid())).collect();
            pins.add_all(&new)?;
        }
        Ok(())
    })?;
    Ok(Pinned { kind: Kind::Coldfront, folder, count })
}

/// A repository of Kubo's, made if it is not there: a CAR of so many roots, imported.
pub(super) fn kubos_pins(course: &Course<'_>) -> Result<Option<Pinned>> {
    if !course.options.with(Peer::Kubo) {
        return Ok(None);
    }
    let count = course.scaled(KUBOS_PINS);
    let kind = Kind::Kubo(Store::Flatfs);
    let place = course.cache.folder(&format!("rpc-pins-kubo-{count}"))?;
    let folder = place.join("repo");
    once(&place, "1", || {
        clear(&folder)?;
        kubo::make(Store::Flatfs, &folder)?;
        let car = course.ground.at("pins.car");
        let blocks: Vec<Block> = (0..count).map(block).collect::<Result<_>>()?;
        let roots: Vec<Cid> = blocks.iter().map(|block| *block.cid()).collect();
        let mut writer = CarWriter::new(BufWriter::new(File::create(&car)?), &roots)?;
        blocks.iter().try_for_each(|block| writer.put(block))?;
        drop(writer.finish()?);
        let node = course.ground.over(kind, &folder)?;
        node.connect()?.send("dag/import", Form::of_file(&car)?, &mut |_| ())?;
        Ok(fs::remove_file(car)?)
    })?;
    Ok(Some(Pinned { kind, folder, count }))
}

/// What one server was asked.
#[derive(Debug, Default)]
struct Listed {
    first: Vec<f64>,
    all: Vec<f64>,
    grown: u64,
    missed: Vec<f64>,
}

pub(super) fn run(course: &mut Course<'_>) -> Result<()> {
    let mut stores = vec![own_pins(course)?];
    if let Some(kubos) = kubos_pins(course)? {
        stores.push(own(course, kubos.count)?);
        stores.push(kubos);
    }
    course.report.heading("rpc: pin/ls");
    course.report.table(&[
        "by",
        "pins",
        "first row ms",
        "all s",
        "memory more, MB",
        "not pinned, ms (longest)",
        "asked",
    ]);
    for (number, store) in stores.iter().enumerate() {
        let node = course.ground.over(store.kind, &store.folder)?;
        let mut listed = Listed::default();
        // The first list brings the store into the caches of both.
        for round in 0..=course.options.rounds {
            list(&node, store.count, round > 0, &mut listed)?;
        }
        misses(&node, &mut listed)?;
        let is_asked = number == 0;
        course.report.row(&listed.row(store, is_asked));
    }
    course.told();
    Ok(())
}

/// All recursive pins, streamed.
fn list(node: &Node, count: u64, counts: bool, listed: &mut Listed) -> Result<()> {
    let server = node.server()?;
    let mut caller = node.connect()?;
    server.forget_peak()?;
    let before = server.memory()?.resident;
    let began = Instant::now();
    let (mut first, mut rows) = (None, 0);
    caller.call("pin/ls?type=recursive&stream=true", &mut |piece| {
        first = first.or_else(|| Some(began.elapsed()));
        rows += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
    })?;
    let all = began.elapsed();
    // A repository of Kubo's begins with a pin.
    ensure!(rows == count || rows == count + 1, "{rows} pins, expected {count}");
    if counts {
        listed.first.push(first.context("no row")?.as_secs_f64());
        listed.all.push(all.as_secs_f64());
    }
    listed.grown = listed.grown.max(server.memory()?.peak.saturating_sub(before));
    Ok(())
}

/// Blocks that are held by nobody.
fn misses(node: &Node, listed: &mut Listed) -> Result<()> {
    let times = if node.kind == Kind::Coldfront { MISSES } else { KUBOS_MISSES };
    for number in 0..times {
        let target = format!("pin/ls?arg={}", block(PINS + 1 + number)?.cid());
        let began = Instant::now();
        let mut said = Vec::new();
        // With a connection for each: an answer of 500 may end one.
        node.connect()?.expect(500, &target, None, &mut |piece| said.extend_from_slice(piece))?;
        listed.missed.push(began.elapsed().as_secs_f64());
        ensure!(String::from_utf8_lossy(&said).contains("is not pinned"), "another answer");
    }
    Ok(())
}

impl Listed {
    fn row(&self, store: &Pinned, is_asked: bool) -> Vec<String> {
        let [first, all, missed] =
            [&self.first, &self.all, &self.missed].map(|values| median(values.clone()));
        let longest = self.missed.iter().copied().fold(0.0, f64::max);
        let time = Duration::from_secs_f64;
        let asked = match is_asked {
            true => format!(
                "<= 20 ms {}, <= 3 s {}, <= 16 MB {}, <= 2 ms {}",
                verdict(time(first) <= FIRST_ROW_LIMIT),
                verdict(time(all) <= ALL_LIMIT),
                verdict(self.grown <= GROWTH_LIMIT),
                verdict(time(missed) <= MISS_LIMIT)
            ),
            false => "-".into(),
        };
        vec![
            store.kind.name().to_owned(),
            store.count.to_string(),
            millis(time(first)),
            format!("{all:.2}"),
            megabytes(self.grown),
            format!("{} ({})", millis(time(missed)), millis(time(longest))),
            asked,
        ]
    }
}
