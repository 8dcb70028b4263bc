//! What became of containers, for who comes too late to ask the engine.
//!
//! The engine's events are heard by one task, and containers are read by others: their readers, or the file source.
//! Where a container is removed as soon as it ends, its events are all that is left of it.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use tokio::{sync::watch, time::timeout};

use super::{
    change::{Change, ChangeKind},
    life::{Exit, MEMORY_LATE},
    tagging::Container,
};
use crate::record::UnixNanos;

/// Of so many containers something is remembered; what was heard first is forgotten first.
const MOST: usize = 10_000;

/// How long after its removal the end of a container may be heard of.
const LATE: Duration = Duration::from_secs(2);

/// What is remembered of containers, shared by who hears and who reads.
#[derive(Debug, Default)]
pub struct Fates(watch::Sender<Known>);

#[derive(Debug, Default)]
struct Known {
    by_id: HashMap<String, Fate>,
    order: VecDeque<String>,
}

#[derive(Debug, Default)]
struct Fate {
    container: Option<Box<Container>>,
    exit: Option<Exit>,
    /// Whether memory was short since it was started.
    is_out_of_memory: bool,
    is_read_from_files: bool,
    is_told: bool,
}

impl Fates {
    /// Takes note of an event.
    pub(super) fn hear(&self, change: &Change) {
        self.0.send_modify(|known| known.fate(&change.id).hear(change));
    }

    /// Takes note of what a list says of a container, unless an event has told of it.
    pub(super) fn listed(&self, container: &Container) {
        self.0.send_modify(|known| {
            known.fate(&container.id).container.get_or_insert_with(|| Box::new(container.clone()));
        });
    }

    /// Notes that the file source has the log of that container.
    pub(super) fn read_from_files(&self, id: &str) {
        self.0.send_modify(|known| known.fate(id).is_read_from_files = true);
    }

    /// Whether the file source has, or had, the log of that container.
    pub(super) fn is_read_from_files(&self, id: &str) -> bool {
        self.0.borrow().by_id.get(id).is_some_and(|fate| fate.is_read_from_files)
    }

    /// Whether it is for the caller to tell that the container is gone: events may speak of one that a list had missed.
    pub(super) fn is_mine_to_tell(&self, id: &str) -> bool {
        let mut is_first = false;
        self.0.send_modify(|known| is_first = !std::mem::replace(&mut known.fate(id).is_told, true));
        is_first
    }

    /// How the container's last life that has ended did so.
    pub(super) fn exit(&self, id: &str) -> Option<Exit> {
        self.0.borrow().by_id.get(id)?.exit.clone()
    }

    /// How a container that has been removed ended, which was after that time. Waits a moment for who hears of it.
    pub(super) async fn last_exit(&self, id: &str, after: UnixNanos) -> Option<Exit> {
        let mut heard = self.0.subscribe();
        let exit = |known: &Known| {
            let exit = known.by_id.get(id)?.exit.as_ref()?;
            exit.finished.is_some_and(|finished| finished >= after).then(|| exit.clone())
        };
        let known = timeout(LATE, heard.wait_for(|known| exit(known).is_some())).await.ok()?.ok()?;
        exit(&known)
    }

    /// Whether memory was short in the container's last life. Waits a moment for who hears of it.
    pub(super) async fn was_out_of_memory(&self, id: &str) -> bool {
        let mut heard = self.0.subscribe();
        let was = |known: &Known| known.by_id.get(id).is_some_and(|fate| fate.is_out_of_memory);
        timeout(Duration::from_nanos(MEMORY_LATE), heard.wait_for(was)).await.is_ok_and(|known| known.is_ok())
    }

    /// What events have told of the container.
    pub(super) fn container(&self, id: &str) -> Option<Container> {
        self.0.borrow().by_id.get(id)?.container.as_deref().cloned()
    }
}

