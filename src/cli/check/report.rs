//! What `check` says: one line a check, in sections, for a person or for a program.

use serde_json::{Value, json};

use crate::cli::status::print::clean;
use crate::closed_set::closed_set;
use crate::names::cli;

closed_set! {
    /// How a check ended.
    Mark {
        /// As it should be.
        Ok = "ok",
        /// Worth a look, or not to be told.
        Warning = "warning",
        /// Something does not work.
        Failed = "failed",
    }
}

impl Mark {
    /// As `linkerd check` prints them.
    const fn sign(self) -> &'static str {
        match self {
            Self::Ok => "√",
            Self::Warning => "‼",
            Self::Failed => "×",
        }
    }

    const fn colour(self) -> &'static str {
        match self {
            Self::Ok => "\x1b[32m",
            Self::Warning => "\x1b[33m",
            Self::Failed => "\x1b[31m",
        }
    }
}

/// Every check, its section and what it claims. The names are those of the documents, and of the
/// headings of docs/check.md.
macro_rules! catalogue {
    ($($variant:ident = $id:literal in $section:literal: $claim:literal,)*) => {
        closed_set! {
            /// The checks.
            Check { $(#[doc = $claim] $variant = $id,)* }
        }

        impl Check {
            /// The heading that it stands under.
            pub(super) const fn section(self) -> &'static str {
                match self { $(Self::$variant => $section,)* }
            }

            /// What holds if it is as it should be.
            pub(super) const fn claim(self) -> &'static str {
                match self { $(Self::$variant => $claim,)* }
            }
        }
    };
}

catalogue! {
    Reachable = "api-reachable" in "kubernetes-api": "the Kubernetes API can be reached",
    Identity = "api-identity" in "kubernetes-api": "it knows who asks",
    Version = "api-version" in "kubernetes-api": "it is version 1.30 or newer",
    AdmissionPolicies = "admission-policies-served" in "kubernetes-features": "ValidatingAdmissionPolicy v1 is served",
    CertManager = "cert-manager-served" in "cert-manager": "cert-manager is installed, where it is needed",
    Certificates = "certificates-ready" in "cert-manager": "the Certificates are ready and renewed in time",
    MayInstall = "may-install" in "pre-install": "you may create what is installed",
    MayGrant = "may-grant" in "pre-install": "you may grant the rights that are needed",
    Deployment = "deployment-available" in "webhook": "the Deployment is available",
    Endpoints = "service-endpoints" in "webhook": "its Service has ready endpoints",
    Configurations = "webhook-configurations" in "webhook": "the webhook configurations are those of this version",
    CaBundle = "ca-bundle" in "webhook": "the webhook configurations say whom to trust",
    Certificate = "serving-certificate" in "webhook": "the serving certificate is valid, trusted and for the right name",
    Injected = "webhook-reached" in "webhook": "a labelled pod comes back injected (dry run)",
    Rights = "rbac-complete" in "rbac": "the program has the rights that it needs",
    Policies = "policies-in-force" in "admission-policies": "the guard rails are in force",
    NodesPresent = "nodes-present" in "windows-nodes": "there are Windows nodes",
    NodesReady = "nodes-ready" in "windows-nodes": "they are ready",
    NodesRuntime = "nodes-containerd" in "windows-nodes": "their containerd is 1.7.19 or newer",
    NodesBuild = "nodes-build" in "windows-nodes": "they are Windows Server 2022 or newer",
    NodesLabels = "nodes-labels" in "windows-nodes": "they have the labels that placement goes by",
    Leader = "controller-leads" in "controller": "one instance leads, and renews its Lease",
    PolicyValid = "policies-valid" in "namespaces": "the namespaces' policies are valid",
    PodSecurity = "pod-security" in "namespaces": "Pod Security lets HostProcess pods pass",
    PodsInjected = "pods-injected" in "data-plane": "all labelled pods were injected",
    AnchorsOwned = "anchors-owned" in "data-plane": "all anchors belong to a pod",
    AnchorsSelected = "anchors-selected" in "data-plane": "nothing misses the anchors",
    PairsReady = "pairs-ready" in "data-plane": "all pairs are ready",
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) check: Check,
    pub(super) mark: Mark,
    /// What was found; of what is as it should be at most a word.
    pub(super) found: Vec<String>,
    /// The way out.
    pub(super) hint: Option<String>,
}

