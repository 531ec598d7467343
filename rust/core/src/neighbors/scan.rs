//! The first pass: panels of codes against tiles of queries.

use super::coding::{Coding, bound_query, bound_row};
use super::frame::{Frame, Placed};
use super::kept::{Kept, Reader, Writer, odd};
use super::matrix::Matrix;
use super::shortlist::Shortlist;
use super::spare::Spare;
use crate::error::Result;
use crate::memory::filled;
use crate::parallel::Run;
use crate::simd::Kernels;
use crate::simd::bounds::{QueryBounds, RowBounds};
use crate::simd::exact::Real;
use crate::simd::tile::{PANEL_ROWS, Products, TILE_QUERIES, tile_width};

/// Bytes of codes that stay in the second-level cache while all queries pass over them.
const BLOCK_BYTES: usize = 512 << 10;

/// A guess is made after a half of the blocks, a quarter, an eighth, and so on: so many times.
const SAMPLES: usize = 7;

/// Some panels of rows that are scanned together.
struct Block<C: Coding> {
    steps: Kept<C::Step>,
    bounds: Kept<RowBounds>,
}

/// The codes of all rows.
pub struct Codes<C: Coding> {
    /// Of `n` blocks the `i`-th has the panels `i`, `i + n`, `i + 2 n`, ..., so that some of the
    /// blocks are a sample of all rows, in whatever order these are.
    blocks: Vec<Block<C>>,
    kernels: Kernels,
    coding: C,
}

/// Up to [`TILE_QUERIES`] coded queries.
struct Tile<C: Coding> {
    words: Vec<C::Word>,
    width: usize,
    placed: [Placed; TILE_QUERIES],
    bounds: [QueryBounds; TILE_QUERIES],
}

/// What the scan has found for one query.
#[derive(Default)]
pub struct Listed {
    pub placed: Placed,
    pub list: Shortlist,
}

impl<C: Coding> Codes<C> {
    /// Codes the rows that `chosen` lists.
    pub fn build<T: Real>(
        run: &Run<'_>,
        kernels: Kernels,
        frame: &Frame,
        rows: Matrix<'_, T>,
        chosen: &[u32],
    ) -> Result<Self> {
        let panel_bytes = C::steps(rows.columns()).max(1) * size_of::<C::Step>();
        let panels_per_block = (BLOCK_BYTES / panel_bytes).max(1);
        let panels: Vec<&[u32]> = chosen.chunks(PANEL_ROWS).collect();
        let count = panels.len().div_ceil(panels_per_block);
        let coding = C::fit(kernels, frame, rows);
        let blocks = run.collect(count, |i| {
            let panels: Vec<_> = panels.iter().copied().skip(i).step_by(count).collect();
            Block::build(&coding, kernels, frame, rows, &panels)
        })?;
        Ok(Self { blocks, kernels, coding })
    }

    /// Writes what [`Self::restore`] reads.
    pub fn save(&self, to: &mut Writer, code: u64) -> Result<()> {
        to.put(&[code, u64::from(self.coding.is_rotated()), self.blocks.len() as u64])?;
        let panels = self.blocks.iter().map(|block| block.bounds.len() as u64);
        to.put(&panels.collect::<Vec<u64>>())?;
        for block in &self.blocks {
            to.put(&block.steps)?;
            to.put(&block.bounds)?;
        }
        Ok(())
    }

    /// Codes of so many rows and columns that were saved in so many blocks.
    pub fn restore(
        from: &mut Reader,
        rotated: bool,
        blocks: usize,
        (kernels, rows, columns): (Kernels, usize, usize),
    ) -> Result<Self> {
        let panels = from.take_usize(blocks)?;
        let all = panels.iter().try_fold(0usize, |all, &panels| all.checked_add(panels));
        // The places of a panel's rows follow from the number of its block.
        let (count, total) = (blocks.max(1), rows.div_ceil(PANEL_ROWS));
        let as_built = |(i, &panels): (usize, &usize)| panels == (total + count - 1 - i) / count;
        if count > total.max(1) || all != Some(total) || !panels.iter().enumerate().all(as_built) {
            return Err(odd());
        }
        let steps = C::steps(columns);
        let read = panels.iter().map(|&panels| {
            let steps = from.take(panels.checked_mul(steps).ok_or_else(odd)?)?;
            Ok(Block { steps, bounds: from.take(panels)? })
        });
        Ok(Self { blocks: read.collect::<Result<_>>()?, kernels, coding: C::restore(rotated) })
    }

