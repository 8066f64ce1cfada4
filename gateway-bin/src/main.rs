//! `coldfront-gateway`: serve a Kubo flatfs archive as an IPFS gateway.
//!
//! Owns flags, listeners, signals and exit codes, and nothing that a test would want to call.

mod config;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use coldfront::Repo;
use coldfront_http::{Gateway, serve};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use config::{Cli, Command, Config};

/// Between two looks at whether the archives answer, which also close files that went idle.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Files that nobody read for so long are closed, in seconds: deleted blocks free their space, and an
/// archive can be unmounted.
const CLOSE_IDLE_AFTER: u32 = 60;

fn main() -> ExitCode {
    let Command::Serve(flags) = Cli::parse().command;
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("COLDFRONT_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info")),
        )
        .init();
    let config = match Config::read(flags) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("coldfront-gateway: {error:#}");
            return ExitCode::from(2);
        }
    };
    match run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("coldfront-gateway: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: &Config) -> anyhow::Result<()> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = config.workers {
        runtime.worker_threads(workers);
    }
    let runtime = runtime
        .max_blocking_threads(config.limits.disk_threads.max(1))
        .enable_all()
        .build()
        .context("the runtime's threads could not be started")?;
    runtime.block_on(serve_until_signal(config))
}

async fn serve_until_signal(config: &Config) -> anyhow::Result<()> {
    // ORDER: signals first, so that one that comes while we open is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let repo = Repo::open(&config.repo)?;
    let listener = TcpListener::bind(config.gateway)
        .await
        .with_context(|| format!("cannot listen on {}; is another program there?", config.gateway))?;
    let address = listener.local_addr()?;
    eprintln!("gateway: http://{address}/");
    let gateway = Gateway::new(repo, config.limits.clone());
    let watch = tokio::spawn(watch(gateway.clone()));
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: no new requests, answers under way may finish");
    };
    serve(listener, gateway.clone(), stop).await?;
    watch.abort();
    tracing::info!(stats = ?gateway.stats(), "stopped");
    Ok(())
}

/// Tells when an archive goes away and when it is back, and each bad copy once.
async fn watch(gateway: Arc<Gateway>) {
    let mut away: Vec<String> = Vec::new();
    let mut every = tokio::time::interval(WATCH_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        let repo = gateway.repo().clone();
        let Ok(gone) = tokio::task::spawn_blocking(move || repo.watch(CLOSE_IDLE_AFTER)).await else {
            return;
        };
        for (name, error) in &gone {
            if !away.contains(name) {
                tracing::error!(archive = name, "{error}: its content is answered with 503 until it is back");
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
