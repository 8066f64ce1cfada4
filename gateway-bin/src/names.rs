//! The names and keys of this node, kept in its hot store.
//!
//! Owns when own names are signed anew. Must not know commands.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use coldfront::Repo;
use coldfront::ipns::{LIFETIME, Names};
use coldfront::keys::{HotKeys, Keyring};

/// Between two looks at which of our own names have to be signed anew.
const SIGN_NAMES_EVERY: Duration = Duration::from_secs(4 * 60 * 60);

/// The keys and names that the hot store holds; the first of them says who this node is.
pub(crate) fn of(repo: &Repo) -> anyhow::Result<Option<Names>> {
    let Some(hot) = repo.hot() else { return Ok(None) };
    let place = HotKeys::of(hot);
    let own = place.identity().context("the identity of this node cannot be read")?;
    let place = Arc::new(place);
    Ok(Some(Names::new(Keyring::new(own, place.clone()), place)))
}

/// Signs own names anew when half of their time is over.
pub(crate) async fn sign(names: Names) {
    let mut every = tokio::time::interval(SIGN_NAMES_EVERY);
    loop {
        every.tick().await;
        let names = names.clone();
        let signing = tokio::task::spawn_blocking(move || names.sign_due(LIFETIME / 2));
        match signing.await {
            Ok(Ok(signed)) => {
                for (name, error) in &signed.failed {
                    tracing::warn!(%name, "a name of this node ends soon and could not be signed anew: {error}");
                }
                if !signed.done.is_empty() {
                    tracing::info!(names = signed.done.len(), "signed own names anew");
                }
            }
            Ok(Err(error)) => tracing::warn!("own names could not be looked through: {error}"),
            Err(_) => return,
        }
    }
}
