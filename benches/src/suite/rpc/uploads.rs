//! `add`: one large file, and many small ones in one request.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use super::Course;
use super::contest::{Asked, Contest, FILES, MEGABYTES};
use super::node::{Kind, Node};
use crate::caller::{Form, last_text, write_form};
use crate::fixtures::uploads::{BIG_BYTES, SMALL_FILES, Uploads, small_name};
use crate::report::{megabytes, verdict};
use crate::server::kubo::Store;

/// How both rows call: CIDv1 with raw leaves, no reports of progress, pinned.
pub(super) const ADD: &str = "add?cid-version=1&progress=false";
/// What an `add` of many small files may take.
const PEAK_LIMIT: u64 = 150 << 20;

/// One file of 1 GiB, durable at the answer with coldfront.
pub(super) fn large(course: &mut Course<'_>) -> Result<()> {
    let uploads = Uploads::open(course.cache)?;
    let kinds = course.kinds(&[Store::Flatfs, Store::FlatfsSynced, Store::Pebble]);
    course
        .report
        .heading("rpc: add of 1 GiB, CIDv1, leaves of 256 KiB, a new repository each time");
    let mut cids = Vec::new();
    let contest = Contest::hold(&kinds, course.options.rounds, |_, kind, _| {
        read_through(&uploads.big)?;
        let node = course.ground.fresh(kind)?;
        node.measure(|| {
            cids.push(add_large(&node, &uploads)?);
            Ok(BIG_BYTES as f64 / 1e6)
        })
    })?;
    ensure!(cids.windows(2).all(|two| two[0] == two[1]), "their CIDs differ: {cids:?}");
    let asked = [
        Asked { of: Kind::Kubo(Store::Pebble), rate: 5.0, cpu: None },
        Asked { of: Kind::Kubo(Store::FlatfsSynced), rate: 1.0, cpu: None },
    ];
    contest.tell(MEGABYTES, &asked, course.report);
    course.told();
    Ok(())
}

/// Adds the large file; its CID.
pub(super) fn add_large(node: &Node, uploads: &Uploads) -> Result<String> {
    let answer = node.connect()?.send_text(ADD, Form::of_file(&uploads.big)?)?;
    last_text(&answer, "Hash")
}

/// 100,000 files of 3 KB in one directory and one request.
pub(super) fn small(course: &mut Course<'_>) -> Result<()> {
    let uploads = Uploads::open(course.cache)?;
    let count = course.scaled(SMALL_FILES);
    let form = course.ground.at("small.form");
    write_form(
        &form,
        "small",
        (0..count).map(|number| {
            let name = small_name(number);
            let bytes = fs::read(uploads.small.join(&name))?;
            Ok((name, bytes))
        }),
    )?;
    let kinds = course.kinds(&[Store::Pebble, Store::Flatfs]);
    course.report.heading(&format!("rpc: add of {count} files of 3 KB in one request"));
    let mut cids = Vec::new();
    let contest = Contest::hold(&kinds, course.options.rounds, |_, kind, _| {
        read_through(&form)?;
        let node = course.ground.fresh(kind)?;
        node.measure(|| {
            cids.push(add_small(&node, &form, count)?);
            Ok(count as f64)
        })
    })?;
    ensure!(cids.windows(2).all(|two| two[0] == two[1]), "their CIDs differ: {cids:?}");
    let asked = |store| Asked { of: Kind::Kubo(store), rate: 2.0, cpu: None };
    contest.tell(FILES, &[asked(Store::Pebble), asked(Store::Flatfs)], course.report);
    let peak = contest.own_peak();
    let reached = verdict(peak <= PEAK_LIMIT);
    course.report.line(format!("\npeak {} MB, asked <= 150 {reached}", megabytes(peak)));
    course.told();
    fs::remove_file(form)?;
    Ok(())
}

/// Adds them; the CID of the directory. Every file must have an event of its own.
fn add_small(node: &Node, form: &Path, count: u64) -> Result<String> {
    let mut events = 0;
    let mut last = Vec::new();
    node.connect()?.send(ADD, Form::ready_made(form)?, &mut |piece| {
        events += piece.iter().filter(|byte| **byte == b'\n').count() as u64;
        last.extend_from_slice(piece);
        let old = last.len().saturating_sub(1024);
        last.drain(..old);
    })?;
    ensure!(events == count + 1, "{events} events, expected {}", count + 1);
    last_text(&String::from_utf8_lossy(&last), "Hash")
}

/// Brings a file into the page cache.
pub(super) fn read_through(path: &Path) -> Result<()> {
    std::io::copy(&mut fs::File::open(path)?, &mut std::io::sink())?;
    Ok(())
}
