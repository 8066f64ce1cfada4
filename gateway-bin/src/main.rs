//! `coldfront-gateway`: serve a Kubo flatfs archive as an IPFS gateway.
//!
//! Owns flags, listeners, signals and exit codes, and nothing that a test of the library would want to
//! call.

mod adopt;
mod bounds;
mod collecting;
mod config;
mod doors;
mod file;
mod flags;
mod handles;
mod janitor;
mod kubo_daemon;
mod multiaddr;
mod names;
mod reload;
mod rpc;
mod storage;
mod token;
mod units;
mod where_is;

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use clap::Parser;
use coldfront::gc::schedule::Schedule;
use coldfront::ipns::Names;
use coldfront::keys::Key;
use coldfront::{ArchiveOptions, Repo, RepoOptions};
use coldfront_http::rpc::{Identity, Storage};
use coldfront_http::{Daemon, Gateway, Limits, Rpc, serve, serve_rpc};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use adopt::Adoption;
use config::{Config, Listeners};
use file::File;
use flags::{Cli, Command, Emit, Flags};
use reload::Again;
use rpc::Keys;

/// Between two looks at whether the archives answer, which also close files that went idle.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Files that nobody read for so long are closed, in seconds: deleted blocks free their space, and an
/// archive can be unmounted.
const CLOSE_IDLE_AFTER: u32 = 60;

/// Time that reads under way have to end in when the process does.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// The exit code for flags, variables or a file that make no sense.
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(flags) => {
            start_log();
            read(&flags).and_then(|config| run(config, Box::new(Serve { flags })))
        }
        Command::KuboDaemon(daemon) => kubo_daemon::run(&daemon.ignored),
        Command::Token(token) => token::run(&token),
        Command::Emit(Emit::Config(flags)) => read(&flags).and_then(|config| emit(&config)),
        Command::Where(flags) => where_is(&flags),
        Command::Version => print(concat!("coldfront-gateway ", env!("CARGO_PKG_VERSION"), "\n")),
    };
    let (error, code) = match done {
        Ok(()) => return ExitCode::SUCCESS,
        Err(Failure::Usage(error)) => (error, ExitCode::from(WRONG_USAGE)),
        Err(Failure::Failed(error)) => (error, ExitCode::FAILURE),
    };
    eprintln!("coldfront-gateway: {error:#}");
    code
}

/// Why the program ends without having done what was asked.
pub(crate) enum Failure {
    /// It was asked for something that makes no sense.
    Usage(anyhow::Error),
    Failed(anyhow::Error),
}

pub(crate) fn usage(sentence: String) -> Failure {
    Failure::Usage(anyhow!(sentence))
}

/// Settings from flags, environment and file.
fn read(flags: &Flags) -> Result<Config, Failure> {
    let environment = |name: &str| std::env::var_os(name);
    let path = flags.config.clone().or_else(|| environment("COLDFRONT_CONFIG").map(PathBuf::from));
    let file = match path {
        None => File::default(),
        Some(path) => {
            let text = std::fs::read_to_string(&path).map_err(|error| {
                usage(format!("cannot read the configuration file {}: {error}", path.display()))
            })?;
            File::parse(&path, &text).map_err(usage)?
        }
    };
    Config::merge(flags, &environment, file).map_err(usage)
}

fn emit(config: &Config) -> Result<(), Failure> {
    print(&config.to_toml().map_err(usage)?)
}

/// Where a block lies, asked of a running server.
fn where_is(flags: &flags::Where) -> Result<(), Failure> {
    let environment = |name: &str| std::env::var(name).ok();
    let server = flags.rpc.clone().or_else(|| environment("COLDFRONT_RPC"));
    let server = config::address(server.as_deref().unwrap_or("5001"));
    let server = server.map_err(|expected| usage(format!("--rpc: {expected}")))?;
    let token = environment("COLDFRONT_TOKEN");
    let certificate = flags.tls_certificate.clone();
    let certificate =
        certificate.or_else(|| environment("COLDFRONT_TLS_CERTIFICATE").map(PathBuf::from));
    let name = || flags.tls_name.clone().unwrap_or_else(|| server.ip().to_string());
    let server = where_is::Server { at: server, tls: certificate.map(|file| (file, name())) };
    let asked = where_is::ask(&server, token.as_deref(), &flags.path, flags.json);
    print(&asked.map_err(Failure::Failed)?)
}

pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let printed = std::io::stdout().write_all(text.as_bytes()).context("cannot print");
    printed.map_err(Failure::Failed)
}

