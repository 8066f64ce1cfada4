//! nginx over plain files: the measure of what a small static server costs on this machine.
//! One worker, `sendfile off`, no access log, as the targets name it. Rules: nginx's core and http modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{Launch, free_address, leashed, version_line};

/// Where Debian keeps the program; `sbin` is not on every user's path.
const PLACES: [&str; 3] = ["nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"];

/// nginx over the files of `root`, working in `scratch`, which it makes anew. `ready` is a file of `root`.
pub fn launch(name: &str, root: &Path, ready: &str, scratch: &Path) -> Result<Launch> {
    let address = free_address()?;
    let folder = scratch.join(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let config = folder.join("nginx.conf");
    fs::write(&config, configuration(root, &address.to_string()))?;
    let mut command = leashed(program()?);
    command.arg("-p").arg(&folder).arg("-c").arg(&config).arg("-e").arg(folder.join("error.log"));
    Ok(Launch {
        name: name.to_owned(),
        command,
        address,
        prefix: String::new(),
        ready: format!("/{ready}"),
        log: folder.join("output.log"),
    })
}

/// What nginx says about its version.
pub fn version() -> String {
    program().map_or_else(|_| "-".into(), |program| version_line(Command::new(program).arg("-v")))
}

fn program() -> Result<PathBuf> {
    let found = PLACES.iter().find(|place| Command::new(place).arg("-v").output().is_ok());
    found.map(PathBuf::from).context("nginx is not installed; apt-get install nginx-light")
}

fn configuration(root: &Path, address: &str) -> String {
    // Started as root, the worker would become `nobody`, who may not read a home folder.
    let user = if rustix::process::getuid().is_root() { "user root root;" } else { "" };
    let scratch: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("    {kind}_temp_path {kind};\n"))
        .concat();
    let root = root.display();
    format!(
        "daemon off;\n{user}\nworker_processes 1;\npid nginx.pid;\nevents {{ worker_connections 1024; }}\n\
         http {{\n    access_log off;\n    sendfile off;\n    keepalive_requests 1000000000;\n    keepalive_timeout 600s;\n\
         {scratch}    default_type application/octet-stream;\n\
         \x20   server {{ listen {address}; root \"{root}\"; }}\n}}\n"
    )
}
