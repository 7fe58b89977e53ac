//! A watch that goes on for ever: lists in pages, watches, lists again where it has to.
//!
//! kube's watcher resumes by itself after an end of the stream, and lists anew after a 410 (the
//! version to go on from is forgotten). What is added here is patience with errors, and saying so.

use std::time::Duration;

use futures::TryStreamExt as _;
use kube::runtime::utils::Backoff as _;
use kube::runtime::watcher::{self, DefaultBackoff, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;

use super::Chain;

/// How long one watch request lasts, in seconds. A connection that died without a word is
/// noticed after it, so this bounds how old what is known can be; a request a minute costs nothing.
const WATCH_SECONDS: u32 = 60;

/// A page of the list: only one is in memory at a time.
const PAGE: u32 = 100;

/// Where events go.
pub trait Sink<K> {
    /// Takes one.
    fn take(&mut self, event: Event<K>);

    /// The watch failed, and is tried again.
    fn failed(&mut self);
}

/// What to watch of a kind: all of it, until selectors are added.
pub fn everything() -> watcher::Config {
    watcher::Config::default()
        .timeout(WATCH_SECONDS)
        .page_size(PAGE)
}

/// Follows a kind of object for as long as it is polled. Errors are retried with backoff; meanwhile
/// what was last seen stands.
pub async fn follow<K>(
    what: &'static str,
    api: Api<K>,
    config: watcher::Config,
    mut sink: impl Sink<K>,
) where
    K: Resource + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let mut events = std::pin::pin!(watcher(api, config));
    let mut backoff = DefaultBackoff::default();
    let mut failing = false;
    loop {
        match events.try_next().await {
            Ok(Some(event)) => {
                if std::mem::take(&mut failing) {
                    tracing::info!("the {what} watch works again");
                    backoff.reset();
                }
                sink.take(event);
            }
            // The stream never ends by itself.
            Ok(None) => return,
            Err(error) => {
                sink.failed();
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(
                        error = %Chain(&error),
                        "the {what} watch failed; what was last seen stands, retrying"
                    );
                }
                let wait = backoff.next().unwrap_or(Duration::from_secs(30));
                tokio::time::sleep(wait).await;
            }
        }
    }
}