/// Everything that one process serves.
pub(crate) struct Serving {
    listeners: Listeners,
    repo: RepoOptions,
    limits: Limits,
    keys: Keys,
    workers: Option<usize>,
    schedule: Schedule,
    adoption: Adoption,
    /// What is in force, as `emit config` prints it.
    settings: String,
    role: Box<dyn Role>,
}

/// What differs between the ways to serve.
pub(crate) trait Role {
    /// Puts more into the keys than the settings say.
    fn keys(&mut self, keys: Keys) -> Keys {
        keys
    }

    /// Called with the open repository, before clients are let in. Blocks.
    fn opened(&mut self, _repo: &Repo) -> anyhow::Result<()> {
        Ok(())
    }

    /// The names and keys of this node; none without a hot store. Blocks.
    fn names(&self, repo: &Repo) -> anyhow::Result<Option<Names>> {
        names::of(repo)
    }

    /// The node that the RPC API is an API of; `names` are those of its hot store.
    fn node(&self, repo: Repo, storage: Storage, names: Option<Names>, bound: &Bound) -> Daemon;

    /// Says where clients connect, once they can.
    fn ready(&mut self, bound: &Bound) -> anyhow::Result<()>;

    /// Reads the settings again, where that can be done.
    fn again(&self) -> Option<Again> {
        None
    }

    /// Reads that a dead disk never answers keep the process so long at most.
    fn close_within(&self) -> Duration {
        CLOSE_WITHIN
    }
}

/// `serve`.
struct Serve {
    flags: Flags,
}

impl Role for Serve {
    fn again(&self) -> Option<Again> {
        let flags = self.flags.clone();
        Some(Arc::new(move || match read(&flags) {
            Ok(config) => config.to_toml(),
            Err(Failure::Usage(error) | Failure::Failed(error)) => Err(format!("{error:#}")),
        }))
    }

    fn node(&self, repo: Repo, storage: Storage, names: Option<Names>, _bound: &Bound) -> Daemon {
        // Without a hot store there is no place for an identity: it is another one at each start.
        let daemon = Daemon::new(repo, Identity::of(&Key::generate())).stored_in(storage);
        match names {
            Some(names) => daemon.named_by(names),
            None => daemon,
        }
    }

    fn ready(&mut self, bound: &Bound) -> anyhow::Result<()> {
        tell(bound);
        Ok(())
    }
}

/// Where clients connect.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) gateway: Option<SocketAddr>,
    pub(crate) rpc: Option<SocketAddr>,
    pub(crate) upload: Option<SocketAddr>,
    /// Whether the RPC API and uploads go through TLS.
    pub(crate) tls: bool,
}

/// Serves what is configured, in a role.
pub(crate) fn run(mut config: Config, mut role: Box<dyn Role>) -> Result<(), Failure> {
    let listeners = config.listeners().map_err(usage)?;
    let hot_files = config.hot().map_or(0, |hot| hot.most_open_files());
    let lowered = handles::fit(&mut config.bounds.http, hot_files, handles::raise());
    if let Some(sentence) = lowered.map_err(|sentence| Failure::Failed(anyhow!(sentence)))? {
        tracing::warn!("{sentence}");
    }
    let repo = config.repo().map_err(usage)?;
    for archive in &repo.archives {
        look_at(&archive.path).map_err(Failure::Failed)?;
    }
    refuse_twice(&repo.archives).map_err(usage)?;
    let adoption = config.adopt().map_err(usage)?;
    adoption.beside(&config.collecting.schedule()).map_err(usage)?;
    let tls = config.doors.tls().map_err(usage)?;
    let doors = &config.doors;
    let keys = Keys::open(
        doors.tokens.as_ref().map(|tokens| tokens.value.clone()),
        tls,
        doors.origins.value.clone(),
        doors.upload_commands.value.clone(),
    );
    let serving = Serving {
        listeners,
        repo,
        limits: config.bounds.http.clone(),
        keys: role.keys(keys.map_err(Failure::Failed)?),
        workers: config.workers(),
        schedule: config.collecting.schedule(),
        adoption,
        // A path that is not UTF-8 cannot be told, nor changed by a file.
        settings: config.to_toml().unwrap_or_default(),
        role,
    };
    serve_in_runtime(serving).map_err(Failure::Failed)
}

pub(crate) fn start_log() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("COLDFRONT_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .init();
}

/// Says where clients connect.
fn tell(bound: &Bound) {
    let scheme = if bound.tls { "https" } else { "http" };
    if let Some(at) = bound.gateway {
        eprintln!("gateway: http://{at}/");
    }
    if let Some(at) = bound.rpc {
        eprintln!("rpc: {scheme}://{at}/api/v0");
    }
    if let Some(at) = bound.upload {
        eprintln!("upload: {scheme}://{at}/api/v0");
    }
}

