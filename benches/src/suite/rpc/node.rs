//! A server of the RPC API that takes part: which kind it is, where its repository lies, and how it is started.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::contest::Did;
use crate::caller::Caller;
use crate::fixtures::Cache;
use crate::server::kubo::{self, Store};
use crate::server::{Server, coldfront};

/// What takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Coldfront,
    Kubo(Store),
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Kind::Coldfront => "coldfront",
            Kind::Kubo(store) => store.name(),
        }
    }
}

/// The folder for what is measured and thrown away.
#[derive(Debug)]
pub(super) struct Ground(PathBuf);

impl Ground {
    pub(super) fn new(cache: &Cache) -> Result<Ground> {
        let ground = Ground(cache.folder("scratch")?.join("rpc"));
        clear(&ground.0)?;
        fs::create_dir_all(&ground.0)
            .with_context(|| format!("cannot make {}", ground.0.display()))?;
        Ok(ground)
    }

    /// Something in it.
    pub(super) fn at(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A server over a new repository, and everything on the disk that was still on its way there: what one server left
    /// must not be written in the time of the next.
    pub(super) fn fresh(&self, kind: Kind) -> Result<Node> {
        let folder = self.at(kind.name());
        clear(&folder)?;
        if let Kind::Kubo(store) = kind {
            kubo::make(store, &folder)?;
        }
        let mut node = self.over(kind, &folder)?;
        rustix::fs::sync();
        node.thrown_away = Some(folder);
        Ok(node)
    }

    /// A server over a repository that is there.
    pub(super) fn over(&self, kind: Kind, folder: &Path) -> Result<Node> {
        let launch = match kind {
            Kind::Coldfront => coldfront::launch_rpc(folder, &self.0)?,
            Kind::Kubo(store) => kubo::launch_api(store, folder, &self.0)?,
        };
        Ok(Node { kind, server: Some(launch.start()?), thrown_away: None })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(super) fn clear(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// A running server. Dropped, it ends, and its repository is removed where it was made for it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    server: Option<Server>,
    thrown_away: Option<PathBuf>,
}

impl Node {
    pub(super) fn server(&self) -> Result<&Server> {
        self.server.as_ref().context("the server has ended")
    }

    /// A new keep-alive connection.
    pub(super) fn connect(&self) -> Result<Caller> {
        Caller::open(self.server()?.address)
    }

    /// Does `work`, which tells how much of its unit it did, and tells what that took.
    pub(super) fn measure(&self, work: impl FnOnce() -> Result<f64>) -> Result<Did> {
        let server = self.server()?;
        server.forget_peak()?;
        let (before, memory) = (server.usage()?, server.memory()?);
        let began = Instant::now();
        let amount = work()?;
        let took = began.elapsed();
        Ok(Did {
            rate: amount / took.as_secs_f64(),
            cpu: server.usage()?.cpu_since(&before).as_secs_f64() / amount,
            peak: server.memory()?.peak,
            grown: server.memory()?.peak.saturating_sub(memory.resident),
        })
    }

    /// The same with a time of the client's own in place of that of the whole.
    pub(super) fn measure_timed(
        &self,
        work: impl FnOnce() -> Result<(f64, Duration)>,
    ) -> Result<Did> {
        let mut timed = Duration::ZERO;
        let mut amount = 0.0;
        let did = self.measure(|| {
            (amount, timed) = work()?;
            Ok(amount)
        })?;
        Ok(Did { rate: amount / timed.as_secs_f64(), ..did })
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // ORDER: the server ends before its repository goes.
        self.server = None;
        if let Some(folder) = &self.thrown_away {
            let _ = fs::remove_dir_all(folder);
        }
    }
}
