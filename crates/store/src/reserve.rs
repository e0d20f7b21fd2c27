//! The reserve: room that is allocated ahead of what is written.
//!
//! A disk that fills up is so found out while there is still room for everything that was accepted, and not by a write
//! that fails in the middle. While the reserve cannot be extended, the log is *full*: it still takes what fits into
//! the reserve, and its caller should give it only what makes the state smaller.
//!
//! Room that is only allocated costs every sync more than the records: the file becomes longer, and the file system has to
//! note which blocks hold something now. So the first part of the reserve holds zeros, which records are written over.

use crate::directory::{Directory, SegmentFile};
use crate::error::{Error, is_space};
use crate::log::{Log, write_all};
use crate::record::segment_name;

impl<D: Directory> Log<D> {
    /// Whether the reserve was there when it was last extended. If not, the log is full.
    pub fn has_reserve(&self) -> bool {
        !self.full
    }

    /// Tries to have the whole reserve ahead of what is written, and says whether it is there. A log that is full
    /// stays so until this succeeds.
    ///
    /// # Errors
    ///
    /// The log is poisoned, now or since earlier: the disk refused for another reason than that it is full.
    pub fn try_reserve(&mut self) -> Result<bool, Error> {
        self.check()?;
        self.extend(0)?;
        Ok(!self.full)
    }

    /// Sees to it that a record of `bytes` has room, and the reserve behind it if that is possible.
    pub(crate) fn keep_reserve(&mut self, bytes: u64) -> Result<(), Error> {
        if !self.full {
            self.extend(bytes)?;
        }
        let needed = self.position() + bytes;
        // There may be room that an earlier process has reserved, or a bit that has become free.
        if self.full && needed > self.reserved_bytes && !self.reserve_up_to(needed)? {
            return Err(Error::Full { file: self.directory.shown(&segment_name(self.current())) });
        }
        Ok(())
    }

    fn extend(&mut self, bytes: u64) -> Result<(), Error> {
        let needed = self.position() + bytes + self.options.reserve_bytes;
        if self.reserved_bytes >= needed {
            self.full = false;
            return Ok(());
        }
        // A step at a time, and just what is needed when there is no room for a whole step.
        for target in [needed + self.options.reserve_bytes, needed] {
            self.full = !self.reserve_up_to(target)?;
            if !self.full {
                break;
            }
        }
        Ok(())
    }

    /// False when the disk is too full for it.
    fn reserve_up_to(&mut self, target: u64) -> Result<bool, Error> {
        match self.file.reserve(self.reserved_bytes, target - self.reserved_bytes) {
            Ok(()) => {
                self.reserved_bytes = target;
                Ok(true)
            }
            Err(error) if is_space(error.kind()) => Ok(false),
            Err(error) => Err(self.poison("reserve room in", error)),
        }
    }

    /// Writes zeros behind the records when a write of `bytes` has gone beyond those that were there. A write as large
    /// as a step gains nothing from them.
    pub(crate) fn write_zeros(&mut self, bytes: u64) -> Result<(), Error> {
        let step = self.options.zeros_bytes;
        if self.written_bytes <= self.zeroed_bytes || bytes >= step || self.reserved_bytes == u64::MAX {
            return Ok(());
        }
        let until = self.written_bytes.next_multiple_of(step).min(self.reserved_bytes);
        let zeros = vec![0; until.saturating_sub(self.written_bytes) as usize];
        match write_all(&mut self.file, self.written_bytes, &zeros) {
            // Where there is no such thing as a reserve the disk may be full. The next records find that out.
            Err(error) if is_space(error.kind()) => Ok(()),
            Err(error) => Err(self.poison("write to", error)),
            Ok(()) => {
                self.zeroed_bytes = until;
                Ok(())
            }
        }
    }

    /// Gives back what is reserved behind a segment that gets no more records. That it fails costs only room.
    pub(crate) fn free_reserve(&mut self) {
        if self.reserved_bytes != u64::MAX && self.reserved_bytes > self.written_bytes {
            let _ = self.file.truncate(self.written_bytes);
        }
    }
}

/// A log that is closed leaves nothing but its records; on a full disk also its reserve, which others would take.
impl<D: Directory> Drop for Log<D> {
    fn drop(&mut self) {
        if self.poisoned.is_none() && !self.full {
            self.free_reserve();
        }
    }
}
