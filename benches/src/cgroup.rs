//! A memory cgroup for one server: what the kernel keeps on its behalf, page cache and slab, apart from everyone else's.
//! Rules: the kernel's admin-guide, cgroup-v1/memory and cgroup-v2; version 1 is looked for first because a machine
//! that has it mounted has its memory controller there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::process::field;

/// Where version 1 keeps its memory controller, and version 2 everything.
const V1: &str = "/sys/fs/cgroup/memory";
const V2: &str = "/sys/fs/cgroup";

/// A cgroup of our own. Removed when dropped; its processes must have ended by then.
#[derive(Debug)]
pub struct MemoryGroup {
    folder: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

/// Memory that the kernel holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelMemory {
    /// Pages of files, directories and inode tables. Given back when memory is short.
    pub page_cache: u64,
    /// Dentries, inodes and other objects of the kernel. Dentries and inodes are given back, but later than pages.
    pub slab: u64,
}

impl KernelMemory {
    /// What was added since `before`; 0 for what shrank.
    pub fn grown_since(&self, before: &Self) -> Self {
        Self {
            page_cache: self.page_cache.saturating_sub(before.page_cache),
            slab: self.slab.saturating_sub(before.slab),
        }
    }

    /// The whole machine's, where there is no cgroup: other programs' share is in it.
    pub fn of_machine() -> Self {
        let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let bytes = |name| field(&text, name).unwrap_or(0) * 1024;
        Self { page_cache: bytes("Cached:") + bytes("Buffers:"), slab: bytes("Slab:") }
    }
}

impl MemoryGroup {
    /// Makes the cgroup. Needs root, or a delegated tree.
    pub fn make() -> Result<Self> {
        let name = format!("coldfront-bench-{}", std::process::id());
        let (parent, version) = if Path::new(V1).join("memory.stat").exists() {
            (V1, Version::One)
        } else if controls_memory(Path::new(V2)) {
            (V2, Version::Two)
        } else {
            bail!("no memory controller under {V2}; is it enabled in cgroup.subtree_control?")
        };
        let folder = Path::new(parent).join(name);
        fs::create_dir(&folder)
            .with_context(|| format!("cannot make the cgroup {}", folder.display()))?;
        Ok(Self { folder, version })
    }

    /// The file that a process writes itself into to enter.
    pub fn procs(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// What the kernel holds for the processes of the cgroup now.
    pub fn memory(&self) -> Result<KernelMemory> {
        let stat = self.read("memory.stat")?;
        match self.version {
            Version::One => {
                let kernel = self.read("memory.kmem.usage_in_bytes")?;
                let slab =
                    kernel.trim().parse().context("memory.kmem.usage_in_bytes is no number")?;
                Ok(KernelMemory { page_cache: stat_field(&stat, "cache"), slab })
            }
            Version::Two => Ok(KernelMemory {
                page_cache: stat_field(&stat, "file"),
                slab: stat_field(&stat, "slab"),
            }),
        }
    }

    fn read(&self, name: &str) -> Result<String> {
        let file = self.folder.join(name);
        fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.folder) {
            eprintln!("the cgroup {} stays behind: {error}", self.folder.display());
        }
    }
}

fn controls_memory(folder: &Path) -> bool {
    let enabled = fs::read_to_string(folder.join("cgroup.subtree_control")).unwrap_or_default();
    enabled.split_ascii_whitespace().any(|name| name == "memory")
}

/// The number behind a whole word at the start of a line: `cache`, not `cache_something`.
fn stat_field(stat: &str, name: &str) -> u64 {
    field(stat, &format!("{name} ")).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{KernelMemory, stat_field};

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let stat = "file_mapped 7\nfile 42\nslab_reclaimable 5\nslab 9\n";
        assert_eq!(stat_field(stat, "file"), 42);
        assert_eq!(stat_field(stat, "slab"), 9);
        assert_eq!(stat_field(stat, "fil"), 0);
    }

    #[test]
    fn what_shrank_has_not_grown() {
        let before = KernelMemory { page_cache: 10, slab: 10 };
        let after = KernelMemory { page_cache: 15, slab: 5 };
        assert_eq!(after.grown_since(&before), KernelMemory { page_cache: 5, slab: 0 });
    }
}
