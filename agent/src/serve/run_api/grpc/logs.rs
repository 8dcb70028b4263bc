//! The lines of a log, as a stream of messages.

use std::{collections::VecDeque, mem, time::Duration};

use futures_util::stream::{self, BoxStream, StreamExt};
use prost::Message;
use runlog_proto::{ENDED, v1};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};
use tonic::Status;
use url::form_urlencoded::Serializer;

use crate::{
    api::{Api, Problem, Reason},
    record::{Clock, SystemClock},
    serve::{
        api::Shared,
        fault::Fault,
        params::{self, BadParameter},
        run_api::read::find,
    },
    store::{MAX_LINES, Query, Take},
};

/// A message has lines for about so many bytes: clients of gRPC take 4 MiB, unless they are told to take more.
const MESSAGE_BYTES: usize = 1 << 20;

/// What a run prints last may come after it has said that it has ended.
const QUIET: Duration = Duration::from_secs(1);

pub(super) type Answers = BoxStream<'static, Result<v1::QueryLogsResponse, Status>>;

/// A client that reads a log.
struct Reading {
    shared: Shared,
    query: Query,
    is_first: bool,
    /// Messages that were read and not sent.
    ahead: VecDeque<v1::QueryLogsResponse>,
    end: End,
    /// Of one that follows.
    _place: Option<OwnedSemaphorePermit>,
}

/// When the stream ends.
enum End {
    /// With the log as it is.
    OfLog,
    /// With the run. It has ended since then, and nothing has come.
    OfRun(Option<Instant>),
    /// Now.
    Reached,
}

/// Answers with what a log has, and with what comes to it if that is asked for.
pub(super) async fn stream(api: &Api, shared: &Shared, request: v1::StreamLogsRequest) -> Result<Answers, Status> {
    let run = find(api, request.run_id.clone()).await?;
    let query =
        query(&run.run_id, &request).map_err(|bad| Problem::invalid(&bad.field, bad.to_string(), &bad.accepted))?;
    let crowded = |_| Problem::new(Reason::Busy, "too many clients follow logs at the moment");
    let place = if request.follow { Some(shared.followers().map_err(crowded)?) } else { None };
    let end = if request.follow { End::OfRun(None) } else { End::OfLog };
    let shared = shared.clone();
    let reading = Reading { shared, query, is_first: true, ahead: VecDeque::new(), end, _place: place };
    let answers = stream::unfold(reading, |mut reading| async move {
        let answer = reading.next().await;
        if answer.is_err() {
            reading.end = End::Reached;
        }
        answer.transpose().map(|answer| (answer, reading))
    });
    Ok(answers.boxed())
}

fn query(run: &str, request: &v1::StreamLogsRequest) -> Result<Query, BadParameter> {
    let v1::StreamLogsRequest { level, grep, since, until, after, before, tail, without_events, .. } = request;
    let tail = if *tail > 0 { tail.to_string() } else { String::new() };
    let events = if *without_events { "0" } else { "" };
    let asked = [
        ("level", &level[..]),
        ("grep", grep),
        ("since", since),
        ("until", until),
        ("after", after),
        ("before", before),
        ("tail", &tail),
        ("events", events),
    ];
    let text = Serializer::new(String::new()).extend_pairs(asked).finish();
    let (query, _) = params::decode(run, &text, SystemClock.now())?;
    Ok(Query { limit: if tail.is_empty() { MAX_LINES } else { query.limit }, ..query })
}