/// Tells a path that leads nowhere from one that is no archive.
fn look_at(path: &Path) -> anyhow::Result<()> {
    use std::io::ErrorKind;
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() || found.is_file() => Ok(()),
        Ok(_) => bail!(
            "the archive {shown} is neither a directory nor a file; expected a Kubo repository, its `blocks` directory, or a CAR file"
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "the archive {shown} is not there; check its name, and whether the disk that holds it is mounted"
        ),
        Err(error) => bail!(
            "the archive {shown} cannot be looked at: {error}; check its permissions and its disk"
        ),
    }
}

/// The same tree under two names would be asked twice for every block that is not there.
fn refuse_twice(archives: &[ArchiveOptions]) -> Result<(), String> {
    // What is not there at all is told when it is opened.
    let tree = |path: &Path| {
        let blocks = path.join("blocks");
        let path = if path.join("SHARDING").exists() { path } else { &blocks };
        path.canonicalize().ok()
    };
    let mut seen: Vec<(PathBuf, &Path)> = Vec::new();
    for archive in archives {
        let Some(real) = tree(&archive.path) else { continue };
        if let Some((_, first)) = seen.iter().find(|(known, _)| *known == real) {
            return Err(format!(
                "the archives {} and {} are the same tree; name it once",
                first.display(),
                archive.path.display()
            ));
        }
        seen.push((real, &archive.path));
    }
    Ok(())
}

fn serve_in_runtime(serving: Serving) -> anyhow::Result<()> {
    use tokio::runtime::Builder;
    // One thread needs none of what several need to share their work.
    let mut runtime = match serving.workers {
        Some(1) => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    if let Some(workers) = serving.workers.filter(|workers| *workers > 1) {
        runtime.worker_threads(workers);
    }
    let limits = &serving.limits;
    let calls = serving.listeners.rpc.or(serving.listeners.upload);
    let rpc_threads = if calls.is_some() { limits.rpc.threads() } else { 0 };
    let runtime = runtime
        .max_blocking_threads(limits.disk_threads + rpc_threads)
        .enable_all()
        .build()
        .context("the threads of the runtime could not be started")?;
    let close_within = serving.role.close_within();
    let served = runtime.block_on(serve_until_signal(serving));
    // A hot store is closed when the last reader of it is gone; but a read that a dead disk never answers must not
    // keep the process.
    runtime.shutdown_timeout(close_within);
    served
}

async fn serve_until_signal(serving: Serving) -> anyhow::Result<()> {
    // ORDER: signals first, so that one that comes while we open is not lost.
    let signals = Signals::new().context("signals cannot be received")?;
    let hangup = signal(SignalKind::hangup()).context("signals cannot be received")?;
    let Serving { listeners, limits, keys, schedule, adoption, settings, mut role, .. } = serving;
    let close_within = role.close_within();
    let repo = Repo::open(&serving.repo)?;
    let gateway_listener = listen_at(listeners.gateway).await?;
    let rpc_listener = listen_at(listeners.rpc).await?;
    let upload_listener = listen_at(listeners.upload).await?;
    let bound = Bound {
        gateway: bound(&gateway_listener)?,
        rpc: bound(&rpc_listener)?,
        upload: bound(&upload_listener)?,
        tls: keys.tls.is_some(),
    };
    role.opened(&repo)?;
    let storage = storage::of(&serving.repo);
    let hot = repo.hot().cloned();
    let tending = janitor::begin(&repo, schedule).context("no thread for collecting garbage")?;
    let names = role.names(&repo)?;
    if let Some(names) = names.clone() {
        tokio::spawn(names::sign(names));
    }
    let daemon = Arc::new(role.node(repo.clone(), storage, names, &bound));
    let rpc = Arc::new(Rpc::new(daemon.clone(), limits.clone()));
    let gateway = Gateway::new(repo, limits);
    let again = role.again().unwrap_or_else({
        let settings = settings.clone();
        move || Arc::new(move || Ok(settings.clone()))
    });
    let watches = [
        tokio::spawn(watch(gateway.clone())),
        tokio::spawn(watch_keys(keys.clone())),
        tokio::spawn(reload::on_hangup(hangup, keys.clone(), settings, again)),
    ];
    role.ready(&bound)?;
    let adopting = hot.map(|hot| adoption.begin(hot)).transpose()?;
    let (stop, at_once) = signals.apart();
    let (stopping, stopped) = tokio::sync::watch::channel(false);
    let stop = async {
        tokio::select! {
            // A sender that is gone is a runtime that ends.
            _ = stop => tracing::info!(
                "stopping: no new requests, answers under way may finish; a second signal ends at once"
            ),
            () = daemon.ended() => tracing::info!("stopping: a client asked for it"),
        }
        stopping.send_replace(true);
    };
    let served = async {
        let gateway =
            serve_at(gateway_listener, |listener| serve(listener, gateway.clone(), told(&stopped)));
        let all = serve_at(rpc_listener, |listener| {
            serve_rpc(keys.rpc(listener), rpc.clone(), told(&stopped))
        });
        let upload = serve_at(upload_listener, |listener| {
            serve_rpc(keys.upload(listener), rpc.clone(), told(&stopped))
        });
        tokio::try_join!(gateway, all, upload, async {
            stop.await;
            Ok(())
        })
    };
    tokio::select! {
        served = served => drop(served?),
        Ok(()) = at_once => bail!("stopped at once by a second signal: answers under way were cut off"),
    }
    watches.iter().for_each(tokio::task::JoinHandle::abort);
    drop(adopting);
    if let Some(tending) = tending {
        tokio::task::spawn_blocking(move || tending.end(close_within)).await?;
    }
    tracing::info!(stats = ?gateway.stats(), "stopped");
    Ok(())
}

fn bound(listener: &Option<TcpListener>) -> std::io::Result<Option<SocketAddr>> {
    listener.as_ref().map(TcpListener::local_addr).transpose()
}

async fn listen_at(address: Option<SocketAddr>) -> anyhow::Result<Option<TcpListener>> {
    match address {
        Some(address) => listen(address).await.map(Some),
        None => Ok(None),
    }
}

async fn serve_at<F: Future<Output = std::io::Result<()>>>(
    listener: Option<TcpListener>,
    serve: impl FnOnce(TcpListener) -> F,
) -> std::io::Result<()> {
    match listener {
        Some(listener) => serve(listener).await,
        None => Ok(()),
    }
}

/// Resolves when it is time to stop.
fn told(stopped: &tokio::sync::watch::Receiver<bool>) -> impl Future<Output = ()> + use<> {
    let mut stopped = stopped.clone();
    async move {
        let _ = stopped.wait_for(|stopped| *stopped).await;
    }
}

async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    use std::io::ErrorKind;
    TcpListener::bind(address).await.map_err(|error| {
        let way_out = match error.kind() {
            ErrorKind::AddrInUse => "stop the program that listens there, or choose another port",
            ErrorKind::PermissionDenied => {
                "choose a port above 1023, or grant CAP_NET_BIND_SERVICE"
            }
            ErrorKind::AddrNotAvailable => "choose an address of this machine",
            _ => "choose another address",
        };
        anyhow!("cannot listen on {address}: {error}; {way_out}")
    })
}

