//! What an operator may change of a pipeline while it works.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use runlog_proto::v1;
use tokio::{
    sync::{oneshot, watch},
    time::{timeout, timeout_at},
};

use crate::{
    enrich::{Asked, Levels, Replays, Scope, Until, is_source},
    record::{Clock, Ledger, Severity, SourceKind, SystemClock},
    serve::{Control, Declined, Replaying},
};

/// How many sources or runs are listed for who names one that is not there.
const LISTED: usize = 10;

/// The longest time that a level may be asked for.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// How long a replay may take to begin and to be in the queue.
const PATIENCE: Duration = Duration::from_secs(10);

/// The control of one pipeline.
pub struct AgentControl {
    levels: Levels,
    replays: Replays,
    /// That of the settings.
    level: Severity,
    /// The run of sources that do not say otherwise.
    run_id: String,
    ledger: Arc<Ledger>,
    /// Nobody waits for a change any more once this is false.
    changed: watch::Sender<bool>,
}

impl AgentControl {
    /// The control of a pipeline with that level in its settings, and that run.
    #[must_use]
    pub fn new(pipeline: &super::Pipeline, level: Severity, run_id: &str) -> Self {
        let (levels, ledger) = (pipeline.levels().clone(), Arc::clone(pipeline.ledger()));
        let (changed, _) = watch::channel(true);
        let replays = pipeline.replays().clone();
        Self { levels, replays, level, run_id: run_id.to_owned(), ledger, changed }
    }

    /// Lets those go who wait for a change: this process is about to end.
    pub fn close(&self) {
        self.changed.send_replace(false);
    }

    /// How the flight recorder is doing, if there is one.
    #[must_use]
    pub fn recording(&self) -> Option<v1::Recording> {
        let recording = self.replays.recording();
        (recording.max_bytes > 0).then_some(v1::Recording {
            max_bytes: recording.max_bytes,
            bytes: recording.bytes,
            lines: recording.lines,
            lines_forgotten: recording.forgotten,
        })
    }

    fn scope(&self, asked: &v1::AskedLevel) -> Result<Scope, Declined> {
        let some = |text: &str| (!text.trim().is_empty()).then(|| text.trim().to_owned());
        let source = some(&asked.source).map(|word| self.known_source(word)).transpose()?;
        let run = some(&asked.run).map(|word| self.known_run(&word)).transpose()?;
        Ok(Scope { source, run, logger: some(&asked.logger) })
    }

    fn known_source(&self, word: String) -> Result<String, Declined> {
        let streams = self.ledger.streams();
        // What has been read, is read or may be: streams of a kind come and go.
        let kinds: BTreeSet<SourceKind> =
            self.ledger.sums().into_keys().chain(streams.iter().map(|stream| stream.kind)).collect();
        let is_known = kinds.iter().any(|kind| kind.as_str() == word)
            || streams.iter().any(|stream| is_source(&word, stream.kind, &stream.name));
        if is_known {
            return Ok(word);
        }
        let names: BTreeSet<&str> = streams.iter().map(|stream| &stream.name[..]).collect();
        let there = kinds.iter().map(|kind| kind.as_str()).chain(names);
        Err(unknown("source", &word, "source", there))
    }

    fn known_run(&self, word: &str) -> Result<String, Declined> {
        let mut runs = self.levels.runs();
        if !runs.contains(&self.run_id) {
            runs.insert(0, self.run_id.clone());
        }
        if let Some(whole) = runs.iter().find(|run| *run == word) {
            return Ok(whole.clone());
        }
        let meant: Vec<&String> = runs.iter().filter(|run| run.starts_with(word)).collect();
        match meant[..] {
            [one] => Ok(one.clone()),
            // Of those that are there, the last ones that were heard of.
            [] => Err(unknown("run", word, "run", runs.iter().rev().map(|run| &run[..]))),
            _ => Err(Declined {
                is_unknown: false,
                field: "run",
                message: format!("{word:?} is the beginning of several runs"),
                accepted: listed(meant.iter().map(|run| &run[..])),
            }),
        }
    }
}

impl Control for AgentControl {
    fn levels(&self) -> v1::Levels {
        let asked = self.levels.asked(Instant::now());
        let told = |asked: Asked| {
            let Scope { source, run, logger } = asked.scope;
            v1::AskedLevel {
                level: asked.level.to_string(),
                source: source.unwrap_or_default(),
                run: run.unwrap_or_default(),
                logger: logger.unwrap_or_default(),
                until_time_unix_nano: asked.until.map_or(0, |until| until.time),
                for_seconds: 0.0,
            }
        };
        v1::Levels {
            level: self.level.to_string(),
            logger_levels: self.levels.configured().iter().map(|of| format!("{}={}", of.logger, of.level)).collect(),
            asked: asked.into_iter().map(told).collect(),
            version: self.levels.version(),
            run: self.run_id.clone(),
        }
    }

