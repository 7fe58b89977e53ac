//! The small grammars: durations, numbers, lists, and the names that Kubernetes gives things.
//!
//! Each follows what the API server itself would accept where the value ends up, so that a
//! policy that is accepted here never makes a pod that is refused there
//! (`k8s.io/apimachinery/pkg/util/validation/validation.go` unless another file is named).

use std::borrow::Cow;

use super::error::Quoted;

/// Why a value is not one of its key's. What was expected is the table's to say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It is simply something else.
    Shape,
    /// It is nearly this.
    Near(Cow<'static, str>),
    /// What the value does wrong, beginning with a verb.
    About(Cow<'static, str>),
    /// What a part of it does wrong.
    Part(String, Cow<'static, str>),
    /// A sentence about something inside it.
    Inside(String),
}

impl Why {
    /// `part` of the value, or all of it, does something wrong.
    pub(super) fn part(part: &str, what: impl Into<Cow<'static, str>>) -> Self {
        Self::Part(part.to_owned(), what.into())
    }

    /// Not one of `words`; says which of them is close.
    pub(super) fn unlike<const N: usize>(text: &str, words: [&'static str; N]) -> Self {
        closest(text, words).map_or(Self::Shape, |word| Self::Near(word.into()))
    }

    /// The sentence about `value`, with its full stop.
    pub(super) fn sentence(&self, value: &str) -> String {
        let quoted = Quoted(value);
        match self {
            Self::Shape => format!("{quoted} is not valid."),
            Self::Near(near) => format!("{quoted} is not valid, did you mean {}?", Quoted(near)),
            Self::About(what) => format!("{quoted} {what}."),
            Self::Part(part, what) if part == value.trim() => format!("{quoted} {what}."),
            Self::Part(part, what) => format!("{quoted}: {} {what}.", Quoted(part)),
            Self::Inside(sentence) => format!("{quoted}: {sentence}."),
        }
    }
}

/// The word that was probably meant, if any is near enough.
pub(super) fn closest<'w>(text: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    // An annotation may hold 256 KiB and the distance is quadratic; no key is longer than this.
    if text.len() > 64 {
        return None;
    }
    let text = text.to_ascii_lowercase();
    words
        .into_iter()
        .map(|word| (strsim::damerau_levenshtein(&text, word), word))
        .filter(|(distance, word)| *distance <= (word.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// The entries of a list: separated by commas or newlines, trimmed, empty ones dropped.
pub(super) fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', '\n'])
        .map(str::trim)
        .filter(|entry| !entry.is_empty())
}

/// The longest list. An annotation may hold 256 KiB; a pod's author must not make a review slow.
const MOST_ENTRIES: usize = 500;

/// Reads every entry of a list, drops repeated ones and refuses an empty list.
pub(super) fn list<T: PartialEq>(
    text: &str,
    mut entry: impl FnMut(&str) -> Result<T, Why>,
) -> Result<Vec<T>, Why> {
    let mut read = Vec::new();
    for (index, text) in entries(text).enumerate() {
        if index == MOST_ENTRIES {
            return Err(Why::About(
                format!("has more than {MOST_ENTRIES} entries").into(),
            ));
        }
        let value = entry(text)?;
        if !read.contains(&value) {
            read.push(value);
        }
    }
    if read.is_empty() {
        return Err(Why::About("is an empty list".into()));
    }
    Ok(read)
}

/// Seconds out of a duration as Go writes it (`time.ParseDuration`): `180s`, `3m`, `1h30m`.
/// Only whole hours, minutes and seconds, from one second to one hour.
pub(super) fn timeout(text: &str) -> Result<u32, Why> {
    const LONGEST: u32 = 3600;
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Why::Near(format!("{text}s").into()));
    }
    let mut rest = text;
    let mut seconds: u32 = 0;
    loop {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, tail) = rest.split_at(digits);
        let mut unit = tail.chars();
        let factor = match unit.next() {
            Some('h') => 3600,
            Some('m') => 60,
            Some('s') => 1,
            _ => return Err(Why::Shape),
        };
        if number.is_empty() {
            return Err(Why::Shape);
        }
        // What does not fit is too long in any case.
        let number: u32 = number.parse().unwrap_or(u32::MAX);
        seconds = seconds.saturating_add(number.saturating_mul(factor));
        rest = unit.as_str();
        if rest.is_empty() {
            break;
        }
    }
    if seconds == 0 || seconds > LONGEST {
        return Err(Why::About("is out of range".into()));
    }
    Ok(seconds)
}

/// A whole number from 0 to `most`, in plain digits.
pub(super) fn number(text: &str, most: u16) -> Result<u16, Why> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Why::Shape);
    }
    match text.parse() {
        Ok(number) if number <= most => Ok(number),
        _ => Err(Why::About("is out of range".into())),
    }
}

/// A port by number or by name (`IsValidPortName`, the IANA service name).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortRef {
    /// The name of a container's port.
    Name(String),
    /// Its number.
    Number(u16),
}

impl std::fmt::Display for PortRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

