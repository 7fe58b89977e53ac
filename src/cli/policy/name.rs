//! The objects' names: what a person can read, and a hash where that would not be unique.

use super::matching::{Match, Path};

/// How long a readable part may be; with two more parts and a hash, names stay below 253 characters.
const PART_MAX: usize = 80;
/// What of a name is said by us where a path could say it, too.
const TAKEN: [&str; 3] = [ALL, ROOT, NETWORKS];
const ALL: &str = "all";
const ROOT: &str = "root";
const NETWORKS: &str = "networks";

/// A part of a name for a workload's name (which may have capitals, dots and underscores), or a port's.
pub(super) fn of(name: &str) -> String {
    let readable = readable(name.chars());
    if readable == name {
        return readable;
    }
    hashed(&readable, name)
}

/// A part of a name for a match: `get.x.y`, `any.all`.
pub(super) fn of_match(one: &Match) -> String {
    let method = one.method.unwrap_or("any").to_ascii_lowercase();
    let (path, all) = match &one.path {
        Path::Exact(path) => (path, false),
        Path::Below(path) => (path, true),
    };
    let mut parts = vec![method];
    match path.strip_prefix('/').unwrap_or(path) {
        "" if all => {}
        "" => parts.push(ROOT.to_owned()),
        inner => {
            let segments: Vec<&str> = inner.split('/').collect();
            let plain =
                |segment: &&str| readable(segment.chars()) == **segment && !segment.is_empty();
            let last = segments.last().is_some_and(|last| TAKEN.contains(last));
            let dotted = inner.replace('/', ".");
            if !last && segments.iter().all(plain) && dotted.len() <= PART_MAX {
                parts.push(dotted);
            } else {
                parts.push(hashed(&readable(inner.chars()), inner));
            }
        }
    }
    parts.extend(all.then(|| ALL.to_owned()));
    parts.join(".")
}

/// The same for those without an identity.
pub(super) fn of_networks(name: &str) -> String {
    format!("{name}.{NETWORKS}")
}

/// What is left of a text in a part of a DNS name.
fn readable(text: impl Iterator<Item = char>) -> String {
    let kept = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let lower = text.map(|c| c.to_ascii_lowercase());
    let part: String = lower
        .map(|c| if kept(c) { c } else { '-' })
        .take(PART_MAX)
        .collect();
    part.trim_matches('-').to_owned()
}

/// FNV-1a, as for anchors' names.
fn hashed(readable: &str, text: &str) -> String {
    let hash = text.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let dash = if readable.is_empty() { "" } else { "-" };
    format!("{readable}{dash}{hash:08x}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn name(path: Path) -> String {
        let method = Some("GET");
        of_match(&Match { path, method })
    }

    fn exact(path: &str) -> String {
        name(Path::Exact(path.to_owned()))
    }

    fn below(path: &str) -> String {
        name(Path::Below(path.to_owned()))
    }

    #[test]
    fn names_can_be_read_where_they_are_unique() {
        assert_eq!(exact("/x/y"), "get.x.y");
        assert_eq!(exact("/"), "get.root");
        assert_eq!(below("/"), "get.all");
        assert_eq!(below("/albums-win"), "get.albums-win.all");
        assert_eq!(of("albums-win"), "albums-win");
        assert!(of("Albums_1").starts_with("albums-1-"));
    }

    #[test]
    fn different_paths_have_different_names_that_kubernetes_takes() {
        let long = format!("/{}", "x/".repeat(500));
        let paths = [
            "/",
            "/root",
            "/all",
            "/x",
            "/x/y",
            "/x-y",
            "/x.y",
            "/x_y",
            "/x/y/",
            "/X/y",
            "/x%2Fy",
            "/x//y",
            "/x/all",
            "/x.all",
            "/x/networks",
            "/-",
            "/-x",
            "/%20",
            "/%",
            "/xy",
            &long,
        ];
        let mut names = BTreeMap::new();
        for path in paths {
            for name in [exact(path), of_networks(&exact(path)), below(path)] {
                let label = |part: &str| {
                    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
                    edge(part.chars().next()) && edge(part.chars().last())
                };
                assert!(name.split('.').all(label), "{path}: {name}");
                assert!(name.len() < 120 && name.to_lowercase() == name, "{name}");
                if let Some(other) = names.insert(name.clone(), path.to_owned()) {
                    panic!("{path} and {other} are both {name}");
                }
            }
        }
    }
}
