//! From the start of the process to its first answer, and what it holds when nothing is asked of it.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::Course;
use super::pins::{kubos_pins, own_pins};
use crate::process::Memory;
use crate::report::{megabytes, millis, verdict};
use crate::rounds::median;

/// Starts of which the median is told.
const STARTS: usize = 5;
/// After this long without a call a server is idle.
const IDLE: Duration = Duration::from_secs(5);
const START_LIMIT: Duration = Duration::from_millis(100);
const IDLE_LIMIT: u64 = 40 << 20;

/// Over the stores of the row of pins: Kubo's is the smaller one.
pub(super) fn run(course: &mut Course<'_>) -> Result<()> {
    let mut stores = vec![own_pins(course)?];
    stores.extend(kubos_pins(course)?);
    course.report.heading("rpc: start to the first answer, and idle memory");
    course.report.table(&[
        "by",
        "blocks, all pinned",
        "ms (all starts)",
        "idle MB (anon, file)",
        "asked",
    ]);
    for store in &stores {
        let (mut starts, mut memory) = (Vec::new(), Memory::default());
        for number in 0..STARTS {
            let node = course.ground.over(store.kind, &store.folder)?;
            starts.push(node.server()?.start_time);
            if number + 1 == STARTS {
                sleep(IDLE);
                memory = node.server()?.memory()?;
            }
        }
        let start = median(starts.iter().map(Duration::as_secs_f64).collect());
        let all: Vec<String> = starts.iter().map(|start| millis(*start)).collect();
        let asked = match store.kind {
            super::Kind::Coldfront => format!(
                "<= {} ms {}, <= {} MB {}",
                START_LIMIT.as_millis(),
                verdict(start <= START_LIMIT.as_secs_f64()),
                IDLE_LIMIT >> 20,
                verdict(memory.resident <= IDLE_LIMIT)
            ),
            super::Kind::Kubo(_) => "-".into(),
        };
        course.report.row(&[
            store.kind.name().to_owned(),
            store.count.to_string(),
            format!("{:.1} ({})", start * 1e3, all.join(", ")),
            format!(
                "{} ({}, {})",
                megabytes(memory.resident),
                megabytes(memory.anonymous),
                megabytes(memory.file)
            ),
            asked,
        ]);
    }
    course.told();
    Ok(())
}
