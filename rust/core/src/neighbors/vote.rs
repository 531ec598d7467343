//! Classes by a weighted vote of the neighbours, after DINO (arXiv 2104.14294): each of the `k`
//! nearest votes for its class with weight `softmax(score / temperature)`. One more vote of weight
//! `1 / (k + 1)` goes to all classes alike, so that no probability is zero; the order is the same.

use crate::error::{Error, Result};
use crate::memory::filled;
use crate::parallel::Run;

/// Who votes for what: neighbours of each query, best first, and the class of every row.
#[derive(Clone, Copy, Debug)]
pub struct Ballot<'a> {
    /// Neighbours per query.
    pub k: usize,
    /// Rows of the neighbours.
    pub rows: &'a [i64],
    /// Their scores, largest first.
    pub scores: &'a [f64],
    /// Class of each row of the index.
    pub labels: &'a [u32],
    /// Number of classes.
    pub classes: usize,
}

const CHUNK: usize = 256;

/// Class probabilities with shape (temperatures, ks, queries, classes); every row sums to one.
///
/// All `ks` and `temperatures` are voted in one walk over the neighbours.
pub fn vote(
    run: &Run<'_>,
    ballot: Ballot<'_>,
    ks: &[usize],
    temperatures: &[f64],
) -> Result<Vec<f64>> {
    ballot.check(ks, temperatures)?;
    let queries = ballot.rows.len() / ballot.k;
    let mut order: Vec<usize> = (0..ks.len()).collect();
    order.sort_by_key(|&i| ks[i]);
    let sizes = [temperatures.len(), ks.len(), queries, ballot.classes];
    let length = sizes.iter().fold(1usize, |length, &size| length.saturating_mul(size));
    let mut shares = filled(0f64, length, "the votes of all queries, k and temperatures")?;
    let plane = queries * ballot.classes;
    for (planes, &temperature) in shares.chunks_mut((ks.len() * plane).max(1)).zip(temperatures) {
        let mut parts = split_planes(planes, plane, CHUNK * ballot.classes);
        run.for_each_mut(&mut parts, |chunk, planes| {
            ballot.vote_chunk(chunk * CHUNK, planes, ks, &order, temperature);
            Ok(())
        })?;
    }
    Ok(shares)
}

/// For each chunk of queries, its part of every plane.
fn split_planes(planes: &mut [f64], plane: usize, size: usize) -> Vec<Vec<&mut [f64]>> {
    let mut parts: Vec<Vec<&mut [f64]>> = Vec::new();
    for plane in planes.chunks_mut(plane.max(1)) {
        for (i, part) in plane.chunks_mut(size).enumerate() {
            if parts.len() == i {
                parts.push(Vec::new());
            }
            parts[i].push(part);
        }
    }
    parts
}

impl Ballot<'_> {
    fn check(&self, ks: &[usize], temperatures: &[f64]) -> Result<()> {
        let whole = self.k > 0 && self.rows.len().is_multiple_of(self.k);
        if !whole || self.rows.len() != self.scores.len() {
            return Err(Error::Shape("neighbours and scores have different shapes".into()));
        }
        if let Some(k) = ks.iter().find(|&&k| k == 0 || k > self.k) {
            return Err(Error::Invalid(format!("k={k} is not between 1 and {}", self.k)));
        }
        if let Some(t) = temperatures.iter().find(|&&t| t.is_nan() || t <= 0.0) {
            return Err(Error::Invalid(format!("temperature {t} is not above zero")));
        }
        if let Some(row) = self.rows.iter().find(|&&row| self.label(row).is_none()) {
            return Err(Error::Invalid(format!("no class for neighbour {row}")));
        }
        Ok(())
    }

    fn label(&self, row: i64) -> Option<usize> {
        let label = *self.labels.get(usize::try_from(row).ok()?)? as usize;
        (label < self.classes).then_some(label)
    }

    fn vote_chunk(
        &self,
        first: usize,
        planes: &mut [&mut [f64]],
        ks: &[usize],
        order: &[usize],
        temperature: f64,
    ) {
        let queries = planes.first().map_or(0, |plane| plane.len() / self.classes.max(1));
        let mut votes = vec![0f64; self.classes];
        for q in 0..queries {
            let rows = &self.rows[(first + q) * self.k..][..self.k];
            let scores = &self.scores[(first + q) * self.k..][..self.k];
            let (mut counted, mut total) = (0, 0.0);
            for &plane in order {
                for (row, score) in rows.iter().zip(scores).take(ks[plane]).skip(counted) {
                    // The best score comes first, so no exponent is above zero.
                    let weight = ((score - scores[0]) / temperature).exp();
                    votes[self.label(*row).unwrap_or(0)] += weight;
                    total += weight;
                }
                counted = counted.max(ks[plane]);
                let even = 1.0 / (ks[plane] + 1) as f64;
                let shares = &mut planes[plane][q * self.classes..][..self.classes];
                shares.fill(even / self.classes as f64);
                for row in &rows[..counted] {
                    let label = self.label(*row).unwrap_or(0);
                    shares[label] =
                        even / self.classes as f64 + (1.0 - even) * (votes[label] / total);
                }
            }
            rows[..counted].iter().for_each(|row| votes[self.label(*row).unwrap_or(0)] = 0.0);
        }
    }
}
