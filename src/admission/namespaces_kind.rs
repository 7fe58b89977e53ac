//! Namespaces under review: a bad policy is warned of where it is written.

use super::answer::Verdict;
use crate::json::{Cursor, Error};
use crate::plan::pod::StringMap;
use crate::plan::reason::{Outcome, Reason};
use crate::policy::{Namespace, Policy, PolicyErrors};

/// `/validate` for a Namespace. It is never refused: that could keep a cluster's
/// administrator from repairing it.
pub(super) fn review(raw: &str, defaults: &Policy) -> Result<Verdict, Error> {
    let (mut labels, mut annotations) = (None, None);
    Cursor::new(raw).object(|key, value| match key {
        "metadata" => value.object(|key, value| {
            match key {
                "labels" => labels = StringMap::read(value)?,
                "annotations" => annotations = StringMap::read(value)?,
                _ => value.skip()?,
            }
            Ok(())
        }),
        _ => value.skip(),
    })?;
    let (labels, annotations) = (labels.unwrap_or_default(), annotations.unwrap_or_default());
    let namespace = Namespace::read(defaults, labels.iter(), annotations.iter());
    Ok(match namespace.policy {
        Ok(_) => Verdict::allow(Outcome::Allowed, Reason::None),
        Err(errors) => Verdict::allow(Outcome::Allowed, Reason::NamespacePolicy)
            .with_warnings(warnings(&errors)),
    })
}

/// What is said of a bad policy where it is written.
pub(super) fn warnings(errors: &PolicyErrors) -> Vec<String> {
    errors
        .iter()
        .map(|error| format!("{error}; until then native-host workloads here are refused"))
        .collect()
}
