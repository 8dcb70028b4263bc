//! A run's new lines as server-sent events.

use axum::{
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::stream;
use tokio::sync::OwnedSemaphorePermit;

use crate::store::{Query, Take};

use super::{api::Shared, fault::Fault};

/// Clients that follow at the same time.
pub(super) const MAX_FOLLOWERS: usize = 64;

struct Follower {
    shared: Shared,
    query: Query,
    is_first: bool,
    _place: OwnedSemaphorePermit,
}

/// Answers with what the query finds now and from now on, until the client goes or the server stops.
pub(super) fn follow(shared: Shared, mut query: Query, headers: &HeaderMap) -> Result<Response, Fault> {
    let place = shared
        .followers()
        .map_err(|_| Fault::new(StatusCode::SERVICE_UNAVAILABLE, "too many clients follow logs at the moment"))?;
    // A browser that reconnects says what it has.
    if let Some(cursor) = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok()) {
        query.after = Some(cursor);
        query.take = Take::First;
    }
    let follower = Follower { shared, query, is_first: true, _place: place };
    let events = stream::unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((event, follower))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

impl Follower {
    /// The next event, as soon as there are lines; the first one comes at once. `None` when the server stops or
    /// the store cannot be read: the client then comes again.
    async fn next(&mut self) -> Option<Result<Event, axum::Error>> {
        while !self.shared.is_stopping() {
            let query = self.query.clone();
            let answer = self.shared.read(move |reader| reader.logs(&query)).await.ok()?;
            self.query.after = answer.next.parse().ok();
            self.query.before = None;
            self.query.take = Take::First;
            let is_worth_telling = !answer.lines.is_empty() || answer.damaged_blocks > 0 || self.is_first;
            self.is_first = false;
            if is_worth_telling {
                return Some(Event::default().id(&answer.next).json_data(&answer));
            }
            if !answer.more {
                self.shared.pause().await;
            }
        }
        None
    }
}
