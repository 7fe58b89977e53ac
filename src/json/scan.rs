//! Finding the end of a string or of a container, in blocks of 64 bytes.
//!
//! After simdjson (Langdale, Lemire, "Parsing Gigabytes of JSON per Second", 2019): compare a
//! block with each character of interest at once, and work on the bit masks. The vectors are
//! those that every `x86_64` and `aarch64` has; no run-time detection, no unsafe.

use wide::u8x16;

const BLOCK: usize = 64;

/// The bits of a block in which `wanted` stands.
fn equal(lanes: &[u8x16; 4], wanted: u8) -> u64 {
    let wanted = u8x16::splat(wanted);
    lanes.iter().enumerate().fold(0, |mask, (i, lane)| {
        mask | u64::from(lane.simd_eq(wanted).to_bitmask()) << (16 * i)
    })
}

/// The block at `at`, padded with spaces past the end of the text.
fn load(text: &[u8], at: usize) -> [u8x16; 4] {
    let mut block = [b' '; BLOCK];
    match text.get(at..at + BLOCK) {
        Some(whole) => block.copy_from_slice(whole),
        None => {
            if let Some(rest) = text.get(at..) {
                block[..rest.len()].copy_from_slice(rest);
            }
        }
    }
    let mut lanes = [u8x16::ZERO; 4];
    for (lane, bytes) in lanes.iter_mut().zip(block.as_chunks::<16>().0) {
        *lane = u8x16::new(*bytes);
    }
    lanes
}

/// The characters that a backslash escapes, given where the backslashes are. `carry` says
/// whether the first character is escaped by the block before, and is updated for the next.
fn escaped(backslashes: u64, carry: &mut bool) -> u64 {
    if backslashes == 0 {
        return u64::from(std::mem::take(carry));
    }
    let mut result = 0;
    let mut at = u32::from(*carry);
    result |= u64::from(*carry);
    *carry = false;
    while at < 64 {
        let rest = backslashes >> at << at;
        if rest == 0 {
            break;
        }
        let backslash = rest.trailing_zeros();
        if backslash == 63 {
            *carry = true;
            break;
        }
        result |= 1 << (backslash + 1);
        at = backslash + 2;
    }
    result
}

/// For each bit, whether an odd number of bits is set at or below it.
const fn prefix_xor(mut bits: u64) -> u64 {
    bits ^= bits << 1;
    bits ^= bits << 2;
    bits ^= bits << 4;
    bits ^= bits << 8;
    bits ^= bits << 16;
    bits ^= bits << 32;
    bits
}

/// The offset just past the container whose first bracket stands at `start`; `None` if the
/// text ends before it. Brackets and braces count alike: they are matched by whoever reads them.
pub(super) fn container_end(text: &[u8], start: usize) -> Option<usize> {
    let mut depth: u32 = 0;
    let mut in_string = 0u64;
    let mut carry = false;
    let mut at = start;
    // '[' and '{' differ in one bit, and so do ']' and '}'.
    let fold = u8x16::splat(0x20);
    while at < text.len() {
        let lanes = load(text, at);
        let escapes = escaped(equal(&lanes, b'\\'), &mut carry);
        let quotes = equal(&lanes, b'"') & !escapes;
        let strings = prefix_xor(quotes) ^ in_string;
        in_string = if strings >> 63 == 1 { u64::MAX } else { 0 };
        let folded = lanes.map(|lane| lane | fold);
        let opened = equal(&folded, b'{') & !strings;
        let mut closed = equal(&folded, b'}') & !strings;
        if closed.count_ones() < depth {
            depth = depth + opened.count_ones() - closed.count_ones();
        } else {
            // The end may lie in this block: find the closing bracket that brings us to zero.
            let mut closed_before = 0;
            while closed != 0 {
                let bit = closed.trailing_zeros();
                let opened_before = (opened & ((1u64 << bit) - 1)).count_ones();
                closed_before += 1;
                if depth + opened_before == closed_before {
                    return Some(at + bit as usize + 1);
                }
                closed &= closed - 1;
            }
            depth = depth + opened.count_ones() - closed_before;
        }
        at += BLOCK;
    }
    None
}

