//! `--watch`: a line for every pair that changed, for as long as somebody reads.
//!
//! ```text
//!  pods' watch ----\
//!                   > Pods -> dirty pairs --(settled)--> rows -> those that say something new
//!  anchors' watch -/             ^
//!                                time alone
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::Client;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use tokio::time::{Instant, sleep_until};

use super::print::clean;
use super::read::{Pods, Wanted, owner};
use super::row::Row;
use super::seen::{AnchorSeen, HpSeen};
use crate::cli::connection::{AskError, api};
use crate::cluster::Chain;
use crate::cluster::follow::everything;
use crate::names::label;

/// How long a pair is left to settle: the two watches bring the two pods of one change one after the
/// other, and what is true in between is not worth a line.
const SETTLE: Duration = Duration::from_millis(100);

/// When to ask again what the API server did not say.
const AGAIN: SignedDuration = SignedDuration::from_secs(5);

/// An event of a watch, with what is kept of the pod.
type Seen<T> = Result<Event<T>, watcher::Error>;

/// Where changed rows go. False ends the watch.
pub(super) trait Sink {
    /// Takes one.
    fn take(
        &mut self,
        row: &Row,
        before: Option<&Row>,
        now: Timestamp,
    ) -> Result<bool, std::io::Error>;
}

/// Why a watch ended that nobody ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum LiveError {
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error(transparent)]
    Write(#[from] std::io::Error),
}

/// One of the two watches.
#[derive(Debug, Default)]
struct Feed {
    /// Keys that a list in progress has brought.
    listed: Option<HashSet<Arc<str>>>,
    /// Whether a list has been complete.
    synced: bool,
    failing: bool,
}

/// What a feed's event did.
enum Change<T> {
    Put(T),
    Gone(Arc<str>),
    /// A list is complete: what it did not bring is gone.
    Listed(HashSet<Arc<str>>),
    Nothing,
}

impl Feed {
    fn event<T>(
        &mut self,
        event: Seen<T>,
        key: impl Fn(&T) -> Arc<str>,
    ) -> Result<Change<T>, AskError> {
        let event = match event {
            Ok(event) => event,
            Err(error) => return self.failed(error).map(|()| Change::Nothing),
        };
        if std::mem::take(&mut self.failing) {
            eprintln!("The watch works again.");
        }
        Ok(match event {
            Event::Init => {
                self.listed = Some(HashSet::new());
                Change::Nothing
            }
            Event::InitApply(pod) => {
                self.listed.get_or_insert_default().insert(key(&pod));
                Change::Put(pod)
            }
            Event::InitDone => {
                self.synced = true;
                Change::Listed(self.listed.take().unwrap_or_default())
            }
            Event::Apply(pod) => Change::Put(pod),
            Event::Delete(pod) => Change::Gone(key(&pod)),
        })
    }

    /// Says it once. Missing rights are no outage: they end the watch.
    fn failed(&mut self, error: watcher::Error) -> Result<(), AskError> {
        let text = clean(&Chain(&error).to_string()).into_owned();
        if let watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) =
            error
        {
            let error = AskError::from(error);
            if error.is_about_rights() {
                return Err(error);
            }
        }
        if !std::mem::replace(&mut self.failing, true) {
            eprintln!("Warning: {text}; what was printed last stands, trying again");
        }
        Ok(())
    }
}

/// What is known, and what of it was said.
struct Live<'w> {
    client: Client,
    wanted: &'w Wanted,
    pods: Pods,
    shown: HashMap<Arc<str>, Row>,
    dirty: HashSet<Arc<str>>,
    /// When time alone changes a pair.
    due: HashMap<Arc<str>, Timestamp>,
}

/// Watches on from what was read and printed.
pub(super) async fn watch(
    client: &Client,
    wanted: &Wanted,
    pods: Pods,
    sink: &mut impl Sink,
) -> Result<(), LiveError> {
    let mut live = Live {
        client: client.clone(),
        wanted,
        shown: HashMap::new(),
        dirty: pods
            .hps
            .keys()
            .chain(pods.anchors.keys())
            .cloned()
            .collect(),
        due: HashMap::new(),
        pods,
    };
    for row in live.pods.rows(wanted, Timestamp::now()) {
        live.shown.insert(row.pod.uid.as_str().into(), row);
    }
    let mut hps = std::pin::pin!(feed(
        client,
        wanted,
        &wanted.hp_selector(label::WORKLOAD),
        HpSeen::of
    ));
    let mut anchors = std::pin::pin!(feed(
        client,
        wanted,
        &Wanted::anchor_selector(),
        AnchorSeen::of
    ));
    let (mut hp_feed, mut anchor_feed) = (Feed::default(), Feed::default());
    let mut settled: Option<Instant> = None;
    loop {
        let synced = hp_feed.synced && anchor_feed.synced;
        if synced && settled.is_none() && !live.dirty.is_empty() {
            settled = Some(Instant::now() + SETTLE);
        }
        let next = settled.unwrap_or_else(|| live.next_due());
        tokio::select! {
            Some(event) = hps.next() => {
                let change = hp_feed.event(event, |hp: &HpSeen| Arc::clone(&hp.view.id.uid))?;
                live.hp(change);
            }
            Some(event) = anchors.next() => {
                let change = anchor_feed.event(event, |a: &AnchorSeen| Arc::clone(&a.view.owner_uid))?;
                live.anchor(change);
            }
            () = sleep_until(next), if synced => {
                settled = None;
                live.overdue(Timestamp::now());
                if !live.say(sink).await? {
                    return Ok(());
                }
            }
        }
    }
}

