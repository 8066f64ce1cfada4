//! Calls under way and those that ended lately, for `diag/cmds`.
//!
//! Owns the bound of what is remembered. Must not know any command.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::args::{self, Options};
use super::changes::tellable;

/// Calls that are remembered, those under way included. With more under way, the oldest are forgotten.
const MAX_CALLS: usize = 256;

/// How long a call is remembered after its end, unless somebody asked for another time.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Bytes of an argument or option that are remembered.
const MAX_TEXT: usize = 256;

/// A call.
#[derive(Clone, Debug)]
pub(crate) struct CallRecord {
    pub(crate) id: u64,
    pub(crate) command: &'static str,
    pub(crate) args: Vec<String>,
    pub(crate) options: Vec<(&'static str, Value)>,
    pub(crate) began: SystemTime,
    pub(crate) ended: Option<SystemTime>,
}

#[derive(Debug)]
struct Table {
    next: u64,
    calls: VecDeque<CallRecord>,
    /// How long a call is remembered after its end.
    remembered: Duration,
}

impl Default for Table {
    fn default() -> Self {
        Table { next: 0, calls: VecDeque::new(), remembered: REMEMBERED }
    }
}

/// The calls of a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls(Arc<Mutex<Table>>);

/// A call is under way as long as this is held.
#[derive(Debug)]
pub(crate) struct UnderWay {
    calls: Calls,
    id: u64,
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

fn shown(value: &args::Value) -> Value {
    match value {
        args::Value::Bool(value) => Value::Bool(*value),
        args::Value::Int(value) => Value::from(*value),
        args::Value::Text(text) => Value::String(cut(text)),
        args::Value::Texts(texts) => {
            texts.iter().take(16).map(|text| Value::String(cut(text))).collect()
        }
    }
}

impl Calls {
    fn with<T>(&self, act: impl FnOnce(&mut Table) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A call begins.
    pub(crate) fn begin(
        &self,
        command: &'static str,
        args: &[String],
        options: &Options,
    ) -> UnderWay {
        let record = CallRecord {
            id: 0,
            command,
            args: tellable(command, args).iter().take(16).map(|text| cut(text)).collect(),
            options: options.all().map(|(name, value)| (name, shown(value))).collect(),
            began: SystemTime::now(),
            ended: None,
        };
        let id = self.with(|table| {
            let id = table.next;
            table.next += 1;
            if table.calls.len() >= MAX_CALLS {
                let ended = table.calls.iter().position(|call| call.ended.is_some());
                table.calls.remove(ended.unwrap_or(0));
            }
            table.calls.push_back(CallRecord { id, ..record });
            id
        });
        UnderWay { calls: self.clone(), id }
    }

    /// Those that are remembered, in the order in which they began.
    pub(crate) fn all(&self) -> Vec<CallRecord> {
        self.with(|table| {
            let remembered = table.remembered;
            let old = |ended: SystemTime| ended.elapsed().is_ok_and(|since| since > remembered);
            table.calls.retain(|call| !call.ended.is_some_and(old));
            table.calls.iter().cloned().collect()
        })
    }

    /// How long those that ended are remembered from now on; never more of them than before.
    pub(crate) fn remember_for(&self, time: Duration) {
        self.with(|table| table.remembered = time);
    }

    /// Forgets those that ended.
    pub(crate) fn forget_ended(&self) {
        self.with(|table| table.calls.retain(|call| call.ended.is_none()));
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.calls.with(|table| {
            if let Some(call) = table.calls.iter_mut().find(|call| call.id == self.id) {
                call.ended = Some(SystemTime::now());
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_calls_are_remembered_within_a_bound_and_those_under_way_longest() {
        let calls = Calls::default();
        let first = calls.begin("first", &["x".repeat(10_000)], &Options::default());
        for _ in 0..2 * MAX_CALLS {
            drop(calls.begin("short", &[], &Options::default()));
        }
        let all = calls.all();
        assert_eq!(all.len(), MAX_CALLS);
        assert_eq!((all[0].command, all[0].args[0].len(), all[0].ended), ("first", MAX_TEXT, None));
        calls.forget_ended();
        assert_eq!(calls.all().len(), 1);
        drop(first);
        calls.forget_ended();
        assert!(calls.all().is_empty());
    }
}
