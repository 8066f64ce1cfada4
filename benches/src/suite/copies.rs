//! `copies`: how often a byte of payload is copied on its way from the page cache to the socket.
//!
//! Three places can copy: a read from a file (counted by the kernel), the program itself (counted by a library loaded in
//! front of it), and the write to the socket (one copy for each byte served that `sendfile` did not send: a tracer counts
//! those). Rates mean nothing here.

use anyhow::{Context as _, Result};

use crate::check;
use crate::copies::{Counter, SendfileCount};
use crate::fixtures::Cache;
use crate::fixtures::video::{Leaves, PLAYLIST, Video};
use crate::load::Load;
use crate::options::{Options, Peer};
use crate::report::{Report, verdict};
use crate::server::coldfront::{self, Verify};
use crate::server::{Launch, Server, nginx};

/// Copies within the program: heads of answers and the like may take this share of what is served.
const PAYLOAD_LIMIT: f64 = 0.01;

const COLUMNS: [&str; 8] = [
    "server",
    "load",
    "sent by sendfile / byte",
    "copied by reads / byte",
    "copied in the program / byte",
    "of it in calls >= 1 KiB",
    "copied in all, with the write to the socket",
    "asked",
];

/// Counts for nginx and coldfront, with raw and with dag-pb leaves.
pub fn run(options: &Options, cache: &Cache, report: &mut Report) -> Result<()> {
    let video = Video::open(cache)?;
    let scratch = cache.folder("scratch")?;
    report.heading("copies: of each byte of payload");
    report.table(&COLUMNS);
    if options.with(Peer::Nginx) {
        let launch = nginx::launch("nginx", &video.plain, PLAYLIST, &scratch)?;
        count(launch, &video, options, cache, report)?;
    }
    if options.with(Peer::Coldfront) {
        for (name, leaves) in
            [("coldfront", Leaves::Raw), ("coldfront, dag-pb leaves", Leaves::DagPb)]
        {
            let repo = video.repo(cache, leaves)?;
            let ready = format!("{}/{PLAYLIST}", repo.prefix());
            let launch = coldfront::launch(
                name,
                &repo.blocks(),
                &repo.prefix(),
                &ready,
                Verify::Off,
                &scratch,
            )?;
            count(launch, &video, options, cache, report)?;
        }
    }
    Ok(())
}

fn count(
    launch: Launch,
    video: &Video,
    options: &Options,
    cache: &Cache,
    report: &mut Report,
) -> Result<()> {
    let scratch = cache.folder("scratch")?;
    let counter = Counter::make(&scratch, &launch.name)?;
    let server = counter.counting(launch).start()?;
    // Also warms the page cache: what is cold is read in other pieces and asked for ahead.
    check::compare(&server, video)?;
    for load in Load::ALL {
        report.row(
            &row(&server, load, &counter, options, &scratch)
                .with_context(|| server.name.clone())?,
        );
    }
    Ok(())
}

fn row(
    server: &Server,
    load: Load,
    counter: &Counter,
    options: &Options,
    scratch: &std::path::Path,
) -> Result<Vec<String>> {
    let before = counter.copied()?;
    let sendfile = SendfileCount::begin(server.pid(), scratch)?;
    let sample = load.run(server, options.length, scratch)?;
    let sent = sendfile.end()?;
    let after = counter.copied()?;
    let served = sample.requests as f64 * load.body_bytes() as f64;
    // Nothing of it is copied, though the kernel counts it as read.
    let sent = sent as f64 / served;
    let read = (sample.read_ratio - sent).max(0.0);
    let written = (1.0 - sent).max(0.0);
    let all = (after.all - before.all) as f64 / served;
    let payload = (after.payload - before.payload) as f64 / served;
    let asked = if server.name.starts_with("coldfront") {
        format!("program <= {PAYLOAD_LIMIT} {}", verdict(payload <= PAYLOAD_LIMIT))
    } else {
        "-".into()
    };
    Ok(vec![
        server.name.clone(),
        load.name().into(),
        format!("{sent:.3}"),
        format!("{read:.3}"),
        format!("{all:.4}"),
        format!("{payload:.4}"),
        format!("{:.2}", read + all + written),
        asked,
    ])
}
