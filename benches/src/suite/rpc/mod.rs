//! `rpc`: the RPC API of coldfront over a hot store, beside Kubo's daemon, both asked by the same clients over loopback.
//!
//! Both take all processors and have their defaults otherwise. coldfront's answers to uploads are durable; what Kubo's are
//! stands in `README.md`. A row of the suite is a file here; each makes its data and shows its own table.

mod agent;
mod cars;
mod collect;
mod contest;
mod node;
mod nodes;
mod pins;
mod reads;
mod shelf;
mod start;
mod uploads;

use anyhow::{Result, ensure};

use crate::fixtures::Cache;
use crate::machine;
use crate::options::{Options, Peer, RpcRow};
use crate::report::Report;
use crate::server::kubo::Store;
use node::{Ground, Kind};
use shelf::Shelf;

/// What every row is given.
struct Course<'a> {
    options: &'a Options,
    cache: &'a Cache,
    ground: Ground,
    report: &'a mut Report,
}

impl Course<'_> {
    /// coldfront and these stores of Kubo's, where they take part.
    fn kinds(&self, stores: &[Store]) -> Vec<Kind> {
        let kubo =
            stores.iter().filter(|_| self.options.with(Peer::Kubo)).map(|it| Kind::Kubo(*it));
        std::iter::once(Kind::Coldfront).chain(kubo).collect()
    }

    fn wants(&self, row: RpcRow) -> bool {
        self.options.rows.contains(&row)
    }

    /// `full`, or a tenth of it in a quick run.
    fn scaled(&self, full: u64) -> u64 {
        if self.options.quick { full / 10 } else { full }
    }

    fn told(&mut self) {
        let rounds = self.options.rounds;
        self.report.line(format!("\n{rounds} rounds; load average {}", machine::load_average()));
    }
}

/// Measures the rows that are asked for.
pub fn run(options: &Options, cache: &Cache, report: &mut Report) -> Result<()> {
    ensure!(
        options.with(Peer::Coldfront),
        "rpc measures coldfront beside others; it cannot be left out of --peers"
    );
    let mut course = Course { options, cache, ground: Ground::new(cache)?, report };
    if course.wants(RpcRow::Start) {
        start::run(&mut course)?;
    }
    if course.wants(RpcRow::Add) {
        uploads::large(&mut course)?;
    }
    if course.wants(RpcRow::Small) {
        uploads::small(&mut course)?;
    }
    let reads = [RpcRow::Cat, RpcRow::Blocks, RpcRow::Car];
    if reads.iter().any(|row| course.wants(*row)) {
        let shelf = Shelf::stock(&course)?;
        if course.wants(RpcRow::Cat) {
            reads::cat(&mut course, &shelf)?;
        }
        if course.wants(RpcRow::Blocks) {
            reads::blocks(&mut course, &shelf)?;
        }
        if course.wants(RpcRow::Car) {
            cars::export(&mut course, &shelf)?;
            let car = cars::write(&course, &shelf)?;
            drop(shelf);
            cars::import(&mut course, &car)?;
        }
    }
    if course.wants(RpcRow::Nodes) {
        nodes::run(&mut course)?;
    }
    if course.wants(RpcRow::Pins) {
        pins::run(&mut course)?;
    }
    if course.wants(RpcRow::Collect) {
        collect::run(&mut course)?;
    }
    if course.wants(RpcRow::Agent) {
        agent::run(&mut course)?;
    }
    Ok(())
}
