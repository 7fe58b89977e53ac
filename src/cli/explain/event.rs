//! Events: the newest that matter, as sentences.

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;

use crate::cli::status::age::age;

/// How many Events of a kind are told.
const MOST_EVENTS: usize = 3;

/// When an Event was last seen; which of its fields says so depends on who wrote it.
fn seen(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref());
    let series = series.map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    let created = event
        .metadata
        .creation_timestamp
        .as_ref()
        .map(|time| time.0);
    series.or(last).or(first).or(created)
}

/// The newest of them, newest first.
pub(super) fn latest<'e>(
    events: Result<&'e Vec<Event>, &String>,
    wanted: impl Fn(&Event) -> bool,
) -> Vec<&'e Event> {
    let mut events: Vec<_> = events
        .into_iter()
        .flatten()
        .filter(|event| wanted(event))
        .collect();
    events.sort_by_key(|event| std::cmp::Reverse(seen(event)));
    events.truncate(MOST_EVENTS);
    events
}

/// An Event as a sentence.
pub(super) fn sentence(of: &str, event: &Event, now: Timestamp) -> String {
    let when = seen(event).map_or(String::new(), |seen| format!(", {} ago", age(seen, now)));
    let often = match event.count {
        Some(count) if count > 1 => format!(" ({count} times)"),
        _ => String::new(),
    };
    format!(
        "Event of the {of}{when}{often}: {}: {}",
        event.reason.as_deref().unwrap_or_default(),
        event.message.as_deref().unwrap_or_default().trim()
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::cli::status::fixtures::{at, yaml};

    fn event(name: &str, times: &str) -> Event {
        let text = format!(
            "{{metadata: {{name: {name}, creationTimestamp: '2026-11-21T10:00:00Z'}}, involvedObject: {{}}, \
             reason: Failed, message: \" said \\n\", {times}}}"
        );
        serde_json::from_value(yaml(&text)).unwrap()
    }

    #[test]
    fn the_newest_come_first_whichever_field_says_when() {
        let events = vec![
            event("created", ""),
            event(
                "series",
                "series: {count: 9, lastObservedTime: '2026-11-21T10:04:00.000000Z'}",
            ),
            event("last", "lastTimestamp: '2026-11-21T10:03:00Z'"),
            event("first", "eventTime: '2026-11-21T10:02:00.000000Z'"),
        ];
        let names = |wanted: &dyn Fn(&Event) -> bool| -> Vec<_> {
            let latest = latest(Ok(&events), wanted);
            latest
                .iter()
                .map(|e| e.metadata.name.clone().unwrap())
                .collect()
        };
        assert_eq!(names(&|_| true), ["series", "last", "first"]);
        let unlike = |event: &Event| event.metadata.name.as_deref() != Some("last");
        assert_eq!(names(&unlike), ["series", "first", "created"]);
        assert!(latest(Err(&"no rights".to_owned()), |_| true).is_empty());
    }

    #[test]
    fn an_event_is_a_sentence() {
        let often = event("a", "count: 4, lastTimestamp: '2026-11-21T10:03:00Z'");
        let text = sentence("anchor", &often, at("10:05:00"));
        assert_eq!(text, "Event of the anchor, 2m ago (4 times): Failed: said");
    }
}
