//! Maintenance under every fault at every operation, beside writers that commit and close. One rule:
//! **an I/O error or a crash never costs an acknowledged row.**

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tlengine_core::cache::storage::{Fault, Locks, Sim};
use tlengine_core::cache::{Cache, Dtype, Durability, Key, Shape, Table};
use tlengine_core::{Error, Run};

const DIM: usize = 3;
const ROWS: usize = 4;
const EIO: i32 = 5;
const ENOMEM: i32 = 12;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

static NEVER: AtomicBool = AtomicBool::new(false);

fn run() -> Run<'static> {
    Run::new(1, &NEVER)
}

fn keys(batch: u8) -> Vec<Key> {
    (0..ROWS as u8).map(|row| *blake3::hash(&[batch, row]).as_bytes()).collect()
}

/// A row follows from its key, so any reader can tell a wrong one.
fn rows(keys: &[Key]) -> Vec<f32> {
    keys.iter().flat_map(|key| (0..DIM).map(|at| f32::from(key[at]) - 9.5)).collect()
}

fn cache(sim: &Sim, durability: Durability) -> Cache {
    let mut cache = Cache::on(sim.root(), durability);
    cache.patience = Duration::ZERO;
    cache
}

fn table(sim: &Sim) -> Result<Table, Error> {
    cache(sim, Durability::Batch).table(b"{}", Shape::new(DIM, Dtype::F32)?, b"{}")
}

fn put(table: &Table, batch: u8) -> Result<(), Error> {
    let keys = keys(batch);
    table.put(run(), &keys, &rows(&keys), 1.0).map(|_| ())
}

/// How many rows of a batch are there; none of them is wrong.
fn present(table: &Table, batch: u8) -> usize {
    let keys = keys(batch);
    let (mut out, mut hit) = (vec![0.0; ROWS * DIM], vec![false; ROWS]);
    let got = table.get(run(), &keys, &mut out, &mut hit).expect("reading never fails");
    for ((found, expected), hit) in out.chunks(DIM).zip(rows(&keys).chunks(DIM)).zip(hit) {
        assert_eq!(found, if hit { expected } else { &[0.0; DIM] }, "a wrong row");
    }
    got.hits
}

/// Batches whose `flush` has returned.
#[derive(Clone, Debug, Default)]
struct Acknowledged(Arc<Mutex<BTreeSet<u8>>>);

impl Acknowledged {
    fn add(&self, batch: u8) {
        self.0.lock().unwrap().insert(batch);
    }

    fn assert_kept(&self, sim: &Sim, when: &str) {
        let table = table(sim).expect("opening needs no repair");
        for batch in self.0.lock().unwrap().iter() {
            assert_eq!(present(&table, *batch), ROWS, "{when}: batch {batch} was acknowledged");
        }
    }
}

/// A cache in the middle of its life.
struct Scene {
    sim: Sim,
    acknowledged: Acknowledged,
    writers: Writers,
    /// Whether a commit may fail at first, because somebody took the file away.
    may_fail: bool,
}

/// Living processes, as (open table, the batch that they have put and not flushed): one that has
/// committed before, and one that has not.
type Writers = Arc<[(Table, u8); 2]>;

impl Scene {
    /// Three ended segments, two of which hold batch 1 (one row of the first copy is damaged), one of
    /// a dead process with half a commit, leftovers of three kinds, and living writers. Everything
    /// of the dead is durable.
    fn new() -> Scene {
        let (mut sim, acknowledged) = (Sim::new(), Acknowledged::default());
        let ended = [0, 1, 2].map(|_| table(&sim).unwrap());
        for (number, batch) in [(0, 0), (0, 1), (1, 1), (1, 2), (2, 3)] {
            put(&ended[number], batch).unwrap();
            acknowledged.add(batch);
        }
        ended.iter().for_each(|table| table.close().unwrap());
        let (folder, rows, content) =
            sim.files().into_iter().find(|(_, name, _)| name.ends_with(".rows")).unwrap();
        assert!(sim.flip(&folder, &rows, content.len() as u64 * 8 - 1), "a row of batch 1");
        let dying = table(&sim).unwrap();
        put(&dying, 4).and_then(|()| dying.flush()).unwrap();
        acknowledged.add(4);
        put(&dying, 5).unwrap();
        sim.inject(2, Fault::Kill); // in the middle of its commit
        assert!(dying.flush().is_err() && sim.heal() == 1);
        sim = sim.process_death();
        drop(dying);
        let begun = table(&sim).unwrap();
        put(&begun, 6).unwrap(); // a segment without a commit
        sim = sim.process_death();
        drop(begun);
        let folder = sim.root().subdir(&folder, false).unwrap();
        folder.create("00000000000000010000000000000001.log.bad").unwrap();
        let writers = [(table(&sim).unwrap(), 9), (table(&sim).unwrap(), 10)];
        put(&writers[0].0, 8).and_then(|()| writers[0].0.flush()).unwrap();
        acknowledged.add(8);
        writers.iter().for_each(|(writer, batch)| put(writer, *batch).unwrap());
        folder.create("tmp-0123").unwrap(); // of a process that died just now
        Scene { sim, acknowledged, writers: Arc::new(writers), may_fail: false }
    }

