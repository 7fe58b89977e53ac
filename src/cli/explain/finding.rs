//! What `explain` says: sentences, each of its weight.

use serde::Serialize;
use serde_json::{Value, json};

use crate::closed_set::closed_set;
use crate::names::cli;

closed_set! {
    /// How much a sentence weighs.
    Severity {
        /// As it should be.
        Ok = "ok",
        /// Good to know.
        Info = "info",
        /// May be the reason.
        Warning = "warning",
        /// Holds the pod up.
        Error = "error",
    }
}

/// What a sentence is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Topic {
    /// The label that makes a pod a workload.
    Label,
    /// The namespace, its policy and its Pod Security level.
    Namespace,
    /// What admission did or would do.
    Injection,
    /// Program, account, probes: what injection made of a container.
    Container,
    /// The node.
    Placement,
    /// The anchor and its IP.
    Anchor,
    /// Readiness, on the anchor's IP.
    Readiness,
    /// An Event.
    Event,
    /// The pair's end.
    End,
    /// The pods of a Deployment or the like.
    Pods,
    /// What is published of an external Service.
    Endpoints,
}

/// One sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) about: Topic,
    pub(super) text: String,
    /// What to do about it.
    pub(super) next: Option<String>,
}

/// All sentences about one object.
#[derive(Debug, Default)]
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    fn say(&mut self, severity: Severity, about: Topic, text: impl Into<String>) -> &mut Finding {
        let finding = Finding {
            severity,
            about,
            text: text.into(),
            next: None,
        };
        self.0.push(finding);
        // It was pushed a line above.
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    pub(super) fn ok(&mut self, about: Topic, text: impl Into<String>) {
        self.say(Severity::Ok, about, text);
    }

    pub(super) fn info(&mut self, about: Topic, text: impl Into<String>) {
        self.say(Severity::Info, about, text);
    }

    pub(super) fn warning(
        &mut self,
        about: Topic,
        text: impl Into<String>,
        next: impl Into<String>,
    ) {
        self.say(Severity::Warning, about, text).next = Some(next.into());
    }

    pub(super) fn error(&mut self, about: Topic, text: impl Into<String>, next: impl Into<String>) {
        self.say(Severity::Error, about, text).next = Some(next.into());
    }
}

/// The whole answer.
#[derive(Debug)]
pub(super) struct Explanation {
    /// As Kubernetes spells it.
    pub(super) kind: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
    /// Where a pod's pair stands, and for how long.
    pub(super) state: Option<(&'static str, Option<String>)>,
    pub(super) findings: Vec<Finding>,
}

impl Explanation {
    /// For a person.
    pub(super) fn to_text(&self, colour: bool) -> String {
        let (kind, namespace, name) = (self.kind, &self.namespace, &self.name);
        let mut out = format!("{kind} {namespace}/{name}");
        match &self.state {
            None => out.push_str(":\n"),
            Some((state, None)) => out.extend([": ", state, ".\n"]),
            Some((state, Some(age))) => out.extend([": ", state, " for ", age, ".\n"]),
        }
        let words = Severity::ALL.iter().map(|severity| severity.as_str().len());
        let margin = words.max().unwrap_or_default() + 2;
        for finding in &self.findings {
            let word = finding.severity.as_str();
            let pad = " ".repeat(margin - word.len());
            let (on, off) = match (colour, finding.severity) {
                (false, _) | (_, Severity::Info) => ("", ""),
                (_, Severity::Ok) => ("\x1b[32m", "\x1b[0m"),
                (_, Severity::Warning) => ("\x1b[33m", "\x1b[0m"),
                (_, Severity::Error) => ("\x1b[31m", "\x1b[0m"),
            };
            let text = crate::cli::status::print::clean(&finding.text);
            out.extend(["\n", on, word, off, &pad, &text, "\n"]);
            if let Some(next) = &finding.next {
                let next = crate::cli::status::print::clean(next);
                out.extend([" ".repeat(margin).as_str(), "-> ", &next, "\n"]);
            }
        }
        out
    }

    /// For a program.
    pub(super) fn to_document(&self) -> Value {
        let findings: Vec<_> = self
            .findings
            .iter()
            .map(|finding| {
                json!({
                    "severity": finding.severity.as_str(),
                    "about": finding.about,
                    "text": finding.text,
                    "next": finding.next,
                })
            })
            .collect();
        json!({
            "apiVersion": cli::API_VERSION,
            "kind": "Explanation",
            "of": { "kind": self.kind, "namespace": self.namespace, "name": self.name },
            "state": self.state.as_ref().map(|(state, _)| state),
            "findings": findings,
        })
    }
}