/// SIGTERM and Ctrl-C.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// The first one, and the second.
    fn apart(mut self) -> (oneshot::Receiver<()>, oneshot::Receiver<()>) {
        let (first, on_first) = oneshot::channel();
        let (second, on_second) = oneshot::channel();
        tokio::spawn(async move {
            for sender in [first, second] {
                self.next().await;
                // Who does not listen any more has ended.
                let _ = sender.send(());
            }
        });
        (on_first, on_second)
    }
}

/// Takes new tokens and certificates. For itself, so that an archive that does not answer keeps no token alive.
async fn watch_keys(keys: Keys) {
    let mut every = tokio::time::interval(WATCH_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let keys = keys.clone();
        if tokio::task::spawn_blocking(move || keys.refresh()).await.is_err() {
            return;
        }
    }
}

/// Tells when an archive goes away and when it is back, and each bad copy once.
async fn watch(gateway: Arc<Gateway>) {
    let mut away: Vec<String> = Vec::new();
    let mut every = tokio::time::interval(WATCH_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let repo = gateway.repo().clone();
        let Ok(gone) = tokio::task::spawn_blocking(move || repo.watch(CLOSE_IDLE_AFTER)).await
        else {
            return;
        };
        for (name, error) in &gone {
            if !away.contains(name) {
                tracing::error!(
                    archive = name,
                    "{error}: its content is answered with 503 until it is back"
                );
            }
        }
        for name in &away {
            if !gone.iter().any(|(gone, _)| gone == name) {
                tracing::info!(archive = name, "the archive is back");
            }
        }
        away = gone.into_iter().map(|(name, _)| name).collect();
        for fault in gateway.repo().take_faults() {
            tracing::warn!(block = %fault.cid, archive = fault.tier, "bad copy: {}", fault.reason);
        }
    }
}
