//! File handles: as many as the system grants, and limits that fit into them.
//!
//! Owns the sum of what a server opens. A server that ran out of handles would refuse clients and miss
//! blocks, so it starts with limits that it can keep.

use coldfront_http::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Handles for all else: clients that are turned away (64 at a time), listeners, the runtime, the log.
const RESERVE: u64 = 128;

/// Handles for clients and blocks below which serving makes no sense.
const LEAST: u64 = 16;

/// Asks for as many handles as the system lets this process have; how many it has then. Two system calls.
pub(crate) fn raise() -> u64 {
    let granted = getrlimit(Resource::Nofile);
    let all = Rlimit { current: granted.maximum, maximum: granted.maximum };
    // `None` is no limit. Where raising is refused, what there is must do.
    let now =
        if setrlimit(Resource::Nofile, all).is_ok() { granted.maximum } else { granted.current };
    now.unwrap_or(u64::MAX)
}

/// Handles that a server may hold at a time: one a connection, one an answer under way, those kept for
/// leaves read lately, one a read that waits.
fn needed(limits: &Limits, hot: u32) -> u64 {
    let answers = limits.file_requests.min(limits.connections);
    let all = [limits.connections, answers, limits.open_files, limits.disk_threads];
    let reserve = RESERVE + u64::from(hot);
    all.iter().fold(reserve, |sum, count| sum.saturating_add(*count as u64))
}

/// Lowers limits that `handles` do not suffice for; `hot` of them are the hot store's. The sentence for the operator says which; the error
/// says that there are too few to serve at all.
pub(crate) fn fit(limits: &mut Limits, hot: u32, handles: u64) -> Result<Option<String>, String> {
    let needed = needed(limits, hot);
    if needed <= handles {
        return Ok(None);
    }
    const WAY_OUT: &str = "raise it with `ulimit -n` or LimitNOFILE";
    let fixed = RESERVE + u64::from(hot) + limits.disk_threads as u64;
    let room = handles.saturating_sub(fixed);
    if room < LEAST {
        return Err(format!(
            "the system grants {handles} open files, expected {} at least; {WAY_OUT}",
            fixed + LEAST
        ));
    }
    // Three eighths for connections, as many for their answers, a quarter for leaves.
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    limits.connections = limits.connections.min(room / 8 * 3);
    let answers = limits.file_requests.min(limits.connections);
    limits.open_files = limits.open_files.min(room - limits.connections - answers);
    Ok(Some(format!(
        "the system grants {handles} open files and the limits may need {needed}: serving with connections = {} and open_files = {}; {WAY_OUT}",
        limits.connections, limits.open_files
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn limits_that_fit_stay_as_they_are() {
        let mut limits = Limits::default();
        assert_eq!(fit(&mut limits, 0, needed(&Limits::default(), 0)), Ok(None));
        assert_eq!(limits, Limits::default());
    }

    #[test]
    fn whatever_is_granted_the_limits_fit_afterwards_or_it_is_an_error() {
        for handles in (0..8000).step_by(7) {
            let mut limits = Limits::default();
            match fit(&mut limits, 0, handles) {
                Ok(_) => assert!(
                    needed(&limits, 0) <= handles
                        && limits.connections > 0
                        && limits.open_files > 0
                ),
                Err(sentence) => assert!(
                    handles < 176 && sentence.contains("ulimit -n"),
                    "{handles}: {sentence}"
                ),
            }
        }
    }

    #[test]
    fn what_a_hot_store_holds_open_is_counted() {
        let mut limits = Limits::default();
        fit(&mut limits, 512, 2048).unwrap().unwrap();
        assert!(needed(&limits, 512) <= 2048 && needed(&limits, 512) > 2048 - 16);
    }

    #[test]
    fn lowered_limits_are_told() {
        let sentence = fit(&mut Limits::default(), 0, 1024).unwrap().unwrap();
        assert!(sentence.contains("connections = 324 and open_files = 216"), "{sentence}");
    }
}
