//! Going down: the preStop hook, and the grace period that it needs.
//!
//! The kubelet's stop reaches only the `cmd.exe` in front of a HostProcess container, and five
//! seconds later hcsshim ends the job whatever the grace period says (`waitBackground`,
//! internal/jobcontainers/jobcontainer.go). So the draining and the proper stop happen before
//! it, in preStop.

use super::asked::{Asked, PreStop};
use super::container::Container;
use super::pod::Pod;
use super::sheet::Sheet;
use super::wrap::Wrapping;
use crate::policy::Policy;

/// How much earlier than the kubelet the stop gives up, in seconds.
const MARGIN: i64 = 2;

/// The pod's stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    /// For how long a program may take to stop once it is told to, in seconds.
    grace: u32,
    /// The pod's grace period, as it should be.
    period: i64,
    /// A grace period of zero means "kill at once": the kubelet runs no hooks then.
    kills: bool,
}

impl Stop {
    /// From the pod as it is, `marked` if it was injected before.
    pub(super) fn new(
        pod: &Pod<'_>,
        asked: &[Asked<'_>],
        marked: bool,
        wrapping: &Wrapping<'_>,
        policy: &Policy,
    ) -> Self {
        let present = pod.spec.effective_grace();
        if present == 0 {
            return Self {
                grace: 0,
                period: 0,
                kills: true,
            };
        }
        let hooked = |asked: &Asked<'_>| asked.pre_stop == PreStop::Ours && !asked.one_shot;
        let drains = asked.iter().any(hooked) && wrapping.has_stop_hook();
        let drain = if drains {
            i64::from(policy.drain_seconds)
        } else {
            0
        };
        let kept = asked
            .iter()
            .find_map(|asked| asked.kept.as_ref()?.grace)
            .filter(|_| marked);
        if let Some(grace) = kept {
            // Who gave the pod more time since, took none from us.
            let needed = drain + i64::from(grace);
            let period = if present > needed {
                present
            } else {
                needed + MARGIN
            };
            return Self {
                grace,
                period,
                kills: false,
            };
        }
        let given = if marked {
            (present - drain).max(1)
        } else {
            present
        };
        Self {
            grace: u32::try_from((given - MARGIN).max(0)).unwrap_or(u32::MAX),
            period: given.saturating_add(drain),
            kills: false,
        }
    }

    /// For how long a program may take to stop once it is told to, in seconds.
    pub(super) const fn grace(self) -> u32 {
        self.grace
    }

    /// Writes the pod's grace period.
    pub(super) fn write(self, pod: &Pod<'_>, sheet: &mut Sheet) {
        if self.kills {
            let field = sheet.field("spec.terminationGracePeriodSeconds");
            sheet.warn(
                &field,
                "0 kills the program at once: it neither drains nor stops by itself",
            );
        }
        if self.period != pod.spec.effective_grace() {
            let period = self.period.to_string();
            sheet.add("/spec/terminationGracePeriodSeconds", &period);
        }
    }

    /// Writes a container's preStop hook.
    pub(super) fn write_hook(
        self,
        container: &Container<'_>,
        asked: &Asked<'_>,
        wrapping: &Wrapping<'_>,
        sheet: &mut Sheet,
    ) {
        let present = container.pre_stop();
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
        if asked.one_shot || self.kills {
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
