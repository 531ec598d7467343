//! Making rows durable.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;

use rustix::io::Errno;

use super::checksum::Key;
use super::index::Candidate;
use super::pending::Pending;
use super::state::Standing;
use super::storage::is_named;
use super::table::Table;
use super::writer::{Failure, Writer};
use crate::error::{Error, Result};

impl Table {
    /// Publishes all rows put so far by this handle. When it returns they survive the death of
    /// the process and, with [`super::Durability::Batch`], a power cut. That holds as well for
    /// rows that were put here and found in a segment of somebody else.
    ///
    /// # Errors
    /// The rows stay pending, and the next flush tries again. Rows that can be neither synced nor
    /// read back are lost; every flush fails until they are put again.
    pub fn flush(&self) -> Result<()> {
        let _turn = self.commit.lock().unwrap_or_else(PoisonError::into_inner);
        self.sync_relied()?;
        self.commit_pending()?;
        self.check_lost()
    }

    /// Commits until what is pending now is published; the caller holds the commit lock. One commit
    /// holds a bounded number of rows, and is durable before the next one begins.
    fn commit_pending(&self) -> Result<()> {
        let end = self.pending().writer.as_ref().map_or(0, Writer::next_row);
        while self.pending().writer.as_ref().is_some_and(|writer| writer.first_pending() < end) {
            self.commit_once()?;
        }
        Ok(())
    }

    fn commit_once(&self) -> Result<()> {
        let (batch, committer) = {
            let mut pending = self.pending();
            pending.since = None;
            match &mut pending.writer {
                Some(writer) => (writer.take(self.commit_rows)?, writer.committer()),
                None => return Ok(()),
            }
        };
        // A panic must not take the batch with it: its rows would be neither kept nor missed.
        let outcome = catch_unwind(AssertUnwindSafe(|| committer.commit(&batch)))
            .unwrap_or_else(|_| Err(Failure::Abandon(Error::Internal("a commit panicked".into()))));
        let mut pending = self.pending();
        let Some(writer) = &mut pending.writer else {
            return Err(Error::Internal("the open segment is lost".into()));
        };
        match outcome {
            Ok((span, end)) => {
                writer.committed(end);
                let log = &mut self.state_mut().segments[writer.segment as usize].log;
                log.rows = span.first + span.rows;
                (log.synced, log.end) = (log.rows, end);
                log.seconds += batch.seconds();
                log.spans.push(span);
                Ok(())
            }
            Err(Failure::Retry(error)) => {
                writer.restore(batch);
                Err(error)
            }
            Err(Failure::Abandon(error)) => {
                writer.restore(batch);
                self.abandon(&mut pending);
                Err(error)
            }
        }
    }

    /// Gives a segment up: what it published stays, its other rows move to a new segment, where
    /// they wait for the next flush. Rows for which that fails are lost.
    fn abandon(&self, pending: &mut Pending) {
        let Some(mut writer) = pending.writer.take() else { return };
        let Ok(batch) = writer.take(usize::MAX) else { return }; // all, without a copy
        let (keys, bytes, lost) = writer.salvage(batch.entries(), batch.first());
        self.forget(writer.segment, batch.first());
        writer.give_up();
        pending.lost.extend(lost);
        if self.append(pending, &keys, &bytes, batch.seconds()).is_err() {
            pending.lost.extend(keys);
        }
    }

    /// Makes the rows of a segment from `first` on unfindable.
    fn forget(&self, segment: u32, first: u64) {
        let mut state = self.state_mut();
        let is_lost = |entry: &u32| {
            let place = state.index.entry(*entry).place;
            place.segment == segment && u64::from(place.row) >= first
        };
        let lost: Vec<u32> = (0..state.index.len() as u32).filter(is_lost).collect();
        state.dead.extend(lost);
    }

    /// Syncs the segments of others in which rows were found that were put here.
    fn sync_relied(&self) -> Result<()> {
        let relied = std::mem::take(&mut self.pending().relied);
        let mut outcome = Ok(());
        for (number, mut keys) in relied {
            let Err(error) = self.sync_other(number) else { continue };
            if error.kind() == io::ErrorKind::NotFound && self.refresh().is_ok() {
                keys.retain(|key| !self.is_durable(key)); // merged into another one
            }
            if !keys.is_empty() {
                outcome = Err(self.give_up(number, &keys, &error));
            }
        }
        outcome
    }

    /// Whether a row of this key is known to be durable.
    fn is_durable(&self, key: &Key) -> bool {
        let (state, mut found) = (self.state(), Vec::new());
        state.find(key, &mut found);
        found.iter().any(|Candidate { entry, place, .. }| {
            u64::from(place.row) < state.segments[place.segment as usize].log.synced
                && !state.unreadable.contains(entry)
                && state.stored_key(*place).is_some_and(|stored| stored == *key)
        })
    }

    fn sync_other(&self, number: u32) -> io::Result<()> {
        let (segment, rows, end) = {
            let state = self.state();
            let known = &state.segments[number as usize];
            if known.log.synced == known.log.rows {
                return Ok(());
            }
            (known.segment.clone(), known.log.rows, known.log.end)
        };
        let log = segment.log_file()?;
        segment.rows_file()?.sync()?;
        log.sync()?;
        self.dir().sync()?;
        self.home.sync()?;
        // Whoever failed to sync a commit took it back.
        if log.len()? < end || !is_named(&**self.dir(), &segment.log_name, &*log)? {
            return Err(io::Error::from_raw_os_error(Errno::NOENT.raw_os_error()));
        }
        self.state_mut().segments[number as usize].log.synced = rows;
        Ok(())
    }

    fn give_up(&self, number: u32, keys: &[Key], error: &io::Error) -> Error {
        let (segment, synced) = {
            let state = self.state();
            let known = &state.segments[number as usize];
            (known.segment.clone(), known.log.synced)
        };
        self.forget(number, synced);
        self.pending().lost.extend(keys);
        segment.problem("sync", &segment.log_name, error)
    }

    fn check_lost(&self) -> Result<()> {
        let lost = self.pending().lost.len();
        if lost == 0 {
            return Ok(());
        }
        Err(Error::CacheIo {
            path: self.dir().path().display().to_string(),
            action: "keep rows",
            reason: format!("{lost} rows were lost in a failed sync and not put again"),
            errno: Errno::IO.raw_os_error(),
        })
    }

    /// Ends this handle's segment after a last commit.
    pub fn close(&self) -> Result<()> {
        if self.writable.is_err() {
            return Ok(());
        }
        let _turn = self.commit.lock().unwrap_or_else(PoisonError::into_inner);
        self.sync_relied()?;
        let Some(writer) = self.take_committed()? else { return self.check_lost() };
        let number = writer.segment as usize;
        let end = writer.seal()?;
        let known = &mut self.state_mut().segments[number];
        known.standing = Standing::Followed;
        (known.log.sealed, known.log.end, known.log.seen) = (true, end, end);
        self.check_lost()
    }

    /// The writer, once all of its rows are published: other threads may be putting more.
    fn take_committed(&self) -> Result<Option<Writer>> {
        loop {
            self.commit_pending()?;
            let mut pending = self.pending();
            let is_done = |writer: &mut Writer| writer.first_pending() == writer.next_row();
            match pending.writer.take_if(is_done) {
                None if pending.writer.is_some() => {}
                writer => return Ok(writer),
            }
        }
    }
}
