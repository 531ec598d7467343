//! What the simulated disk remembers of a file and of a directory.

use std::collections::{BTreeMap, BTreeSet};

use super::Chance;

/// Sectors are written whole or not at all.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Cut(usize),
}

/// A file: what processes see, what is durable, and the changes in between.
#[derive(Clone, Debug, Default)]
pub struct Inode {
    /// What a read returns.
    pub current: Vec<u8>,
    /// Who holds the lock.
    pub holder: Option<u64>,
    /// Who shares it.
    pub sharers: BTreeSet<u64>,
    /// Whether the disk refuses to read it.
    pub broken: bool,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

fn put(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if content.len() < offset + bytes.len() {
        content.resize(offset + bytes.len(), 0);
    }
    content[offset..offset + bytes.len()].copy_from_slice(bytes);
}

impl Inode {
    /// Whoever holds or shares the lock as `holder` no longer does.
    pub fn unlock(&mut self, holder: u64) {
        self.holder.take_if(|known| *known == holder);
        self.sharers.remove(&holder);
    }

    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        put(&mut self.current, offset, bytes);
        self.unsynced.push(Change::Write(offset, bytes.to_vec()));
    }

    pub fn cut(&mut self, length: usize) {
        self.current.resize(length, 0);
        self.unsynced.push(Change::Cut(length));
    }

    pub fn sync(&mut self) {
        for change in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Write(offset, bytes) => put(&mut self.durable, offset, &bytes),
                Change::Cut(length) => self.durable.resize(length, 0),
            }
        }
    }

    /// A sync that failed: the pages count as clean, and their content will never be written.
    pub fn fail_sync(&mut self) {
        self.unsynced.clear();
    }

    pub fn after_death(&self) -> Inode {
        Inode { holder: None, sharers: BTreeSet::new(), ..self.clone() }
    }

    pub fn after_power_cut(&self, chance: &mut Chance) -> Inode {
        let mut content = self.durable.clone();
        let mut changes: Vec<&Change> = self.unsynced.iter().collect();
        while !changes.is_empty() {
            let change = changes.swap_remove(chance.below(changes.len() as u64) as usize);
            match (change, chance.below(3)) {
                (_, 0) => {}
                (Change::Cut(length), _) => content.resize(*length, 0),
                (Change::Write(offset, bytes), 1) => put(&mut content, *offset, bytes),
                (Change::Write(offset, bytes), _) => tear(&mut content, *offset, bytes, chance),
            }
        }
        if chance.below(4) == 0 && content.len() < self.current.len() {
            content.resize(self.current.len(), 0); // the length was written, the data was not
        }
        Inode { current: content.clone(), durable: content, ..Inode::default() }
    }
}

/// Applies some sectors of a write.
fn tear(content: &mut Vec<u8>, offset: usize, bytes: &[u8], chance: &mut Chance) {
    let mut start = 0;
    while start < bytes.len() {
        let sector_end = ((offset + start) / SECTOR + 1) * SECTOR - offset;
        let end = sector_end.min(bytes.len());
        if chance.below(2) == 0 {
            put(content, offset + start, &bytes[start..end]);
        }
        start = end;
    }
}

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// A file, by number.
    File(usize),
    /// A directory, by number.
    Folder(usize),
}

#[derive(Clone, Debug)]
enum Renaming {
    Add(String, Target),
    Remove(String),
}

/// A directory: its names, those that are durable, and the changes in between.
#[derive(Clone, Debug, Default)]
pub struct Folder {
    /// What a listing returns.
    pub names: BTreeMap<String, Target>,
    durable: BTreeMap<String, Target>,
    unsynced: Vec<Vec<Renaming>>,
}

fn apply(names: &mut BTreeMap<String, Target>, step: &[Renaming]) {
    for change in step {
        match change {
            Renaming::Add(name, target) => drop(names.insert(name.clone(), *target)),
            Renaming::Remove(name) => drop(names.remove(name)),
        }
    }
}

impl Folder {
    pub fn add(&mut self, name: &str, target: Target) {
        self.change(vec![Renaming::Add(name.to_owned(), target)]);
    }

    pub fn remove(&mut self, name: &str) {
        self.change(vec![Renaming::Remove(name.to_owned())]);
    }

    /// A rename is one step: it happens or not.
    pub fn rename(&mut self, from: &str, to: &str, target: Target) {
        self.change(vec![Renaming::Remove(from.to_owned()), Renaming::Add(to.to_owned(), target)]);
    }

    fn change(&mut self, step: Vec<Renaming>) {
        apply(&mut self.names, &step);
        self.unsynced.push(step);
    }

    pub fn sync(&mut self) {
        for step in std::mem::take(&mut self.unsynced) {
            apply(&mut self.durable, &step);
        }
    }

    pub fn after_power_cut(&self, chance: &mut Chance) -> Folder {
        let mut names = self.durable.clone();
        for step in &self.unsynced {
            if chance.below(2) == 0 {
                apply(&mut names, step);
            }
        }
        Folder { names: names.clone(), durable: names, unsynced: vec![] }
    }

    pub fn files(&self) -> Vec<(String, usize)> {
        let file = |(name, target): (&String, &Target)| match target {
            Target::File(inode) => Some((name.clone(), *inode)),
            Target::Folder(_) => None,
        };
        self.names.iter().filter_map(file).collect()
    }

    pub fn folders(&self) -> Vec<(String, usize)> {
        let folder = |(name, target): (&String, &Target)| match target {
            Target::Folder(index) => Some((name.clone(), *index)),
            Target::File(_) => None,
        };
        self.names.iter().filter_map(folder).collect()
    }
}
