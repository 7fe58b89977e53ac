//! Where the rules write: the patch that grows, what stands against it, what to warn of.

use super::pod::Place;
use super::reason::Reason;
use crate::json::Patch;
use std::fmt::{self, Display};

/// Where the pod stands in the object under review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root {
    /// JSON pointer to the pod, e.g. `/spec/template`.
    pub pointer: &'static str,
    /// The same as a field's prefix in messages, e.g. `spec.template.`.
    pub field: &'static str,
}

impl Root {
    /// The object is the pod.
    pub const POD: Self = Self {
        pointer: "",
        field: "",
    };
    /// The pod template of a Deployment, StatefulSet, DaemonSet, ReplicaSet or Job.
    pub const TEMPLATE: Self = Self {
        pointer: "/spec/template",
        field: "spec.template.",
    };
    /// The pod template of a CronJob.
    pub const CRON_TEMPLATE: Self = Self {
        pointer: "/spec/jobTemplate/spec/template",
        field: "spec.jobTemplate.spec.template.",
    };
}

/// One thing that stands against injection, for the person who typed the YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The rule.
    pub reason: Reason,
    /// The field's path.
    pub field: String,
    /// The value found there, if there is one to show.
    pub value: Option<String>,
    /// What was expected, and the way out.
    pub text: String,
    /// Whether the namespace's guard rails say so: `mode: warn` lets it pass with a warning.
    pub guard_rail: bool,
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.field)?;
        if let Some(value) = &self.value {
            write!(f, ": {:?}", Shortened(value))?;
        }
        write!(f, ": {}", self.text)
    }
}

/// A value in a message: at most so much that the message stays one.
struct Shortened<'a>(&'a str);

impl fmt::Debug for Shortened<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 120;
        f.write_str("\"")?;
        let mut chars = self.0.chars();
        for c in chars.by_ref().take(MOST) {
            // A backslash is a path's, and stays one; line ends would break the message.
            if c.is_control() {
                write!(f, "{}", c.escape_default())?;
            } else {
                write!(f, "{c}")?;
            }
        }
        f.write_str(if chars.next().is_some() {
            "…\""
        } else {
            "\""
        })
    }
}

/// A refusal: everything that stands against injection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl Refusal {
    /// A refusal for one reason.
    pub fn one(reason: Reason, field: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            problems: vec![Problem {
                reason,
                field: field.into(),
                value: None,
                text: text.into(),
                guard_rail: false,
            }],
        }
    }

    /// The first rule that refused.
    pub fn reason(&self) -> Reason {
        self.problems
            .first()
            .map_or(Reason::Internal, |problem| problem.reason)
    }

    /// Whether only what the namespace forbids stands against it; else it is invalid as such.
    pub fn is_forbidden(&self) -> bool {
        self.problems.iter().all(|problem| problem.guard_rail)
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [only] => only.fmt(f),
            several => {
                write!(f, "{} problems:", several.len())?;
                for problem in several.iter().take(MOST_SAID) {
                    write!(f, "\n  * {problem}")?;
                }
                match several.len().saturating_sub(MOST_SAID) {
                    0 => Ok(()),
                    more => write!(f, "\n  * and {more} more"),
                }
            }
        }
    }
}

/// Enough for a person to go on with; a pod's author must not make an answer long.
pub const MOST_SAID: usize = 20;

/// What the rules fill in.
#[derive(Debug)]
pub struct Sheet {
    /// Where the pod stands.
    pub root: Root,
    /// The operations so far.
    pub patch: Patch,
    /// What stands against injection.
    pub problems: Vec<Problem>,
    /// What the author should know.
    pub warnings: Vec<String>,
}

