//! Records that come encoded: looked through, filtered, put under the run's tags, and never decoded.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use tracing::warn;

use crate::{
    batch::{Due, Slot},
    enrich::{adopt, redact::Masked},
    record::{
        Account, Counted, Origin, Pushed, Severity, Signal,
        wire::{
            Above, Gauges, Malformed, Sample, Seen, Unfit, Value, check_metric, check_record, check_span, points_of,
            record_attribute,
        },
    },
};

use super::Stage;

/// How often records that cannot be passed on are spoken of.
const WARN_EVERY: Duration = Duration::from_secs(60);

/// What passing on remembers from one request to the next.
#[derive(Debug, Default)]
pub(super) struct Passing {
    /// The last [`Above::id`].
    last_head: u64,
    warned: Option<Instant>,
    /// What the events of the resource that is being passed on say of the run's metrics.
    gauges: Gauges,
}

impl Passing {
    /// An [`Above::id`] that nothing before has had.
    pub(super) const fn next_head(&mut self) -> u64 {
        self.last_head += 1;
        self.last_head
    }
}

/// Where a record belongs.
#[derive(Clone, Copy)]
struct Place<'a> {
    run_id: &'a str,
    /// The name of its scope.
    logger: &'a [u8],
    above: Above<'a>,
}

/// What one request held: log records, data points or spans.
#[derive(Debug, Default, Clone, Copy)]
struct Count {
    read: u64,
    kept: u64,
    rejected: u64,
    /// Of those kept, the ones with an `event_name`, which are no lines.
    events: u64,
}

impl Count {
    /// The account of what was counted since then.
    fn since(self, before: Self) -> Account {
        let events = self.events - before.events;
        let (lines_read, lines_kept) = (self.read - before.read - events, self.kept - before.kept - events);
        let lines_lost = self.rejected - before.rejected;
        let lines_filtered = lines_read - lines_kept - lines_lost;
        Account { lines_read, lines_kept, records_kept: lines_kept, lines_lost, lines_filtered, ..Account::default() }
    }
}

