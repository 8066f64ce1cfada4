//! `coldfront-gateway kubo-daemon`: a Kubo repository as it lies, served in the place of `ipfs daemon`.
//!
//! Owns what of the repository is heeded (its blocks, addresses, identity, authorizations, pins and MFS root) and what programs
//! that start a Kubo wait for: the files `api` and `gateway` and three lines. Must not know commands. Rules: kubo
//! `cmd/ipfs/kubo/daemon.go`, `repo/fsrepo/fsrepo.go`.
//!
//! What is new lies in the folder `coldfront` of the repository: on the disk that its owner chose for it, moved and
//! backed up with it, and passed over by Kubo. Kubo's own files stay as they are, but for the keys: those that are made here lie
//! beside its own, so that it finds them again.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow, bail};
use coldfront::Repo;
use coldfront::ipns::Names;
use coldfront::keys::{HotKeys, Key, KeyFolder, KeyId, KeyPlace, Keyring, SELF};
use coldfront::kubo::{Repository, RepositoryOptions, StoreSpec};
use coldfront::mfs::ROOT_NAME;
use coldfront::pin::{NewPin, PinIndex, PinMode};
use coldfront_http::Daemon;
use coldfront_http::rpc::tokens::Tokens;
use coldfront_http::rpc::{Identity, Settings, Storage};
use serde_json::Value;

use crate::config::Config;
use crate::file::File;
use crate::flags::Flags;
use crate::rpc::Keys;
use crate::{Bound, Failure, Role, multiaddr, start_log, usage};

/// The file on which Kubo holds a lock while it runs.
const LOCK: &str = "repo.lock";

/// The folder of a repository that holds its keys.
const KEYSTORE: &str = "keystore";

/// The folder of ours in a repository.
const FOLDER: &str = "coldfront";

/// In that folder: there once the pins have been taken over, so that one that is removed here does not come back.
const TAKEN_OVER: &str = "pins-taken-over";

/// There as well once keys and IPNS records have been.
const NAMES_TAKEN_OVER: &str = "names-taken-over";

/// Pins that are taken over together.
const PINS_AT_A_TIME: usize = 10_000;

/// Programs that start a Kubo expect it to end within a second: answers under way have so long of it,
const DRAIN_WITHIN: &str = "drain_time=400ms";

/// and reads under way this long.
const CLOSE_WITHIN: Duration = Duration::from_millis(400);

/// Since this version of a repository, blocks are named by their multihashes alone.
const MULTIHASH_VERSION: u32 = 12;

pub(crate) fn run(ignored: &[OsString]) -> Result<(), Failure> {
    start_log();
    let environment = |name: &str| std::env::var_os(name).filter(|text| !text.is_empty());
    let path = repository_path(ignored, &environment)
        .ok_or_else(|| usage("which repository? Set IPFS_PATH to its folder".into()))?;
    let node = Node::open(&path).map_err(Failure::Failed)?;
    let flags = node.flags(&environment).map_err(Failure::Failed)?;
    let config = Config::merge(&flags, &environment, File::default()).map_err(usage)?;
    crate::run(config, Box::new(node))
}

