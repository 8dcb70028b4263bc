//! Containers of a Docker engine.
//!
//! The [`fleet`] finds containers and gives each a [`reader`]. A reader asks the [`engine`] for the container's logs,
//! whose [`body`] is read at a [`pace`]; [`frame`] decodes it into entries; [`log`] decides which of them are new and
//! makes chunks of those. Where reading has to go on is a [`place`], found again by content through a [`ring`]. Where the
//! engine's own [`files`] can be read, the file source follows those instead; the [`ways`] say who reads what. A [`life`] tells a run of the starts and
//! ends of its container, and [`fates`] are what is known of those that were removed.

mod ask;
mod body;
mod change;
mod config;
mod end;
mod engine;
mod fates;
mod files;
mod filter;
mod fleet;
mod frame;
mod health;
mod keeping;
mod life;
mod log;
mod own;
mod pace;
mod place;
mod reader;
mod repeats;
mod ring;
mod stamp;
mod tagging;
#[cfg(test)]
mod tests;
mod ways;

pub use config::{Config, Folder};
pub use end::ended;
pub use fates::Fates;
pub use files::Files;
pub use filter::{Filter, UnusableFilter};
pub use health::{Health, State, health};
pub use ways::Ways;

use std::sync::Arc;

use tokio::sync::watch;

use crate::{
    config::Switch,
    source::{Context, Tagging, backoff},
};

use self::{
    fleet::{Fleet, LIST_EVERY},
    own::OwnContainer,
    reader::{SILENCE, Shared},
};

/// Collects the logs of containers until `context.stop` is thrown and what the engine has then was handed over.
///
/// An engine that is absent, forbidden or silent is waited for without end, and `health` says so. Nothing is
/// collected if `config` says so. A container that is running at the stop is left open: its last line, if it has no
/// line feed yet, is read again at the next start.
pub async fn collect(
    config: Config,
    context: Context,
    tagging: Tagging,
    fates: Arc<Fates>,
    ways: Arc<Ways>,
    health: watch::Sender<Health>,
) {
    if config.collect == Switch::Off {
        return;
    }
    ways.begin(&context.positions, &config.files);
    let run_id = tagging.run_id.clone();
    let tagger = Box::new(move |container: &tagging::Container| tagging.tags(container));
    let began = context.clock.now();
    let shared = Shared {
        config,
        context,
        tagger,
        own: OwnContainer::find(),
        run_id,
        began,
        fates,
        ways,
        silence: SILENCE,
        list_every: LIST_EVERY,
    };
    Fleet::new(shared, health).run().await;
}