/// A watch whose pods are cut down to what is kept.
fn feed<T: Send>(
    client: &Client,
    wanted: &Wanted,
    selector: &str,
    keep: fn(&Pod) -> Option<T>,
) -> impl Stream<Item = Seen<T>> + use<T> {
    let api = api::<Pod>(client, wanted.namespace.as_deref());
    let events = watcher(api, everything().labels(selector)).default_backoff();
    events.filter_map(move |event| {
        let kept = match event {
            Ok(Event::Init) => Some(Ok(Event::Init)),
            Ok(Event::InitDone) => Some(Ok(Event::InitDone)),
            Ok(Event::InitApply(pod)) => keep(&pod).map(|pod| Ok(Event::InitApply(pod))),
            Ok(Event::Apply(pod)) => keep(&pod).map(|pod| Ok(Event::Apply(pod))),
            Ok(Event::Delete(pod)) => keep(&pod).map(|pod| Ok(Event::Delete(pod))),
            Err(error) => Some(Err(error)),
        };
        std::future::ready(kept)
    })
}

impl Live<'_> {
    fn hp(&mut self, change: Change<HpSeen>) {
        match change {
            Change::Put(hp) => {
                self.dirty.insert(Arc::clone(&hp.view.id.uid));
                self.pods.hp(hp);
            }
            Change::Gone(uid) => {
                self.pods.hps.remove(&uid);
                self.dirty.insert(uid);
            }
            Change::Listed(listed) => {
                let gone = self.pods.hps.extract_if(|uid, _| !listed.contains(uid));
                self.dirty.extend(gone.map(|(uid, _)| uid));
            }
            Change::Nothing => {}
        }
    }

    fn anchor(&mut self, change: Change<AnchorSeen>) {
        match change {
            Change::Put(anchor) => {
                self.dirty.insert(Arc::clone(&anchor.view.owner_uid));
                self.pods.anchor(anchor);
            }
            Change::Gone(uid) => {
                self.pods.anchors.remove(&uid);
                self.dirty.insert(uid);
            }
            Change::Listed(listed) => {
                let gone = self.pods.anchors.extract_if(|uid, _| !listed.contains(uid));
                self.dirty.extend(gone.map(|(uid, _)| uid));
            }
            Change::Nothing => {}
        }
    }

    fn next_due(&self) -> Instant {
        let wait = self
            .due
            .values()
            .min()
            .and_then(|due| Duration::try_from(due.duration_since(Timestamp::now())).ok());
        match (wait, self.due.is_empty()) {
            (Some(wait), _) => Instant::now() + wait,
            // It is past.
            (None, false) => Instant::now(),
            (None, true) => Instant::now() + Duration::from_secs(3600),
        }
    }

    fn overdue(&mut self, now: Timestamp) {
        let due = self.due.extract_if(|_, due| *due <= now);
        self.dirty.extend(due.map(|(uid, _)| uid));
    }

    /// Says what is new of the pairs that changed.
    async fn say(&mut self, sink: &mut impl Sink) -> Result<bool, LiveError> {
        let mut changed = Vec::new();
        let now = Timestamp::now();
        for uid in std::mem::take(&mut self.dirty) {
            self.due.remove(&uid);
            if self.confirm(&uid).await.is_err() {
                // What was said last stands until the API server says otherwise.
                self.due.insert(uid, now + AGAIN);
                continue;
            }
            let (hp, anchor) = self.pods.pair(&uid);
            if hp.is_none() && !self.wanted.orphans() {
                let gone = self.forget(&uid).await;
                changed.extend(gone.map(|row| (row.gone("the pod is gone", now), Some(row))));
                continue;
            }
            let Some((row, again)) = Row::of(hp, anchor, &self.wanted.rules, now) else {
                let gone = self.shown.remove(&uid);
                changed.extend(gone.map(|row| (row.gone("both pods are gone", now), Some(row))));
                continue;
            };
            let name = self.wanted.name.as_deref();
            if name.is_some_and(|name| !row.answers_to(name)) {
                continue;
            }
            if let Some(again) = again.and_then(|again| SignedDuration::try_from(again).ok()) {
                self.due.insert(Arc::clone(&uid), now + again);
            }
            let before = self.shown.insert(uid, row.clone());
            if before.as_ref() != Some(&row) {
                changed.push((row, before));
            }
        }
        changed.sort_by_cached_key(|(row, _)| row.order());
        for (row, before) in &changed {
            if !sink.take(row, before.as_ref(), now)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// An anchor's HP pod that the watch does not show may only have lost its label.
    async fn confirm(&mut self, uid: &Arc<str>) -> Result<(), AskError> {
        let (hp, anchor) = self.pods.pair(uid);
        let seen = hp.is_some_and(|hp| hp.view.workload.is_some());
        let Some(anchor) = anchor.filter(|_| !seen && self.wanted.orphans()) else {
            return Ok(());
        };
        let id = (
            Arc::clone(&anchor.view.id.namespace),
            Arc::clone(&anchor.view.owner),
        );
        match owner(&self.client, id.0, id.1, Arc::clone(uid)).await? {
            Some(hp) => self.pods.hp(hp),
            None => drop(self.pods.hps.remove(uid)),
        }
        Ok(())
    }

    /// Takes a pair out whose HP pod the selector does not show any more; gives its last row if that is
    /// since the pod is gone, and not only its labels.
    async fn forget(&mut self, uid: &Arc<str>) -> Option<Row> {
        let row = self.shown.remove(uid)?;
        let id = (row.namespace.as_str(), row.pod.name.as_str());
        let found = owner(&self.client, id.0.into(), id.1.into(), Arc::clone(uid)).await;
        matches!(found, Ok(None)).then_some(row)
    }
}
