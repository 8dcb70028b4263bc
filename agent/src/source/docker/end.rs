//! Waiting for the end of one container, by which the agent itself may end.

use std::{path::Path, pin::pin, time::Duration};

use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use super::{
    change::Change,
    engine::{Engine, Failure},
    reader::SHORT_ID,
};
use crate::record::UnixNanos;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(500);

/// After how long it is told that a container is missed, and how often from then on.
const MISSED_AFTER: Duration = Duration::from_mins(1);
const MISSED_EVERY: Duration = Duration::from_hours(1);

/// Returns when the container of that name or id has ended for good: it is neither running nor about to be started
/// again, or is gone after it was there, or came and went since `began`. One that is not there yet is waited for, and so
/// is the engine. Cancel safe.
pub async fn ended(socket: &Path, name: &str, began: UnixNanos) {
    let mut wait = Wait { name, was_seen: false, telling: Telling::since(Instant::now()) };
    loop {
        if let Ok(engine) = Engine::connect(socket).await {
            // Of one that ran and was removed between two looks, the events tell.
            let changes = pin!(engine.changes(began, None));
            if wait.ends(&engine, changes).await {
                return;
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

struct Wait<'a> {
    name: &'a str,
    /// Whether it was there since the agent began.
    was_seen: bool,
    telling: Telling,
}

impl Wait<'_> {
    /// True when it has ended, false if the engine does not tell its events any more.
    async fn ends(
        &mut self,
        engine: &Engine,
        mut changes: impl Stream<Item = Result<Change, Failure>> + Unpin,
    ) -> bool {
        loop {
            match look(engine, self.name).await {
                Some(Seen::Ended) => return true,
                Some(Seen::Gone) if self.was_seen => return true,
                Some(Seen::Gone) => self.tell(Instant::now()),
                Some(Seen::There) => self.was_seen = true,
                None => {}
            }
            let next_look = Instant::now() + LOOK;
            while let Ok(change) = timeout_at(next_look, changes.next()).await {
                match change {
                    Some(Ok(change)) if is_about(&change, self.name) => {
                        self.was_seen = true;
                        break;
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return false,
                }
            }
        }
    }

    fn tell(&mut self, now: Instant) {
        let container = self.name;
        match self.telling.due(now) {
            None => {}
            Some(waited) if waited < MISSED_AFTER => {
                info!(container, "waiting for the container to end with, it is not there yet (exit_with)");
            }
            Some(waited) => warn!(
                container,
                waited_secs = waited.as_secs(),
                "the container to end with was not there since this agent began, it is still waited for; one that was \
                 removed before that is not known (exit_with)"
            ),
        }
    }
}

/// When it is told that a container is not there yet.
struct Telling {
    since: Instant,
    next: Option<Instant>,
}

impl Telling {
    const fn since(since: Instant) -> Self {
        Self { since, next: None }
    }

    /// How long it was waited for, if that is to be told now.
    fn due(&mut self, now: Instant) -> Option<Duration> {
        if self.next.is_some_and(|next| now < next) {
            return None;
        }
        let pause = if self.next.is_none() { MISSED_AFTER } else { MISSED_EVERY };
        self.next = Some(now + pause);
        Some(now - self.since)
    }
}

enum Seen {
    Gone,
    There,
    Ended,
}

/// `None` if the engine cannot be asked; who collects from it says so.
async fn look(engine: &Engine, name: &str) -> Option<Seen> {
    match engine.inspect(name).await {
        Ok(None) => Some(Seen::Gone),
        Ok(Some((container, _))) if container.exit.is_some() && !container.running => Some(Seen::Ended),
        Ok(Some(_)) => Some(Seen::There),
        Err(failure) => {
            debug!(container = name, error = %failure, "the container to end with cannot be looked at");
            None
        }
    }
}

/// A name may look like the beginning of another container's id, unless it is as long as engines write one.
fn is_about(change: &Change, name: &str) -> bool {
    change.container.as_ref().is_some_and(|container| container.name == name)
        || (name.len() >= SHORT_ID && change.id.starts_with(name))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::{
        super::{change::ChangeKind, tagging::Container},
        *,
    };

    #[test]
    fn that_it_is_missed_is_told_at_once_after_a_minute_and_each_hour() {
        let since = Instant::now();
        let mut telling = Telling::since(since);
        let told = (0..3 * 3_600).map(Duration::from_secs).filter_map(|waited| telling.due(since + waited));
        assert_eq!(told.map(|waited| waited.as_secs()).collect::<Vec<_>>(), [0, 60, 3_660, 7_260]);
    }

    #[test]
    fn a_container_is_known_by_its_name_and_by_its_id_but_not_by_a_name_like_the_beginning_of_one() {
        let change = Change {
            id: "feedbeef0123456789ab".to_owned(),
            kind: ChangeKind::Removed,
            time: 0,
            container: Some(Box::new(Container::mentioned(
                "feedbeef0123456789ab",
                "train".to_owned(),
                String::new(),
                HashMap::new(),
            ))),
        };
        let cases = [("train", true), ("feedbeef0123", true), ("feedbeef", false), ("trai", false), ("other", false)];
        for (name, expected) in cases {
            assert_eq!(is_about(&change, name), expected, "{name}");
        }
    }
}
