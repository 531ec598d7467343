//! Making rows durable.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;

use rustix::io::Errno;

use super::checksum::Key;
use super::problem;
use super::segment::{LOG, name};
use super::table::{Open, Table};
use super::writer::Failure;
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

    /// One commit; the caller holds the commit lock.
    fn commit_pending(&self) -> Result<()> {
        let (batch, committer) = {
            let mut open = self.open();
            open.since = None;
            match &mut open.writer {
                Some(writer) if writer.pending_bytes() > 0 => (writer.take(), writer.committer()),
                _ => return Ok(()),
            }
        };
        // A panic must not take the batch with it: its rows would be neither kept nor missed.
        let outcome = catch_unwind(AssertUnwindSafe(|| committer.commit(&batch)))
            .unwrap_or_else(|_| Err(Failure::Abandon(Error::Internal("a commit panicked".into()))));
        let mut open = self.open();
        let Some(writer) = &mut open.writer else {
            return Err(Error::Internal("the open segment is lost".into()));
        };
        match outcome {
            Ok((spans, end)) => {
                writer.committed(end);
                let log = &mut self.state_mut().segments[writer.segment as usize].log;
                log.rows = spans.last().map_or(log.rows, |span| span.first + span.rows);
                (log.synced, log.end) = (log.rows, end);
                log.seconds += batch.seconds();
                log.spans.extend(spans);
                Ok(())
            }
            Err(Failure::Retry(error)) => {
                writer.restore(batch);
                Err(error)
            }
            Err(Failure::Abandon(error)) => {
                writer.restore(batch);
                self.abandon(&mut open);
                Err(error)
            }
        }
    }

    /// Gives a segment up: what it published stays, its other rows move to a new segment, where
    /// they wait for the next flush. Rows for which that fails are lost.
    fn abandon(&self, open: &mut Open) {
        let Some(mut writer) = open.writer.take() else { return };
        let batch = writer.take();
        let (keys, bytes, lost) = writer.salvage(batch.entries(), batch.first());
        self.forget(writer.segment, batch.first());
        open.lost.extend(lost);
        if self.append(open, &keys, &bytes, batch.seconds()).is_err() {
            open.lost.extend(keys);
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
        let relied = std::mem::take(&mut self.open().relied);
        let mut outcome = Ok(());
        for (number, keys) in relied {
            if let Err(error) = self.sync_other(number) {
                outcome = Err(self.give_up(number, &keys, &error));
            }
        }
        outcome
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
        if log.len()? < end || !log.is_linked()? {
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
        self.open().lost.extend(keys);
        problem::io(&**self.dir(), "sync", &(name(&segment.id) + LOG), error)
    }

    fn check_lost(&self) -> Result<()> {
        let lost = self.open().lost.len();
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
        self.commit_pending()?;
        let Some(writer) = self.open().writer.take() else { return self.check_lost() };
        let number = writer.segment as usize;
        let end = writer.seal()?;
        let known = &mut self.state_mut().segments[number];
        (known.follow, known.log.sealed, known.log.end) = (true, true, end);
        self.check_lost()
    }
}
