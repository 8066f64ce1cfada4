//! The side-by-side load runs: coldfront, nginx and Kubo over the same bytes, in interleaved rounds, on one machine.
//!
//! Owns what a comparison needs: the data, the servers as child processes, the clients, the counters read from `/proc`
//! and the tables. Must not know how any server works inside: every figure here comes from outside the process.
//! The program is `src/bin/side_by_side.rs`; what each suite asks and why stands in `README.md`.

pub mod caller;
pub mod cgroup;
pub mod check;
pub mod client;
pub mod convert;
pub mod copies;
pub mod disk;
pub mod fixtures;
pub mod histogram;
pub mod load;
pub mod machine;
pub mod options;
pub mod process;
pub mod random;
pub mod reclaim;
pub mod report;
pub mod rounds;
pub mod server;
pub mod suite;
pub mod uploads;
pub mod wide;
pub mod work;
pub mod wrk;