impl Stage {
    /// Passes the records of a request on. The client is answered when those that were kept are durable.
    pub(super) fn pushed(&mut self, pushed: Pushed) -> io::Result<()> {
        let tally = &pushed.origin.tally;
        let mut count = Count::default();
        let passed = self.pass_resources(&pushed, &mut count);
        tally.heard(pushed.observed);
        tally.bytes_read.fetch_add(pushed.request.len() as u64, Ordering::Relaxed);
        if let Some(passed) = self.ledger.passed(pushed.signal) {
            passed.kept.fetch_add(count.kept, Ordering::Relaxed);
            passed.rejected.fetch_add(count.rejected, Ordering::Relaxed);
        } else {
            tally.lines_read.fetch_add(count.read, Ordering::Relaxed);
            tally.records_kept.fetch_add(count.kept, Ordering::Relaxed);
            tally.lines_lost.fetch_add(count.rejected, Ordering::Relaxed);
        }
        if count.rejected > 0 && self.passing.warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            self.passing.warned = Some(Instant::now());
            warn!(
                source = tally.name,
                signal = pushed.signal.as_str(),
                records = count.rejected,
                "records were rejected, since no destination could decode them; their client was told"
            );
        }
        passed?;
        pushed.receipt.durable();
        Ok(())
    }

    fn pass_resources(&mut self, pushed: &Pushed, count: &mut Count) -> io::Result<()> {
        for resource in &pushed.outline.resources {
            let adopted = resource.check().and_then(|()| {
                let masked = self.redactor.mask_resource(&resource.resource)?;
                let described = masked.as_ref().map_or(&resource.resource, |masked| &masked.text);
                Ok(adopt(described, &pushed.origin.resource)?)
            });
            let head = adopted.as_ref().map_or_else(|_| Vec::new(), |adopted| resource.head(&adopted.encoded));
            let mut slot = None;
            let before = *count;
            if let Ok(adopted) = &adopted {
                self.filter.turn_to(&pushed.origin, &adopted.run_id, Instant::now());
            }
            for scope in &resource.scopes {
                let above = Above { id: self.passing.next_head(), resource: &head, scope: &scope.head };
                let place = match (&adopted, scope.check()) {
                    (Ok(adopted), Ok(())) => Ok(Place { run_id: &adopted.run_id, logger: scope.name(), above }),
                    (Err(unfit), _) => Err(*unfit),
                    (_, Err(unfit)) => Err(unfit),
                };
                for record in scope.records(&pushed.request) {
                    self.pass_record(pushed, place, record, &mut slot, count)?;
                }
            }
            if let Ok(adopted) = &adopted {
                self.pass_gauges(pushed, &adopted.run_id, &head)?;
            }
            let account = count.since(before);
            // Events alone are nothing that a receipt tells.
            let is_told_here = pushed.signal == Signal::Logs && pushed.counted == Counted::Here;
            if is_told_here && account != Account::default() {
                // A resource that cannot be adopted has its records rejected, which counts for the agent's own run.
                let run_id = adopted.as_ref().map_or(&pushed.origin.resource.run_id[..], |adopted| &adopted.run_id);
                self.account_passed(&pushed.origin, run_id, slot, account);
            }
            if self.batcher.is_crowded() {
                self.close_batches(Due::All)?;
                self.batcher.forget_idle();
            }
        }
        Ok(())
    }

    /// Counts what one resource of a request held.
    fn account_passed(&mut self, origin: &Arc<Origin>, run_id: &str, slot: Option<Slot>, account: Account) {
        match slot {
            Some(slot) => self.batcher.account_passed(slot, origin, &account),
            // The last record has filled its batch, or none was kept.
            None => {
                let change = self.accounts.with(run_id, &[(Arc::clone(origin), account)]);
                self.accounts.commit(change);
            }
        }
    }

    /// Passes a record on, into the batch of `slot`, or rejects it for its own fault or that of what stands above it.
    fn pass_record(
        &mut self,
        pushed: &Pushed,
        place: Result<Place<'_>, Unfit>,
        record: Result<&[u8], Malformed>,
        slot: &mut Option<Slot>,
        count: &mut Count,
    ) -> io::Result<()> {
        let looked_through = place.and_then(|place| {
            let record = record?;
            Ok((place, record, look_through(pushed.signal, record)?))
        });
        let (Place { run_id, logger, above }, record, seen) = match looked_through {
            Ok(found) => found,
            Err(unfit) => {
                let items = match (pushed.signal, record) {
                    // One that cannot be counted counts, too.
                    (Signal::Metrics, Ok(metric)) => points_of(metric).map_or(1, |points| u64::from(points.max(1))),
                    _ => 1,
                };
                pushed.receipt.reject(items, &unfit);
                count.read += items;
                count.rejected += items;
                return Ok(());
            }
        };
        let items = if pushed.signal == Signal::Metrics { u64::from(seen.points) } else { 1 };
        count.read += items;
        // What a run says of itself is no line that could be too much.
        if pushed.signal == Signal::Logs && !seen.is_of_run {
            let level = if seen.severity == Severity::UNSPECIFIED { Severity::INFO } else { seen.severity };
            if !self.filter.keeps(level, logger, &pushed.origin) {
                if pushed.counted == Counted::Here {
                    self.leave_out_passed(pushed, run_id, level, &above, record);
                }
                return Ok(());
            }
        }
        if pushed.signal == Signal::Logs {
            self.heed(run_id, seen.severity);
        }
        let masked = self.masked(pushed.signal, record);
        let record = masked.as_deref().unwrap_or(record);
        // Another runlog that sends the event has sent its gauge as well.
        let is_gauge = seen.is_of_run && self.parse.are_gauges_sent && pushed.counted == Counted::Here;
        if is_gauge && let Ok(Some(sample)) = Sample::of_event(record, pushed.observed) {
            self.passing.gauges.add(run_id, &sample);
        }
        let into = *slot
            .get_or_insert_with(|| self.batcher.slot_of_run(run_id, pushed.signal, &pushed.receipt, Instant::now()));
        count.kept += items;
        count.events += u64::from(seen.has_event_name);
        if let Some(full) = self.batcher.pass(into, &above, record, &seen, pushed.observed) {
            *slot = None;
            self.close(full)?;
        }
        Ok(())
    }
}

impl Stage {
    /// A record without the secrets that are in it, if any are.
    pub(super) fn masked(&mut self, signal: Signal, record: &[u8]) -> Option<Vec<u8>> {
        let Masked { mut text, count } = self.redactor.mask_encoded(signal, record).ok().flatten()?;
        if signal == Signal::Logs {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            record_attribute(&mut text, "runlog.redacted", Value::Int(count));
        }
        Some(text)
    }

    /// Passes on what the events of a resource said of the run's metrics, for whose answer the client waits as well.
    fn pass_gauges(&mut self, pushed: &Pushed, run_id: &str, head: &[u8]) -> io::Result<()> {
        let above = Above { id: self.passing.next_head(), resource: head, scope: &[] };
        for metric in self.passing.gauges.take_metrics() {
            let seen = check_metric(&metric).expect("what was written here can be read");
            if let Some(passed) = self.ledger.passed(Signal::Metrics) {
                passed.kept.fetch_add(u64::from(seen.points), Ordering::Relaxed);
            }
            let slot = self.batcher.slot_of_run(run_id, Signal::Metrics, &pushed.receipt, Instant::now());
            if let Some(full) = self.batcher.pass(slot, &above, &metric, &seen, pushed.observed) {
                self.close(full)?;
            }
        }
        Ok(())
    }
}

fn look_through(signal: Signal, record: &[u8]) -> Result<Seen, Unfit> {
    match signal {
        Signal::Logs => check_record(record),
        Signal::Metrics => check_metric(record),
        Signal::Traces => check_span(record),
    }
}

#[cfg(test)]
mod tests;
