//! CAR files: blocks one behind the other, with the roots in front.
//!
//! Owns the formats CARv1 and the payload of CARv2, read and written as streams, each block checked as
//! it comes. Must not know what blocks mean, nor where a stream comes from. A CAR file as a tier of its
//! own is [`crate::store::car`]. Rules: the CARv1 and CARv2 specifications at ipld.io; where they are
//! silent, go-car.
//!
//! ```text
//! v1:  varint n, header of n bytes (dag-cbor {roots, version: 1}), then sections: varint n, CID, data (n together)
//! v2:  11 bytes (a v1 header of {version: 2}), 40 bytes of offsets, padding, a whole v1, perhaps an index
//! ```

mod error;
mod header;
mod import;
mod reader;
mod section;
mod writer;

pub use error::{CarError, CarFault};
pub use header::MAX_HEADER_LEN;
pub(crate) use header::{HeaderError, Start, V2_HEADER_END, read_start};
pub use import::{Imported, import};
pub use reader::CarReader;
pub(crate) use section::{SECTION_HEAD_LEN, section_head};
pub use writer::CarWriter;
