//! A storm on the simulated disk: writers and maintenance at random, killed or cut off at random, each
//! life going on with what the last one left. A second of it by default; `make soak` asks for more
//! (`TLENGINE_STORM_SECONDS`, `TLENGINE_STORM_SEED`) and reads the figures from the last line.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tlengine_core::cache::storage::{Fault, Sim};
use tlengine_core::cache::{Cache, Dtype, Durability, Key, Shape, Table};
use tlengine_core::{Error, Run};

const DIM: usize = 3;
const ROWS: usize = 4;
/// Lives that one disk sees.
const LIVES: usize = 40;
const EIO: i32 = 5;

static NEVER: AtomicBool = AtomicBool::new(false);

fn run() -> Run<'static> {
    Run::new(1, &NEVER)
}

/// xorshift64*: the same storm for the same seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) % limit
    }
}

fn keys(batch: u64) -> Vec<Key> {
    let key = |row: usize| *blake3::hash(format!("{batch} {row}").as_bytes()).as_bytes();
    (0..ROWS).map(key).collect()
}

fn rows(keys: &[Key]) -> Vec<f32> {
    keys.iter().flat_map(|key| (0..DIM).map(|at| f32::from(key[at]) - 3.25)).collect()
}

fn open(sim: &Sim) -> Result<(Cache, Table), Error> {
    let mut cache = Cache::on(sim.root(), Durability::Batch);
    (cache.patience, cache.commit_rows) = (Duration::ZERO, 3);
    let table = cache.table(b"{}", Shape::new(DIM, Dtype::F32)?, b"{}")?;
    Ok((cache, table))
}

/// Batches whose flush has returned, by any process.
type Acknowledged = Arc<Mutex<BTreeSet<u64>>>;

/// What a process does in its life.
#[derive(Clone, Copy, Debug)]
enum Life {
    /// Writes some batches, which others may have written before; perhaps closes.
    Writes(u64),
    Sweeps,
    Compacts,
    Repairs,
}

impl Life {
    fn any(chance: &mut Chance) -> Life {
        match chance.below(7) {
            0 => Life::Sweeps,
            1 | 2 => Life::Compacts,
            3 => Life::Repairs,
            _ => Life::Writes(chance.below(60)),
        }
    }

    fn live(self, sim: &Sim, acknowledged: &Acknowledged) -> Result<(), Error> {
        let (cache, table) = open(sim)?;
        match self {
            Life::Writes(first) => {
                for batch in first..first + 1 + first % 3 {
                    let keys = keys(batch);
                    let put = table.put(run(), &keys, &rows(&keys), 1.0);
                    if put.is_ok() && table.flush().is_ok() {
                        acknowledged.lock().unwrap().insert(batch);
                    }
                }
                if first % 5 > 0 { table.close() } else { Ok(()) }
            }
            Life::Sweeps => cache.sweep(run(), false).map(drop),
            Life::Compacts => {
                let names: Vec<_> = table.segments()?.into_iter().map(|(name, ..)| name).collect();
                let _lock = cache.lock(run())?;
                table.rewrite(run(), &names, false).map(drop)
            }
            Life::Repairs => {
                let names = table.segment_names().unwrap_or_default();
                let _lock = cache.lock(run())?;
                table.rewrite(run(), &names, true).map(drop)
            }
        }
    }
}

/// `history`: the lives so far, with the files that each left.
fn assert_kept(sim: &Sim, acknowledged: &Acknowledged, history: &[String]) {
    let history = history.join("\n");
    let (_, table) = open(sim).unwrap();
    let keys: Vec<Key> =
        acknowledged.lock().unwrap().iter().flat_map(|batch| keys(*batch)).collect();
    let (mut out, mut hit) = (vec![0.0; keys.len() * DIM], vec![false; keys.len()]);
    let got = table.get(run(), &keys, &mut out, &mut hit).unwrap();
    assert_eq!(got.hits, keys.len(), "acknowledged rows are lost:\n{history}");
    assert_eq!(out, rows(&keys), "wrong rows:\n{history}");
    assert_eq!(got.damaged, [], "an accident is no damage:\n{history}");
}

/// Kills and power cuts on one disk.
fn disk(seed: u64) -> (usize, usize) {
    let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (mut sim, acknowledged) = (Sim::new(), Acknowledged::default());
    let (mut kills, mut cuts) = (0, 0);
    let mut history = vec![format!("seed {seed}")];
    for _ in 0..LIVES {
        let (life, other) = (Life::any(&mut chance), Life::any(&mut chance));
        let (also, told) = (sim.clone(), Arc::clone(&acknowledged));
        sim.meanwhile(1 + chance.below(120), move || {
            let _ = other.live(&also, &told); // the maintenance lock may be taken
        });
        let fault = if chance.below(3) == 0 { Fault::Once(EIO) } else { Fault::Kill };
        sim.inject(1 + chance.below(150), fault);
        let _ = life.live(&sim, &acknowledged);
        let fired = sim.heal();
        kills += usize::from(fired > 0 && fault == Fault::Kill);
        let files = |sim: &Sim| -> Vec<_> {
            sim.files().into_iter().map(|(_, name, content)| (name, content.len())).collect()
        };
        history.push(format!("{life:?} beside {other:?}, {fault:?}: {:?}", files(&sim)));
        sim.elsewhere(|| assert_kept(&sim, &acknowledged, &history));
        let is_cut = chance.below(2) == 0;
        cuts += usize::from(is_cut);
        sim = if is_cut { sim.power_cut(chance.below(1 << 40)) } else { sim.process_death() };
        history.push(format!("power cut: {is_cut}, {:?}", files(&sim)));
        assert_kept(&sim, &acknowledged, &history);
    }
    (kills, cuts)
}

#[test]
#[allow(clippy::print_stdout, reason = "the figures are what `make soak` asks for")]
fn a_storm_on_the_simulated_disk() {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<f64>().ok());
    let seconds = number("TLENGINE_STORM_SECONDS").unwrap_or(1.0);
    let first = number("TLENGINE_STORM_SEED").unwrap_or(1.0) as u64;
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let (mut kills, mut cuts) = (0, 0);
    for seed in first.. {
        let (killed, cut) = disk(seed);
        (kills, cuts) = (kills + killed, cuts + cut);
        if Instant::now() >= until {
            break;
        }
    }
    assert!(kills > 5 && cuts > 5, "{kills} kills, {cuts} cuts");
    println!("{kills} simulated kills, {cuts} simulated power cuts");
}
