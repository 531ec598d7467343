//! No damage to a file ever becomes a wrong row, and all of it is found.

use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use tlengine_core::Run;
use tlengine_core::cache::storage::Sim;
use tlengine_core::cache::{Cache, Dtype, Durability, Key, Shape, Table};

const DIM: usize = 3;
const ROWS: usize = 6;
const RECIPE: &[u8] = b"{\"a\":1}";

static NEVER: AtomicBool = AtomicBool::new(false);

fn run() -> Run<'static> {
    Run::new(1, &NEVER)
}

fn keys(salt: u8) -> Vec<Key> {
    (0..ROWS as u8).map(|row| *blake3::hash(&[salt, row]).as_bytes()).collect()
}

fn rows(keys: &[Key]) -> Vec<f32> {
    keys.iter().flat_map(|key| (0..DIM).map(|at| f32::from(key[at]) - 7.25)).collect()
}

fn open(sim: &Sim, recipe: &[u8]) -> Table {
    let shape = Shape::new(DIM, Dtype::F32).unwrap();
    Cache::on(sim.root(), Durability::Batch).table(recipe, shape, b"{}").unwrap()
}

/// A cache with one sealed segment of two commits.
fn filled(recipe: &[u8], salt: u8) -> Sim {
    let sim = Sim::new();
    let table = open(&sim, recipe);
    let keys = keys(salt);
    for part in [0..2, 2..ROWS] {
        table.put(run(), &keys[part.clone()], &rows(&keys[part]), 0.5).unwrap();
        table.flush().unwrap();
    }
    table.close().unwrap();
    sim
}

/// How many rows are returned; every one of them must be right.
fn hits(table: &Table, salt: u8) -> usize {
    let keys = keys(salt);
    let mut out = vec![f32::NAN; ROWS * DIM];
    let mut hit = vec![true; ROWS];
    let got = table.get(run(), &keys, &mut out, &mut hit).unwrap();
    let expected = rows(&keys);
    let pairs = out.chunks(DIM).zip(expected.chunks(DIM));
    for ((found, expected), hit) in pairs.zip(hit) {
        // A wrong row, or numbers where there is no row.
        assert_eq!(found, if hit { expected } else { &[0.0; DIM] });
    }
    got.hits
}

/// The misses are computed again, and the next process has everything.
fn heals(sim: &Sim, table: &Table) {
    let keys = keys(0);
    table.put(run(), &keys, &rows(&keys), 0.0).unwrap();
    table.flush().unwrap();
    assert_eq!(hits(table, 0), ROWS);
    assert_eq!(hits(&open(sim, RECIPE), 0), ROWS);
}

fn is_reported(table: &Table) -> bool {
    let sound = |name: &String| {
        let report = table.verify(run(), name).unwrap();
        report.is_sound() && report.unfinished == 0
    };
    !table.quarantined().is_empty() || !table.segment_names().unwrap().iter().all(sound)
}

#[test]
fn every_flipped_bit_of_every_file() {
    let pristine = filled(RECIPE, 0);
    let mut flips = 0;
    for (folder, name, content) in pristine.files() {
        let mut lost = 0;
        for bit in 0..content.len() as u64 * 8 {
            let sim = pristine.process_death();
            assert!(sim.flip(&folder, &name, bit));
            let table = open(&sim, RECIPE);
            lost += ROWS - hits(&table, 0);
            assert!(name == "table" || is_reported(&table), "{name}: bit {bit} goes unseen");
            if bit % 61 == 0 {
                heals(&sim, &table);
            }
            flips += 1;
        }
        // A row costs its own bits and those of its entry, a commit's header its entries at most.
        let row_bits = ROWS * (DIM * 4 + 48) * 8;
        assert!(lost <= row_bits + 3 * 64 * 8 * ROWS, "{name}: {lost} rows lost");
    }
    assert!(flips > 8 * 4096, "only {flips} flips");
}

#[test]
fn every_truncation_and_tail() {
    let pristine = filled(RECIPE, 0);
    let mut cases = 0;
    for (folder, name, content) in pristine.files() {
        let step = if content.len() > 1000 { 7 } else { 1 };
        for length in (0..content.len()).step_by(step) {
            let mut zeroed = content.clone();
            zeroed[length..].fill(0);
            for damaged in [content[..length].to_vec(), zeroed] {
                let sim = pristine.process_death();
                sim.set(&folder, &name, &damaged);
                let table = open(&sim, RECIPE);
                hits(&table, 0);
                heals(&sim, &table);
                cases += 1;
            }
        }
        for extra in [vec![0; 100], vec![0xA5; 4097], content.clone()] {
            let sim = pristine.process_death();
            sim.set(&folder, &name, &[content.clone(), extra].concat());
            let table = open(&sim, RECIPE);
            assert_eq!(hits(&table, 0), ROWS, "{name}: what follows the end means nothing");
            assert!(name == "table" || is_reported(&table), "{name}");
            cases += 1;
        }
    }
    assert!(cases > 1500, "only {cases} cases");
}