    /// Another process does something at an operation of this one.
    fn meanwhile(&self, operation: u64, neighbour: Neighbour) -> Arc<AtomicBool> {
        let (sim, acknowledged) = (self.sim.clone(), self.acknowledged.clone());
        let (writers, came) = (Arc::clone(&self.writers), Arc::new(AtomicBool::new(false)));
        let (note, may_fail) = (Arc::clone(&came), self.may_fail);
        self.sim.meanwhile(operation, move || {
            note.store(true, std::sync::atomic::Ordering::Relaxed);
            neighbour.act(&sim, &acknowledged, &writers, may_fail);
        });
        came
    }

    /// Now, after the death of every process, and after a power cut; and again when maintenance
    /// has run undisturbed.
    fn assert_kept(&self, what: &str) {
        self.sim.elsewhere(|| self.acknowledged.assert_kept(&self.sim, what));
        let futures = [self.sim.process_death(), self.sim.power_cut(3), self.sim.power_cut(71)];
        for (number, sim) in futures.iter().enumerate() {
            self.acknowledged.assert_kept(sim, &format!("{what}, future {number}"));
            for job in Job::ALL {
                job.work(sim).unwrap_or_else(|error| panic!("{what}, then {job:?}: {error}"));
            }
            self.acknowledged.assert_kept(sim, &format!("{what}, future {number}, maintained"));
            self.acknowledged.assert_kept(&sim.power_cut(5), &format!("{what}, {number}, power"));
        }
    }
}

/// What other processes do meanwhile.
#[derive(Clone, Copy, Debug)]
enum Neighbour {
    /// The writers commit and close.
    Closes,
    /// The writers commit and go on.
    Commits,
    /// A process comes, writes and goes.
    Passes,
    /// A process puts what is there already, and relies on it.
    Relies,
    /// A process opens the cache and reads all of it.
    Reads,
}

impl Neighbour {
    const ALL: [Neighbour; 5] = [
        Neighbour::Closes,
        Neighbour::Commits,
        Neighbour::Passes,
        Neighbour::Relies,
        Neighbour::Reads,
    ];

    fn act(self, sim: &Sim, acknowledged: &Acknowledged, writers: &Writers, may_fail: bool) {
        match self {
            Neighbour::Closes | Neighbour::Commits => {
                for (writer, batch) in writers.iter() {
                    let first = writer.flush();
                    let last = if may_fail { first.or_else(|_| writer.flush()) } else { first };
                    last.expect("the writer has a sound disk");
                    acknowledged.add(*batch);
                    if matches!(self, Neighbour::Closes) {
                        writer.close().unwrap();
                    }
                }
            }
            Neighbour::Passes => {
                let table = table(sim).unwrap();
                put(&table, 20).and_then(|()| table.flush()).expect("a sound disk");
                acknowledged.add(20);
                table.close().unwrap();
            }
            Neighbour::Relies => {
                let table = table(sim).unwrap();
                for batch in [0, 2, 4] {
                    put(&table, batch).unwrap();
                }
                table.flush().expect("a sound disk");
            }
            Neighbour::Reads => acknowledged.assert_kept(sim, "a reader beside maintenance"),
        }
    }
}

/// What maintenance does.
#[derive(Clone, Copy, Debug)]
enum Job {
    /// Leftovers go.
    Gc,
    /// Segments become one.
    Compact,
    /// Damaged segments are replaced.
    Repair,
    /// A process opens the table, and sweeps unfinished manifests.
    Open,
}

