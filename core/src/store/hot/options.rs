//! How the hot store is laid out and how RocksDB is set, each setting with its reason.
//!
//! Owns every option of RocksDB that is not its default. One figure of memory, given by the user, sizes
//! them all ([`Shares`]). Must not know what the families hold beyond their shape.

use std::path::PathBuf;

use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, ColumnFamilyDescriptor, DBCompressionType,
    DBPath, LogLevel, LruCacheOptions, Options, SliceTransform, WriteBufferManager,
};

use super::buffers::Buffers;
use super::counts;
use super::error::HotError;
use super::schema::Family;

/// Where a hot store lies and what it may use.
#[derive(Clone, Debug)]
pub struct HotOptions {
    /// Its folder. Nothing else may lie in it.
    pub path: PathBuf,
    /// Make the store when the folder is absent or empty. Default yes.
    pub create: bool,
    /// Memory for its write buffers and caches together, in bytes. Default 128 MiB. What is read passes
    /// through the page cache besides, which the system takes back when it needs it.
    pub memory: u64,
    /// Files that RocksDB may hold open. Default 512. Must be bounded: opening otherwise reads every file.
    pub open_files: u32,
    /// A folder on another disk for the bytes of blocks, so that the index can lie on a fast one. Chosen when the store is
    /// made, and remembered; to be named again only when it has moved. `None`: beside the index.
    pub payload: Option<PathBuf>,
    /// Free space on its disk that new blocks and pins leave alone, in bytes, so that garbage can be collected when the
    /// disk is full. `None`: as much as `memory`, which is twice what the write buffers hold. 0 for none.
    pub reserve: Option<u64>,
}

impl HotOptions {
    /// A store at `path`, created when absent, with the defaults.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        HotOptions {
            path: path.into(),
            create: true,
            memory: 128 * MIB,
            open_files: 512,
            payload: None,
            reserve: None,
        }
    }

    /// The most files that a store with these options holds open: RocksDB's, and those that blocks are sent from.
    pub fn most_open_files(&self) -> u32 {
        self.open_files.max(LEAST_OPEN_FILES).saturating_add(super::places::OPEN_FILES)
    }
}

const MIB: u64 = 1024 * 1024;

/// The least memory that a store opens with, in bytes.
pub(super) const LEAST_MEMORY: u64 = 16 * MIB;

/// The fewest files that a store may hold open; below some 77 RocksDB does not open a store at all.
const LEAST_OPEN_FILES: u32 = 128;

/// How the one figure of memory is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    /// All write buffers together, those being flushed included: half. They decide how large a blob file
    /// of one flush becomes, and so how many there are.
    pub(super) buffers: u64,
    /// The write buffer of one family: a third of those, so that that of `blocks` fills while another is flushed.
    pub(super) block_buffer: u64,
    /// The block cache with indexes and filters: three eighths. The rest is left to what RocksDB does not
    /// count: iterators, batches on their way, the allocator.
    pub(super) cache: u64,
}

impl Shares {
    pub(super) fn of(memory: u64) -> Result<Shares, HotError> {
        if memory < LEAST_MEMORY {
            return Err(HotError::TooLittleMemory { given: memory, least: LEAST_MEMORY });
        }
        let buffers = memory / 2;
        Ok(Shares { buffers, block_buffer: buffers / 3, cache: memory / 8 * 3 })
    }
}

/// RocksDB's settings for one store.
pub(super) struct Settings {
    pub(super) options: Options,
    manager: WriteBufferManager,
    /// Where the family `blocks` lies, if not with the others.
    pub(super) payload: Option<PathBuf>,
    shares: Shares,
    cache: Cache,
}

impl Settings {
    pub(super) fn new(options: &HotOptions) -> Result<Settings, HotError> {
        let shares = Shares::of(options.memory)?;
        let cache = cache(shares.cache);
        let mut db = Options::default();
        // Blocks and what names them reach the disk together or not at all, also with the log off.
        db.set_atomic_flush(true);
        db.set_max_open_files(clamped(options.open_files.max(LEAST_OPEN_FILES)));
        // Opening reads a few files, not each: statistics of old files are not worth a seek.
        db.set_skip_stats_update_on_db_open(true);
        // No stall inside RocksDB when they are full: writers wait before (`buffers.rs`).
        let buffers = WriteBufferManager::new_write_buffer_manager(to_usize(shares.buffers), false);
        db.set_write_buffer_manager(&buffers);
        // The log is replayed at open: no longer than what the buffers hold.
        db.set_max_total_wal_size(shares.buffers);
        // The system's read-ahead of a cold file stays on; else 6.7 disk operations a MB instead of 3.2.
        db.set_advise_random_on_open(false);
        // Two flushes at a time: one copies while the other waits for the disk (an import took a quarter less time). RocksDB
        // gives them a quarter of all jobs; of compactions it runs one, until they fall behind. More would take the
        // processor from whoever reads.
        db.set_max_background_jobs(8);
        // Dirty pages go out as they come, so that one sync at the end does not stop the disk for seconds.
        db.set_bytes_per_sync(MIB);
        db.set_wal_bytes_per_sync(MIB);
        // Its own log is for people who debug RocksDB: kept small.
        db.set_keep_log_file_num(2);
        db.set_max_log_file_size(to_usize(MIB));
        db.set_log_level(LogLevel::Warn);
        db.set_stats_dump_period_sec(0);
        db.set_stats_persist_period_sec(0);
        // The manifest is written anew when it has grown to this; it is read at open.
        db.set_max_manifest_file_size(to_usize(64 * MIB));
        Ok(Settings { options: db, manager: buffers, payload: None, shares, cache })
    }