    fn ask_level(&self, asked: &v1::AskedLevel) -> Result<(), Declined> {
        let level = asked.level.parse().map_err(|_| Declined {
            is_unknown: false,
            field: "level",
            message: format!("{:?} is not a level", asked.level),
            accepted: "trace, debug, info, warn, error, fatal".to_owned(),
        })?;
        let scope = self.scope(asked)?;
        let until = match asked.for_seconds {
            0.0 => None,
            seconds if seconds > 0.0 && seconds <= LONGEST.as_secs_f64() => {
                let time = Duration::from_secs_f64(seconds);
                let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                Some(Until { instant: Instant::now() + time, time: SystemClock.now().saturating_add(nanos) })
            }
            seconds => {
                return Err(Declined {
                    is_unknown: false,
                    field: "for_seconds",
                    message: format!("{seconds} seconds cannot be waited for"),
                    accepted: "up to 30 days".to_owned(),
                });
            }
        };
        self.levels.ask(Asked { level, scope, until }).map_err(|error| Declined {
            is_unknown: false,
            field: "",
            message: error.to_string(),
            accepted: "runlog level --reset first".to_owned(),
        })?;
        self.changed.send_modify(|_| {});
        Ok(())
    }

    fn reset_level(&self, scope: &v1::AskedLevel) -> Result<(), Declined> {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        // What it was asked for may be gone, so it is not looked for.
        let scope = Scope { source: some(&scope.source), run: some(&scope.run), logger: some(&scope.logger) };
        if self.levels.reset(&scope) == 0 && scope != Scope::default() {
            let asked = self.levels.asked(Instant::now());
            let scopes: Vec<String> = asked.iter().map(|asked| asked.scope.to_string()).collect();
            return Err(Declined {
                is_unknown: true,
                field: "",
                message: format!("no level was asked for {scope}"),
                accepted: listed(scopes.iter().map(|scope| &scope[..])),
            });
        }
        self.changed.send_modify(|_| {});
        Ok(())
    }

    fn replay<'a>(&'a self, run: &'a str) -> Replaying<'a> {
        Box::pin(async move {
            let declined = |message: &str, accepted: &str| Declined {
                is_unknown: false,
                field: "",
                message: message.to_owned(),
                accepted: accepted.to_owned(),
            };
            if self.recorder_is_off() {
                return Err(declined("nothing is recorded here", "recorder.on = true (RUNLOG_RECORDER_ON)"));
            }
            let run = (!run.trim().is_empty()).then(|| self.known_run(run.trim())).transpose()?;
            let (told, answer) = oneshot::channel();
            self.replays.ask(run, move |lines| {
                // Who asked may be gone.
                let _ = told.send(lines);
            });
            let busy = || declined("the recorder has not answered, since the queue is full or busy", "it again later");
            timeout(PATIENCE, answer).await.ok().and_then(Result::ok).ok_or_else(busy)
        })
    }

    fn change(&self, version: u64, patience: Duration) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(async move {
            let mut changed = self.changed.subscribe();
            let until = Instant::now() + patience;
            loop {
                if !*changed.borrow_and_update() {
                    return false;
                }
                // What is over is found to be so here.
                let asked = self.levels.asked(Instant::now());
                if self.levels.version() != version || until <= Instant::now() {
                    return true;
                }
                let next = asked.iter().filter_map(|asked| Some(asked.until?.instant)).chain([until]).min();
                // The end of the time is a reason to look again as well.
                let _ = timeout_at(next.unwrap_or(until).into(), changed.changed()).await;
            }
        })
    }
}

impl AgentControl {
    fn recorder_is_off(&self) -> bool {
        self.replays.recording().max_bytes == 0
    }
}

fn unknown<'a>(field: &'static str, word: &str, what: &str, there: impl Iterator<Item = &'a str>) -> Declined {
    let message = format!("there is no {what} {word:?} here");
    Declined { is_unknown: true, field, message, accepted: listed(there) }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let mut text = names.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
    if names.is_empty() {
        text = "nothing yet, since nothing was read".to_owned();
    } else if names.len() > LISTED {
        text += &format!(" or one of {} more", names.len() - LISTED);
    }
    text
}
