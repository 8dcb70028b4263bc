//! The streams that the journal is made of: one for each unit of each run.

use std::{collections::HashMap, sync::Arc};

use crate::{
    record::{Origin, SourceKind, Tally, origin::Stream},
    run::{self, Identity, RunId},
    source::{Context, Tagging},
};

use super::{
    KEY,
    entry::JournalEntry,
    place::{Place, StreamPlace},
};

/// So many are open at most: transient units have new names each time.
const MAX_OPEN: usize = 256;

/// The streams.
pub(super) struct Streams {
    tagging: Tagging,
    context: Context,
    place: Arc<Place>,
    open: HashMap<Arc<str>, Open>,
    uses: u64,
}

struct Open {
    origin: Arc<Origin>,
    last_use: u64,
}

impl Streams {
    pub(super) fn new(tagging: Tagging, context: Context, place: Arc<Place>) -> Self {
        Self { tagging, context, place, open: HashMap::new(), uses: 0 }
    }

    /// The stream of an entry, and its name among all of the journal.
    pub(super) fn of(&mut self, entry: &JournalEntry) -> (Arc<str>, Arc<Origin>) {
        self.uses += 1;
        let source = source(entry);
        let run_id = entry.run_id.as_deref().unwrap_or_default();
        let key = [run_id, source, entry.cursor.count()].join("\0");
        if let Some((key, open)) = self.open.get_key_value(key.as_str()).map(|(key, open)| (Arc::clone(key), open)) {
            let origin = Arc::clone(&open.origin);
            self.open.entry(Arc::clone(&key)).and_modify(|open| open.last_use = self.uses);
            return (key, origin);
        }
        if self.open.len() >= MAX_OPEN {
            self.close_idle();
        }
        let key: Arc<str> = key.into();
        let tally = self.context.ledger.open(SourceKind::Journal, source);
        let origin = self.origin(entry, &key, tally);
        self.open.insert(Arc::clone(&key), Open { origin: Arc::clone(&origin), last_use: self.uses });
        (key, origin)
    }

    /// The stream of what is about the journal as a whole.
    pub(super) fn whole(&self) -> Arc<Origin> {
        let Tagging { run_id, identity, facts, level } = &self.tagging;
        Origin::new(Stream {
            key: KEY.to_owned(),
            kind: SourceKind::Journal,
            identity: &[],
            resource: run::resource(run_id, identity, facts),
            attributes: Vec::new(),
            level: *level,
            tally: self.context.ledger.open(SourceKind::Journal, KEY),
            bookmark: Arc::new(StreamPlace { place: Arc::clone(&self.place), stream: "".into() }),
        })
    }

    /// What is counted of those that are open.
    pub(super) fn tallies(&self) -> impl Iterator<Item = &Tally> {
        self.open.values().map(|open| &*open.origin.tally)
    }

    /// Ends all.
    pub(super) fn close(&mut self) {
        for (_, open) in self.open.drain() {
            self.context.ledger.close(&open.origin.tally);
        }
    }

    fn close_idle(&mut self) {
        let idle = self.open.iter().min_by_key(|(_, open)| open.last_use).map(|(key, _)| Arc::clone(key));
        if let Some(open) = idle.and_then(|key| self.open.remove(&key)) {
            self.context.ledger.close(&open.origin.tally);
        }
    }

    fn origin(&self, entry: &JournalEntry, key: &Arc<str>, tally: Arc<Tally>) -> Arc<Origin> {
        let (run_id, identity) = self.identity(entry);
        let mut facts = self.tagging.facts.clone();
        let container = entry.container.as_ref();
        let unit = entry.unit.as_ref().filter(|_| container.is_none());
        facts.0.extend(unit.map(|unit| ("systemd.unit.name".to_owned(), unit.clone())));
        if let Some(container) = container {
            facts.0.push(("container.id".to_owned(), container.id.clone()));
            facts.0.push(("container.name".to_owned(), container.name.clone()));
        }
        Origin::new(Stream {
            key: KEY.to_owned(),
            kind: SourceKind::Journal,
            identity: &[KEY.as_bytes(), entry.cursor.count().as_bytes()],
            resource: run::resource(&run_id, &identity, &facts),
            attributes: run::record_attributes(&identity),
            level: self.tagging.level,
            tally,
            bookmark: Arc::new(StreamPlace { place: Arc::clone(&self.place), stream: Arc::clone(key) }),
        })
    }

    /// The run of an entry: its own, or the agent's.
    fn identity(&self, entry: &JournalEntry) -> (RunId, Identity) {
        let Tagging { run_id, identity, .. } = &self.tagging;
        let own = entry.run_id.as_deref().and_then(|text| RunId::new(text).ok()).filter(|own| own != run_id);
        match own {
            // What is known of the agent's run is not said of another.
            Some(own) => (own, Identity { experiment: identity.experiment.clone(), ..Identity::default() }),
            None => (run_id.clone(), identity.clone()),
        }
    }
}

/// What the source is called.
fn source(entry: &JournalEntry) -> &str {
    let container = entry.container.as_ref().map(|container| container.name.as_str());
    let names = [container, entry.unit.as_deref(), Some(entry.identifier.as_str())];
    names.into_iter().flatten().find(|name| !name.is_empty()).unwrap_or(KEY)
}