/// The offset of the quote that ends the string whose first character stands at `start`, and
/// whether the string has escapes; `None` if the text ends before it.
#[inline]
pub(super) fn string_end(text: &[u8], start: usize) -> Option<(usize, bool)> {
    let mut at = start;
    // Most strings of a pod are short: sixteen bytes at a time find their end in a step or two.
    while let Some((lane, _)) = text.get(at..).and_then(<[u8]>::split_first_chunk::<16>) {
        let lane = u8x16::new(*lane);
        let quotes = lane.simd_eq(u8x16::splat(b'"'));
        let backslashes = lane.simd_eq(u8x16::splat(b'\\'));
        let found = (quotes | backslashes).to_bitmask();
        if found != 0 {
            at += found.trailing_zeros() as usize;
            return ends(text, at);
        }
        at += 16;
    }
    at += text
        .get(at..)?
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\'))?;
    ends(text, at)
}

/// The end of the string, given its first quote or backslash.
#[inline]
fn ends(text: &[u8], at: usize) -> Option<(usize, bool)> {
    if text.get(at) == Some(&b'"') {
        Some((at, false))
    } else {
        escaped_end(text, at)
    }
}

/// As [`string_end`], from the first backslash on.
#[cold]
fn escaped_end(text: &[u8], start: usize) -> Option<(usize, bool)> {
    let mut carry = false;
    let mut at = start;
    while at < text.len() {
        let lanes = load(text, at);
        let escapes = escaped(equal(&lanes, b'\\'), &mut carry);
        let quotes = equal(&lanes, b'"') & !escapes;
        if quotes != 0 {
            return Some((at + quotes.trailing_zeros() as usize, true));
        }
        at += BLOCK;
    }
    None
}

/// The offset, from `start` on, of the first character that a JSON string must escape: a quote,
/// a backslash or a control character.
pub(super) fn to_escape(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    while let Some((lane, _)) = text.get(at..).and_then(<[u8]>::split_first_chunk::<16>) {
        let lane = u8x16::new(*lane);
        let last_control = u8x16::splat(0x1f);
        let special = lane.simd_eq(u8x16::splat(b'"'))
            | lane.simd_eq(u8x16::splat(b'\\'))
            | lane.max(last_control).simd_eq(last_control);
        let found = special.to_bitmask();
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize);
        }
        at += 16;
    }
    let special = |byte: &u8| *byte < 0x20 || matches!(byte, b'"' | b'\\');
    Some(at + text.get(at..)?.iter().position(special)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{container_end, string_end};
    use proptest::prelude::*;

    /// The same by a plain loop.
    fn plain_container_end(text: &[u8], start: usize) -> Option<usize> {
        let (mut depth, mut string, mut escape) = (0, false, false);
        for (i, &byte) in text.iter().enumerate().skip(start) {
            let escaped = std::mem::replace(&mut escape, false);
            match byte {
                // Outside of strings, where JSON has none, a backslash counts for quotes only.
                b'\\' => escape = !escaped,
                b'"' if !escaped => string = !string,
                b'{' | b'[' if !string => depth += 1,
                b'}' | b']' if !string => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(i + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn plain_string_end(text: &[u8], start: usize) -> Option<(usize, bool)> {
        let (mut escape, mut any) = (false, false);
        for (i, &byte) in text.iter().enumerate().skip(start) {
            match byte {
                _ if escape => escape = false,
                b'\\' => (escape, any) = (true, true),
                b'"' => return Some((i, any)),
                _ => {}
            }
        }
        None
    }

    fn noise() -> impl Strategy<Value = String> {
        prop::collection::vec(
            prop_oneof![
                Just("{"),
                Just("}"),
                Just("["),
                Just("]"),
                Just("\""),
                Just("\\"),
                Just("a"),
                Just("some longer run of plain text"),
                Just("{}"),
                Just("\"x\""),
                Just("é"),
            ],
            0..200,
        )
        .prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn container_ends_where_a_plain_loop_says(rest in noise()) {
            let text = format!("{{{rest}");
            prop_assert_eq!(
                container_end(text.as_bytes(), 0),
                plain_container_end(text.as_bytes(), 0)
            );
        }

        #[test]
        fn string_ends_where_a_plain_loop_says(text in noise()) {
            prop_assert_eq!(
                string_end(text.as_bytes(), 0),
                plain_string_end(text.as_bytes(), 0)
            );
        }
    }

    #[test]
    fn a_run_of_backslashes_across_blocks() {
        for count in 0..140 {
            let text = format!("[\"{}\"]\"]", "\\".repeat(count));
            assert_eq!(
                container_end(text.as_bytes(), 0),
                plain_container_end(text.as_bytes(), 0),
                "{count} backslashes"
            );
        }
    }
}
