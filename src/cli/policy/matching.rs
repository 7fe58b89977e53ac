//! Which requests a route matches, so that no rule takes away what another one allows.
//!
//! Linkerd authorizes a request by the *one* route that matches it best, and by nothing else. Two rules
//! `GET /x/* from a` and `GET /x/y from b`, written down as two routes, lock `a` out of `/x/y`; and a route
//! for anything at all takes the kubelet's probes away. So what is written is closed under intersection, and
//! every route of it allows whom any rule that covers it allows.
//!
//! The best match is that with the longest path, then one with a method; how a path was meant, exactly or as
//! a prefix, does not count (linkerd2-proxy `linkerd/http/route/src/http/match.rs` and `match/path.rs`: an
//! exact path and a prefix of the same length are equal, and the older route wins). Where that would
//! leave it to chance who may, [`close`] says so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::allow::Client;

/// A path, as an HTTPRoute can match it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Path {
    /// That path.
    Exact(String),
    /// It and all below, in whole segments; without a slash at the end, but for the root.
    Below(String),
}

impl Path {
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) => a == b,
            (Self::Exact(_), Self::Below(_)) => false,
            (Self::Below(a), Self::Exact(b) | Self::Below(b)) => is_below(b, a),
        }
    }

    /// Whose requests the other shares.
    fn meets(&self, other: &Self) -> Option<Self> {
        if self.covers(other) {
            Some(other.clone())
        } else {
            other.covers(self).then(|| self.clone())
        }
    }
}

/// Whether a path is that folder or lies in it, as a proxy compares.
fn is_below(path: &str, folder: &str) -> bool {
    let rest = path
        .trim_end_matches('/')
        .strip_prefix(folder.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => f.write_str(path),
            Self::Below(path) => write!(f, "{}/*", path.trim_end_matches('/')),
        }
    }
}

/// Requests of one method, or of any, to a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Match {
    pub(super) path: Path,
    pub(super) method: Option<&'static str>,
}

impl Match {
    fn covers(&self, other: &Self) -> bool {
        self.path.covers(&other.path) && (self.method.is_none() || self.method == other.method)
    }

    fn meets(&self, other: &Self) -> Option<Self> {
        let method = match (self.method, other.method) {
            (Some(a), Some(b)) if a != b => return None,
            (a, b) => a.or(b),
        };
        let path = self.path.meets(&other.path)?;
        Some(Self { path, method })
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method.unwrap_or("ANY"), self.path)
    }
}

/// Whom each route allows.
pub(super) type Routes = BTreeMap<Match, BTreeSet<Client>>;

/// Two rules that a proxy cannot tell apart, and who would be let in or kept out by chance.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{exact} is allowed to others than {below}: to Linkerd's proxy both match {path} equally well (it compares \
     the lengths of paths), so that it would be left to chance who may. Allow both to the same, or give \
     the path below another name"
)]
pub(super) struct Tie {
    exact: Match,
    below: Match,
    path: String,
}

