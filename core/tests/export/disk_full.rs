//! A disk that is full in the middle of an export: a sentence that says so, and the same call goes on when there is room.
//!
//! On a small file system of its own, which needs the right to mount one. Asked for by `--ignored`.

use std::path::Path;
use std::process::Command;

use coldfront::BlockStore as _;
use coldfront::migrate::export::{ExportError, ExportOptions};

use crate::store::{block, blocks_of, expected, open, run};

struct Mounted<'a>(&'a Path);

impl Mounted<'_> {
    fn new(at: &Path) -> Option<Mounted<'_>> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(at);
        mount.status().is_ok_and(|status| status.success()).then_some(Mounted(at))
    }

    fn grow(&self, size: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,size={size}")]).arg(self.0);
        assert!(mount.status().unwrap().success());
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}

#[test]
#[ignore = "mounts a file system"]
fn a_full_disk_is_told_and_the_export_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("out");
    std::fs::create_dir(&to).unwrap();
    let Some(mounted) = Mounted::new(&to) else {
        eprintln!("no file system could be mounted: not tried");
        return;
    };
    let hot = open(folder.path());
    let blocks: Vec<_> = (0..200).map(|n| block(n, 100_000)).collect();
    hot.put(&blocks).unwrap();
    hot.sync().unwrap();
    let options = ExportOptions::new(&to);
    for size in ["8m", "12m", "16m"] {
        mounted.grow(size);
        let full = run(&hot, Vec::new(), &options).unwrap_err();
        assert!(matches!(full, ExportError::Full { .. }), "{full}");
        assert!(full.to_string().contains("make room"), "{full}");
        assert!(!to.join("version").exists());
    }
    mounted.grow("64m");
    let report = run(&hot, Vec::new(), &options).unwrap();
    assert_eq!(report.counts.written, 200);
    assert!(blocks_of(&to) == expected(&blocks));
}
