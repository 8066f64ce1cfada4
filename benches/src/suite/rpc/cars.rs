//! `dag/export` of the large file, and `dag/import` of the CAR that it gives.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::Course;
use super::contest::{Asked, Contest, MEGABYTES};
use super::node::Kind;
use super::shelf::Shelf;
use super::uploads::read_through;
use crate::caller::Form;
use crate::server::kubo::Store;

/// The DAG of the large file as a CAR.
pub(super) fn export(course: &mut Course<'_>, shelf: &Shelf) -> Result<()> {
    course.report.heading("rpc: dag/export of 1 GiB");
    let target = format!("dag/export?arg={}&progress=false", shelf.root);
    let mut lengths = Vec::new();
    let contest = Contest::hold(&shelf.kinds(), course.options.rounds, |index, _, _| {
        let node = &shelf.nodes[index];
        node.measure(|| {
            let answer = node.connect()?.call(&target, &mut |_| ())?;
            lengths.push(answer.bytes);
            Ok(answer.bytes as f64 / 1e6)
        })
    })?;
    ensure!(lengths.windows(2).all(|two| two[0] == two[1]), "lengths differ: {lengths:?}");
    let asked = [Store::Flatfs, Store::Pebble].map(|store| Asked {
        of: Kind::Kubo(store),
        rate: 5.0,
        cpu: None,
    });
    contest.tell(MEGABYTES, &asked, course.report);
    course.told();
    Ok(())
}

/// The CAR on a disk.
pub(super) fn write(course: &Course<'_>, shelf: &Shelf) -> Result<PathBuf> {
    let path = course.ground.at("large.car");
    let mut out = BufWriter::with_capacity(1 << 20, File::create(&path)?);
    let mut failed = Ok(());
    let node = shelf.nodes.first().context("nobody has it")?;
    let target = format!("dag/export?arg={}&progress=false", shelf.root);
    node.connect()?.call(&target, &mut |piece| {
        if failed.is_ok() {
            failed = out.write_all(piece);
        }
    })?;
    failed?;
    out.flush()?;
    Ok(path)
}

/// The CAR into a new repository, its root pinned; durable at the answer with coldfront.
pub(super) fn import(course: &mut Course<'_>, car: &Path) -> Result<()> {
    course.report.heading("rpc: dag/import of 1 GiB, the root pinned, a new repository each time");
    let kinds = course.kinds(&[Store::Flatfs, Store::Pebble]);
    let bytes = fs::metadata(car)?.len();
    let contest = Contest::hold(&kinds, course.options.rounds, |_, kind, _| {
        read_through(car)?;
        let node = course.ground.fresh(kind)?;
        node.measure(|| {
            let answer = node.connect()?.send_text("dag/import?stats=true", Form::of_file(car)?)?;
            ensure!(answer.contains("\"PinErrorMsg\":\"\""), "{answer}");
            Ok(bytes as f64 / 1e6)
        })
    })?;
    let asked = [Asked { of: Kind::Kubo(Store::Flatfs), rate: 1.0, cpu: None }];
    contest.tell(MEGABYTES, &asked, course.report);
    course.told();
    fs::remove_file(car)?;
    Ok(())
}
