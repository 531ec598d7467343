//! What one process relies on is not taken from it by what another one does.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use tlengine_core::cache::storage::{Fault, Sim};
use tlengine_core::cache::{Cache, Dtype, Durability, Key, Shape, Table};
use tlengine_core::{Error, Run};

const DIM: usize = 3;
const ROWS: usize = 4;
const EIO: i32 = 5;

static NEVER: AtomicBool = AtomicBool::new(false);

fn run() -> Run<'static> {
    Run::new(1, &NEVER)
}

fn cache(sim: &Sim, durability: Durability) -> Cache {
    let mut cache = Cache::on(sim.root(), durability);
    cache.patience = Duration::ZERO;
    cache
}

fn open(sim: &Sim, durability: Durability) -> Table {
    let shape = Shape::new(DIM, Dtype::F32).unwrap();
    cache(sim, durability).table(b"{}", shape, b"{}").unwrap()
}

fn keys(batch: u8) -> Vec<Key> {
    (0..ROWS as u8).map(|row| *blake3::hash(&[batch, row]).as_bytes()).collect()
}

fn put(table: &Table, batch: u8) {
    let keys = keys(batch);
    let rows: Vec<f32> =
        keys.iter().flat_map(|key| key[..DIM].iter().map(|b| f32::from(*b))).collect();
    table.put(run(), &keys, &rows, 0.0).unwrap();
}

/// How many rows of a batch are there.
fn present(table: &Table, batch: u8) -> usize {
    let (mut out, mut hit) = (vec![0.0; ROWS * DIM], vec![false; ROWS]);
    table.get(run(), &keys(batch), &mut out, &mut hit).unwrap().hits
}

fn compact(sim: &Sim) {
    let cache = cache(sim, Durability::Batch);
    let table = open(sim, Durability::Batch);
    let names: Vec<_> = table.segments().unwrap().into_iter().map(|(name, ..)| name).collect();
    let _lock = cache.lock(run()).unwrap();
    table.rewrite(run(), &names, false).unwrap();
}

/// The files of the only table whose names end like this, with their directory.
fn files(sim: &Sim, suffix: &str) -> Vec<(String, String)> {
    let files = sim.files().into_iter().filter(|(_, name, _)| name.ends_with(suffix));
    files.map(|(folder, name, _)| (folder, name)).collect()
}

/// Whoever merges segments keeps a row that is durable, though an earlier one of its key is there
/// which a living process has not synced.
#[test]
fn a_durable_row_is_not_dropped_for_one_that_is_not() {
    for seed in 0..200 {
        let sim = Sim::new();
        let lax = open(&sim, Durability::Process);
        put(&lax, 0);
        let strict = open(&sim, Durability::Batch);
        put(&strict, 0); // unseen as yet: nothing of the other's is published
        strict.close().unwrap();
        lax.flush().unwrap();
        compact(&sim);
        assert_eq!(present(&open(&sim.power_cut(seed), Durability::Batch), 0), ROWS, "{seed}");
    }
}

/// The same while the commit of a process that syncs is written, and not yet synced.
#[test]
fn a_commit_under_way_is_not_durable() {
    let mut came = 0;
    for operation in 1.. {
        let sim = Sim::new();
        let first = open(&sim, Durability::Batch);
        put(&first, 0);
        let second = open(&sim, Durability::Batch);
        put(&second, 0);
        second.close().unwrap();
        let there = sim.clone();
        sim.meanwhile(operation, move || compact(&there));
        sim.inject(operation, Fault::Kill);
        let _ = first.flush();
        let fired = sim.heal();
        for seed in 0..100 {
            let after = open(&sim.power_cut(seed), Durability::Batch);
            assert_eq!(present(&after, 0), ROWS, "at {operation}, {seed}");
        }
        if fired == 0 {
            break;
        }
        came += 1;
    }
    assert!(came > 4, "{came}");
}

/// A handle that lives long sees one key in more segments than it looks through.
#[test]
fn a_key_that_was_merged_many_times_is_found() {
    let sim = Sim::new();
    let reader = open(&sim, Durability::Process);
    for batch in 0..150 {
        let writer = open(&sim, Durability::Process);
        put(&writer, batch);
        writer.close().unwrap();
        compact(&sim);
        reader.refresh().unwrap();
        assert_eq!(present(&reader, 0), ROWS, "after {batch} compactions");
        assert_eq!(present(&reader, batch), ROWS);
    }
}

/// The segment that somebody relies on is merged into another one: that one has its rows, for good.
#[test]
fn a_flush_finds_what_it_relies_on_after_a_compaction() {
    let sim = Sim::new();
    let lax = open(&sim, Durability::Process);
    put(&lax, 0);
    lax.flush().unwrap();
    let strict = open(&sim, Durability::Batch);
    put(&strict, 0);
    lax.close().unwrap();
    compact(&sim);
    strict.flush().expect("no row is lost");
    for seed in 0..50 {
        assert_eq!(present(&open(&sim.power_cut(seed), Durability::Batch), 0), ROWS);
    }
}

/// What is gone without a successor is lost, and the flush says so until it is put again.
#[test]
fn a_flush_fails_where_what_it_relies_on_is_removed() {
    let sim = Sim::new();
    let lax = open(&sim, Durability::Process);
    put(&lax, 0);
    lax.flush().unwrap();
    let strict = open(&sim, Durability::Batch);
    put(&strict, 0);
    for (folder, name) in [".log", ".rows"].iter().flat_map(|suffix| files(&sim, suffix)) {
        sim.root().subdir(&folder, false).unwrap().remove(&name).unwrap();
    }
    assert!(strict.flush().is_err() && strict.flush().is_err());
    put(&strict, 0);
    strict.flush().unwrap();
    assert_eq!(present(&open(&sim.power_cut(1), Durability::Batch), 0), ROWS);
}

