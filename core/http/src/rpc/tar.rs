//! A tar as it is written.
//!
//! Owns the form of headers: ustar, with an extended header before an entry whose name, target or length has no room there. Must not
//! know where content comes from. Rules: POSIX.1-2001, pax.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

const BLOCK: usize = 512;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    Symlink,
}

/// Writes entries one after another.
#[derive(Debug)]
pub(crate) struct TarWriter<W> {
    out: W,
    /// Bytes of content since the last header.
    written: u64,
    now: i64,
}

impl<W: Write> TarWriter<W> {
    pub(crate) fn new(out: W) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        TarWriter { out, written: 0, now: i64::try_from(now).unwrap_or(0) }
    }

    pub(crate) fn out(&mut self) -> &mut W {
        &mut self.out
    }

    /// Begins an entry. Without a time it has that of now.
    pub(crate) fn header(
        &mut self,
        name: &str,
        kind: Kind,
        size: u64,
        target: &str,
        mode: u32,
        mtime: Option<i64>,
    ) -> io::Result<()> {
        let mtime = mtime.unwrap_or(self.now);
        let mut extended = String::new();
        let fits = |text: &str| text.len() <= 100 && text.is_ascii();
        let mut record = |key: &str, value: &str| extended.push_str(&record(key, value));
        if !fits(name) {
            record("path", name);
        }
        if !fits(target) {
            record("linkpath", target);
        }
        if size >= 1 << 33 {
            record("size", &size.to_string());
        }
        if mtime < 0 {
            record("mtime", &mtime.to_string());
        }
        if !extended.is_empty() {
            let head = head("PaxHeaders.0/entry", b'x', extended.len() as u64, "", 0, 0);
            self.out.write_all(&head)?;
            self.out.write_all(extended.as_bytes())?;
            self.fill(extended.len() as u64)?;
        }
        let flag = match kind {
            Kind::File => b'0',
            Kind::Directory => b'5',
            Kind::Symlink => b'2',
        };
        let size = if size >= 1 << 33 { 0 } else { size };
        let head = head(name, flag, size, target, mode & 0o7777, u64::try_from(mtime).unwrap_or(0));
        self.written = 0;
        self.out.write_all(&head)
    }

    /// Content of the entry at hand.
    pub(crate) fn content(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Ends the entry at hand.
    pub(crate) fn pad(&mut self) -> io::Result<()> {
        let written = std::mem::take(&mut self.written);
        self.fill(written)
    }

    fn fill(&mut self, written: u64) -> io::Result<()> {
        let over = usize::try_from(written % BLOCK as u64).unwrap_or(0);
        let missing = if over == 0 { 0 } else { BLOCK - over };
        self.out.write_all([0; BLOCK].get(..missing).unwrap_or_default())
    }

    /// Ends the archive.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.out.write_all(&[0; 2 * BLOCK])?;
        Ok(self.out)
    }
}

/// `LENGTH KEY=VALUE` and a line end, where the length counts itself.
fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let mut len = rest + rest.to_string().len();
    len = rest + len.to_string().len();
    format!("{len} {key}={value}\n")
}

fn head(name: &str, flag: u8, size: u64, target: &str, mode: u32, mtime: u64) -> [u8; BLOCK] {
    let mut head = [0u8; BLOCK];
    let mut put = |at: usize, text: &[u8], room: usize| {
        let len = text.len().min(room);
        if let (Some(to), Some(from)) = (head.get_mut(at..at + len), text.get(..len)) {
            to.copy_from_slice(from);
        }
    };
    put(0, name.as_bytes(), 100);
    put(100, format!("{mode:07o}").as_bytes(), 8);
    put(108, b"0000000", 8);
    put(116, b"0000000", 8);
    put(124, format!("{size:011o}").as_bytes(), 12);
    put(136, format!("{:011o}", mtime.min((1 << 33) - 1)).as_bytes(), 12);
    put(148, b"        ", 8);
    put(156, &[flag], 1);
    put(157, target.as_bytes(), 100);
    put(257, b"ustar\x0000", 8);
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    let sum = format!("{sum:06o}\0 ");
    if let Some(to) = head.get_mut(148..156) {
        to.copy_from_slice(sum.as_bytes());
    }
    head
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_record_counts_its_own_length() {
        for len in 80..120 {
            let text = record("path", &"x".repeat(len));
            let (number, _) = text.split_once(' ').unwrap();
            assert_eq!(number.parse::<usize>().unwrap(), text.len());
        }
    }

    #[test]
    fn the_systems_tar_lists_what_was_written() {
        let long = "d/".to_owned() + &"long".repeat(40) + "-\u{e9}";
        let mut tar = TarWriter::new(Vec::new());
        tar.header("d", Kind::Directory, 0, "", 0o755, Some(1)).unwrap();
        tar.header(&long, Kind::File, 600, "", 0o600, Some(2)).unwrap();
        tar.content(&[7; 600]).unwrap();
        tar.pad().unwrap();
        tar.header("d/link", Kind::Symlink, 0, &"t".repeat(120), 0o777, None).unwrap();
        let bytes = tar.finish().unwrap();
        let mut child = Command::new("tar")
            .args(["--list", "--file", "-"])
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        let listed = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8(listed.stdout).unwrap(), format!("d\n{long}\nd/link\n"));
    }
}
