//! What was said already: once for each object and each generation of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Kind;
use crate::anchor::view::Identity;

/// Of so many objects of a kind it is remembered, beside those that were just listed.
const REMEMBERED: usize = 4096;

/// What was said of one object.
#[derive(Debug)]
struct Said {
    namespace: Arc<str>,
    generation: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Memory {
    said: HashMap<Kind, HashMap<Arc<str>, Said>>,
    refused: HashSet<Kind>,
}

impl Memory {
    /// Whether an object was not spoken of at this generation; from now on it was.
    pub(super) fn is_news(&mut self, kind: Kind, id: &Identity, generation: u64) -> bool {
        let said = Said {
            namespace: Arc::clone(&id.namespace),
            generation,
        };
        let of_kind = self.said.entry(kind).or_default();
        let before = of_kind.insert(Arc::clone(&id.uid), said);
        before.is_none_or(|before| before.generation != generation)
    }

    /// Whether an object was spoken of.
    pub(super) fn knows(&self, kind: Kind, uid: &str) -> bool {
        let of_kind = self.said.get(&kind);
        of_kind.is_some_and(|said| said.contains_key(uid))
    }

    /// A kind was listed, in some namespaces: what was not found there is forgotten. What is in others
    /// stays, since a workload that is scaled to nothing comes back, unless that becomes too much.
    pub(super) fn listed(
        &mut self,
        kind: Kind,
        there: &HashSet<Arc<str>>,
        in_namespace: impl Fn(&str) -> bool,
    ) {
        self.refused.remove(&kind);
        let Some(said) = self.said.get_mut(&kind) else {
            return;
        };
        let full = said.len() > there.len() + REMEMBERED;
        said.retain(|uid, said| there.contains(uid) || (!full && !in_namespace(&said.namespace)));
    }

    /// Whether it is new that a kind may not be listed; from now on it is not.
    pub(super) fn is_first_refusal(&mut self, kind: Kind) -> bool {
        self.refused.insert(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(namespace: &str, uid: &str) -> Identity {
        Identity {
            namespace: namespace.into(),
            name: "albums".into(),
            uid: uid.into(),
            version: "1".into(),
        }
    }

    #[test]
    fn speaks_once_of_each_generation() {
        let mut memory = Memory::default();
        let one = id("shop", "1");
        assert!(memory.is_news(Kind::Service, &one, 7));
        assert!(!memory.is_news(Kind::Service, &one, 7));
        assert!(memory.is_news(Kind::Service, &one, 8));
        assert!(memory.is_news(Kind::Service, &id("shop", "2"), 8));
        assert!(memory.is_news(Kind::Server, &one, 8));
    }

    #[test]
    fn forgets_what_is_gone_and_not_what_was_not_looked_at() {
        let mut memory = Memory::default();
        memory.is_news(Kind::Service, &id("shop", "there"), 1);
        memory.is_news(Kind::Service, &id("shop", "gone"), 1);
        memory.is_news(Kind::Service, &id("idle", "elsewhere"), 1);
        memory.is_news(Kind::Server, &id("shop", "gone"), 1);
        let there = HashSet::from(["there".into()]);
        memory.listed(Kind::Service, &there, |namespace| namespace == "shop");
        assert!(memory.knows(Kind::Service, "there"));
        assert!(!memory.knows(Kind::Service, "gone"));
        assert!(memory.knows(Kind::Service, "elsewhere"));
        assert!(memory.knows(Kind::Server, "gone"), "another kind");
    }

    #[test]
    fn does_not_remember_without_bound() {
        let mut memory = Memory::default();
        for uid in 0..=REMEMBERED {
            memory.is_news(Kind::Service, &id("idle", &uid.to_string()), 1);
        }
        memory.listed(Kind::Service, &HashSet::new(), |_| false);
        assert!(!memory.knows(Kind::Service, "0"));
    }

    #[test]
    fn a_refusal_is_new_once_until_it_was_allowed() {
        let mut memory = Memory::default();
        assert!(memory.is_first_refusal(Kind::PodMonitor));
        assert!(!memory.is_first_refusal(Kind::PodMonitor));
        memory.listed(Kind::PodMonitor, &HashSet::new(), |_| true);
        assert!(memory.is_first_refusal(Kind::PodMonitor));
    }
}