impl Line {
    pub(super) fn ok(check: Check, found: impl Into<String>) -> Self {
        let found = Some(found.into()).filter(|found| !found.is_empty());
        Line {
            check,
            mark: Mark::Ok,
            found: found.into_iter().collect(),
            hint: None,
        }
    }

    pub(super) fn warning(check: Check, found: Vec<String>, hint: impl Into<String>) -> Self {
        Line {
            check,
            mark: Mark::Warning,
            found,
            hint: Some(hint.into()),
        }
    }

    pub(super) fn failed(check: Check, found: Vec<String>, hint: impl Into<String>) -> Self {
        Line {
            mark: Mark::Failed,
            ..Self::warning(check, found, hint)
        }
    }

    /// With what was found wrong: failed, if anything was; else it is fine, with a word.
    pub(super) fn unless(
        check: Check,
        wrong: Vec<String>,
        hint: &str,
        fine: impl Into<String>,
    ) -> Self {
        if wrong.is_empty() {
            Self::ok(check, fine)
        } else {
            Self::failed(check, wrong, hint)
        }
    }

    /// The same, but only a warning.
    pub(super) fn but_for(
        check: Check,
        odd: Vec<String>,
        hint: &str,
        fine: impl Into<String>,
    ) -> Self {
        if odd.is_empty() {
            Self::ok(check, fine)
        } else {
            Self::warning(check, odd, hint)
        }
    }
}

/// Everything that was said, in the order of the sections.
#[derive(Debug, Default)]
pub(super) struct Report(pub(super) Vec<Line>);

/// A list that is longer is cut, for a person.
const MOST: usize = 10;

impl Report {
    /// The worst of all marks.
    pub(super) fn result(&self) -> Mark {
        let is = |mark: &&Mark| self.0.iter().any(|line| line.mark == **mark);
        Mark::ALL.iter().rev().find(is).copied().unwrap_or(Mark::Ok)
    }

    /// For a person, in the manner of `linkerd check`.
    pub(super) fn to_text(&self, colour: bool) -> String {
        let sign = |mark: Mark| {
            if colour {
                format!("{}{}\x1b[0m", mark.colour(), mark.sign())
            } else {
                mark.sign().to_owned()
            }
        };
        let mut out = String::new();
        let mut section = "";
        for line in &self.0 {
            if line.check.section() != section {
                let gap = if section.is_empty() { "" } else { "\n" };
                section = line.check.section();
                out.extend([gap, section, "\n", &"-".repeat(section.len()), "\n"]);
            }
            out.extend([&sign(line.mark), " ", line.check.claim()]);
            if line.mark == Mark::Ok {
                for found in &line.found {
                    out.extend([" (", &clean(found), ")"]);
                }
                out.push('\n');
                continue;
            }
            out.push('\n');
            for found in line.found.iter().take(MOST) {
                out.extend(["    ", &clean(found), "\n"]);
            }
            if let Some(more) = line.found.len().checked_sub(MOST).filter(|more| *more > 0) {
                let more = more.to_string();
                out.extend(["    and ", &more, " more; -o json has all\n"]);
            }
            if let Some(hint) = &line.hint {
                out.extend(["    -> ", &clean(hint), "\n"]);
            }
            out.extend(["    see docs/check.md#", line.check.as_str(), "\n"]);
        }
        let warnings = self.0.iter().filter(|line| line.mark == Mark::Warning);
        let result = self.result();
        let (overall, with) = match (result, warnings.count()) {
            (Mark::Failed, _) => (Mark::Failed, String::new()),
            (_, 0) => (Mark::Ok, String::new()),
            (_, 1) => (Mark::Ok, ", with 1 warning".to_owned()),
            (_, more) => (Mark::Ok, format!(", with {more} warnings")),
        };
        out.extend(["\nStatus check results are ", &sign(overall), &with]);
        out.push('\n');
        out
    }

    /// For a program.
    pub(super) fn to_document(&self) -> Value {
        let checks: Vec<_> = self
            .0
            .iter()
            .map(|line| {
                json!({
                    "section": line.check.section(),
                    "check": line.check.as_str(),
                    "claim": line.check.claim(),
                    "result": line.mark.as_str(),
                    "found": line.found,
                    "hint": line.hint,
                })
            })
            .collect();
        json!({
            "apiVersion": cli::API_VERSION,
            "kind": "CheckReport",
            "result": self.result().as_str(),
            "checks": checks,
        })
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