    /// The write buffers of all families.
    pub(super) fn buffers(&self) -> Buffers {
        Buffers::new(&self.manager, self.shares.buffers)
    }

    /// Each family with its settings.
    pub(super) fn families(&self) -> Result<Vec<ColumnFamilyDescriptor>, rocksdb::Error> {
        let with_settings = |family: Family| {
            let mut options = self.family(family);
            if let Some(path) = self.payload.as_ref().filter(|_| family == Family::Blocks) {
                // Blob files lie in the first path of their family.
                options.set_cf_paths(&[DBPath::new(path, u64::MAX)?]);
            }
            Ok(ColumnFamilyDescriptor::new(family.name(), options))
        };
        Family::ALL.into_iter().map(with_settings).collect()
    }

    fn family(&self, family: Family) -> Options {
        let mut options = Options::default();
        let mut table = self.table();
        // Sizes of levels follow the data: space is not held by old copies in a level that is too large.
        options.set_level_compaction_dynamic_level_bytes(true);
        options.set_compression_type(DBCompressionType::None);
        // After a full disk RocksDB goes on when as much is free as the largest write buffer of any family has: left to
        // its default, 64 MiB.
        options.set_write_buffer_size(to_usize(self.shares.block_buffer));
        // Out of reach, since a writer that RocksDB has stopped stops it from recovering (`buffers.rs`). The buffers are
        // bounded together, by their bytes; too many files of level 0 slow writers down from 20 on.
        options.set_max_write_buffer_number(64);
        options.set_level_zero_stop_writes_trigger(i32::MAX);
        match family {
            Family::Blocks => self.blob_files(&mut options),
            Family::Index => {
                // Most questions are for blocks that are not here: the filter answers those.
                table.set_bloom_filter(10.0, false);
            }
            Family::Ids => table.set_bloom_filter(10.0, false),
            Family::Small => {
                // The same on every level: tables whose ids follow each other are then moved down as they are, and
                // small blocks of a bulk import are written once.
                options.set_compression_type(DBCompressionType::Zstd);
            }
            Family::Refs | Family::Pins | Family::Walked => {
                // "Does anything keep this block" asks for the first eight bytes of a key, its id.
                options.set_prefix_extractor(SliceTransform::create_fixed_prefix(8));
                table.set_bloom_filter(10.0, false);
                // Keys that count up have long prefixes in common.
                options.set_compression_type(DBCompressionType::Lz4);
            }
            Family::Meta => {
                options.set_merge_operator_associative(counts::MERGE, counts::merge);
            }
        }
        options.set_block_based_table_factory(&table);
        options
    }

    /// The tables of every family: small blocks for look-ups, and all that grows with the store in the cache,
    /// where it is counted.
    fn table(&self) -> BlockBasedOptions {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&self.cache);
        table.set_cache_index_and_filter_blocks(true);
        table.set_cache_index_and_filter_blocks_with_high_priority(true);
        // In pieces, of which a look-up needs one each. Whole, the filter of a million keys has more than a
        // megabyte: read anew for each look-up where the cache has no room for it (seen: 1 MB a look-up).
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_partition_filters(true);
        table.set_metadata_block_size(8 * 1024);
        table.set_pin_top_level_index_and_filter(true);
        table.set_format_version(5);
        table.set_block_size(8 * 1024);
        table
    }

    /// Values of `blocks` lie in files of their own, written once.
    fn blob_files(&self, options: &mut Options) {
        options.set_enable_blob_files(true);
        // Every value: what is short lies in `small`.
        options.set_min_blob_size(0);
        // Media does not compress.
        options.set_blob_compression_type(DBCompressionType::None);
        options.set_blob_file_size(256 * MIB);
        // Space is reclaimed when it is asked for and pays (`payload.rs`). Left on, it rewrites sound data:
        // write amplification of 7 and more was reported without any garbage.
        options.set_enable_blob_gc(false);
        // The tables hold keys and references only, some 30 bytes for a block.
        options.set_target_file_size_base(8 * MIB);
        options.set_max_bytes_for_level_base(64 * MIB);
    }
}

/// The block cache. In few parts, each with its lock: what is larger than a part is never cached.
fn cache(bytes: u64) -> Cache {
    let parts_log2 =
        (bytes / LEAST_CACHE_PART).checked_ilog2().unwrap_or(0).min(MAX_CACHE_PARTS_LOG2);
    let mut options = LruCacheOptions::default();
    options.set_capacity(to_usize(bytes));
    options.set_num_shard_bits(clamped(parts_log2));
    Cache::new_lru_cache_opts(&options)
}

/// A part of the cache has at least so many bytes.
const LEAST_CACHE_PART: u64 = 8 * MIB;
/// Two to the power of this: more parts than processors are of no use.
const MAX_CACHE_PARTS_LOG2: u32 = 5;

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

fn clamped(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_shares_stay_within_the_figure() {
        for memory in [LEAST_MEMORY, 128 * MIB, 1024 * MIB] {
            let shares = Shares::of(memory).unwrap();
            assert!(shares.buffers + shares.cache <= memory);
            assert!(shares.block_buffer * 3 <= shares.buffers);
        }
    }

    #[test]
    fn too_little_memory_is_a_sentence() {
        let error = Shares::of(MIB).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a hot store needs at least 16777216 bytes of memory, not 1048576"
        );
    }
}
