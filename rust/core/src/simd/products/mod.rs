//! Register-tiled products of a tile of queries with a panel of coded rows, one file a code.

mod bf16;
mod f32;
pub mod i8;
pub mod tile;
