//! Checkpoints and healing: what makes old records superfluous, and what makes up for records that were lost.

use std::io;

use crate::directory::{Directory, SegmentFile};
use crate::error::Error;
use crate::log::{Closed, Log, create_mark};
use crate::marks::{BASE, END, GAP, HEAL, Marks, mark_name};
use crate::record::{parse_segment_name, segment_name};

impl<D: Directory> Log<D> {
    /// Begins a checkpoint: what is appended from here on has the sequence that this gives or a higher one. It begins
    /// a segment there, so that all before can be dropped whole; on a full disk the segment goes on.
    ///
    /// # Errors
    ///
    /// The log is poisoned, now or since earlier.
    pub fn begin_checkpoint(&mut self) -> Result<u64, Error> {
        self.check()?;
        // A segment without a record is as good as a new one.
        if self.next > self.current() {
            self.begin_segment()?;
        }
        Ok(self.next)
    }

    /// Completes a checkpoint: makes everything durable that was appended, and from then on, at once and also after a
    /// crash, records before `from` do not count. That is where the checkpoint began, or any record before that if the
    /// caller has appended again only what stood before it. Gives the number of segments that were removed; one that
    /// cannot be removed now is removed later. Ends [healing](Log::heal).
    ///
    /// # Errors
    ///
    /// Nothing was appended since `from`, or that lies before what counts or before the healing, or the mark that makes
    /// the checkpoint count could not be made: the records before still count. Or the log is poisoned, now or since
    /// earlier.
    pub fn complete_checkpoint(&mut self, from: u64) -> Result<usize, Error> {
        self.sync()?;
        if from > self.durable || from < self.base || self.healing.is_some_and(|healing| from < healing) {
            return Err(Error::EmptyCheckpoint { from });
        }
        create_mark(&self.directory, from, BASE)?;
        // If a removal is lost with the power, opening sees that the mark is void.
        if self.base != from {
            let _ = self.directory.remove(&mark_name(self.base, BASE));
        }
        if let Some(sequence) = self.healing.take() {
            let _ = self.directory.remove(&mark_name(sequence, HEAL));
        }
        self.base = from;
        let dropped = self.drop_whole(from).unwrap_or(0);
        let _ = self.directory.sync();
        Ok(dropped)
    }

    /// Removes the segments in which every record is before `sequence`, and gives their number. A base there has to be
    /// durable: without it a log whose first segment is gone is a damaged one. The segment that is written to stays.
    fn drop_whole(&mut self, sequence: u64) -> Result<usize, Error> {
        let mut dropped = 0;
        while self.segments.get(1).is_some_and(|second| second.first <= sequence) {
            let first = self.segments[0].first;
            match self.directory.remove(&segment_name(first)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.io("remove", first, error));
                }
                _ => {}
            }
            self.segments.pop_front();
            dropped += 1;
            if self.gaps.remove(&first) {
                let _ = self.directory.remove(&mark_name(first, GAP));
            }
        }
        Ok(dropped)
    }

    /// Makes a poisoned log writable again, and leaves any other as it is. What was not durable is gone for ever; the
    /// last segment is cut off there, and records go into a new one.
    ///
    /// From then on the log is *healing*: what is appended does not count, also after a crash, until
    /// [`complete_checkpoint`](Log::complete_checkpoint) has succeeded for one that was begun after this. So the
    /// caller begins one, appends its whole state, and completes it.
    ///
    /// # Errors
    ///
    /// The log stays poisoned, and this can be tried again.
    pub fn heal(&mut self) -> Result<(), Error> {
        if self.poisoned.is_none() {
            return Ok(());
        }
        // After another error while healing, everything since the first one is begun anew.
        let from = self.healing.unwrap_or(self.durable + 1);
        let shown = self.directory.shown(&segment_name(from));
        let io = |doing, source| Error::Io { doing, file: shown.clone(), source };
        let names = self.directory.list().map_err(|error| io("list", error))?;
        // A checkpoint that failed in its last step must not come to count when its records are removed.
        for base in Marks::among(&names).base.range(from..) {
            self.directory.remove(&mark_name(*base, BASE)).map_err(|error| io("remove", error))?;
        }
        self.directory.sync().map_err(|error| io("sync", error))?;
        if self.current() < from {
            let cut = self.file.truncate(self.durable_bytes);
            cut.and_then(|()| self.file.sync()).map_err(|error| self.io("cut off", self.current(), error))?;
        }
        for first in names.iter().filter_map(|name| parse_segment_name(name)).filter(|first| *first >= from) {
            self.directory.remove(&segment_name(first)).map_err(|error| io("remove", error))?;
        }
        // This makes certain what was removed, too; the new segment may have the name of a removed one.
        create_mark(&self.directory, from, HEAL)?;
        let (last, reserved_bytes) = self.create_segment(from)?;

        if self.current() < from {
            let closed = self.segments.len() - 1;
            self.segments[closed].bytes = self.durable_bytes;
        }
        self.segments.retain(|segment: &Closed| segment.first < from);
        self.buffer.clear();
        self.next = from;
        self.durable = from - 1;
        self.full = false;
        self.enter_segment(last, reserved_bytes);
        self.healing = Some(from);
        self.poisoned = None;
        Ok(())
    }

    /// Closes the log in order: makes everything durable that was appended, and notes that it was all. If records are
    /// missing at its end when it is opened again, that is damage then and no torn tail. A log that
    /// [is healing](Log::is_healing) is closed without such a note.
    ///
    /// # Errors
    ///
    /// Not everything was made durable, or the note could not be made; it is as if the process had been killed.
    pub fn close(mut self) -> Result<(), Error> {
        self.sync()?;
        match self.healing {
            Some(_) => Ok(()),
            None => create_mark(&self.directory, self.next, END),
        }
    }

    /// Whether the log [was healed](Log::heal) and waits for a checkpoint.
    pub fn is_healing(&self) -> bool {
        self.healing.is_some()
    }
}