/// Reads a [`PortRef`].
pub(super) fn port(text: &str) -> Result<PortRef, Why> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return match text.parse() {
            Ok(number) if number > 0 => Ok(PortRef::Number(number)),
            _ => Err(Why::About("is not a port: they go from 1 to 65535".into())),
        };
    }
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if plain
        && text.len() <= 15
        && text.bytes().any(|b| b.is_ascii_lowercase())
        && !text.contains("--")
        && !text.starts_with('-')
        && !text.ends_with('-')
    {
        return Ok(PortRef::Name(text.to_owned()));
    }
    Err(Why::Shape)
}

/// The base path of the default probes, without its trailing slash: the root is the empty text.
pub(super) fn base_path(text: &str) -> Result<String, Why> {
    if !text.starts_with('/') {
        return Err(Why::About("does not begin with a slash".into()));
    }
    if let Some(c) = text
        .chars()
        .find(|c| !c.is_ascii_graphic() || matches!(c, '?' | '#'))
    {
        return Err(Why::part(
            c.encode_utf8(&mut [0; 4]),
            "has no place in a base path",
        ));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// A DNS label (`IsDNS1123Label`): what containers are called.
pub(super) fn dns_label(text: &str) -> Result<String, Why> {
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if plain
        && !text.is_empty()
        && text.len() <= 63
        && !text.starts_with('-')
        && !text.ends_with('-')
    {
        return Ok(text.to_owned());
    }
    Err(Why::part(text, "is not the name of a container"))
}

/// A qualified name (`IsQualifiedName`): what labels and taints are called.
pub(super) fn qualified_name(text: &str) -> Result<&str, Why> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    if prefix.is_none_or(is_dns_subdomain) && is_label_text(name) && !name.is_empty() {
        return Ok(text);
    }
    Err(Why::part(text, "is not a label's key"))
}

/// `IsDNS1123Subdomain`.
fn is_dns_subdomain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        })
}

/// `IsValidLabelValue`; without the empty text also a qualified name's second half.
pub(super) fn is_label_text(text: &str) -> bool {
    text.len() <= 63
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && text
            .bytes()
            .next()
            .is_none_or(|b| b.is_ascii_alphanumeric())
        && text
            .bytes()
            .next_back()
            .is_none_or(|b| b.is_ascii_alphanumeric())
}

/// The name of an environment variable (`IsEnvVarName`), and one that can stand on the
/// launcher's command line.
pub(super) fn env_name(text: &str) -> Result<String, Why> {
    let plain = text
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    let first = text
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    if !plain || !first {
        return Err(Why::part(
            text,
            "is not the name of an environment variable",
        ));
    }
    // Windows compares these names without case.
    if crate::names::env::RESERVED
        .iter()
        .any(|own| own.eq_ignore_ascii_case(text))
    {
        return Err(Why::part(text, "is set by native-host itself"));
    }
    Ok(text.to_owned())
}

/// The key of a label that the anchor may get too.
pub(super) fn anchor_label(text: &str) -> Result<String, Why> {
    if text.starts_with(crate::names::PREFIX) {
        return Err(Why::part(text, "is set by native-host itself"));
    }
    qualified_name(text).map(str::to_owned)
}

/// The pairs of a nodeSelector.
pub(super) fn node_selector(text: &str) -> Result<Vec<(String, String)>, Why> {
    let pairs = list(text, |pair| {
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| Why::part(pair, "has no \"=\""))?;
        let (key, value) = (qualified_name(key.trim())?, value.trim());
        if !is_label_text(value) {
            return Err(Why::part(value, "is not a label's value"));
        }
        Ok((key.to_owned(), value.to_owned()))
    })?;
    for (index, (key, _)) in pairs.iter().enumerate() {
        if pairs.iter().skip(index + 1).any(|(other, _)| other == key) {
            return Err(Why::part(key, "is given two values, and no node has both"));
        }
    }
    Ok(pairs)
}

/// A network in CIDR notation, as Kubernetes asks of new CIDR fields (KEP-4858): no leading zeros
/// and no IPv4 in IPv6's clothes, which programs read differently; no host bits, since `10.1.2.3/8`
/// may mean a host or a network.
pub(super) fn cidr(text: &str) -> Result<super::Cidr, Why> {
    let not = || Why::part(text, "is not a network in CIDR notation");
    let (address, length) = text.split_once('/').ok_or_else(not)?;
    let plain = length.bytes().all(|b| b.is_ascii_digit())
        && !(length.len() > 1 && length.starts_with('0'));
    let address: std::net::IpAddr = address.parse().map_err(|_| not())?;
    let length = length.parse().ok().filter(|_| plain).ok_or_else(not)?;
    let cidr = super::Cidr::new(address, length).map_err(|_| not())?;
    if address.to_canonical() != address {
        return Err(Why::part(
            text,
            "is an IPv4 network written as IPv6, write it as IPv4",
        ));
    }
    if cidr.trunc() != cidr {
        let network = cidr.trunc();
        return Err(Why::part(
            text,
            format!("has host bits: the network is {network}"),
        ));
    }
    Ok(cidr)
}
