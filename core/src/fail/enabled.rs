//! Moments at which a crash test ends the process, between two steps that a crash could part.
//!
//! Owns the reading of `COLDFRONT_DIE_AT`: `NAME:COUNT` ends the process, as `kill -9` would, when it comes
//! by the point NAME for the COUNTth time. Compiled with the feature `testing` only.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

struct Plan {
    name: String,
    left: AtomicU64,
}

/// A moment that has a name. Ends the process if the plan says so.
pub(crate) fn point(name: &str) {
    static PLAN: OnceLock<Option<Plan>> = OnceLock::new();
    let Some(plan) = PLAN.get_or_init(read_plan) else { return };
    if plan.name == name && plan.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        // No destructor runs and nothing is written out: what is in the page cache is all that stays.
        std::process::abort();
    }
}

fn read_plan() -> Option<Plan> {
    let text = std::env::var("COLDFRONT_DIE_AT").ok()?;
    let (name, count) = text.split_once(':')?;
    Some(Plan { name: name.to_owned(), left: AtomicU64::new(count.parse().ok()?) })
}
