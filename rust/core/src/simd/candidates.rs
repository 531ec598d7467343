//! Rows that may be among the nearest, sifted a vector at a time.

#[cfg(target_arch = "x86_64")]
use super::Isa;
use super::Kernels;
use super::bounds::{QueryBounds, RowBounds};
use super::tile::PANEL_ROWS;

/// Rows, each with what its score lies between; column by column, as vectors want them.
#[derive(Debug, Default)]
pub struct Candidates {
    len: usize,
    lowers: Vec<f32>,
    uppers: Vec<f32>,
    rows: Vec<u32>,
}

/// One more vector than is in use, since whole vectors are written.
const SPARE: usize = PANEL_ROWS;

impl Candidates {
    /// The number of rows.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Takes out all rows; their room stays.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// The bytes of its room.
    pub fn bytes(&self) -> usize {
        3 * size_of::<u32>() * self.rows.len()
    }

    /// What the scores are not below.
    pub fn lowers(&self) -> &[f32] {
        &self.lowers[..self.len]
    }

    /// What lies at a share of the way from the upper bounds to the lower ones.
    pub fn between(&self, share: f32) -> impl Iterator<Item = f32> + '_ {
        let bounds = self.lowers().iter().zip(self.uppers());
        bounds.map(move |(lower, upper)| share * lower + (1.0 - share) * upper)
    }

    /// The rows.
    pub fn rows(&self) -> &[u32] {
        &self.rows[..self.len]
    }

    /// What their scores are not above.
    pub fn uppers(&self) -> &[f32] {
        &self.uppers[..self.len]
    }

    /// Takes out the `count` rows with the largest upper bounds, or a few more.
    pub fn take_best(&mut self, kernels: Kernels, count: usize) -> Vec<u32> {
        if self.len <= count {
            let all = self.rows().to_vec();
            self.len = 0;
            return all;
        }
        let floor = kernels.floor_of(self.uppers(), count, f32::NEG_INFINITY);
        let (mut best, mut taken, mut kept) = (vec![0; self.len], 0, 0);
        for i in 0..self.len {
            let (lower, upper, row) = (self.lowers[i], self.uppers[i], self.rows[i]);
            best[taken] = row;
            (self.lowers[kept], self.uppers[kept], self.rows[kept]) = (lower, upper, row);
            taken += usize::from(upper >= floor);
            kept += usize::from(upper < floor);
        }
        self.len = kept;
        best.truncate(taken);
        best
    }

    /// Adds those rows of a panel that are marked, in order, given their upper bounds; `first` is
    /// the row of bit 0. All instruction sets add the same bits.
    #[inline]
    pub fn add_marked(
        &mut self,
        kernels: Kernels,
        marks: u32,
        uppers: &[f32; PANEL_ROWS],
        rows: &RowBounds,
        query: &QueryBounds,
        first: u32,
    ) {
        self.reserve(PANEL_ROWS);
        match kernels.isa() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Kernels` exists only where its instruction set is available.
            Isa::Avx512 | Isa::Avx512Vnni if !marks.is_power_of_two() => unsafe {
                self.add_avx512(marks, uppers, rows, query, first);
            },
            _ => self.add_each(marks, uppers, rows, query, first),
        }
    }

    /// Asks for the places that are filled next.
    pub fn prefetch(&self, kernels: Kernels) {
        let next = self.len..self.rows.len().min(self.len + LANES);
        kernels.prefetch(&self.lowers[next.clone()]);
        kernels.prefetch(&self.uppers[next.clone()]);
        kernels.prefetch(&self.rows[next]);
    }

    /// Adds all rows of another list.
    pub fn absorb(&mut self, other: &Self) {
        self.reserve(other.len);
        let place = self.len..self.len + other.len;
        self.lowers[place.clone()].copy_from_slice(other.lowers());
        self.uppers[place.clone()].copy_from_slice(other.uppers());
        self.rows[place].copy_from_slice(other.rows());
        self.len += other.len;
    }

    /// Drops the rows whose upper bounds are below `floor`; the others keep their order.
    pub fn keep_from(&mut self, kernels: Kernels, floor: f32) {
        match kernels.isa() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a `Kernels` exists only where its instruction set is available.
            Isa::Avx512 | Isa::Avx512Vnni => unsafe { self.keep_avx512(floor) },
            _ => self.keep_each(floor),
        }
    }

    /// Makes room for `more` rows and the rest of a vector.
    #[inline]
    fn reserve(&mut self, more: usize) {
        if self.rows.len() < self.len + more + SPARE {
            self.grow(more);
        }
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let length = (self.len + more + SPARE).max(2 * self.rows.len());
        self.lowers.resize(length, 0.0);
        self.uppers.resize(length, 0.0);
        self.rows.resize(length, 0);
    }

    fn add_each(
        &mut self,
        mut marks: u32,
        uppers: &[f32; PANEL_ROWS],
        rows: &RowBounds,
        query: &QueryBounds,
        first: u32,
    ) {
        while marks != 0 {
            let r = marks.trailing_zeros() as usize;
            marks &= marks - 1;
            self.lowers[self.len] = query.lower(rows, r, uppers[r]);
            self.uppers[self.len] = uppers[r];
            self.rows[self.len] = first + r as u32;
            self.len += 1;
        }
    }

    /// Which rows stay cannot be predicted, so there is no branch on it.
    fn keep_each(&mut self, floor: f32) {
        let mut kept = 0;
        for i in 0..self.len {
            let (lower, upper, row) = (self.lowers[i], self.uppers[i], self.rows[i]);
            (self.lowers[kept], self.uppers[kept], self.rows[kept]) = (lower, upper, row);
            kept += usize::from(upper >= floor);
        }
        self.len = kept;
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn add_avx512(
        &mut self,
        marks: u32,
        uppers: &[f32; PANEL_ROWS],
        rows: &RowBounds,
        query: &QueryBounds,
        first: u32,
    ) {
        use std::arch::x86_64::*;
        let numbers = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        for half in 0..2 {
            let (mask, at) = ((marks >> (LANES * half)) as u16, LANES * half);
            // SAFETY: half a panel is 16 numbers.
            let [upper, error, norm, bias] = [uppers, &rows.error, &rows.norm, &rows.bias_error]
                .map(|column| unsafe { _mm512_loadu_ps(column.as_ptr().add(at)) });
            let lower = query.lower_avx512(upper, error, norm, bias);
            let rows = _mm512_add_epi32(_mm512_set1_epi32((first + at as u32) as i32), numbers);
            self.store_avx512(self.len, mask, lower, upper, rows);
            self.len += mask.count_ones() as usize;
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f")]
    fn keep_avx512(&mut self, floor: f32) {
        use std::arch::x86_64::*;
        let (floor, mut kept) = (_mm512_set1_ps(floor), 0);
        for at in (0..self.len).step_by(LANES) {
            // SAFETY: the columns are longer than `len` by a vector.
            let (lower, upper, rows) = unsafe {
                (
                    _mm512_loadu_ps(self.lowers.as_ptr().add(at)),
                    _mm512_loadu_ps(self.uppers.as_ptr().add(at)),
                    _mm512_loadu_si512(self.rows.as_ptr().add(at).cast()),
                )
            };
            let used = u16::MAX >> LANES.saturating_sub(self.len - at);
            let mask = used & _mm512_cmp_ps_mask::<_CMP_GE_OQ>(upper, floor);
            // `kept <= at`, so this overwrites only what has been loaded.
            self.store_avx512(kept, mask, lower, upper, rows);
            kept += mask.count_ones() as usize;
        }
        self.len = kept;
    }

    /// Writes the chosen rows from place `at` on, and anything to the rest of a vector.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn store_avx512(
        &mut self,
        at: usize,
        mask: u16,
        lower: std::arch::x86_64::__m512,
        upper: std::arch::x86_64::__m512,
        rows: std::arch::x86_64::__m512i,
    ) {
        use std::arch::x86_64::*;
        assert!(at + LANES <= self.rows.len(), "room for a vector");
        // SAFETY: the three columns are of one length, and `at + 16` is within it.
        unsafe {
            let place = self.lowers.as_mut_ptr().add(at);
            _mm512_storeu_ps(place, _mm512_maskz_compress_ps(mask, lower));
            let place = self.uppers.as_mut_ptr().add(at);
            _mm512_storeu_ps(place, _mm512_maskz_compress_ps(mask, upper));
            let place = self.rows.as_mut_ptr().add(at);
            _mm512_storeu_si512(place.cast(), _mm512_maskz_compress_epi32(mask, rows));
        }
    }
}

/// Numbers of a vector.
const LANES: usize = PANEL_ROWS / 2;

#[cfg(test)]
mod tests {
    use super::*;

    const PANEL: [f32; PANEL_ROWS] = {
        let mut values = [0.0; PANEL_ROWS];
        let mut i = 0;
        while i < PANEL_ROWS {
            values[i] = ((i * 7) % 32) as f32 - 11.0;
            i += 1;
        }
        values
    };

    const QUERY: QueryBounds = QueryBounds { slack: 0.5, ..QueryBounds::NONE };

    fn pairs(list: &Candidates) -> impl Iterator<Item = (u32, f32)> + '_ {
        list.rows().iter().copied().zip(list.uppers().iter().copied())
    }

    fn listed(kernels: Kernels, panels: u32) -> Candidates {
        let mut list = Candidates::default();
        for panel in 0..panels {
            let marks = 0x9d2c_5681u32.rotate_left(panel) & !(1 << panel);
            list.add_marked(kernels, marks, &PANEL, &RowBounds::NONE, &QUERY, 32 * panel);
        }
        list
    }

    #[test]
    fn every_instruction_set_lists_and_keeps_the_same_rows() {
        for panels in [0, 1, 2, 9] {
            let marks = |panel: u32| 0x9d2c_5681u32.rotate_left(panel) & !(1 << panel);
            let marked = (0..32 * panels).filter(|row| marks(row / 32) >> (row % 32) & 1 == 1);
            let marked: Vec<_> = marked.map(|row| (row, PANEL[row as usize % 32])).collect();
            for kernels in Kernels::available() {
                for floor in [-100.0, -3.0, 4.5, 100.0] {
                    let mut list = listed(kernels, panels);
                    assert!(pairs(&list).eq(marked.iter().copied()), "{kernels:?}");
                    list.keep_from(kernels, floor);
                    let kept = marked.iter().copied().filter(|(_, upper)| *upper >= floor);
                    assert!(pairs(&list).eq(kept.clone()), "{kernels:?} {floor}");
                    let lowers = kept.map(|(row, upper)| {
                        QUERY.lower(&RowBounds::NONE, row as usize % PANEL_ROWS, upper)
                    });
                    assert!(list.lowers().iter().copied().eq(lowers), "{kernels:?} {floor}");
                }
            }
        }
    }

    #[test]
    fn absorbed_rows_come_last() {
        let kernels = Kernels::available()[0];
        let (mut list, other) = (listed(kernels, 2), listed(kernels, 3));
        let expected: Vec<_> = pairs(&list).chain(pairs(&other)).collect();
        list.absorb(&other);
        assert!(pairs(&list).eq(expected));
    }

    #[test]
    fn the_best_are_taken_and_the_others_stay_in_order() {
        for kernels in Kernels::available() {
            for count in [1, 7, 40, 1000] {
                let (all, mut list) = (listed(kernels, 4), listed(kernels, 4));
                let best = list.take_best(kernels, count);
                let floor =
                    pairs(&all).filter(|(row, _)| best.contains(row)).map(|(_, upper)| upper);
                let floor = floor.fold(f32::INFINITY, f32::min);
                assert!(best.len() >= count.min(all.len()));
                assert!(pairs(&list).eq(pairs(&all).filter(|&(_, upper)| upper < floor)));
                assert_eq!(best.len() + list.len(), all.len());
            }
        }
    }
}
