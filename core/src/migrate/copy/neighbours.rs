//! Stepping back while somebody else reads from the disk of the source.
//!
//! Owns the rule and where its numbers come from. Every half second the disk's own counter of bytes read is compared with
//! what this job has read; what is beyond is somebody else's. While they read, each reader waits three times as long as
//! its own read took, so that the disk is theirs for three quarters of the time; two seconds after their last read it
//! goes on at full speed. As the pause is made of the read's own time, it is long on a slow disk and short on a fast
//! one, and the job never stands still.
//!
//! Where nobody can tell (a file system that is no disk's, such as ZFS's, or a kernel that does not count), nothing
//! waits: there is `bytes_per_second` for that. Rules: the kernel's `Documentation/block/stat.rst`; proc_pid_io(5).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::limit::Limit;

/// Between two looks at the counters.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Bytes of others between two looks that count as somebody being served: one leaf of a file.
const SOMEBODY_READS: u64 = 256 * 1024;

/// How long a job steps back after it last saw others read.
const STEP_BACK_FOR: Duration = Duration::from_secs(2);

/// How many times as long as its read took a reader then waits.
const PAUSES: u32 = 3;

/// The longest such pause, so that one read of a disk that hung does not end the job.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A call that took less read nothing from a disk.
const NO_DISK: Duration = Duration::from_micros(20);

/// The kernel's counters of a disk are in sectors of so many bytes, whatever the disk has.
const SECTOR: u64 = 512;

/// For whom a job steps back when they read from the disk that it copies from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepBack {
    /// For nobody.
    Never,
    /// For other processes: right for a program that does nothing else.
    #[default]
    ForOtherProcesses,
    /// For other threads of this process too: right inside of a server.
    ForOtherThreads,
}

/// Whether somebody else reads from a disk. Knows numbers and no clock.
#[derive(Debug, Default)]
struct Rule {
    /// Bytes of others so far, as far as was seen: the most by which the disk's count was ever ahead of ours.
    ///
    /// A read of ours is counted by us when it is asked for and by the disk when it is done, or we count it somewhat
    /// later; so the difference sways by what is under way. Its maximum does not, once it was reached.
    others: u64,
    /// What the disk had read before the job began.
    before: Option<u64>,
    last_seen: Option<Duration>,
}

impl Rule {
    /// Takes the counters as they are `now`: bytes that the disk has read in all, and bytes that this job has read.
    fn look(&mut self, now: Duration, disk: u64, own: u64) {
        let Some(before) = self.before else {
            self.before = Some(disk.saturating_sub(own));
            return;
        };
        let others = disk.saturating_sub(before).saturating_sub(own);
        if others >= self.others + SOMEBODY_READS {
            self.last_seen = Some(now);
        }
        self.others = self.others.max(others);
    }

    fn steps_back(&self, now: Duration) -> bool {
        self.last_seen.is_some_and(|seen| now.saturating_sub(seen) < STEP_BACK_FOR)
    }
}

/// Those who read from the same disk, watched by the readers of one job.
#[derive(Debug)]
pub(super) struct Neighbours {
    /// The file with the disk's counters.
    disk: PathBuf,
    whose: StepBack,
    /// Bytes that the readers have read.
    own: AtomicU64,
    began: Instant,
    rule: Mutex<(Rule, Option<Instant>)>,
    step_back: AtomicBool,
}

impl Neighbours {
    /// Those of the disk below `path`; `None` where nobody can tell or nobody is asked for.
    pub(super) fn of(path: &Path, whose: StepBack) -> Option<Neighbours> {
        if whose == StepBack::Never {
            return None;
        }
        let neighbours = Neighbours {
            disk: counters(path)?,
            whose,
            own: AtomicU64::new(0),
            began: Instant::now(),
            rule: Mutex::default(),
            step_back: AtomicBool::new(false),
        };
        read_by_disk(&neighbours.disk)?;
        read_by("/proc/self/io").and(Some(neighbours))
    }

    /// A thread that reads.
    pub(super) fn reader(&self) -> Reader<'_> {
        let counted = read_by("/proc/thread-self/io").unwrap_or(0);
        Reader { neighbours: self, counted }
    }

    fn own(&self) -> u64 {
        match self.whose {
            StepBack::ForOtherProcesses => read_by("/proc/self/io").unwrap_or(u64::MAX),
            _ => self.own.load(Ordering::Relaxed),
        }
    }

    /// Looks at the counters, if that is due and no other reader does. Two small files of the kernel's.
    fn look(&self) {
        let Ok(mut watched) = self.rule.try_lock() else { return };
        let (rule, last) = &mut *watched;
        if last.is_some_and(|last| last.elapsed() < LOOK_EVERY) {
            return;
        }
        *last = Some(Instant::now());
        if let Some(disk) = read_by_disk(&self.disk) {
            rule.look(self.began.elapsed(), disk, self.own());
        }
        self.step_back.store(rule.steps_back(self.began.elapsed()), Ordering::Relaxed);
    }
}

/// A thread that reads from the disk of the source.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    neighbours: &'a Neighbours,
    /// What was counted of the bytes that this thread has read.
    counted: u64,
}

