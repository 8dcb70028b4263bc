//! The stop: every file is read to its end, as far as it has one.

use std::{collections::VecDeque, thread};

use super::{
    BREATH, FileSource, Rest,
    find::Access,
    tail::{Tail, Turn},
    tails::Slot,
};
use crate::source::Closed;

impl FileSource {
    /// Reads each file to the end that it has when its turn comes, once more after all others, and closes it.
    ///
    /// A file that is written without a pause has no end. What comes after the second look is read at the next start.
    pub(super) fn drain(&mut self) -> Result<(), Closed> {
        self.walk();
        let slots: Vec<Slot> = self.tails.iter().map(|(slot, _)| slot).collect();
        let mut read = VecDeque::new();
        for slot in slots {
            // The second look is for those that may stay open until then.
            while read.len() + self.tails.open() >= self.max_open {
                let Some(tail) = read.pop_front() else { break };
                self.close(&tail, Rest::IsKept)?;
            }
            let access = self.open_to_read(slot);
            if let Access::Gone = access {
                self.give_up(slot)?;
            }
            let Some(mut tail) = self.tails.remove(slot) else { continue };
            if let Access::Open = access {
                self.read_to_present_end(&mut tail)?;
            }
            read.push_back(tail);
        }
        if read.iter().any(|tail| tail.is_open() && !tail.is_between_lines()) {
            // Whether a line has lost its writer or is being written shows after a moment.
            thread::sleep(BREATH);
        }
        for mut tail in read {
            let before = tail.offset();
            self.read_to_present_end(&mut tail)?;
            let is_written = tail.offset() > before || tail.present_end() > tail.offset();
            if is_written && !tail.is_between_lines() {
                // Closed now, the line would become two. Its position is where it begins.
                self.leave(&tail);
            } else {
                self.close(&tail, Rest::IsKept)?;
            }
        }
        Ok(())
    }

    fn read_to_present_end(&self, tail: &mut Tail) -> Result<(), Closed> {
        let end = tail.present_end();
        while tail.offset() < end
            && let Turn::Read(chunk) = tail.read(self.context.clock.now())
        {
            self.send(chunk)?;
        }
        Ok(())
    }

    /// Ends reading in the midst of a line, without giving out what is there of it.
    fn leave(&self, tail: &Tail) {
        if let Some(awake) = tail.awake() {
            self.context.ledger.close(&awake.origin.tally);
        }
    }
}