    /// The number of blocks into which the rows are cut.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The candidates among the rows of some blocks, for each of the given queries. On a `guess` at
    /// the k-th best score, which shortlists report, it leaves out more rows. Lists are `spare` ones.
    pub fn scan<T: Real>(
        &self,
        run: &Run<'_>,
        frame: &Frame,
        queries: &[&[T]],
        k: usize,
        blocks: std::ops::Range<usize>,
        (guess, spare): (bool, &Spare),
    ) -> Result<Vec<Listed>> {
        let mut tiles = self.tiles(frame, queries);
        let room = spare.take(queries.len()).into_iter();
        let mut lists: Vec<_> = room.map(|room| Shortlist::new(k, room)).collect();
        let mut sums = Products::ZERO;
        let is_sample = |scanned: usize| {
            guess && (1..=SAMPLES).any(|halvings| blocks.len() >> halvings == scanned)
        };
        for (i, block) in blocks.clone().enumerate() {
            for (tile, lists) in tiles.iter_mut().zip(lists.chunks_mut(TILE_QUERIES)) {
                run.check()?;
                if i > 0 && is_sample(i) {
                    let share = i as f64 / blocks.len() as f64;
                    tile.guess(self.kernels, lists, share);
                }
                self.scan_block(block, tile, lists, &mut sums);
            }
        }
        let queries = tiles.iter().flat_map(|tile| tile.placed);
        let found = queries.zip(lists).map(|(placed, mut list)| {
            if guess {
                list.make_last_guess(self.kernels);
            } else {
                list.prune(self.kernels);
            }
            Listed { placed, list }
        });
        Ok(found.collect())
    }

    fn scan_block(
        &self,
        block: usize,
        tile: &mut Tile<C>,
        lists: &mut [Shortlist],
        sums: &mut Products,
    ) {
        let Block { steps, bounds } = &self.blocks[block];
        let depth = steps.len() / bounds.len();
        lists.iter().for_each(|list| list.prefetch(self.kernels));
        let panels = steps.chunks_exact(depth).zip(bounds.iter());
        for (panel, (steps, rows)) in panels.enumerate() {
            C::products(self.kernels, &tile.words, tile.width, steps, sums);
            let marks = self.kernels.upper_bounds(sums, rows, &tile.bounds[..tile.width]);
            let first = (block + panel * self.blocks.len()) * PANEL_ROWS;
            let mut marked = marks.queries;
            while marked != 0 {
                let m = marked.trailing_zeros() as usize;
                marked &= marked - 1;
                let (marks, query) = (marks.rows[m], &mut tile.bounds[m]);
                lists[m].add_marked(self.kernels, marks, &sums.0[m], rows, first as u32, query);
            }
        }
    }

    fn tiles<T: Real>(&self, frame: &Frame, queries: &[&[T]]) -> Vec<Tile<C>> {
        let width = tile_width(queries.len());
        queries
            .chunks(width)
            .map(|part| Tile::build(&self.coding, self.kernels, frame, part, width))
            .collect()
    }
}