/// A log that was taken out of service has a name, but not the one that readers look for.
#[test]
fn a_commit_to_a_file_out_of_service_is_told() {
    for suffix in [".log", ".rows"] {
        let sim = Sim::new();
        let table = open(&sim, Durability::Batch);
        put(&table, 0);
        table.flush().unwrap();
        let (folder, name) = files(&sim, suffix).remove(0);
        let folder = sim.root().subdir(&folder, false).unwrap();
        folder.rename(&name, &format!("{name}.bad")).unwrap();
        put(&table, 1);
        assert!(table.flush().is_err(), "{suffix}");
        table.flush().expect("the rows moved to another segment");
        assert_eq!(present(&open(&sim.power_cut(1), Durability::Batch), 1), ROWS, "{suffix}");
    }
}

/// A reader leaves the log of a living process in its place, whatever its first bytes say.
#[test]
fn a_living_log_is_not_taken_out_of_service() {
    let sim = Sim::new();
    let writer = open(&sim, Durability::Batch);
    put(&writer, 0);
    let (folder, name) = files(&sim, ".log").remove(0);
    sim.set(&folder, &name, &[0xA5; 200]);
    let reader = open(&sim, Durability::Batch);
    assert_eq!(present(&reader, 0), 0);
    assert_eq!((reader.quarantined().len(), files(&sim, ".bad").len()), (1, 0));
    drop((writer, reader));
    let after = sim.process_death();
    assert_eq!(present(&open(&after, Durability::Batch), 0), 0);
    assert_eq!(files(&after, ".bad").len(), 2, "its process is gone");
}

/// A manifest that cannot be read is neither missing nor damaged: what it says counts.
#[test]
fn a_manifest_that_cannot_be_read_is_not_written_again() {
    let sim = Sim::new();
    let table = open(&sim, Durability::Batch);
    put(&table, 0);
    table.close().unwrap();
    let (folder, name, before) =
        sim.files().into_iter().find(|(_, name, _)| name == "table").unwrap();
    let other = Shape::new(DIM, Dtype::F16).unwrap();
    let cache = cache(&sim, Durability::Batch);
    sim.set_broken(&folder, &name, true);
    let error = cache.table(b"{}", other, b"{}").err().unwrap();
    assert!(matches!(error, Error::CacheIo { action: "read", errno: EIO, .. }), "{error:?}");
    assert!(cache.open_table(&folder).is_err());
    sim.set_broken(&folder, &name, false);
    assert!(matches!(cache.table(b"{}", other, b"{}"), Err(Error::Shape(_))));
    assert!(sim.files().contains(&(folder, name, before)));
    assert_eq!(present(&open(&sim, Durability::Batch), 0), ROWS);
}

/// What cannot be swept in one table does not keep the leftovers of the others.
#[test]
fn a_sweep_goes_on_after_a_fault() {
    let mut went_on = 0;
    for operation in 1.. {
        let sim = Sim::new();
        let cache = cache(&sim, Durability::Batch);
        for recipe in [&b"1"[..], b"2"] {
            cache.table(recipe, Shape::new(DIM, Dtype::F32).unwrap(), b"{}").unwrap();
        }
        let folders: Vec<String> = cache.tables().unwrap().into_iter().map(|t| t.name).collect();
        for folder in &folders {
            let dir = sim.root().subdir(folder, false).unwrap();
            for number in 0..3 {
                dir.create(&format!("{number:032x}.log.bad")).unwrap();
            }
        }
        sim.inject(operation, Fault::Once(EIO));
        let outcome = cache.sweep(run(), false);
        if sim.heal() == 0 {
            outcome.unwrap();
            break;
        }
        let left = |folder: &String| files(&sim, ".bad").iter().filter(|f| f.0 == *folder).count();
        let (first, second) = (left(&folders[0]), left(&folders[1]));
        assert!(first + second == 0 || outcome.is_err(), "at {operation}");
        assert!(
            first == 3 || first < 2,
            "at {operation}: {first} stay of a table that can be read"
        );
        assert!(first == 0 || second == 0 || (first, second) == (3, 3), "at {operation}: {second}");
        went_on += usize::from(first > 0 && second == 0);
    }
    assert!(went_on > 5, "{went_on}");
}

/// After a failed sync nothing is certain of the new segment: it gets no seal that says it is durable.
#[test]
fn a_copy_whose_sync_failed_is_not_sealed() {
    let mut failed = 0;
    for operation in 1.. {
        let sim = Sim::new();
        let table = open(&sim, Durability::Batch);
        put(&table, 0);
        table.close().unwrap();
        let mut cache = cache(&sim, Durability::Batch);
        cache.commit_rows = 1; // the first commits succeed
        let shape = Shape::new(DIM, Dtype::F32).unwrap();
        let table = cache.table(b"{}", shape, b"{}").unwrap();
        let names = table.segment_names().unwrap();
        sim.inject(operation, Fault::Once(EIO));
        let outcome = table.rewrite(run(), &names, false);
        if sim.heal() == 0 {
            break;
        }
        let Err(Error::CacheIo { action: "sync", path, .. }) = outcome else { continue };
        if !(path.ends_with(".rows") || path.ends_with(".log")) {
            continue; // a directory, with everything copied
        }
        for (name, rows, sealed) in table.segments().unwrap() {
            assert!(names.contains(&name) || !sealed, "at {operation}: {rows} rows");
            failed += 1;
        }
        assert_eq!(present(&open(&sim.power_cut(operation), Durability::Batch), 0), ROWS);
    }
    assert!(failed > 4, "{failed}");
}
