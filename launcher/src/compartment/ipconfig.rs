//! By the text of `ipconfig /allcompartments`, in whatever language Windows speaks.
//!
//! Words and the code page differ; the shape does not:
//!
//! - a compartment's heading stands between two lines of `=` and holds one number;
//! - an adapter's lines stand between empty ones, each a name, a colon, a space and a value, and the last is
//!   its default gateway, whether it has one or not;
//! - behind an adapter's own IPv4 address comes a subnet mask, behind its gateway none.

use std::net::{IpAddr, Ipv4Addr};

use super::Assigned;

/// The addresses of each compartment.
pub fn parse(output: &[u8]) -> Vec<Assigned> {
    // The code page is not known: what matters is ASCII, in any of them.
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let mut assigned = Vec::new();
    let mut compartment = None;
    for (i, line) in lines.iter().enumerate() {
        let is_rule = |at: Option<usize>| at.and_then(|at| lines.get(at)).is_some_and(|l| rule(l));
        if is_rule(i.checked_sub(1)) && is_rule(Some(i + 1)) {
            compartment = number(line);
        }
        let Some((compartment, address)) = compartment.zip(value(line).and_then(address)) else {
            continue;
        };
        let rest = lines[i + 1..].iter().take_while(|line| !line.is_empty());
        let mut values = rest.filter_map(|line| value(line));
        let own = match address {
            IpAddr::V4(_) => values.next().is_some_and(mask),
            // The last is the gateway.
            IpAddr::V6(_) => values.next().is_some(),
        };
        if own {
            assigned.push((compartment, address));
        }
    }
    assigned
}

/// A line of `=` only.
fn rule(line: &str) -> bool {
    line.len() >= 8 && line.bytes().all(|byte| byte == b'=')
}

/// The one number of a heading; none, if it holds several.
fn number(line: &str) -> Option<u32> {
    let mut numbers = line
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty());
    let one = numbers.next()?.parse().ok();
    if numbers.next().is_some() { None } else { one }
}

/// What stands behind a name's colon; nothing behind it is a value too.
fn value(line: &str) -> Option<&str> {
    match line.split_once(": ") {
        Some((_, value)) => Some(value.trim()),
        None => line.ends_with(':').then_some(""),
    }
}

/// An address, without `(Preferred)` and the zone of a link-local one.
fn address(value: &str) -> Option<IpAddr> {
    let end = value.find(['(', '%', ' ']).unwrap_or(value.len());
    value[..end].parse().ok()
}

/// Ones, then zeros.
fn mask(value: &str) -> bool {
    let mask: Option<Ipv4Addr> = value.parse().ok();
    mask.map(u32::from)
        .is_some_and(|bits| bits != 0 && bits.leading_ones() + bits.trailing_zeros() == 32)
}