impl Sheet {
    /// An empty one.
    pub const fn new(root: Root) -> Self {
        Self {
            root,
            patch: Patch::new(),
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The path of a field in messages.
    pub fn field(&self, field: impl Display) -> String {
        format!("{}{field}", self.root.field)
    }

    /// The path of an annotation in messages.
    pub fn annotation(&self, key: &str) -> String {
        self.field(format_args!("metadata.annotations[{key}]"))
    }

    /// The path of a container's field in messages; empty `field` for the container itself.
    pub fn container_field(&self, place: Place, field: &str) -> String {
        let (array, index) = place.array();
        let dot = if field.is_empty() { "" } else { "." };
        format!("{}spec.{array}[{index}]{dot}{field}", self.root.field)
    }

    /// Notes a problem with a value.
    pub fn refuse(
        &mut self,
        reason: Reason,
        field: String,
        value: impl Into<Option<String>>,
        text: impl Into<String>,
    ) {
        self.problems.push(Problem {
            reason,
            field,
            value: value.into(),
            text: text.into(),
            guard_rail: false,
        });
    }

    /// Notes that the namespace's guard rails forbid a value.
    pub fn forbid(
        &mut self,
        reason: Reason,
        field: String,
        value: impl Into<Option<String>>,
        text: impl Into<String>,
    ) {
        self.refuse(reason, field, value, text);
        if let Some(problem) = self.problems.last_mut() {
            problem.guard_rail = true;
        }
    }

    /// Notes a warning about a field.
    pub fn warn(&mut self, field: &str, text: impl Display) {
        self.warnings.push(format!("{field}: {text}"));
    }

    /// `add` of a member of the pod. `value` is JSON text.
    pub fn add(&mut self, member: &str, value: &str) {
        self.patch.add(&[self.root.pointer, member], value);
    }

    /// `add` of a string.
    pub fn add_string(&mut self, member: &str, value: &str) {
        self.patch.add_string(&[self.root.pointer, member], value);
    }

    /// `remove` of a member of the pod.
    pub fn remove(&mut self, member: &str) {
        self.patch.remove(&[self.root.pointer, member]);
    }

    /// `add` of a member of a container. `value` is JSON text.
    pub fn add_in(&mut self, place: Place, member: &str, value: &str) {
        let mut buffer = itoa::Buffer::new();
        let path = place.path(self.root, &mut buffer, member);
        self.patch.add(&path, value);
    }

    /// `add` of a string.
    pub fn add_string_in(&mut self, place: Place, member: &str, value: &str) {
        let mut buffer = itoa::Buffer::new();
        let path = place.path(self.root, &mut buffer, member);
        self.patch.add_string(&path, value);
    }

    /// `remove` of a member of a container.
    pub fn remove_in(&mut self, place: Place, member: &str) {
        let mut buffer = itoa::Buffer::new();
        let path = place.path(self.root, &mut buffer, member);
        self.patch.remove(&path);
    }
}

impl Place {
    /// The pointer to a member of the container, in pieces.
    fn path<'p>(self, root: Root, buffer: &'p mut itoa::Buffer, member: &'p str) -> [&'p str; 4] {
        let (array, index) = match self {
            Self::Init(index) => ("/spec/initContainers/", index),
            Self::Regular(index) => ("/spec/containers/", index),
        };
        [root.pointer, array, buffer.format(index), member]
    }
}

/// The field that a JSON pointer points at, as messages spell it.
pub(super) fn field_of_pointer(pointer: &str) -> String {
    let mut field = String::new();
    for segment in pointer.split('/').skip(1) {
        let segment = segment.replace("~1", "/").replace("~0", "~");
        if segment == "-" {
            continue; // the end of an array
        }
        if !segment.chars().all(|c| c.is_ascii_alphabetic()) {
            field.extend(["[", &segment, "]"]);
        } else if field.is_empty() {
            field = segment;
        } else {
            field.extend([".", &segment]);
        }
    }
    field
}

impl Place {
    /// The array's name and the index in it.
    pub const fn array(self) -> (&'static str, usize) {
        match self {
            Self::Init(index) => ("initContainers", index),
            Self::Regular(index) => ("containers", index),
        }
    }
}
