//! The model of Windows' names of files (`native_host::windows::path`), checked against Windows' own
//! functions as wine has them: what a guard rail takes for one file, and what it lets through.

use std::collections::HashMap;

use super::{Way, Wine, generate};
use native_host::windows::WindowsPath;
use proptest::prelude::*;

/// A path that is let through has one spelling less than Windows would resolve: resolving changes
/// nothing but slashes.
#[test]
fn a_plain_path_resolves_to_itself() {
    let Some(wine) = Wine::find() else { return };
    let segment = prop_oneof![
        4 => "[a-cA-C]{1,3}",
        1 => r"\.{1,3}",
        1 => "[a ]{1,3}[. ]{0,2}",
        1 => "(con|NUL|com1|lpt³|aux|prn|CONIN\\$|clock\\$)[ ]?([.]txt)?",
        1 => "[~1a.:?* ]{1,4}",
        1 => "[äßж東]{1,2}",
    ];
    let root = r"(C:|c:|C:\\|D:/|\\\\[st.?]\\|//s/|\\|/|\\\?\?\\|)";
    let joined = (
        root,
        proptest::collection::vec((segment, r"[\\/]{1,2}"), 0..4),
        "[a-c.]{0,4}",
    );
    let texts = generate(
        6000,
        joined.prop_map(|(root, segments, file)| {
            let middle: String = segments
                .into_iter()
                .map(|(name, slash)| name + &slash)
                .collect();
            format!("{root}{middle}{file}")
        }),
    );
    let plain: Vec<_> = texts
        .into_iter()
        .filter(|text| WindowsPath::parse(text).is_ok())
        .collect();
    assert!(plain.len() > 500, "{}", plain.len());
    let lines: Vec<_> = plain.iter().map(|text| (Way::Path, text.clone())).collect();
    for (text, resolved) in plain.iter().zip(wine.run(&lines)) {
        let resolved = resolved.unwrap().remove(0);
        assert_eq!(
            WindowsPath::parse(&resolved),
            WindowsPath::parse(text),
            "{text}: {resolved}"
        );
        assert!(
            !resolved.starts_with(r"\\.\"),
            "{text} is the device {resolved}"
        );
    }
}

/// Of no two letters that Windows tells apart does the model make one.
#[test]
fn letters_that_windows_tells_apart_differ() {
    let Some(wine) = Wine::find() else { return };
    let is_slash = |c: &char| matches!(c, '/' | '\\');
    let letters: Vec<char> = ('!'..='\u{ffff}').filter(|c| !is_slash(c)).collect();
    let lines: Vec<_> = letters
        .iter()
        .map(|c| (Way::Upcase, c.to_string()))
        .collect();
    let mut seen = HashMap::new();
    let mut folded = 0;
    for (letter, upper) in letters.into_iter().zip(wine.run(&lines)) {
        let Ok(path) = WindowsPath::parse(&format!(r"C:\x{letter}x")) else {
            continue;
        };
        let upper = upper.unwrap().remove(0);
        if let Some(other) = seen.insert(path, upper.clone()) {
            folded += 1;
            assert_eq!(other, upper, "{letter}");
        }
    }
    assert!(folded > 250, "{folded}");
}