impl Job {
    const ALL: [Job; 4] = [Job::Gc, Job::Compact, Job::Repair, Job::Open];

    fn work(self, sim: &Sim) -> Result<(), Error> {
        let cache = cache(sim, Durability::Batch);
        let table = table(sim)?;
        match self {
            Job::Gc => drop(cache.sweep(run(), false)?),
            Job::Open => {}
            Job::Compact => {
                let names: Vec<_> = table.segments()?.into_iter().map(|(name, ..)| name).collect();
                let _lock = cache.lock(run())?;
                table.rewrite(run(), &names, false)?;
            }
            Job::Repair => {
                let mut broken = vec![];
                for name in table.segment_names().unwrap() {
                    // A fault of reading must not make a segment look worse than it is for good.
                    if !table.verify(run(), &name)?.is_sound() {
                        broken.push(name);
                    }
                }
                let _lock = cache.lock(run())?;
                table.rewrite(run(), &broken, true)?;
            }
        }
        Ok(())
    }
}

const FAULTS: [Fault; 7] = [
    Fault::Kill,
    Fault::Once(EIO),
    Fault::Once(EMFILE),
    Fault::Once(ENOMEM),
    Fault::Broken(EIO),
    Fault::Forever(ENOSPC),
    Fault::Panic,
];

/// Panics that are injected say so, and nothing more.
fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let text = panic.payload().downcast_ref::<String>();
            if !text.is_some_and(|text| text.ends_with("was told to")) {
                loud(panic);
            }
        }));
    });
}

#[test]
fn every_fault_at_every_operation() {
    quiet();
    for job in Job::ALL {
        let mut fired = [0; FAULTS.len()];
        for (which, fault) in FAULTS.into_iter().enumerate() {
            for operation in 1.. {
                let scene = Scene::new();
                scene.sim.inject(operation, fault);
                let _ = catch_unwind(AssertUnwindSafe(|| job.work(&scene.sim)));
                let count = scene.sim.heal();
                scene.assert_kept(&format!("{job:?}, {fault:?} at {operation}"));
                if count == 0 {
                    break;
                }
                fired[which] += 1;
            }
        }
        assert!(fired.iter().all(|times| *times > 3), "{job:?}: {fired:?}");
    }
}

#[test]
fn a_neighbour_at_every_operation() {
    for job in Job::ALL {
        for neighbour in Neighbour::ALL {
            let mut came = 0;
            for operation in 1.. {
                let scene = Scene::new();
                let visit = scene.meanwhile(operation, neighbour);
                job.work(&scene.sim).unwrap_or_else(|error| {
                    panic!("{job:?} beside {neighbour:?} at {operation}: {error}")
                });
                scene.sim.heal();
                scene.assert_kept(&format!("{job:?} beside {neighbour:?} at {operation}"));
                if !visit.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                came += 1;
            }
            assert!(came > 5, "{job:?} beside {neighbour:?}: {came}");
        }
    }
}

#[test]
fn a_fault_and_a_neighbour() {
    quiet();
    let (mut both, mut other) = (0, 0);
    for job in Job::ALL {
        for (which, neighbour) in Neighbour::ALL.into_iter().enumerate() {
            for operation in 1.. {
                // Faults in turn, and the neighbour somewhere before each of them.
                let fault = FAULTS[(operation as usize + which) % FAULTS.len()];
                let mut fired = 0;
                for visit in [operation, operation / 2 + 1, 1 + operation % 11] {
                    let scene = Scene::new();
                    let came = scene.meanwhile(visit, neighbour);
                    scene.sim.inject(operation, fault);
                    let _ = catch_unwind(AssertUnwindSafe(|| job.work(&scene.sim)));
                    fired += scene.sim.heal();
                    scene.assert_kept(&format!(
                        "{job:?}, {fault:?} at {operation}, {neighbour:?} at {visit}"
                    ));
                    let came = came.load(std::sync::atomic::Ordering::Relaxed);
                    both += usize::from(fired > 0 && came);
                    other += usize::from(fired > 0 || came);
                }
                if fired == 0 {
                    break;
                }
            }
        }
    }
    assert!(both > 500 && both * 3 > other, "{both} with both, {other} with one of the two");
}