/// The first bytes of a file say whose it is, and every row proves that by itself.
#[test]
fn leading_zeros_cost_what_they_hit() {
    let pristine = filled(RECIPE, 0);
    for (folder, name, content) in pristine.files().into_iter().filter(|f| f.1 != "table") {
        for zeros in [1, 8, 64, 72, 127, 128] {
            let mut damaged = content.clone();
            damaged[..zeros].fill(0);
            let sim = pristine.process_death();
            sim.set(&folder, &name, &damaged);
            let table = open(&sim, RECIPE);
            assert_eq!(hits(&table, 0), ROWS, "{name}: {zeros} zeros");
            assert!(is_reported(&table), "{name}: {zeros} zeros go unseen");
            let done = table.rewrite(run(), &table.segment_names().unwrap(), true).unwrap();
            assert_eq!((done.rows, done.lost), (ROWS as u64, 0), "{name}: {zeros} zeros, repaired");
            assert_eq!(hits(&open(&sim, RECIPE), 0), ROWS);
        }
    }
}

#[test]
fn files_that_were_swapped_renamed_or_come_from_elsewhere() {
    let other_table = filled(b"{\"a\":2}", 3);
    let other_rows = filled(RECIPE, 9);
    let file = |sim: &Sim, suffix: &str| {
        sim.files().into_iter().find(|(_, name, _)| name.ends_with(suffix)).unwrap()
    };
    for other in [&other_table, &other_rows] {
        for suffixes in [&[".rows"][..], &[".log"], &[".rows", ".log"]] {
            let sim = filled(RECIPE, 0);
            for suffix in suffixes {
                let (folder, name, _) = file(&sim, suffix);
                sim.set(&folder, &name, &file(other, suffix).2);
            }
            let table = open(&sim, RECIPE);
            assert_eq!(hits(&table, 0), 0);
            assert!(is_reported(&table));
            heals(&sim, &table);
        }
    }
    // A copy of a table's manifest under another table's name.
    let sim = filled(RECIPE, 0);
    let (folder, name, _) = file(&sim, "table");
    sim.set(&folder, &name, &file(&other_table, "table").2);
    assert_eq!(hits(&open(&sim, RECIPE), 0), ROWS);
}

#[test]
fn lost_files_cost_their_rows_only() {
    for suffix in [".rows", ".log", "table"] {
        let sim = filled(RECIPE, 0);
        let keys = keys(5);
        let second = open(&sim, RECIPE);
        second.put(run(), &keys, &rows(&keys), 0.0).unwrap();
        second.close().unwrap();
        let (folder, name, _) =
            sim.files().into_iter().find(|(_, name, _)| name.ends_with(suffix)).unwrap();
        sim.root().subdir(&folder, false).unwrap().remove(&name).unwrap();
        let table = open(&sim, RECIPE);
        assert_eq!(hits(&table, 5), ROWS);
        assert_eq!(hits(&table, 0), if suffix == "table" { ROWS } else { 0 });
        heals(&sim, &table);
    }
}

#[test]
fn damage_is_repaired_by_dropping_it() {
    let sim = filled(RECIPE, 0);
    let (folder, name, content) =
        sim.files().into_iter().find(|(_, name, _)| name.ends_with(".rows")).unwrap();
    sim.flip(&folder, &name, (content.len() as u64 - 1) * 8);
    let table = open(&sim, RECIPE);
    let names = table.segment_names().unwrap();
    let report = table.verify(run(), &names[0]).unwrap();
    assert_eq!(report.bad_rows, [ROWS as u64 - 1]);
    let done = table.rewrite(run(), &names, true).unwrap();
    assert_eq!((done.rows, done.lost), (ROWS as u64 - 1, 1));
    for table in [&table, &open(&sim, RECIPE)] {
        assert_eq!(hits(table, 0), ROWS - 1);
        let names = table.segment_names().unwrap();
        assert!(names.iter().all(|name| table.verify(run(), name).unwrap().is_sound()));
    }
    heals(&sim, &table);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_in_any_file(which in 0usize..3, bytes in proptest::collection::vec(any::<u8>(), 0..600), keep in 0usize..300) {
        let sim = filled(RECIPE, 0);
        let (folder, name, content) = sim.files().swap_remove(which);
        let mut hostile = content[..keep.min(content.len())].to_vec();
        hostile.extend(bytes);
        sim.set(&folder, &name, &hostile);
        let table = open(&sim, RECIPE);
        hits(&table, 0);
        heals(&sim, &table);
    }

    #[test]
    fn any_numbers_in_the_headers(at in 0usize..64, value: u64, which in 0usize..3) {
        let sim = filled(RECIPE, 0);
        let (folder, name, mut content) = sim.files().swap_remove(which);
        let at = at.min(content.len() - 8);
        content[at..at + 8].copy_from_slice(&value.to_le_bytes());
        sim.set(&folder, &name, &content);
        let table = open(&sim, RECIPE);
        hits(&table, 0);
        heals(&sim, &table);
    }
}
