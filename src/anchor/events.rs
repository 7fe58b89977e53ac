//! Events on HP pods: what a person would ask about, once, and never a flood.
//!
//! Each is written in the background, so that no pair waits for it. The same sentence about the same
//! pod is not said again for a while, and all together keep within a rate; what is beyond it is dropped
//! and counted. Conditions, metrics and logs say the same things and are not limited.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::leadership::SharedFence;
use super::limits::Bucket;
use super::metrics::{Metrics, Request};
use super::pair::{Note, Reason};
use super::view::Identity;
use crate::cluster::Chain;
use crate::names::REPORTER;

/// How long the same sentence is not said again.
const AGAIN: Duration = Duration::from_secs(600);
/// So many at once; then so many a second.
const BURST: u32 = 100;
const INTERVAL: Duration = Duration::from_millis(100);
/// How many may wait to be written.
const WAITING: usize = 128;
/// How much is remembered of what was said, and twice: when it is full, the older half is forgotten, and
/// may be said again.
const REMEMBERED: usize = 1024;
/// The longest note (`NoteLengthLimit`, pkg/apis/core/validation/events.go).
const NOTE_BYTES: usize = 1024;

/// What was said about whom, and when.
type Said = HashMap<(Arc<str>, Reason), (u64, Instant)>;

/// See the module.
#[derive(Debug)]
pub struct Events {
    /// The recent, and the older.
    said: Mutex<[Said; 2]>,
    bucket: Bucket,
    waiting: mpsc::Sender<(ObjectReference, Note)>,
    metrics: Arc<Metrics>,
}

impl Events {
    /// Starts the task that writes them; it ends with what this returns.
    pub fn start(
        client: Client,
        instance: String,
        fence: SharedFence,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (waiting, mut next) = mpsc::channel::<(ObjectReference, Note)>(WAITING);
        let reporter = Reporter {
            controller: REPORTER.to_owned(),
            instance: Some(instance),
        };
        let counters = Arc::clone(&metrics);
        tokio::spawn(async move {
            while let Some((regarding, note)) = next.recv().await {
                if !fence.is_open() {
                    continue;
                }
                // One for each: a recorder that remembers takes another sentence of the same reason for
                // a repetition, counts it up and leaves the old text (`EventKey` has no note). The
                // same sentence does not come here twice.
                let recorder = Recorder::new(client.clone(), reporter.clone());
                let answer = recorder.publish(&event(note), &regarding).await;
                counters.request(Request::Event, &answer);
                if let Err(error) = answer {
                    tracing::debug!(error = %Chain(&error), "cannot write an Event");
                }
            }
        });
        Events {
            said: Mutex::default(),
            bucket: Bucket::new(BURST, INTERVAL),
            waiting,
            metrics,
        }
    }

    /// Says something about a pod.
    pub fn say(&self, pod: &Identity, note: &Note) {
        self.tell("Pod", "v1", pod, note);
    }

    /// Says something about an object of any kind. Of one that is in no namespace, where that is empty,
    /// the Event is in `default`, as the API demands (pkg/apis/core/validation/events.go).
    pub fn tell(&self, kind: &str, api_version: &str, object: &Identity, note: &Note) {
        let mut hasher = DefaultHasher::new();
        note.text.hash(&mut hasher);
        let fingerprint = hasher.finish();
        let now = Instant::now();
        let key = (Arc::clone(&object.uid), note.reason);
        {
            let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
            let fresh = |(text, at): &(u64, Instant)| *text == fingerprint && now - *at < AGAIN;
            let [recent, older] = &mut *said;
            if [&*recent, &*older]
                .iter()
                .any(|said| said.get(&key).is_some_and(fresh))
            {
                return;
            }
            if recent.len() >= REMEMBERED {
                *older = std::mem::take(recent);
            }
            recent.insert(key, (fingerprint, now));
        }
        if note.warning {
            tracing::warn!(namespace = &*object.namespace, name = &*object.name, kind, reason = %note.reason, "{}", note.text);
        } else {
            tracing::debug!(namespace = &*object.namespace, name = &*object.name, kind, reason = %note.reason, "{}", note.text);
        }
        let regarding = ObjectReference {
            api_version: Some(api_version.to_owned()),
            kind: Some(kind.to_owned()),
            namespace: Some(object.namespace.to_string()).filter(|name| !name.is_empty()),
            name: Some(object.name.to_string()),
            uid: Some(object.uid.to_string()),
            ..ObjectReference::default()
        };
        if self.bucket.take().is_err() || self.waiting.try_send((regarding, note.clone())).is_err()
        {
            self.metrics.events_dropped.inc();
        }
    }
}

fn event(note: Note) -> Event {
    let mut text = note.text;
    if text.len() > NOTE_BYTES {
        let end = (0..=NOTE_BYTES - 3)
            .rev()
            .find(|end| text.is_char_boundary(*end));
        text.truncate(end.unwrap_or_default());
        text.push_str("...");
    }
    Event {
        type_: if note.warning {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: note.reason.as_str().to_owned(),
        note: Some(text),
        // What was being done: keeping the pair whole.
        action: "Reconcile".to_owned(),
        secondary: None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_between_characters() {
        let note = Note::warning(Reason::Lost, "ä".repeat(2000));
        let text = event(note).note.unwrap();
        assert!(
            text.len() <= NOTE_BYTES && text.ends_with("ä..."),
            "{}",
            text.len()
        );
    }
}