/// What one process does to write: a fault of its own disk may stop it, and what it was told is true.
fn write(sim: &Sim, acknowledged: &Acknowledged) {
    let Ok(table) = table(sim) else { return };
    for batch in [30, 31] {
        if put(&table, batch).is_ok() && table.flush().is_ok() {
            acknowledged.add(batch);
        }
    }
    let _ = table.close();
}

#[test]
fn writers_under_faults_beside_maintenance() {
    quiet();
    let (mut came, mut fired) = (0, 0);
    for job in Job::ALL {
        for operation in 1.. {
            let mut any = false;
            for (number, fault) in FAULTS.into_iter().enumerate() {
                let scene = Scene::new();
                let (sim, note) = (scene.sim.clone(), Arc::new(AtomicBool::new(false)));
                let told = Arc::clone(&note);
                scene.sim.meanwhile(operation, move || {
                    told.store(true, std::sync::atomic::Ordering::Relaxed);
                    job.work(&sim).expect("maintenance has a sound disk");
                });
                scene.sim.inject(operation + number as u64, fault);
                let _ = catch_unwind(AssertUnwindSafe(|| write(&scene.sim, &scene.acknowledged)));
                fired += scene.sim.heal();
                scene.assert_kept(&format!("{job:?} at {operation}, {fault:?} {number} later"));
                any |= note.load(std::sync::atomic::Ordering::Relaxed);
            }
            came += usize::from(any);
            if !any {
                break;
            }
        }
    }
    assert!(came > 100 && fired > 500, "{came} visits, {fired} faults");
}

#[test]
fn readers_beside_maintenance() {
    let mut came = 0;
    for job in Job::ALL {
        for operation in 1.. {
            let scene = Scene::new();
            let (sim, note) = (scene.sim.clone(), Arc::new(AtomicBool::new(false)));
            let told = Arc::clone(&note);
            scene.sim.meanwhile(operation, move || {
                told.store(true, std::sync::atomic::Ordering::Relaxed);
                job.work(&sim).unwrap();
            });
            // Opening, reading, listing the keys and looking at sizes never fail for it.
            scene.acknowledged.assert_kept(&scene.sim, &format!("{job:?} at {operation}"));
            let table = table(&scene.sim).unwrap();
            assert_eq!(table.live().unwrap().len(), 6 * ROWS, "{job:?} at {operation}");
            table.summary().unwrap();
            scene.sim.heal();
            if !note.load(std::sync::atomic::Ordering::Relaxed) {
                break;
            }
            came += 1;
        }
    }
    assert!(came > 100, "{came} visits");
}

/// Where locks cannot be had, maintenance says so and touches nothing; rows stay safe.
#[test]
fn maintenance_is_refused_where_locks_are() {
    let scene = Scene::new();
    scene.sim.set_locks(Locks::Refused);
    let before = scene.sim.files();
    for job in [Job::Gc, Job::Compact, Job::Repair] {
        let error = job.work(&scene.sim).unwrap_err();
        assert!(matches!(error, Error::CacheIo { action: "lock", errno: 37, .. }), "{error:?}");
        assert_eq!(scene.sim.files(), before);
    }
    let table = table(&scene.sim).unwrap();
    put(&table, 40).and_then(|()| table.flush()).unwrap();
    scene.acknowledged.add(40);
    scene.acknowledged.assert_kept(&scene.sim, "without locks");
    // The lock of the cache can be had, that of one segment cannot: the same.
    scene.sim.set_locks(Locks::Honest);
    let cache = cache(&scene.sim, Durability::Batch);
    let lock = cache.lock(run()).unwrap();
    scene.sim.set_locks(Locks::Refused);
    let names = table.segment_names().unwrap();
    assert!(matches!(
        table.rewrite(run(), &names, false),
        Err(Error::CacheIo { action: "lock", .. })
    ));
    drop(lock);
    scene.acknowledged.assert_kept(&scene.sim, "without locks of segments");
}

