//! Progress: a line that is written over on a terminal, a line a minute in a log, an object a line for programs.
//!
//! Owns what is written to standard error while a job runs, and the answer to Ctrl-C. Faults come as they are met.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coldfront::migrate::{Event, Phase, Progress};
use serde_json::json;

use crate::units;

/// Between two lines in a log.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// Between two objects for programs, and two states of a terminal's line.
const DRAW_EVERY: Duration = Duration::from_millis(500);
/// Faults that are shown as they are met; all are in the report.
const MAX_FAULTS_SHOWN: u64 = 100;

/// Tells of a job while it runs.
pub(crate) struct Show {
    how: How,
    last: Option<Instant>,
    faults: u64,
    stop: Arc<AtomicBool>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Terminal,
    Log,
    Json,
}

impl Show {
    /// `json` as asked; else by what standard error is. From here on the first Ctrl-C stops the job in order.
    pub(crate) fn new(json: bool) -> anyhow::Result<Show> {
        let how = match json {
            true => How::Json,
            false if stderr().is_terminal() => How::Terminal,
            false => How::Log,
        };
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            // The second one ends the process at once: that loses nothing that was marked.
            signal_hook::flag::register_conditional_shutdown(signal, 1, stop.clone())?;
            signal_hook::flag::register(signal, stop.clone())?;
        }
        Ok(Show { how, last: None, faults: 0, stop })
    }

    /// Takes in what the job tells.
    pub(crate) fn event(&mut self, event: Event<'_>) -> ControlFlow<()> {
        match event {
            Event::Progress(progress) => self.progress(progress),
            Event::Fault(fault) => {
                self.faults += 1;
                if self.how == How::Json {
                    line(&json!({"event": "fault", "fault": fault.to_json()}).to_string());
                } else if self.faults <= MAX_FAULTS_SHOWN {
                    self.clear();
                    line(&fault.to_string());
                }
            }
            _ => {}
        }
        match self.is_stopped() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// Whether it was asked to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// The job is over: leaves a clean line.
    pub(crate) fn end(&self) {
        self.clear();
    }

    fn clear(&self) {
        if self.how == How::Terminal {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }

    fn progress(&mut self, progress: &Progress) {
        let every = if self.how == How::Log { LOG_EVERY } else { DRAW_EVERY };
        let last = *self.last.get_or_insert_with(Instant::now);
        if last.elapsed() < every {
            return;
        }
        self.last = Some(Instant::now());
        match self.how {
            How::Json => line(&as_json(progress).to_string()),
            How::Log => line(&sentence(progress)),
            How::Terminal => {
                let _ = write!(stderr(), "\r\x1b[K{}", sentence(progress));
            }
        }
    }
}

/// A closed standard error is no reason to stop.
fn line(text: &str) {
    let _ = writeln!(stderr(), "{text}");
}

fn as_json(progress: &Progress) -> serde_json::Value {
    json!({
        "event": "progress",
        "phase": phase(progress.phase),
        "blocks": progress.blocks,
        "bytes": progress.bytes,
        "held": progress.held,
        "faults": progress.faults,
        "done": progress.done,
        "seconds": progress.elapsed.as_secs_f64(),
        "seconds_left": progress.left().map(|left| left.as_secs()),
    })
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Blocks => "blocks",
        Phase::Carrying => "carrying",
        Phase::Verifying => "verifying",
        _ => "working",
    }
}

fn sentence(progress: &Progress) -> String {
    let seconds = progress.elapsed.as_secs_f64().max(0.001);
    let rate = units::shown((progress.bytes as f64 / seconds) as u64);
    let mut text = format!(
        "{}: {} blocks, {}, {rate}/s",
        phase(progress.phase),
        progress.blocks,
        units::shown(progress.bytes)
    );
    if progress.held > 0 {
        text += &format!(", {} held already", progress.held);
    }
    if progress.faults > 0 {
        text += &format!(", {} faults", progress.faults);
    }
    if let Some(done) = progress.done {
        text += &format!(", {:.1} %", done * 100.0);
    }
    if let Some(left) = progress.left() {
        text += &format!(", {} left", units::time(left));
    }
    text
}