impl Fate {
    fn hear(&mut self, change: &Change) {
        match change.kind {
            ChangeKind::Started => self.is_out_of_memory = false,
            ChangeKind::OutOfMemory => {
                self.is_out_of_memory = true;
                if let Some(exit) = self.exit.as_mut().filter(|exit| exit.may_be_killed_for_memory(change.time)) {
                    exit.is_oom_killed = true;
                }
            }
            ChangeKind::Ended { exit_code: Some(code) } => {
                let (finished, is_oom_killed) = (Some(change.time), self.is_out_of_memory);
                self.exit = Some(Exit { code, is_oom_killed, finished });
            }
            ChangeKind::Created
            | ChangeKind::Ended { exit_code: None }
            | ChangeKind::Removed
            | ChangeKind::Health(_) => {}
        }
        if change.container.is_some() {
            self.container.clone_from(&change.container);
        }
    }
}

impl Known {
    fn fate(&mut self, id: &str) -> &mut Fate {
        if !self.by_id.contains_key(id) {
            if self.order.len() >= MOST
                && let Some(first) = self.order.pop_front()
            {
                self.by_id.remove(&first);
            }
            self.order.push_back(id.to_owned());
        }
        self.by_id.entry(id.to_owned()).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(id: &str, kind: ChangeKind, time: u64) -> Change {
        Change { id: id.to_owned(), kind, time, container: None }
    }

    #[test]
    fn a_death_for_want_of_memory_is_that_of_the_life_in_which_it_was_short() {
        let fates = Fates::default();
        let died = ChangeKind::Ended { exit_code: Some(137) };
        for (kind, time) in [(ChangeKind::Started, 1), (ChangeKind::OutOfMemory, 2), (died, 3)] {
            fates.hear(&change("a", kind, time));
        }
        assert_eq!(fates.exit("a"), Some(Exit { code: 137, is_oom_killed: true, finished: Some(3) }));
        for (kind, time) in [(ChangeKind::Started, 4), (died, 5), (ChangeKind::Removed, 6)] {
            fates.hear(&change("a", kind, time));
        }
        assert_eq!(fates.exit("a"), Some(Exit { code: 137, is_oom_killed: false, finished: Some(5) }));
        assert_eq!(fates.exit("b"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn that_memory_was_short_may_be_heard_after_the_end() {
        let fates = Fates::default();
        let second = 1_000_000_000;
        fates.hear(&change("a", ChangeKind::Ended { exit_code: Some(137) }, second));
        let hearing = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            fates.hear(&change("a", ChangeKind::OutOfMemory, second + 1));
        };
        let (was_short, ()) = tokio::join!(fates.was_out_of_memory("a"), hearing);
        assert!(was_short && fates.exit("a").is_some_and(|exit| exit.is_oom_killed));
        fates.hear(&change("b", ChangeKind::Ended { exit_code: Some(137) }, second));
        assert!(!fates.was_out_of_memory("b").await, "somebody else has killed it");
        fates.hear(&change("b", ChangeKind::OutOfMemory, 9 * second));
        assert!(fates.exit("b").is_some_and(|exit| !exit.is_oom_killed), "that was another time");
    }

    #[test]
    fn that_a_container_is_gone_is_told_by_the_first_who_notices() {
        let fates = Fates::default();
        assert_eq!(["a", "a", "b"].map(|id| fates.is_mine_to_tell(id)), [true, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_removed_container_may_be_heard_a_little_later() {
        let fates = Fates::default();
        let died = |code, time| change("a", ChangeKind::Ended { exit_code: Some(code) }, time);
        fates.hear(&died(1, 4));
        assert_eq!(fates.last_exit("a", 5).await, None, "that was the life before");
        let hearing = async {
            tokio::time::sleep(LATE / 2).await;
            fates.hear(&died(2, 6));
        };
        let (exit, ()) = tokio::join!(fates.last_exit("a", 5), hearing);
        assert_eq!(exit.map(|exit| exit.code), Some(2));
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let fates = Fates::default();
        for n in 0..=MOST {
            fates.read_from_files(&n.to_string());
        }
        assert_eq!(fates.0.borrow().by_id.len(), MOST);
        assert!(!fates.is_read_from_files("0") && fates.is_read_from_files("1"));
    }
}
