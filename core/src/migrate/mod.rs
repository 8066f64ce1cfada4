//! Moving content from Kubo's stores into the hot store, and back out.
//!
//! Owns the job: which blocks, in which order, checked how, and where it goes on after it was stopped. A job may be
//! killed at any moment: what it wrote is a true prefix, its marks speak only for blocks that are there, and running it
//! again goes on. A block that is bad is reported and never stops it. Must not know flags, terminals or exit codes.
//!
//! - `source`: where blocks come from. `order`: in which order, by disk or by root.
//! - `copy`: readers, hashers and the writer, joined by bounded channels. `mark`: how far it is. `run`: the whole.
//! - `plan`: what a job would take. `scrub`: whether a source is sound.
//! - [`carry`]: pins, MFS root, names and keys. `verify`: whether all of it is right. `report`, `progress`: what is told.
//! - [`export`]: the way back, a hot store as a repository that Kubo opens. [`release`]: which files of a source may go.
//! - [`pins`]: pin sets without their blocks.
//! - [`pin_lists`]: lists of pins as Kubo, IPFS Cluster and operators write them.

pub mod carry;
mod copy;
mod error;
pub mod export;
mod mark;
mod order;
pub mod pin_lists;
pub mod pins;
mod plan;
mod progress;
pub mod release;
mod report;
mod run;
mod scrub;
mod source;
mod verify;

pub use copy::{Pace, StepBack};
pub use error::MigrateError;
pub use mark::{JobStatus, jobs, jobs_told};
pub use plan::{Estimate, Plan, plan};
pub use progress::{Event, Phase, Progress};
pub use report::{Fault, FaultKind, MAX_FAULTS, Report};
pub use run::{Job, Root, Select, run};
pub use scrub::{ScrubOptions, Scrubbed, scrub};
pub use source::Source;
pub use verify::verify;
