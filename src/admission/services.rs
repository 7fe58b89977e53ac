//! Services that carry the workload label: their selector is pointed at the anchors.
//!
//! A convenience for manifests that cannot change; others select by `native-host.io/anchor`.

use super::answer::Verdict;
use crate::json::{Cursor, Error, Patch};
use crate::names::label;
use crate::plan::is_workload_name;
use crate::plan::pod::StringMap;
use crate::plan::reason::{Outcome, Reason};
use crate::plan::sheet::Refusal;
use crate::policy::{Mode, Namespace};
use serde_json::json;

/// `/mutate` for a Service.
pub(super) fn review(raw: &str, namespace: &Namespace) -> Result<Verdict, Error> {
    let (mut labels, mut selector, mut external_name) = (None, None, false);
    let mut cursor = Cursor::new(raw);
    cursor.object(|key, value| match key {
        "metadata" => value.object(|key, value| match key {
            "labels" => {
                labels = StringMap::read(value)?;
                Ok(())
            }
            _ => value.skip(),
        }),
        "spec" => value.object(|key, value| match key {
            "selector" => {
                selector = StringMap::read(value)?;
                Ok(())
            }
            "type" => {
                external_name = value.string_or_null()?.as_deref() == Some("ExternalName");
                Ok(())
            }
            _ => value.skip(),
        }),
        _ => value.skip(),
    })?;
    let labels = labels.unwrap_or_default();
    let Some(workload) = labels.get(label::WORKLOAD) else {
        return Ok(Verdict::allow(Outcome::Skipped, Reason::NotLabelled));
    };
    let policy = match &namespace.policy {
        Ok(policy) => policy,
        Err(errors) => return Ok(Verdict::bad_namespace(errors)),
    };
    if policy.mode == Mode::Off {
        return Ok(Verdict::allow(Outcome::Skipped, Reason::ModeOff));
    }
    let field = format!("metadata.labels[{}]", label::WORKLOAD);
    if !is_workload_name(workload) {
        let text = format!("{workload:?}: expected the workload's name, e.g. \"albums\"");
        return Ok(Verdict::reject(&Refusal::one(
            Reason::Metadata,
            field,
            text,
        )));
    }
    if external_name {
        let warning = format!("{field}: an ExternalName Service has no endpoints; nothing to do");
        let verdict = Verdict::allow(Outcome::Skipped, Reason::NotHandled);
        return Ok(verdict.with_warnings(vec![warning]));
    }
    let pointed = |selector: &StringMap<'_>| {
        selector
            .iter()
            .eq(std::iter::once((label::ANCHOR, workload)))
    };
    if selector.as_ref().is_some_and(pointed) {
        return Ok(Verdict::allow(Outcome::Unchanged, Reason::None));
    }
    let mut patch = Patch::new();
    patch.add(
        &["/spec/selector"],
        &json!({ label::ANCHOR: workload }).to_string(),
    );
    Ok(Verdict::patch(patch))
}
