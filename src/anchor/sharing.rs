//! What the index does to views before it keeps them: texts that many of them have are kept once, and
//! a change that no rule looks at is none.

use std::collections::HashSet;
use std::sync::Arc;

use super::queue::Key;
use super::view::{Anchor, Condition, Hp, Identity, Published};

/// How many texts are kept before those are dropped that nobody has any more.
const FEW: usize = 256;

/// Texts that were seen, each once.
#[derive(Debug, Default)]
pub struct Names {
    known: HashSet<Arc<str>>,
    limit: usize,
}

impl Names {
    /// Puts the one copy of a text in its place.
    pub fn share(&mut self, text: &mut Arc<str>) {
        if let Some(known) = self.known.get(text) {
            *text = Arc::clone(known);
            return;
        }
        if self.known.len() >= self.limit.max(FEW) {
            self.known.retain(|text| Arc::strong_count(text) > 1);
            // Not again before there are twice as many.
            self.limit = self.known.len() * 2;
        }
        self.known.insert(Arc::clone(text));
    }

    fn share_all<'t>(&mut self, texts: impl IntoIterator<Item = &'t mut Arc<str>>) {
        for text in texts {
            self.share(text);
        }
    }

    fn share_condition(&mut self, condition: Option<&mut Condition>) {
        self.share_all(
            condition
                .into_iter()
                .flat_map(|c| [&mut c.reason, &mut c.message]),
        );
    }
}

impl Hp {
    /// Keeps once what others have too.
    pub fn share(&mut self, key: &Key, anchor: Option<&Anchor>, names: &mut Names) {
        self.id.uid = Arc::clone(key);
        if let (Published::Status(status), Some(anchor)) = (&mut self.published, anchor)
            && status.uid == anchor.id.uid
        {
            status.uid = Arc::clone(&anchor.id.uid);
        }
        names.share(&mut self.id.namespace);
        names.share_all(
            self.node
                .iter_mut()
                .chain(&mut self.workload)
                .chain(&mut self.controller),
        );
        names.share_condition(self.containers_ready.as_mut());
        names.share_condition(self.gate.as_mut());
    }
}

impl Anchor {
    /// Keeps once what others have too.
    pub fn share(&mut self, key: &Key, hp: Option<&Hp>, names: &mut Names) {
        self.owner_uid = Arc::clone(key);
        if let Some(hp) = hp.filter(|hp| hp.id.name == self.owner) {
            self.owner = Arc::clone(&hp.id.name);
        }
        names.share(&mut self.id.namespace);
        names.share_condition(self.ready.as_mut());
        names.share_condition(self.gate.as_mut());
    }
}

impl Identity {
    /// Whether the other one is an older version of the same object. Versions are numbers that grow
    /// (KEP-5504); one that is not is taken as it comes.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let number = |id: &Self| id.version.parse::<u64>().ok();
        self.uid == other.uid
            && matches!((number(self), number(other)), (Some(a), Some(b)) if a > b)
    }

    fn same_object(&self, other: &Self) -> bool {
        self.uid == other.uid && self.name == other.name && self.namespace == other.namespace
    }
}

impl Hp {
    /// Whether nothing differs that a rule looks at.
    pub fn looks_like(&self, other: &Self) -> bool {
        self.id.same_object(&other.id)
            && *self
                == Hp {
                    id: self.id.clone(),
                    ..other.clone()
                }
    }
}

impl Anchor {
    /// Whether nothing differs that a rule looks at.
    pub fn looks_like(&self, other: &Self) -> bool {
        self.id.same_object(&other.id)
            && *self
                == Anchor {
                    id: self.id.clone(),
                    ..other.clone()
                }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_kept_once_and_not_for_ever() {
        let mut names = Names::default();
        let (mut a, mut b): (Arc<str>, Arc<str>) = ("shop".into(), "shop".into());
        names.share(&mut a);
        names.share(&mut b);
        assert!(Arc::ptr_eq(&a, &b));
        for n in 0..10 * FEW {
            names.share(&mut n.to_string().into());
        }
        assert!(names.known.len() <= 2 * FEW, "{}", names.known.len());
        let mut c: Arc<str> = "shop".into();
        names.share(&mut c);
        assert!(Arc::ptr_eq(&a, &c), "who is used stays");
    }
}
