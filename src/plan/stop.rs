//! Going down: the preStop hook, and the grace period that it needs.
//!
//! The kubelet's stop reaches only the `cmd.exe` in front of a HostProcess container, and five
//! seconds later hcsshim ends the job whatever the grace period says (`waitBackground`,
//! internal/jobcontainers/jobcontainer.go). So the draining and the proper stop happen before
//! it, in preStop.

use super::asked::{Asked, PreStop};
use super::container::Container;
use super::pod::PodSpec;
use super::sheet::Sheet;
use super::wrap::Wrapping;
use crate::policy::Policy;

/// How much earlier than the kubelet the stop gives up, in seconds.
const MARGIN: i64 = 2;

/// The pod's stop: its grace periods before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    /// What the author gave, or the default, in seconds.
    asked: i64,
    /// With the drain on top.
    raised: i64,
}

impl Stop {
    /// From the pod as it is, `marked` if it was injected before.
    pub(super) fn new(
        spec: &PodSpec<'_>,
        asked: &[Asked<'_>],
        marked: bool,
        wrapping: &Wrapping<'_>,
        policy: &Policy,
    ) -> Self {
        let drain = i64::from(policy.drain_seconds);
        let present = spec.effective_grace();
        let ours =
            asked.iter().any(|asked| asked.pre_stop == PreStop::Ours) && wrapping.has_stop_hook();
        // Zero means "kill at once": the kubelet runs no hooks then.
        let asked = if marked && ours && present > 0 {
            present - drain
        } else {
            present
        };
        let raised = if ours && asked > 0 {
            asked + drain
        } else {
            asked
        };
        Self { asked, raised }
    }

    /// For how long a program may take to stop once it is told to, in seconds.
    pub(super) fn grace(self) -> u32 {
        u32::try_from(self.asked - MARGIN).unwrap_or(0)
    }

    /// Writes the pod's grace period.
    pub(super) fn write(self, spec: &PodSpec<'_>, sheet: &mut Sheet) {
        if self.asked == 0 {
            let field = sheet.field("spec.terminationGracePeriodSeconds");
            sheet.warn(
                &field,
                "0 kills the program at once: it neither drains nor stops by itself",
            );
        }
        if self.raised != spec.effective_grace() {
            sheet.add(
                "/spec/terminationGracePeriodSeconds",
                &self.raised.to_string(),
            );
        }
    }

    /// Writes a container's preStop hook.
    pub(super) fn write_hook(
        self,
        container: &Container<'_>,
        asked: &Asked<'_>,
        one_shot: bool,
        wrapping: &Wrapping<'_>,
        sheet: &mut Sheet,
    ) {
        let present = container
            .lifecycle
            .as_ref()
            .and_then(|l| l.pre_stop.as_ref());
        if asked.pre_stop == PreStop::Own {
            let field = sheet.container_field(asked.place, "lifecycle.preStop");
            sheet.warn(
                &field,
                "kept, so the program is neither drained nor stopped by native-host; five seconds \
                 after this hook Windows ends it",
            );
            return;
        }
        // An init container that runs to its end has no lifecycle.
        if one_shot || self.asked == 0 {
            return;
        }
        let Some(wanted) = wrapping.stop_hook(&container.name, self.grace()) else {
            return;
        };
        if present.is_some_and(|present| wanted.is(present)) {
            return;
        }
        let wanted = wanted.to_json();
        if container.lifecycle.is_some() {
            sheet.add_in(asked.place, "/lifecycle/preStop", &wanted);
        } else {
            let lifecycle = format!(r#"{{"preStop":{wanted}}}"#);
            sheet.add_in(asked.place, "/lifecycle", &lifecycle);
        }
    }
}