/// The routes of one port for these rules.
pub(super) fn close(rules: &[(Match, BTreeSet<Client>)]) -> Result<Routes, Tie> {
    let mut matches: BTreeSet<Match> = rules.iter().map(|(one, _)| one.clone()).collect();
    loop {
        let met: BTreeSet<Match> = matches
            .iter()
            .flat_map(|a| matches.iter().filter_map(|b| a.meets(b)))
            .collect();
        if met.is_subset(&matches) {
            break;
        }
        matches.extend(met);
    }
    let mut routes: Routes = matches
        .into_iter()
        .map(|one| {
            let covering = rules.iter().filter(|(rule, _)| rule.covers(&one));
            let clients = covering.flat_map(|(_, clients)| clients.clone()).collect();
            (one, clients)
        })
        .collect();
    // An exact path that allows what the folder of the same name does is that folder.
    let twin = |one: &Match| match &one.path {
        Path::Exact(path) => Some(Match {
            path: Path::Below(path.clone()),
            method: one.method,
        }),
        Path::Below(_) => None,
    };
    let mut needless = Vec::new();
    for (one, clients) in &routes {
        let Some((below, others)) = twin(one).and_then(|twin| routes.get_key_value(&twin)) else {
            continue;
        };
        if clients != others {
            return Err(Tie {
                exact: one.clone(),
                below: below.clone(),
                path: match &one.path {
                    Path::Exact(path) | Path::Below(path) => path.clone(),
                },
            });
        }
        needless.push(one.clone());
    }
    for one in needless {
        routes.remove(&one);
    }
    Ok(routes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(text: &str) -> Match {
        let (method, path) = text.split_once(' ').unwrap();
        let method = ["GET", "POST"].into_iter().find(|known| *known == method);
        let path = match path.strip_suffix("/*") {
            Some("") => Path::Below("/".to_owned()),
            Some(path) => Path::Below(path.to_owned()),
            None => Path::Exact(path.to_owned()),
        };
        Match { path, method }
    }

    fn named(name: &str) -> Client {
        Client::Namespace(name.to_owned())
    }

    fn rules(texts: &[(&str, &str)]) -> Vec<(Match, BTreeSet<Client>)> {
        let rule = |(what, who): &(&str, &str)| (request(what), [named(who)].into());
        texts.iter().map(rule).collect()
    }

    fn shown(routes: &Routes) -> Vec<String> {
        let show = |(one, clients): (&Match, &BTreeSet<Client>)| {
            let clients: Vec<_> = clients.iter().map(ToString::to_string).collect();
            format!("{one} from {}", clients.join(", "))
        };
        routes.iter().map(show).collect()
    }

    #[test]
    fn a_narrower_rule_takes_nothing_from_a_wider_one() {
        let routes = close(&rules(&[("GET /x/*", "a"), ("GET /x/y", "b")])).unwrap();
        assert_eq!(
            shown(&routes),
            ["GET /x/y from a/*, b/*", "GET /x/* from a/*"]
        );
    }

    #[test]
    fn rules_that_cross_have_a_route_where_they_do() {
        let routes = close(&rules(&[("GET /x/*", "a"), ("ANY /x/y", "b")])).unwrap();
        assert_eq!(
            shown(&routes),
            [
                "ANY /x/y from b/*",
                "GET /x/y from a/*, b/*",
                "GET /x/* from a/*"
            ]
        );
    }

    #[test]
    fn what_a_proxy_cannot_tell_apart_is_an_error() {
        let tie = close(&rules(&[("GET /x", "a"), ("GET /x/*", "b")])).unwrap_err();
        assert!(
            tie.to_string().starts_with(
                "GET /x is allowed to others than GET /x/*: to Linkerd's proxy both match /x"
            ),
            "{tie}"
        );
        // What the folder allows anyway is no matter.
        let routes = close(&rules(&[
            ("GET /x", "a"),
            ("GET /x/*", "a"),
            ("GET /x/*", "b"),
        ]));
        assert_eq!(shown(&routes.unwrap()), ["GET /x/* from a/*, b/*"]);
        assert!(close(&rules(&[("GET /", "a"), ("GET /*", "b")])).is_err());
    }

    #[test]
    fn segments_are_whole_and_a_slash_at_the_end_is_below() {
        let covers = |a: &str, b: &str| request(a).covers(&request(b));
        assert!(covers("GET /x/*", "GET /x/y/z"));
        assert!(covers("GET /x/*", "GET /x"));
        assert!(covers("GET /x/*", "GET /x/"));
        assert!(!covers("GET /x/*", "GET /xy"));
        assert!(covers("ANY /*", "GET /x/*"));
        assert!(!covers("GET /x/*", "ANY /x/*"));
        assert!(!covers("GET /x/y", "GET /x/y/*"));
    }

    /// The route that the proxy takes: its rules, from `linkerd/http/route` of linkerd2-proxy. Of equals any
    /// may come first.
    fn taken<'r>(routes: &'r Routes, method: &str, path: &str) -> Vec<&'r BTreeSet<Client>> {
        let length = |one: &Match| -> Option<(usize, bool)> {
            let method_counts = match one.method {
                Some(known) if known != method => return None,
                known => known.is_some(),
            };
            match &one.path {
                Path::Exact(exact) if exact == path => Some((exact.len(), method_counts)),
                Path::Exact(_) => None,
                Path::Below(folder) if folder == "/" => Some((1, method_counts)),
                Path::Below(folder) => {
                    let rest = path.trim_end_matches('/').strip_prefix(folder.as_str())?;
                    (rest.is_empty() || rest.starts_with('/'))
                        .then_some((folder.len(), method_counts))
                }
            }
        };
        let matched: Vec<_> = routes
            .iter()
            .filter_map(|(one, clients)| Some((length(one)?, clients)))
            .collect();
        let best = matched.iter().map(|(length, _)| *length).max();
        let best_ones = matched.iter().filter(|(length, _)| Some(*length) == best);
        best_ones.map(|(_, clients)| *clients).collect()
    }

    fn any_path() -> impl Strategy<Value = String> {
        prop::collection::vec(prop::sample::select(vec!["x", "y", "xy"]), 0..4)
            .prop_map(|parts| format!("/{}", parts.join("/")))
    }

    fn any_match() -> impl Strategy<Value = Match> {
        let method = prop::sample::select(vec![None, Some("GET"), Some("POST")]);
        (any_path(), any::<bool>(), method).prop_map(|(path, below, method)| Match {
            path: if below {
                Path::Below(path)
            } else {
                Path::Exact(path)
            },
            method,
        })
    }

    proptest! {
        /// Whoever any rule allows may, and nobody else, by the route that the proxy takes.
        #[test]
        fn a_proxy_allows_what_the_rules_say(
            drawn in prop::collection::vec((any_match(), prop::sample::select(vec!["a", "b", "c"])), 0..6),
            paths in prop::collection::vec((any_path(), any::<bool>()), 8),
        ) {
            let rules: Vec<_> = drawn
                .iter()
                .map(|(one, who)| (one.clone(), BTreeSet::from([named(who)])))
                .collect();
            let Ok(routes) = close(&rules) else { return Ok(()) };
            for (path, slash) in &paths {
                let path = if *slash { format!("{}/", path.trim_end_matches('/')) } else { path.clone() };
                for method in ["GET", "POST", "PUT"] {
                    let asked = |rule: &Match| {
                        rule.method.is_none_or(|known| known == method)
                            && rule.path.covers(&Path::Exact(path.clone()))
                    };
                    let expected: BTreeSet<Client> = rules
                        .iter()
                        .filter(|(rule, _)| asked(rule))
                        .flat_map(|(_, clients)| clients.clone())
                        .collect();
                    let taken = taken(&routes, method, &path);
                    if taken.is_empty() {
                        prop_assert!(expected.is_empty(), "{method} {path}: no route, {rules:?}");
                    }
                    for clients in taken {
                        prop_assert_eq!(clients, &expected, "{} {}: {:?}", method, &path, &rules);
                    }
                }
            }
        }
    }
}