/// Two hosts on one file system that grants every lock: whoever commits between the copy and the
/// removal of his log is noticed, and whoever commits later is told.
#[test]
fn locks_that_are_worth_nothing() {
    for job in [Job::Gc, Job::Compact, Job::Repair] {
        let mut put_back = 0;
        for neighbour in [Neighbour::Commits, Neighbour::Closes, Neighbour::Passes] {
            for operation in 1.. {
                let scene = Scene { may_fail: true, ..Scene::new() };
                scene.sim.set_locks(Locks::Granted);
                let visit = scene.meanwhile(operation, neighbour);
                job.work(&scene.sim).unwrap();
                scene.sim.heal();
                let what = format!("{job:?} beside {neighbour:?} at {operation}");
                let renames = scene.sim.renames().into_iter();
                put_back += renames.filter(|(from, to)| *from == format!("{to}.bad")).count();
                scene.sim.elsewhere(|| scene.acknowledged.assert_kept(&scene.sim, &what));
                let after = scene.sim.power_cut(operation);
                scene.acknowledged.assert_kept(&after, &what);
                if !visit.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
            }
        }
        // Repair leaves sound segments alone, and no living one is unsound.
        assert!(put_back > 1 || matches!(job, Job::Repair), "{job:?}: {put_back} logs put back");
    }
}

/// On NFS a file that is open for reading alone cannot be locked for one alone.
#[test]
fn maintenance_on_a_remote_file_system() {
    for job in Job::ALL {
        let scene = Scene::new();
        scene.sim.set_locks(Locks::Remote);
        job.work(&scene.sim).unwrap_or_else(|error| panic!("{job:?}: {error}"));
        scene.assert_kept(&format!("{job:?} on NFS"));
    }
}

/// A handle that syncs nothing must not turn rows that are durable into rows that are not.
#[test]
fn compaction_is_durable_whatever_the_handle_is() {
    let scene = Scene::new();
    let lax = cache(&scene.sim, Durability::Process);
    let table = lax.table(b"{}", Shape::new(DIM, Dtype::F32).unwrap(), b"{}").unwrap();
    let names: Vec<_> = table.segments().unwrap().into_iter().map(|(name, ..)| name).collect();
    assert!(table.rewrite(run(), &names, false).unwrap().segments.len() >= 3);
    for seed in 0..50 {
        scene.acknowledged.assert_kept(&scene.sim.power_cut(seed), "after a compaction unsynced");
    }
}

/// A row that cannot be read is asked for again, and maintenance in the same process has it.
#[test]
fn a_read_that_fails_costs_no_row() {
    for errno in [EIO, EMFILE, ENOMEM] {
        let mut failed = 0;
        for operation in 1.. {
            let scene = Scene::new();
            let table = table(&scene.sim).unwrap();
            table.refresh().unwrap();
            scene.sim.inject(operation, Fault::Once(errno));
            for batch in [0, 1, 4] {
                let keys = keys(batch);
                let (mut out, mut hit) = (vec![0.0; ROWS * DIM], vec![false; ROWS]);
                let outcome = table.get(run(), &keys, &mut out, &mut hit);
                failed += usize::from(!outcome.is_ok_and(|got| got.hits == ROWS));
            }
            let fired = scene.sim.heal();
            for batch in [0, 1, 4] {
                assert_eq!(present(&table, batch), ROWS, "{errno} at {operation}: asked again");
            }
            let names: Vec<_> = table.segments().unwrap().into_iter().map(|s| s.0).collect();
            table.rewrite(run(), &names, false).unwrap();
            scene.assert_kept(&format!("{errno} at {operation}, then compacted"));
            if fired == 0 {
                break;
            }
        }
        assert!(failed > 0, "no read failed of {errno}");
    }
}

/// A disk that cannot read a segment any more: maintenance lets it be, and says so. What is put again
/// is stored again; then the first copy is not needed.
#[test]
fn a_bad_sector() {
    let scene = Scene::new();
    let table = table(&scene.sim).unwrap();
    let names = || table.segments().unwrap().into_iter().map(|s| s.0).collect::<Vec<_>>();
    let last = names()[2].clone(); // batch 3
    let (folder, ..) = scene.sim.files().swap_remove(0);
    let spoil = |broken| scene.sim.set_broken(&folder, &format!("{last}.rows"), broken);
    spoil(true);
    for keep in [true, false] {
        let error = table.rewrite(run(), &names(), keep).unwrap_err();
        assert!(matches!(error, Error::CacheIo { errno: EIO, .. }), "{error:?}");
    }
    spoil(false);
    scene.acknowledged.assert_kept(&scene.sim, "maintenance of what cannot be read");
    spoil(true);
    assert_eq!(present(&table, 3), 0);
    let keys = keys(3);
    let put = table.put(run(), &keys, &rows(&keys), 0.0).unwrap();
    assert_eq!((put.new, put.conflicts.len()), (ROWS, 0));
    table.flush().unwrap();
    assert_eq!(present(&table, 3), ROWS);
    let done = table.rewrite(run(), &names(), false).unwrap();
    assert!(done.segments.contains(&last) && done.lost == 0, "{done:?}");
    scene.acknowledged.assert_kept(&scene.sim, "a repaired bad sector");
}

