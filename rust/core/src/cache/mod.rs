//! Rows of embeddings on disk that are computed once and never returned wrong.
//!
//! A [`Cache`] is a directory; a [`Table`] in it holds the rows of one *recipe* (everything that
//! determines an embedding except the sample), named by the recipe's BLAKE3 digest. Each writing
//! process appends to *segments* of its own, so nobody waits for anybody: a `.rows` file with
//! nothing but rows, and a `.log` that publishes them commit by commit. Readers build their index
//! from the logs and follow them as they grow.
//!
//! What makes it safe:
//! * rows are synced before the commit that names them is written, and the commit is synced before
//!   [`Table::flush`] returns;
//! * each row has an XXH3-128 checksum bound to its table, segment, number and key, and every
//!   [`Table::get`] checks the bytes that it copied: no flipped bit, torn write, cut, swapped or
//!   foreign file can become a wrong row, only a missing one;
//! * files only grow, and a seal makes them immutable;
//! * a file that is cut short while it is read costs rows, never the process: rows are copied out
//!   of guarded mappings, and `pread` has the last word. Only [`Table::view`] hands out the memory
//!   of a mapping itself.
//!
//! No clock, process id or modification time enters a decision about a row. The files are drawn
//! byte by byte in `docs/cache-format.md`.

mod checksum;
mod commit;
mod convert;
mod copying;
mod format;
mod gather;
mod gc;
mod get;
mod index;
mod lock;
mod log;
mod manifest;
mod mapping;
mod memory;
mod names;
mod pending;
mod problem;
mod put;
mod rewrite;
mod root;
mod segment;
mod state;
pub mod storage;
mod table;
mod verify;
mod view;
mod writer;

pub use checksum::{Digest, Key};
pub use format::{Dtype, Durability, Shape, VERSION};
pub use get::Got;
pub use manifest::Manifest;
pub use names::hex;
pub use put::Put;
pub use rewrite::Rewritten;
pub use root::{Cache, Listed};
pub use table::Table;
pub use verify::{Report, Summary};
pub use view::View;

#[cfg(not(target_endian = "little"))]
compile_error!("the cache stores little-endian numbers and reads them without conversion");
