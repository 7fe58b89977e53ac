//! Image references, by the grammar of github.com/distribution/reference (`regexp.go`,
//! `reference.go`), which containerd and the kubelet use.

use super::value::Why;

/// The longest repository name (`reference.go`, `RepositoryNameTotalLengthMax`).
const LONGEST_NAME: usize = 255;

/// Reads `[domain[:port]/]path[:tag][@digest]`.
pub(super) fn image(text: &str) -> Result<String, Why> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    // A colon after the last slash begins the tag; one before it, the registry's port.
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    if let Some(digest) = digest.filter(|digest| !is_digest(digest)) {
        return Err(Why::part(digest, "is not a digest"));
    }
    if tag.is_some_and(str::is_empty) {
        return Err(Why::About("has an empty tag".into()));
    }
    if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
        return Err(Why::part(tag, "is not a tag"));
    }
    let (domain, path) = split_domain(name);
    if domain.is_some_and(|domain| !is_domain(domain)) {
        return Err(Why::part(domain.unwrap_or_default(), "is not a registry"));
    }
    if path.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(Why::About("names its repository in upper case".into()));
    }
    if !path.split('/').all(is_path_component) || name.len() > LONGEST_NAME {
        return Err(Why::Shape);
    }
    // Docker would take it for an image ID (`ParseNormalizedNamed`).
    if domain.is_none() && name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Why::About("is an image's ID, not its name".into()));
    }
    Ok(text.to_owned())
}

/// The first component is a registry if it looks like one (`normalize.go`, `splitDockerDomain`).
fn split_domain(name: &str) -> (Option<&str>, &str) {
    match name.split_once('/') {
        Some((first, path))
            if first.contains(['.', ':', '['])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (Some(first), path)
        }
        _ => (None, name),
    }
}

fn is_domain(text: &str) -> bool {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else {
            return false;
        };
        let address =
            !address.is_empty() && address.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
        if !address {
            return false;
        }
        (None, port)
    } else {
        let end = text.find(':').unwrap_or(text.len());
        let (host, port) = text.split_at(end);
        (Some(host), port)
    };
    let port = port.is_empty()
        || port.strip_prefix(':').is_some_and(|port| {
            !port.is_empty()
                && port.bytes().all(|b| b.is_ascii_digit())
                && port.parse::<u16>().is_ok()
        });
    let host = host.is_none_or(|host| {
        host.split('.').all(|part| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        })
    });
    port && host
}

/// `[a-z0-9]+` parts, separated by one dot, one or two underscores, or dashes.
fn is_path_component(text: &str) -> bool {
    let mut rest = text.as_bytes();
    loop {
        let word = rest
            .iter()
            .take_while(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            .count();
        if word == 0 {
            return false;
        }
        rest = rest.get(word..).unwrap_or_default();
        let dashes = rest.iter().take_while(|b| **b == b'-').count();
        rest = match rest {
            [] => return true,
            [b'_', b'_', rest @ ..] | [b'.' | b'_', rest @ ..] => rest,
            rest if dashes > 0 => rest.get(dashes..).unwrap_or_default(),
            _ => return false,
        };
    }
}

/// `[\w][\w.-]{0,127}`.
fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

/// An algorithm that containerd knows (opencontainers/go-digest `algorithm.go`), and its length.
fn is_digest(text: &str) -> bool {
    let (algorithm, hex) = text.split_once(':').unwrap_or_default();
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    hex.len() == length
        && hex
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}
