//! The shapes that the product kernels share: panels of 32 rows against tiles of up to 12 queries.
//!
//! ```text
//! panel of rows    [depth][32]    one step of depth = 32 numbers, one per row
//! tile of queries  [depth][M]     one step of depth = M numbers, one per query, M in TILE_WIDTHS
//! products         [M][32]
//! ```
//! A tile's 12 x 32 sums fill 24 of the 32 vector registers of AVX-512, so every load of a panel
//! feeds 12 multiply-adds.

/// Rows in a panel.
pub const PANEL_ROWS: usize = 32;
/// The most queries in a tile.
pub const TILE_QUERIES: usize = 12;
/// The widths for which there are kernels.
pub const TILE_WIDTHS: [usize; 5] = [1, 2, 4, 8, TILE_QUERIES];

/// The smallest tile width that holds `queries`, at most [`TILE_QUERIES`].
pub fn tile_width(queries: usize) -> usize {
    TILE_WIDTHS.into_iter().find(|&width| width >= queries).unwrap_or(TILE_QUERIES)
}

/// One step of depth of a float panel; aligned so that no vector straddles a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct StepF32(pub [f32; PANEL_ROWS]);

/// Two steps of depth of a bfloat16 panel: for each row two codes.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct StepBf16(pub [[u16; 2]; PANEL_ROWS]);

impl StepBf16 {
    /// All zero.
    pub const ZERO: Self = Self([[0; 2]; PANEL_ROWS]);
}

/// Four steps of depth of an 8-bit panel: for each row four codes, each shifted by 128.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct StepI8(pub [[u8; 4]; PANEL_ROWS]);

impl StepF32 {
    /// All zero.
    pub const ZERO: Self = Self([0.0; PANEL_ROWS]);
}

impl StepI8 {
    /// All codes zero.
    pub const ZERO: Self = Self([[128; 4]; PANEL_ROWS]);
}

// SAFETY: arrays of numbers that fill their type to the last byte, and any bytes are numbers.
unsafe impl bytemuck::Zeroable for StepF32 {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for StepF32 {}
// SAFETY: as above.
unsafe impl bytemuck::Zeroable for StepBf16 {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for StepBf16 {}
// SAFETY: as above.
unsafe impl bytemuck::Zeroable for StepI8 {}
// SAFETY: as above.
unsafe impl bytemuck::Pod for StepI8 {}

/// Products of a tile of queries with a panel of rows.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Products(pub [[f32; PANEL_ROWS]; TILE_QUERIES]);

impl Products {
    /// All zero.
    pub const ZERO: Self = Self([[0.0; PANEL_ROWS]; TILE_QUERIES]);
}

/// Calls `$kernel::<WIDTH>` with the constant that equals `$width`.
macro_rules! with_width {
    ($width:expr, $kernel:ident($($arg:expr),*)) => {
        match $width {
            1 => $kernel::<1>($($arg),*),
            2 => $kernel::<2>($($arg),*),
            4 => $kernel::<4>($($arg),*),
            8 => $kernel::<8>($($arg),*),
            12 => $kernel::<12>($($arg),*),
            other => panic!("no kernel for tiles of {other} queries"),
        }
    };
}
pub(crate) use with_width;
