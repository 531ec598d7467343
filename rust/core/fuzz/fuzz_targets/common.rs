//! A cache with one sealed segment, one file of which is replaced by what the fuzzer thinks of.

use std::sync::{LazyLock, atomic::AtomicBool};

use tlengine_core::Run;
use tlengine_core::cache::storage::Sim;
use tlengine_core::cache::{Cache, Dtype, Durability, Key, Shape, Table};

static NEVER: AtomicBool = AtomicBool::new(false);

fn open(sim: &Sim) -> Table {
    let shape = Shape::new(5, Dtype::F32).expect("a small shape");
    let cache = Cache::on(sim.root(), Durability::Process);
    cache.table(b"{}", shape, b"{}").expect("opening never fails")
}

fn keys() -> Vec<Key> {
    (0..7u8).map(|row| [row; 32]).collect()
}

fn rows() -> Vec<f32> {
    (0..7 * 5).map(|at| at as f32).collect()
}

static PRISTINE: LazyLock<Sim> = LazyLock::new(|| {
    let sim = Sim::new();
    let table = open(&sim);
    table.put(Run::new(1, &NEVER), &keys(), &rows(), 0.0).expect("room in memory");
    table.close().expect("room in memory");
    sim
});

/// Whatever the file ending with `suffix` holds: no panic, and no wrong row.
pub fn read(suffix: &str, content: &[u8]) {
    let sim = PRISTINE.process_death();
    let found = sim.files().into_iter().find(|(_, name, _)| name.ends_with(suffix));
    let (folder, name, _) = found.expect("the file is there");
    sim.set(&folder, &name, content);
    let table = open(&sim);
    let run = Run::new(1, &NEVER);
    let (mut out, mut hit) = (vec![0.0; 7 * 5], vec![false; 7]);
    if table.get(run, &keys(), &mut out, &mut hit).is_ok() {
        for ((found, expected), hit) in out.chunks(5).zip(rows().chunks(5)).zip(hit) {
            assert_eq!(found, if hit { expected } else { &[0.0; 5] });
        }
        for name in table.segment_names().unwrap() {
            let _ = table.verify(run, &name);
            let _ = table.view(run, Some(&name), true);
        }
    }
}
