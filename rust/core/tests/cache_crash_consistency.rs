//! Whatever a process was doing when it or the machine died: rows that were acknowledged are
//! there, a commit is there as a whole or not at all, and the next process just goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;

use tlengine_core::cache::storage::{Fault, Sim};
use tlengine_core::cache::{Cache, Dtype, Durability, Key, Shape, Table};
use tlengine_core::{Error, Run};

const DIM: usize = 40;
const BATCHES: usize = 3;
const ROWS: usize = 5;
const ENOSPC: i32 = 28;
const EIO: i32 = 5;

static NEVER: AtomicBool = AtomicBool::new(false);

fn run() -> Run<'static> {
    Run::new(1, &NEVER)
}

fn keys(batch: usize) -> Vec<Key> {
    let key = |row: usize| *blake3::hash(format!("{batch} {row}").as_bytes()).as_bytes();
    (0..ROWS).map(key).collect()
}

/// A row follows from its key, so any reader can tell a wrong one.
fn rows(keys: &[Key]) -> Vec<f32> {
    keys.iter().flat_map(|key| (0..DIM).map(|at| f32::from(key[at % 32]) + at as f32)).collect()
}

fn open(sim: &Sim) -> Result<Table, Error> {
    let cache = Cache::on(sim.root(), Durability::Batch);
    cache.table(b"{}", Shape::new(DIM, Dtype::F32)?, b"{}")
}

/// What one process does; the batches that were acknowledged.
fn work(sim: &Sim) -> Vec<usize> {
    let mut acknowledged = vec![];
    let Ok(table) = open(sim) else { return acknowledged };
    for batch in 0..BATCHES {
        let keys = keys(batch);
        if table.put(run(), &keys, &rows(&keys), 1.0).is_ok() && table.flush().is_ok() {
            acknowledged.push(batch);
        }
    }
    let _ = table.close();
    acknowledged
}

fn present(table: &Table, batch: usize) -> usize {
    let keys = keys(batch);
    let mut out = vec![0.0; ROWS * DIM];
    let mut hit = vec![false; ROWS];
    let got = table.get(run(), &keys, &mut out, &mut hit).expect("reading never fails");
    assert_eq!(got.damaged, [], "an accident is not damage");
    for (row, expected) in rows(&keys).chunks(DIM).enumerate() {
        if hit[row] {
            assert_eq!(&out[row * DIM..(row + 1) * DIM], expected, "a wrong row");
        }
    }
    got.hits
}

/// The next process: reads, goes on, and what it adds is as safe as ever.
fn recover(sim: &Sim, acknowledged: &[usize]) {
    let table = open(sim).expect("opening needs no repair");
    for batch in 0..BATCHES {
        let hits = present(&table, batch);
        assert!(hits == 0 || hits == ROWS, "batch {batch} is torn: {hits} of {ROWS} rows");
        assert!(hits == ROWS || !acknowledged.contains(&batch), "batch {batch} was lost");
    }
    let leftovers = |sim: &Sim| sim.files().iter().filter(|f| f.1.starts_with("tmp-")).count();
    assert_eq!(leftovers(sim), 0, "a new process sweeps temporary files");
    drop(table);
    assert_eq!(work(sim), (0..BATCHES).collect::<Vec<_>>());
    let again = open(&sim.power_cut(1)).unwrap();
    (0..BATCHES).for_each(|batch| assert_eq!(present(&again, batch), ROWS));
}

/// Runs `case(operation)` for every operation until the fault no longer fires.
fn sweep(mut case: impl FnMut(u64) -> u64) -> u64 {
    let mut total = 0;
    for operation in 1.. {
        let fired = case(operation);
        total += fired;
        if fired == 0 {
            return total;
        }
    }
    total
}

#[test]
fn killed_at_every_operation() {
    let kills = sweep(|operation| {
        let sim = Sim::new();
        sim.inject(operation, Fault::Kill);
        let acknowledged = work(&sim);
        recover(&sim.process_death(), &acknowledged);
        sim.heal()
    });
    assert!(kills > 40, "only {kills} kills");
}

#[test]
fn power_lost_at_every_operation() {
    let seeds = 2300; // more than 100,000 accidents in all
    let mut cases = 0;
    sweep(|operation| {
        let sim = Sim::new();
        sim.inject(operation, Fault::Kill);
        let acknowledged = work(&sim);
        for seed in 0..seeds {
            recover(&sim.power_cut(seed), &acknowledged);
            cases += 1;
        }
        sim.heal()
    });
    assert!(cases > 40 * seeds, "only {cases} power cuts");
}

#[test]
fn killed_during_the_recovery_from_a_kill() {
    let mut kills = 0;
    sweep(|first| {
        let sim = Sim::new();
        sim.inject(first, Fault::Kill);
        let acknowledged = work(&sim);
        let fired = sim.heal();
        for second in (1..).step_by(3) {
            let sim = sim.power_cut(second);
            sim.inject(second, Fault::Kill);
            let more = work(&sim);
            if sim.heal() == 0 {
                break;
            }
            kills += 1;
            let all: Vec<_> = acknowledged.iter().chain(&more).copied().collect();
            recover(&sim.process_death(), &all);
        }
        fired
    });
    assert!(kills > 500, "only {kills} second kills");
}

