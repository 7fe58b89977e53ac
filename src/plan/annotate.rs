//! Annotations of the HP pod: the marker, the anchor to be, the mesh, the autoscaler.

use super::anchor_spec::AnchorSpec;
use super::metadata::MARKER;
use super::pod::Pod;
use super::reason::Reason;
use super::sheet::Sheet;
use crate::json::{Patch, quote_map};
use crate::names::{annotation, injected};
use std::borrow::Cow;

/// Writes them.
pub(super) fn write(
    pod: &Pod<'_>,
    anchor: &AnchorSpec,
    marked: bool,
    launcher_volume: bool,
    sheet: &mut Sheet,
) {
    let mut wanted: Vec<(&str, Cow<'_, str>)> = vec![(annotation::INJECTED, Cow::Borrowed(MARKER))];
    if !keeps_spec(pod, anchor, marked, sheet) {
        wanted.push((annotation::ANCHOR_SPEC, Cow::Owned(anchor.to_annotation())));
    }
    // A proxy in this pod would sit on the host's network; the anchor gets it.
    wanted.push((annotation::LINKERD_INJECT, Cow::Borrowed("disabled")));
    // Once injected it is anybody's: nothing but scaling down depends on it.
    if launcher_volume && !marked {
        wanted.push((annotation::SAFE_TO_EVICT_LOCAL_VOLUMES, evictable(pod)));
    }
    write_all(pod, wanted, sheet);
}

/// Writes those that the pod does not have, and strips the status of an anchor.
pub(super) fn write_all(pod: &Pod<'_>, mut wanted: Vec<(&str, Cow<'_, str>)>, sheet: &mut Sheet) {
    wanted.retain(|(key, value)| pod.annotation(key) != Some(value));
    let wanted = wanted.iter().map(|(key, value)| (*key, value.as_ref()));
    if pod.annotations.is_some() {
        for (key, value) in wanted {
            let pointer = format!("/metadata/annotations/{}", Patch::segment(key));
            sheet.add_string(&pointer, value);
        }
        if pod.annotation(annotation::ANCHOR_STATUS).is_some() {
            // On CREATE it is a copy of another pod's (a backup, `kubectl debug --copy-to`).
            let key = Patch::segment(annotation::ANCHOR_STATUS);
            sheet.remove(&format!("/metadata/annotations/{key}"));
        }
    } else {
        sheet.add("/metadata/annotations", &quote_map(wanted));
    }
}

/// Whether the pod has this anchor spec already; refuses another one.
fn keeps_spec(pod: &Pod<'_>, anchor: &AnchorSpec, marked: bool, sheet: &mut Sheet) -> bool {
    if !marked {
        return false;
    }
    let text = pod.annotation(annotation::ANCHOR_SPEC).unwrap_or_default();
    if AnchorSpec::parse(text).is_ok_and(|found| found == *anchor) {
        return true;
    }
    let field = sheet.annotation(annotation::ANCHOR_SPEC);
    sheet.refuse(
        Reason::Marker,
        field,
        text.to_owned(),
        format!(
            "the namespace's policy makes another anchor of this pod: {}; apply the original \
             manifest",
            anchor.to_annotation()
        ),
    );
    true
}

/// The autoscaler's list of local volumes that need not keep a node, with ours in it.
fn evictable(pod: &Pod<'_>) -> Cow<'static, str> {
    match pod.annotation(annotation::SAFE_TO_EVICT_LOCAL_VOLUMES) {
        None | Some("") => Cow::Borrowed(injected::LAUNCHER),
        Some(list)
            if list
                .split(',')
                .any(|name| name.trim() == injected::LAUNCHER) =>
        {
            Cow::Owned(list.to_owned())
        }
        Some(list) => Cow::Owned(format!("{list},{}", injected::LAUNCHER)),
    }
}