impl Reader<'_> {
    /// Runs a read; afterwards waits if somebody else needs the disk, but not once `limit` is stopped.
    pub(super) fn read<T>(&mut self, limit: &Limit, read: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let found = read();
        let took = began.elapsed();
        if took < NO_DISK {
            return found;
        }
        if self.neighbours.whose == StepBack::ForOtherThreads {
            let all = read_by("/proc/thread-self/io").unwrap_or(self.counted);
            self.neighbours.own.fetch_add(all.saturating_sub(self.counted), Ordering::Relaxed);
            self.counted = all;
        }
        self.neighbours.look();
        if self.neighbours.step_back.load(Ordering::Relaxed) {
            limit.nap((took * PAUSES).min(LONGEST_PAUSE));
        }
        found
    }
}

/// The file with the counters of the disk below `path`: of the whole disk where it is one part of it.
fn counters(path: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt as _;
    let device = fs::metadata(path).ok()?.dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let part = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    let whole = if part.join("partition").exists() { part.join("..") } else { part };
    Some(whole.join("stat"))
}

fn read_by_disk(counters: &Path) -> Option<u64> {
    sectors_read(&fs::read_to_string(counters).ok()?).map(|sectors| sectors.saturating_mul(SECTOR))
}

/// The third number: reads, reads merged, sectors read.
fn sectors_read(stat: &str) -> Option<u64> {
    stat.split_ascii_whitespace().nth(2)?.parse().ok()
}

/// What a process or thread has had the kernel read from disks, in bytes.
fn read_by(file: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix("read_bytes: "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::thread;

    const SECOND: Duration = Duration::from_secs(1);
    const MIB: u64 = 1 << 20;

    #[test]
    fn a_job_alone_on_its_disk_never_steps_back() {
        let mut rule = Rule::default();
        // The disk has a past; what is under way makes either count the larger one.
        for (at, (disk, own)) in
            [(500, 0), (520, 24), (560, 60), (600, 98), (640, 140)].into_iter().enumerate()
        {
            rule.look(SECOND * at as u32, disk * MIB, own * MIB);
            assert!(!rule.steps_back(SECOND * at as u32), "{at}");
        }
    }

    #[test]
    fn while_others_read_a_job_steps_back_and_two_seconds_later_it_goes_on() {
        let mut rule = Rule::default();
        rule.look(Duration::ZERO, 500 * MIB, 0);
        rule.look(SECOND, 540 * MIB, 39 * MIB);
        assert!(rule.steps_back(SECOND));
        rule.look(SECOND * 2, 580 * MIB, 79 * MIB);
        assert!(rule.steps_back(SECOND * 2));
        assert!(!rule.steps_back(SECOND * 3));
        rule.look(SECOND * 4, 600 * MIB, 98 * MIB);
        assert!(rule.steps_back(SECOND * 4));
    }

    #[test]
    fn less_than_one_leaf_of_others_is_nobody() {
        let mut rule = Rule::default();
        rule.look(Duration::ZERO, 0, 0);
        rule.look(SECOND, 200 * 1024, 0);
        assert!(!rule.steps_back(SECOND));
    }

    #[test]
    fn what_sways_by_reads_under_way_is_taken_for_others_once_at_most() {
        let mut rule = Rule::default();
        rule.look(Duration::ZERO, 0, 0);
        let mut stepped = 0;
        for at in 1..100u64 {
            let sway = if at % 2 == 0 { 4 * MIB } else { 0 };
            let now = SECOND * 3 * at as u32;
            rule.look(now, 100 * at * MIB + sway, 100 * at * MIB);
            stepped += u32::from(rule.steps_back(now));
        }
        assert_eq!(stepped, 1);
    }

    #[test]
    fn the_pause_is_three_times_the_read_and_ends_when_the_job_stops() {
        let neighbours = Neighbours {
            disk: PathBuf::new(),
            whose: StepBack::ForOtherProcesses,
            own: AtomicU64::new(0),
            began: Instant::now(),
            rule: Mutex::new((Rule::default(), Some(Instant::now() + SECOND))),
            step_back: AtomicBool::new(true),
        };
        let limit = Limit::new(None);
        let mut reader = neighbours.reader();
        let began = Instant::now();
        reader.read(&limit, || thread::sleep(Duration::from_millis(20)));
        assert!(began.elapsed() >= Duration::from_millis(80), "{:?}", began.elapsed());
        limit.stop();
        let began = Instant::now();
        reader.read(&limit, || thread::sleep(Duration::from_millis(100)));
        assert!(began.elapsed() < Duration::from_millis(300), "{:?}", began.elapsed());
    }

    #[test]
    fn counters_are_read_as_the_kernel_writes_them() {
        assert_eq!(sectors_read("  10  2 77 4 5 6 7\n"), Some(77));
        assert_eq!(sectors_read(""), None);
        // Where the temporary folder lies on a disk, its counters are found.
        if let Some(neighbours) = Neighbours::of(&std::env::temp_dir(), StepBack::ForOtherThreads) {
            neighbours.look();
            assert_eq!(neighbours.rule.lock().unwrap().0.others, 0);
        }
    }
}