#[test]
fn a_full_disk_keeps_what_was_committed_and_works_again_when_there_is_space() {
    for fault in [Fault::Once(ENOSPC), Fault::Forever(ENOSPC)] {
        let fired = sweep(|operation| {
            let sim = Sim::new();
            sim.inject(operation, fault);
            let acknowledged = work(&sim);
            let fired = sim.heal();
            recover(&sim.process_death(), &acknowledged);
            fired
        });
        assert!(fired > 40);
    }
}

#[test]
fn the_same_handle_goes_on_after_the_disk_was_full() {
    let mut failures = 0;
    sweep(|operation| {
        let sim = Sim::new();
        let Ok(table) = open(&sim) else { panic!("nothing is injected yet") };
        sim.inject(operation, Fault::Once(ENOSPC));
        for batch in 0..BATCHES {
            let keys = keys(batch);
            let put = table.put(run(), &keys, &rows(&keys), 0.0);
            let outcome = put.and_then(|_| table.flush());
            failures += usize::from(outcome.is_err());
            if let Err(error) = &outcome {
                assert!(matches!(error, Error::CacheFull { .. }), "{error:?}");
            }
        }
        let fired = sim.heal();
        for batch in 0..BATCHES {
            let keys = keys(batch);
            table.put(run(), &keys, &rows(&keys), 0.0).unwrap();
        }
        table.flush().unwrap();
        let again = open(&sim.power_cut(operation)).unwrap();
        (0..BATCHES).for_each(|batch| assert_eq!(present(&again, batch), ROWS));
        fired
    });
    assert!(failures > 20, "only {failures} failures");
}

#[test]
fn a_failed_sync_is_never_taken_back() {
    let mut failures = 0;
    sweep(|operation| {
        let sim = Sim::new();
        sim.inject(operation, Fault::Once(EIO));
        let Ok(table) = open(&sim) else { return sim.heal() };
        let keys = keys(0);
        let put = |table: &Table| table.put(run(), &keys, &rows(&keys), 0.0);
        let mut acknowledged = put(&table).and_then(|_| table.flush()).is_ok();
        failures += usize::from(!acknowledged);
        let fired = sim.heal();
        acknowledged |= put(&table).and_then(|_| table.flush()).is_ok();
        assert!(acknowledged, "the second attempt finds a sound disk");
        for seed in 0..20 {
            assert_eq!(present(&open(&sim.power_cut(seed)).unwrap(), 0), ROWS);
        }
        fired
    });
    assert!(failures > 5, "only {failures} failures");
}

#[test]
fn short_and_interrupted_writes_do_not_show() {
    let sim = Sim::new();
    sim.inject(1, Fault::Short);
    assert_eq!(work(&sim), (0..BATCHES).collect::<Vec<_>>());
    assert!(sim.heal() > 100);
    recover(&sim.power_cut(3), &[0, 1, 2]);
}

#[test]
fn killed_while_segments_are_rewritten() {
    let kills = sweep(|operation| {
        let sim = Sim::new();
        for _ in 0..2 {
            let table = open(&sim).unwrap();
            for batch in 0..BATCHES {
                let keys = keys(batch);
                let half =
                    if table.segment_names().unwrap().is_empty() { &keys[..2] } else { &keys[..] };
                table.put(run(), half, &rows(half), 0.0).unwrap();
            }
            table.close().unwrap();
        }
        let table = open(&sim).unwrap();
        let names = table.segment_names().unwrap();
        assert_eq!(names.len(), 2);
        sim.inject(operation, Fault::Kill);
        let _ = table.rewrite(run(), &names, false);
        let fired = sim.heal();
        drop(table);
        for after in [sim.process_death(), sim.power_cut(operation), sim.power_cut(operation + 99)]
        {
            let table = open(&after).unwrap();
            (0..BATCHES).for_each(|batch| assert_eq!(present(&table, batch), ROWS));
        }
        fired
    });
    assert!(kills > 20, "only {kills} kills");
}

#[test]
fn a_panic_at_any_operation_costs_a_call_and_nothing_else() {
    let mut panics = 0;
    for operation in 1.. {
        let sim = Sim::new();
        let table = open(&sim).unwrap();
        sim.inject(operation, Fault::Panic);
        let store = |batch: usize| {
            let keys = keys(batch);
            table.put(run(), &keys, &rows(&keys), 1.0).and_then(|_| table.flush())
        };
        for batch in 0..BATCHES {
            let _ = catch_unwind(AssertUnwindSafe(|| store(batch)));
        }
        if sim.heal() == 0 {
            break;
        }
        panics += 1;
        for batch in 0..BATCHES {
            store(batch).expect("no lock is poisoned, and the handle goes on");
            assert_eq!(present(&table, batch), ROWS);
        }
        recover(&sim.process_death(), &(0..BATCHES).collect::<Vec<_>>());
    }
    assert!(panics > 20, "{panics} panics");
}
