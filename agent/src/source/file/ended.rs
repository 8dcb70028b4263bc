//! Containers that have ended: their logs are read to the end, and then their runs are told.

use super::{FileSource, Rest, tails::Slot};
use crate::source::Closed;

impl FileSource {
    /// Hands over what is new of the containers whose logs are read. Of one that has ended, once all of it is read.
    pub fn see_to_containers(&mut self) -> Result<(), Closed> {
        let Some(containers) = &mut self.containers else { return self.hand_over() };
        self.outgoing.append(&mut containers.news());
        let ending = containers.ending();
        self.hand_over()?;
        for id in ending {
            self.end(&id)?;
        }
        self.hand_over()
    }

    fn end(&mut self, id: &str) -> Result<(), Closed> {
        let is_removed = self.containers.as_ref().is_some_and(|containers| containers.is_gone(id));
        let slots = self.logs_of(id);
        if is_removed && !slots.is_empty() {
            // They are read through open handles until they are given up, as those of other files that are gone.
            return Ok(());
        }
        for slot in &slots {
            let (_, goes_on) = self.take_turn(*slot)?;
            if goes_on || self.tails.get(*slot).is_some_and(|tail| !tail.is_at_end()) {
                return Ok(());
            }
        }
        // It may be started again, and write to the same file. That is another stream then, for its run's receipt.
        for slot in self.logs_of(id) {
            if let Some(tail) = self.tails.get(slot).filter(|tail| tail.is_open()) {
                self.close(tail, Rest::IsKept)?;
                self.tails.sleep(slot);
            }
        }
        if let Some(containers) = &mut self.containers {
            self.outgoing.append(&mut containers.ended(id));
        }
        Ok(())
    }

    fn logs_of(&self, id: &str) -> Vec<Slot> {
        let Some(containers) = &self.containers else { return Vec::new() };
        self.tails.iter().filter(|(_, tail)| containers.is_of(tail.named(), id)).map(|(slot, _)| slot).collect()
    }
}