/// `--repo-dir DIR` as Kubo takes it, else `IPFS_PATH`, else `~/.ipfs`.
fn repository_path(
    ignored: &[OsString],
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Option<PathBuf> {
    let mut args = ignored.iter();
    while let Some(arg) = args.next() {
        if arg == "--repo-dir" {
            return args.next().map(PathBuf::from);
        }
        if let Some(path) = arg.as_bytes().strip_prefix(b"--repo-dir=") {
            return Some(PathBuf::from(OsStr::from_bytes(path)));
        }
    }
    let home = || environment("HOME").map(|home| Path::new(&home).join(".ipfs"));
    environment("IPFS_PATH").map(PathBuf::from).or_else(home)
}

/// A Kubo's repository, and the node that is served over it.
struct Node {
    /// ORDER: before the repository, whose lock is held until these are gone.
    files: Files,
    /// Kept open: its lock keeps a Kubo from starting.
    repository: Repository,
    config: Value,
    stop: Arc<AtomicBool>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

impl Node {
    fn open(path: &Path) -> anyhow::Result<Node> {
        let what = || {
            format!("the repository {} cannot be served; IPFS_PATH names another", path.display())
        };
        let lock = path.join(LOCK);
        if path.join("config").exists() {
            // A reader locks this file where it is there; Kubo makes it as well, and removes it at its end.
            let made = fs::OpenOptions::new().write(true).create(true).truncate(false).open(&lock);
            made.with_context(what)?;
        }
        let repository = Repository::open(&RepositoryOptions::new(path)).with_context(what)?;
        let config = repository.config().cloned().unwrap_or_default();
        let files = Files { root: repository.root().to_owned(), written: vec![lock] };
        Ok(Node { files, repository, config, stop: Arc::default() })
    }

    /// What `serve` would have to be told.
    fn flags(&self, environment: &dyn Fn(&str) -> Option<OsString>) -> anyhow::Result<Flags> {
        let hot = match environment("COLDFRONT_HOT") {
            Some(hot) => PathBuf::from(hot),
            None => self.hot_folder()?,
        };
        let address = |key| match self.address(key)? {
            Some(at) => Ok::<_, anyhow::Error>(Some(at.to_string())),
            None => Ok(None),
        };
        let mixed = self.repository.version() < MULTIHASH_VERSION;
        // Kubo's own authorizations are tokens.
        let asks_tokens = self.tokens().is_some();
        Ok(Flags {
            archive: vec![self.blocks()?],
            hot: Some(hot),
            rpc: address("API")?,
            gateway: address("Gateway")?,
            mixed: Some(mixed.to_string()),
            open_rpc: asks_tokens.then(|| "true".to_owned()),
            limit: vec![DRAIN_WITHIN.into()],
            ..Flags::default()
        })
    }

    /// The folder of the hot store, below one of ours that nobody else looks into.
    fn hot_folder(&self) -> anyhow::Result<PathBuf> {
        use std::os::unix::fs::DirBuilderExt as _;
        let folder = self.repository.root().join(FOLDER);
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.with_context(|| {
            format!(
                "the folder {} cannot be made; name one for what is new with COLDFRONT_HOT",
                folder.display()
            )
        })?;
        Ok(folder.join("hot"))
    }

    /// The tree of the repository's blocks.
    fn blocks(&self) -> anyhow::Result<PathBuf> {
        let mounts = self.repository.mounts();
        let mount =
            mounts.iter().find(|mount| matches!(mount.mountpoint.as_str(), "/blocks" | "/"));
        match mount.map(|mount| &mount.store) {
            Some(StoreSpec::Flatfs { path }) => Ok(path.clone()),
            Some(StoreSpec::Pairs { path, kind }) => bail!(
                "the blocks of this repository lie in the {kind} {}, which cannot be served in place; copy them into a hot store with `coldfront-migrate run`",
                path.display()
            ),
            _ => bail!("this repository names no store of blocks; look at its datastore_spec"),
        }
    }

    /// The first of the addresses under a key. Kubo takes several; one is served.
    fn address(&self, key: &str) -> anyhow::Result<Option<SocketAddr>> {
        let found = self.config.get("Addresses").and_then(|addresses| addresses.get(key));
        let all: Vec<&str> = match found {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(some)) => some.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let all: Vec<&str> = all.into_iter().filter(|address| !address.is_empty()).collect();
        for ignored in all.iter().skip(1) {
            tracing::warn!(
                "Addresses.{key}: of several addresses the first is served, and not {ignored}"
            );
        }
        let Some(first) = all.first() else { return Ok(None) };
        multiaddr::socket(first).map(Some).ok_or_else(|| {
            anyhow!(
                "Addresses.{key} is {first:?}, expected an address such as /ip4/127.0.0.1/tcp/5001"
            )
        })
    }

    fn peer_id(&self) -> &str {
        let identity = self.config.get("Identity");
        identity.and_then(|identity| identity.get("PeerID")?.as_str()).unwrap_or_default()
    }

    /// The node's own key, which `ipfs init` made.
    fn key(&self) -> anyhow::Result<Key> {
        let (_, key) = self.repository.identity().ok_or_else(|| {
            anyhow!("the configuration of this repository names no key; expected Identity.PrivKey in base64")
        })?;
        Key::from_protobuf(&key).context("Identity.PrivKey in the configuration is no key")
    }

    /// `API.Authorizations`, if it names anyone.
    fn tokens(&self) -> Option<Tokens> {
        let users = self.config.get("API")?.get("Authorizations")?.as_object()?;
        Tokens::of_kubo(users.iter().map(|(name, user)| {
            let secret = user.get("AuthSecret").and_then(Value::as_str).unwrap_or_default();
            let paths = user.get("AllowedPaths").and_then(Value::as_array);
            let paths = paths.into_iter().flatten().filter_map(Value::as_str).collect();
            (name.as_str(), secret, paths)
        }))
    }

    /// The values of one of `API.HTTPHeaders`.
    fn header(&self, name: &str) -> Vec<String> {
        let headers = self.config.get("API").and_then(|api| api.get("HTTPHeaders")?.as_object());
        let found = headers.into_iter().flatten();
        let found = found.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let values = found.filter_map(|(_, values)| values.as_array()).flatten();
        values.filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// Takes over pins and the MFS root, once.
    fn take_over(&self, repo: &Repo) -> anyhow::Result<()> {
        let Some(pins) = repo.pins() else { return Ok(()) };
        let marker = self.repository.root().join(FOLDER).join(TAKEN_OVER);
        if marker.exists() {
            return Ok(());
        }
        let (count, failed) = self.adopt(pins)?;
        if let Some(root) = self.repository.mfs_root()?
            && pins.root(ROOT_NAME)?.is_none()
        {
            pins.set_root(ROOT_NAME, Some(&root)).context("the MFS root is not taken over")?;
        }
        tracing::info!(count, "pins were taken over from the repository");
        if failed > 0 {
            bail!("{failed} pins of the repository cannot be read; the lines above name them");
        }
        // ORDER: last. Taking over again changes nothing.
        let text = "The pins and the MFS root of this repository were taken over.\nWithout this file that is done again.\n";
        fs::create_dir_all(self.repository.root().join(FOLDER))
            .and_then(|()| fs::write(&marker, text))
            .with_context(|| format!("{} cannot be written", marker.display()))
    }

    /// Keys that an earlier version kept beside the hot store go where Kubo finds them too, and what the repository has
    /// published is known from then on.
    fn take_over_names(&self, repo: &Repo) -> anyhow::Result<()> {
        let (Some(names), Some(hot)) = (self.names(repo)?, repo.hot()) else { return Ok(()) };
        let marker = self.repository.root().join(FOLDER).join(NAMES_TAKEN_OVER);
        if marker.exists() {
            return Ok(());
        }
        let beside = HotKeys::of(hot);
        for name in KeyPlace::names(&beside)? {
            let Some(key) = beside.get(&name)?.filter(|_| name != SELF) else { continue };
            if names.keys().find(&name).is_err() {
                let taken = Key::from_protobuf(&key);
                let taken = taken.and_then(|key| names.keys().import(&name, &key, true));
                taken.with_context(|| format!("the key {name:?} cannot be taken over"))?;
            }
        }
        for record in self.repository.names() {
            let put = record.map_err(anyhow::Error::from).and_then(|name| {
                let id = KeyId::from_bytes(&name.peer).context("its name is no peer ID")?;
                // What was published here since is newer.
                match names.record(&id)? {
                    Some(_) => Ok(()),
                    None => Ok(names.put(&id, &name.record, true).map(drop)?),
                }
            });
            if let Err(error) = put {
                tracing::warn!("an IPNS record of the repository is left behind: {error:#}");
            }
        }
        // ORDER: last. Taking over again changes nothing, but for keys that were removed since.
        let text = "The keys and IPNS records of this repository were taken over.\nWithout this file that is done again.\n";
        fs::create_dir_all(self.repository.root().join(FOLDER))
            .and_then(|()| fs::write(&marker, text))
            .with_context(|| format!("{} cannot be written", marker.display()))
    }

    /// Adopts pins; how many, and how many could not be read.
    fn adopt(&self, pins: &PinIndex) -> anyhow::Result<(usize, usize)> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (mut count, mut failed) = (0, 0);
        let mut some = Vec::new();
        for pin in self.repository.pins()? {
            let pin = match pin {
                Ok(pin) => pin,
                Err(error) => {
                    tracing::error!(%error, "a pin cannot be read");
                    failed += 1;
                    continue;
                }
            };
            let mode = if pin.recursive { PinMode::Recursive } else { PinMode::Direct };
            some.push((NewPin { cid: pin.cid, mode, name: pin.name }, since));
            count += 1;
            if some.len() >= PINS_AT_A_TIME {
                pins.adopt(&some)?;
                some.clear();
            }
        }
        pins.adopt(&some)?;
        Ok((count, failed))
    }

    /// Brings what lies below adopted pins into the index, one after another, beside what is served.
    fn index_in_background(&self, pins: PinIndex) {
        let stop = self.stop.clone();
        let work = move || {
            use std::ops::ControlFlow::{Break, Continue};
            let mut last = None;
            while !stop.load(Ordering::Acquire) {
                let mut go_on =
                    |_| if stop.load(Ordering::Acquire) { Break(()) } else { Continue(()) };
                match pins.index_next(last.as_ref(), &mut go_on) {
                    Ok(Some(done)) => {
                        if let Some(error) = done.error.filter(|_| !stop.load(Ordering::Acquire)) {
                            tracing::warn!(cid = %done.cid, %error, "what lies below a pin is not all there");
                        }
                        last = Some(done.cid);
                    }
                    Ok(None) => return,
                    Err(error) => return tracing::warn!(%error, "pins are no longer indexed"),
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("index-pins".into()).spawn(work) {
            tracing::warn!(%error, "pins are not indexed: no thread could be started");
        }
    }
}

impl Role for Node {
    fn keys(&mut self, keys: Keys) -> Keys {
        let of_kubo = || self.tokens().map(Arc::new);
        let credentials = self.header("Access-Control-Allow-Credentials");
        Keys {
            tokens: keys.tokens.clone().or_else(of_kubo),
            origins: [keys.origins.clone(), self.header("Access-Control-Allow-Origin")].concat(),
            credentials: credentials.iter().any(|text| text.eq_ignore_ascii_case("true")),
            ..keys
        }
    }

    fn opened(&mut self, repo: &Repo) -> anyhow::Result<()> {
        self.take_over(repo)?;
        self.take_over_names(repo)?;
        if let Some(pins) = repo.pins() {
            self.index_in_background(pins.clone());
        }
        Ok(())
    }

    fn node(&self, repo: Repo, storage: Storage, names: Option<Names>, bound: &Bound) -> Daemon {
        let path = self.repository.root().display().to_string();
        let storage = Storage { path, ..storage };
        // Other coldfronts fetch from this address.
        let gateway = bound.gateway.filter(|at| !at.ip().is_unspecified());
        let peer_id = self.peer_id();
        let address = |at| format!("{}/http/p2p/{peer_id}", multiaddr::text(at));
        // The public key comes with the names.
        let identity = Identity { peer_id: peer_id.to_owned(), ..Identity::default() };
        let daemon = Daemon::new(repo, identity)
            .reached_at(gateway.map(address).into_iter().collect())
            .stored_in(storage)
            .configured_by(Settings::new(self.config.clone(), None));
        match names {
            Some(names) => daemon.named_by(names),
            None => daemon,
        }
    }

    fn names(&self, repo: &Repo) -> anyhow::Result<Option<Names>> {
        let Some(hot) = repo.hot() else { return Ok(None) };
        // Keys lie where Kubo keeps them, so that either finds those that the other made; records lie in the hot store.
        let keys = KeyFolder::open(self.repository.root().join(KEYSTORE));
        let keys = keys.context("the keys of the repository cannot be used")?;
        let records = Arc::new(HotKeys::of(hot));
        Ok(Some(Names::new(Keyring::new(self.key()?, Arc::new(keys)), records)))
    }

    fn ready(&mut self, bound: &Bound) -> anyhow::Result<()> {
        let mut lines = String::new();
        if let Some(at) = bound.rpc {
            let address = multiaddr::text(at);
            self.files.write("api", &address)?;
            lines += &format!("RPC API server listening on {address}\n");
        }
        if let Some(at) = bound.gateway {
            self.files.write("gateway", &format!("http://{at}"))?;
            lines += &format!("Gateway server listening on {}\n", multiaddr::text(at));
        }
        lines += "Daemon is ready\n";
        let mut out = std::io::stdout().lock();
        // Whoever started us may not listen.
        let _ = out.write_all(lines.as_bytes()).and_then(|()| out.flush());
        Ok(())
    }

    fn close_within(&self) -> Duration {
        CLOSE_WITHIN
    }
}

/// The files by which other programs find a daemon; removed when it ends.
struct Files {
    root: PathBuf,
    written: Vec<PathBuf>,
}

impl Files {
    fn write(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        let (path, new) = (self.root.join(name), self.root.join(format!(".{name}.tmp")));
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, &path))
            .with_context(|| format!("{} cannot be written", path.display()))?;
        self.written.push(path);
        Ok(())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in &self.written {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!(path = %path.display(), %error, "a file of this daemon stays behind");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_repository_is_named_as_for_kubo() {
        let environment = |name: &str| match name {
            "IPFS_PATH" => Some("/from/path".into()),
            "HOME" => Some("/home/x".into()),
            _ => None,
        };
        let path = |args: &[&str]| {
            let args: Vec<OsString> = args.iter().map(OsString::from).collect();
            repository_path(&args, &environment).unwrap()
        };
        assert_eq!(path(&["--init", "--offline"]), Path::new("/from/path"));
        assert_eq!(path(&["--repo-dir", "/a"]), Path::new("/a"));
        assert_eq!(path(&["--migrate=true", "--repo-dir=/b"]), Path::new("/b"));
        let home = |name: &str| (name == "HOME").then(|| "/home/x".into());
        assert_eq!(repository_path(&[], &home).unwrap(), Path::new("/home/x/.ipfs"));
        assert_eq!(repository_path(&[], &|_| None), None);
    }
}