/// Commits of few rows: each is durable before the next one begins, so whoever relies on one that
/// he sees relies on nothing that a power cut takes.
#[test]
fn a_flush_of_several_commits() {
    let shape = Shape::new(DIM, Dtype::F32).unwrap();
    let mut relied = 0;
    for operation in 1.. {
        let (sim, acknowledged) = (Sim::new(), Acknowledged::default());
        let small = |sim: &Sim| {
            let mut cache = cache(sim, Durability::Batch);
            cache.commit_rows = 1;
            cache.table(b"{}", shape, b"{}").unwrap()
        };
        let writer = small(&sim);
        put(&writer, 0).and_then(|()| writer.flush()).unwrap();
        acknowledged.add(0);
        put(&writer, 1).unwrap();
        let (also, told) = (sim.clone(), acknowledged.clone());
        sim.meanwhile(operation, move || {
            // Another process is given the same rows.
            let other = table(&also).unwrap();
            put(&other, 1).and_then(|()| other.flush()).unwrap();
            told.add(1);
        });
        sim.inject(operation + 1, Fault::Kill);
        let _ = writer.flush();
        let fired = sim.heal();
        relied += acknowledged.0.lock().unwrap().len() - 1;
        for seed in 0..200 {
            let after = sim.power_cut(seed);
            acknowledged.assert_kept(&after, &format!("flush cut at {operation}, seed {seed}"));
            let table = table(&after).unwrap();
            for name in table.segment_names().unwrap() {
                let report = table.verify(run(), &name).unwrap();
                assert!(
                    report.rows == 0 || report.is_sound(),
                    "a power cut is no damage: {report:?}"
                );
            }
        }
        if fired == 0 {
            break;
        }
    }
    assert!(relied > 8, "{relied}");
}

/// Threads that share a handle: one ends segments while the other puts.
#[test]
fn a_close_in_the_middle_of_a_put() {
    let folder = tempfile::tempdir().unwrap();
    let shape = Shape::new(DIM, Dtype::F32).unwrap();
    let open = || {
        let cache = Cache::open(folder.path(), false, Durability::Process).unwrap();
        cache.table(b"{}", shape, b"{}").unwrap()
    };
    let (table, done, closes) = (open(), AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let closer = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                table.close().unwrap();
                closes.fetch_add(1, Ordering::Relaxed);
            }
        });
        for batch in 0..=255 {
            put(&table, batch).and_then(|()| table.flush()).unwrap();
            // On a busy machine one thread may have the lock all the time.
            while closes.load(Ordering::Relaxed) < usize::from(batch) / 32 && !closer.is_finished()
            {
                std::thread::yield_now();
            }
        }
        done.store(true, Ordering::Relaxed);
    });
    let closes = closes.into_inner();
    let again = open();
    for batch in 0..=255 {
        assert_eq!(present(&again, batch), ROWS, "batch {batch}, {closes} closes");
    }
}

/// A table is opened by looking at it alone, however many there are.
#[test]
fn opening_a_table_by_name_reads_one_manifest() {
    let cost = |tables: usize| {
        let sim = Sim::new();
        let cache = cache(&sim, Durability::Process);
        let shape = Shape::new(DIM, Dtype::F32).unwrap();
        for number in 0..tables {
            cache.table(number.to_string().as_bytes(), shape, b"{}").unwrap();
        }
        let name = cache.tables().unwrap()[0].name.clone();
        let before = sim.operations();
        assert!(cache.open_table(&name).unwrap().is_some());
        assert!(cache.open_table("../x").unwrap().is_none());
        sim.operations() - before
    };
    assert_eq!(cost(1), cost(50));
}
