//! SIGHUP: what is looked at again while the program serves.
//!
//! Owns what can change without a restart (tokens and certificates, which are watched anyway), and telling what cannot. Must
//! not know how a setting is read.

use std::sync::Arc;

use tokio::signal::unix::Signal;

use crate::rpc::Keys;

/// Reads flags, environment and file again: what would be in force, as `emit config` prints it, or a sentence.
pub(crate) type Again = Arc<dyn Fn() -> Result<String, String> + Send + Sync>;

/// Waits for signals until the program ends. `before` is what is in force.
pub(crate) async fn on_hangup(mut hangup: Signal, keys: Keys, before: String, again: Again) {
    while hangup.recv().await.is_some() {
        let (keys, before, again) = (keys.clone(), before.clone(), again.clone());
        let looked = tokio::task::spawn_blocking(move || {
            keys.refresh();
            tell(&before, again());
        });
        if looked.await.is_err() {
            return;
        }
    }
}

fn tell(before: &str, now: Result<String, String>) {
    match now {
        Err(error) => tracing::error!("SIGHUP: {error}: the settings in force stay"),
        Ok(now) => {
            let changed = changed(before, &now);
            match changed.is_empty() {
                true => tracing::info!(
                    "SIGHUP: tokens and certificates were looked at; the settings are those in force"
                ),
                false => tracing::warn!(
                    "SIGHUP: tokens and certificates were looked at; these settings were changed and take effect when the program is started again: {}",
                    changed.join(", ")
                ),
            }
        }
    }
}

/// Names of settings whose lines differ, without values: a name of a file says enough of where to look.
fn changed(before: &str, now: &str) -> Vec<String> {
    let value = |line: &str| {
        // Where a value came from stands behind it, and may change for itself.
        let line = line.trim_start_matches("# ");
        let (name, value) = line.split_once(" = ")?;
        Some((name.to_owned(), value.split(" #").next().unwrap_or_default().to_owned()))
    };
    let lines = |text: &str| text.lines().filter_map(value).collect::<Vec<_>>();
    let (before, now) = (lines(before), lines(now));
    let new = now.iter().filter(|line| !before.contains(line));
    let gone = before.iter().filter(|line| !now.contains(line));
    let mut names: Vec<String> = new.chain(gone).map(|(name, _)| name.clone()).collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_is_named_and_where_a_value_came_from_is_not_a_change() {
        let before = "gateway = \"127.0.0.1:1\" # --gateway\n# hot = \"/a\" # not set\nverify = \"off\" # default\n";
        let now = "gateway = \"127.0.0.1:1\" # the file x, line 1\nhot = \"/b\" # --hot\nverify = \"off\" # default\n";
        assert_eq!(changed(before, now), ["hot"]);
        assert_eq!(changed(before, before), Vec::<String>::new());
    }
}
