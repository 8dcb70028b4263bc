//! The stop: every file is read to its end, as far as it has one.

use std::{mem, thread};

use super::{BREATH, FileSource, Rest, tails::Slot};
use crate::source::Closed;

impl FileSource {
    /// Reads each file to the end that it has when its turn comes, once more after all others, and closes it.
    ///
    /// A file that is written without a pause has no end. What comes after the second look is read at the next start.
    pub(super) fn drain(&mut self) -> Result<(), Closed> {
        self.walk();
        self.hand_over()?;
        // Also those that are found while others are read: what a truncated file held, in its copy.
        while let slots = self.tails.iter().map(|(slot, _)| slot).collect::<Vec<_>>()
            && !slots.is_empty()
        {
            let mut read = Vec::new();
            for slot in slots {
                self.read_to_present_end(slot)?;
                read.push(slot);
                // The second look is for those that may stay open until then.
                if self.tails.open() >= self.max_open {
                    mem::take(&mut read).into_iter().try_for_each(|slot| self.close_for_now(slot, true))?;
                }
            }
            let tails = || read.iter().filter_map(|slot| self.tails.get(*slot));
            if tails().any(|tail| tail.is_open() && !tail.is_between_lines()) {
                // Whether a line has lost its writer or is being written shows after a moment.
                thread::sleep(BREATH);
            }
            for slot in read {
                let before = self.tails.get(slot).map(super::tail::Tail::offset);
                self.read_to_present_end(slot)?;
                let Some(tail) = self.tails.get(slot) else { continue };
                let is_written = Some(tail.offset()) != before || tail.present_end() > tail.offset();
                let is_at_rest = tail.is_between_lines() || !is_written;
                self.close_for_now(slot, is_at_rest)?;
            }
        }
        self.see_to_containers()
    }

    fn read_to_present_end(&mut self, slot: Slot) -> Result<(), Closed> {
        let mut end = None;
        loop {
            let goes_on = self.take_turn(slot)?.1;
            // It may have turned out to be cut, or gone.
            let Some(tail) = self.tails.get(slot) else { return Ok(()) };
            let end = *end.get_or_insert_with(|| tail.present_end());
            if !goes_on || tail.offset() >= end {
                return Ok(());
            }
        }
    }

    /// Closes a file until the next start. A last line that is being written is left where it begins: given out now, it
    /// would become two.
    fn close_for_now(&mut self, slot: Slot, is_at_rest: bool) -> Result<(), Closed> {
        let Some(tail) = self.tails.remove(slot) else { return Ok(()) };
        self.hand_over()?;
        match tail.awake().filter(|_| !is_at_rest) {
            Some(awake) => self.context.ledger.close(&awake.origin.tally),
            None => self.close(&tail, Rest::MayGrow)?,
        }
        Ok(())
    }
}
