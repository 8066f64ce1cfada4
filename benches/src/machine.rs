//! The machine that measures: its facts for the report, and the one thing done to it, dropping the page cache.

use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use anyhow::{Context as _, Result};

use crate::process::field;
use crate::server::{coldfront, kubo, nginx};

/// The name that statfs(2) gives to tmpfs.
const TMPFS_MAGIC: i128 = 0x0102_1994;
/// Where a memory file system usually is.
const MEMORY_FOLDER: &str = "/dev/shm";

/// Lines of a Markdown list: what a reader must know to compare figures of two runs.
pub fn facts(data: &Path) -> Vec<String> {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("?");
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = field(&memory, "MemTotal:").unwrap_or(0) >> 10;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = available_parallelism().map_or(0, usize::from);
    vec![
        format!(
            "- machine: {cores} cores of {}, {memory} MB, Linux {}, data on {}",
            model.trim_start_matches(['\t', ' ', ':']),
            kernel.trim(),
            file_system(data)
        ),
        format!("- peers: {}; {} (its own GOMAXPROCS)", nginx::version(), kubo::version()),
        format!("- load average: {}", load_average()),
    ]
}

/// What our own gateway calls itself. Builds it when it is not built.
pub fn own_version() -> String {
    format!("- coldfront: {} (1 runtime thread)", coldfront::version())
}

/// The load of the last minute, five and fifteen minutes: how much else ran.
pub fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Writes what is dirty and drops page cache, dentries and inodes. Needs root.
pub fn drop_caches() -> Result<()> {
    rustix::fs::sync();
    fs::write("/proc/sys/vm/drop_caches", "3")
        .context("cannot drop the page cache; this run needs root")
}

/// The memory file system, where there is one.
pub fn memory_folder() -> Option<&'static Path> {
    let folder = Path::new(MEMORY_FOLDER);
    let is_tmpfs =
        rustix::fs::statfs(folder).is_ok_and(|stat| i128::from(stat.f_type) == TMPFS_MAGIC);
    is_tmpfs.then_some(folder)
}

/// The type of the file system that holds `path`: that of the longest mount point above it.
fn file_system(path: &Path) -> String {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let above = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (point, kind) = (fields.next()?, fields.next()?);
        path.starts_with(point).then_some((point.len(), kind))
    });
    above.max().map_or_else(|| "?".into(), |(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::file_system;
    use std::path::Path;

    #[test]
    fn the_innermost_mount_tells_the_file_system() {
        assert_eq!(file_system(Path::new("/proc/self")), "proc");
    }
}