impl Reading {
    /// The next message: the first one at once, the others as soon as there are lines.
    async fn next(&mut self) -> Result<Option<v1::QueryLogsResponse>, Status> {
        loop {
            if let Some(message) = self.ahead.pop_front() {
                return Ok(Some(message));
            }
            if matches!(self.end, End::Reached) || self.shared.is_stopping() {
                return Ok(None);
            }
            let query = self.query.clone();
            let answer = self.shared.read(move |reader| reader.logs(&query)).await.map_err(unread)?;
            // Of the newest lines none are left behind.
            let is_all = self.query.take == Take::Last || !answer.more;
            self.query.after = answer.next.parse().ok();
            let has_lines = !answer.lines.is_empty();
            if has_lines || answer.damaged_blocks > 0 || self.is_first {
                self.ahead = messages(answer);
            }
            self.is_first = false;
            self.query.take = Take::First;
            self.query.limit = MAX_LINES;
            if is_all {
                self.look_for_the_end(has_lines).await?;
            }
        }
    }

    /// Waits for more, or finds that there will be none.
    async fn look_for_the_end(&mut self, has_lines: bool) -> Result<(), Status> {
        let End::OfRun(since) = self.end else {
            self.end = End::Reached;
            return Ok(());
        };
        if has_lines {
            self.end = End::OfRun(None);
            return Ok(());
        }
        let run = self.query.run.clone();
        let run = self.shared.read(move |reader| reader.find(&run)).await.map_err(unread)?;
        let has_ended = ENDED.contains(&&run.status[..]);
        let since = has_ended.then(|| since.unwrap_or_else(Instant::now));
        if since.is_some_and(|since| since.elapsed() >= QUIET) {
            self.end = End::Reached;
            return Ok(());
        }
        self.end = End::OfRun(since);
        if self.ahead.is_empty() {
            self.shared.pause().await;
        }
        Ok(())
    }
}

fn unread(fault: Fault) -> Status {
    let reason = if fault.body.reason == Some("UNKNOWN_RUN") { Reason::UnknownRun } else { Reason::Failed };
    Problem::new(reason, fault.body.error).into()
}

/// Cuts an answer into messages. Behind each of them one can go on.
fn messages(answer: v1::QueryLogsResponse) -> VecDeque<v1::QueryLogsResponse> {
    let v1::QueryLogsResponse { lines, next, more, previous, damaged_blocks } = answer;
    let (mut messages, mut bytes) = (VecDeque::new(), 0);
    let mut message = v1::QueryLogsResponse { previous, ..v1::QueryLogsResponse::default() };
    for line in lines {
        let length = line.encoded_len();
        if bytes + length > MESSAGE_BYTES && !message.lines.is_empty() {
            let previous = line.cursor.clone();
            let rest = v1::QueryLogsResponse { previous, ..v1::QueryLogsResponse::default() };
            messages.push_back(mem::replace(&mut message, rest));
            bytes = 0;
        }
        bytes += length;
        message.next.clone_from(&line.cursor);
        message.more = true;
        message.lines.push(line);
    }
    messages.push_back(v1::QueryLogsResponse { next, more, damaged_blocks, ..message });
    messages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_answer_becomes_messages_that_clients_take() {
        let line = |number: usize| v1::LogLine {
            cursor: format!("1.{number}"),
            body: "x".repeat(MESSAGE_BYTES / 3),
            ..v1::LogLine::default()
        };
        let mut answer = v1::QueryLogsResponse {
            lines: (0..5).map(line).collect(),
            next: "1.9".into(),
            previous: "1.0".into(),
            damaged_blocks: 1,
            ..v1::QueryLogsResponse::default()
        };
        let told = messages(answer.clone());
        let places: Vec<_> = told.iter().map(|one| (&one.previous[..], one.lines.len(), &one.next[..])).collect();
        assert_eq!(places, [("1.0", 2, "1.1"), ("1.2", 2, "1.3"), ("1.4", 1, "1.9")]);
        let others: Vec<_> = told.iter().map(|one| (one.more, one.damaged_blocks)).collect();
        assert_eq!(others, [(true, 0), (true, 0), (false, 1)]);

        answer.lines = vec![line(0), v1::LogLine { body: "x".repeat(MESSAGE_BYTES * 2), ..line(1) }, line(2)];
        assert_eq!(messages(answer).iter().map(|one| one.lines.len()).collect::<Vec<_>>(), [1, 1, 1]);
    }
}