impl<C: Coding> Block<C> {
    fn build<T: Real>(
        coding: &C,
        kernels: Kernels,
        frame: &Frame,
        rows: Matrix<'_, T>,
        panels: &[&[u32]],
    ) -> Result<Self> {
        let depth = rows.columns();
        const WHAT: &str = "the codes of an index";
        let mut steps = filled(C::ZERO, panels.len() * C::steps(depth), WHAT)?;
        let mut bounds = filled(RowBounds::NONE, panels.len(), WHAT)?;
        let (mut vector, mut codes) = (vec![0.0; depth], C::codes(depth));
        let places = panels.iter().enumerate();
        let places = places.flat_map(|(panel, rows)| {
            rows.iter().enumerate().map(move |(r, &row)| (panel, r, row))
        });
        for (panel, r, row) in places {
            let placed = frame.place_row(rows.row(row as usize), &mut vector);
            let coded = coding.encode(kernels, &mut vector, &mut codes);
            C::store(&codes, &mut steps[panel * C::steps(depth)..][..C::steps(depth)], r);
            bound_row::<C>(&mut bounds[panel], r, depth, placed, coded);
        }
        Ok(Self { steps: Kept::Own(steps), bounds: Kept::Own(bounds) })
    }
}

impl<C: Coding> Tile<C> {
    /// Guesses what the best scores of each query will reach, once a share of the rows is scanned.
    fn guess(&mut self, kernels: Kernels, lists: &mut [Shortlist], share: f64) {
        for (query, list) in self.bounds.iter_mut().zip(lists) {
            list.make_guess(kernels, share);
            query.floor = list.threshold();
        }
    }

    fn build<T: Real>(
        coding: &C,
        kernels: Kernels,
        frame: &Frame,
        queries: &[&[T]],
        width: usize,
    ) -> Self {
        let mut placed = [Placed::default(); TILE_QUERIES];
        let mut bounds = [QueryBounds::NONE; TILE_QUERIES];
        let mut columns = Vec::new();
        for (m, query) in queries.iter().enumerate() {
            let (mut vector, mut codes) = (vec![0.0; query.len()], C::codes(query.len()));
            placed[m] = frame.place_query(query, &mut vector);
            let coded = coding.encode(kernels, &mut vector, &mut codes);
            bounds[m] = bound_query::<C>(query.len(), placed[m], coded);
            columns.push(C::words(&codes));
        }
        let steps = columns.first().map_or(0, Vec::len);
        let column = |step: usize, m: usize| columns.get(m).map_or(C::padding(), |c| c[step]);
        let words = (0..steps).flat_map(|step| (0..width).map(move |m| (step, m)));
        Self { words: words.map(|(step, m)| column(step, m)).collect(), width, placed, bounds }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;
    use crate::neighbors::Metric;
    use crate::neighbors::coding::F32;

    /// The data of `test_a_wrong_guess_at_the_last_score_costs_no_neighbour`: without this, that test
    /// might pass because no guess was wrong.
    #[test]
    fn near_rows_that_are_all_in_the_sample_mislead_the_guess() {
        const DEPTH: usize = 512;
        const NEAR: usize = 36 * PANEL_ROWS;
        let near = |row: usize| row % NEAR < 5;
        let number = |row: usize, i: usize| match (((row * DEPTH + i) as u64)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            >> 40)
            % 3
        {
            _ if near(row) => 1.0,
            rest => rest as f32 - 1.0,
        };
        let data: Vec<f32> =
            (0..9000).flat_map(|row| (0..DEPTH).map(move |i| number(row, i))).collect();
        let rows = Matrix::new(&data, 9000, DEPTH).unwrap();
        let stop = AtomicBool::new(false);
        let run = Run::new(1, &stop);
        let query = [1.0f32; DEPTH];
        for kernels in Kernels::available() {
            let frame = Frame::fit(Metric::Inner, rows, 1.0, kernels);
            let chosen: Vec<u32> = (0..9000).collect();
            let codes = Codes::<F32>::build(&run, kernels, &frame, rows, &chosen).unwrap();
            let scan = |k: usize, guess: bool| {
                let how = (guess, &Spare::default());
                codes.scan(&run, &frame, &[&query], k, 0..codes.blocks(), how).unwrap().remove(0)
            };
            let found = scan(60, true).list;
            assert!(found.guess().is_finite() && found.len() < 60, "{kernels:?}");
            let found = scan(60, false).list;
            assert!(found.guess() == f32::NEG_INFINITY && found.len() >= 60, "{kernels:?}");
        }
    }
}
