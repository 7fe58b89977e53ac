//! Case as Windows folds it in names of files and accounts.

/// A text by which two names compare as equal.
///
/// Windows folds one UTF-16 unit at a time by a table of its own (NTFS `$UpCase`,
/// `RtlUpcaseUnicodeChar`): nothing expands (`ß` stays), and nothing outside of ASCII becomes
/// ASCII (`ı` is not `I`). The table is older than the Unicode of Rust's library and differs
/// between versions at its edges, so only the letters are folded that every version folds: to
/// hold two names for different that Windows holds for one refuses too much, the other way round
/// a guard rail would let something through.
pub(super) fn fold(name: &str) -> String {
    name.chars().map(upcase).collect()
}

/// A folded text in small letters, for people: exactly one for each folded text.
pub(super) fn unfold(folded: &str) -> String {
    let small = |c: char| {
        let mut lower = c.to_lowercase();
        match (lower.next(), lower.next()) {
            (Some(single), None) if upcase(single) == c => single,
            _ => c,
        }
    };
    folded.chars().map(small).collect()
}

fn upcase(c: char) -> char {
    match c {
        'a'..='z' => c.to_ascii_uppercase(),
        // A second lower case of Σ, which the table leaves alone.
        'ς' => c,
        // Latin-1, Latin Extended-A, Greek, Cyrillic
        'à'..='ÿ' | 'ā'..='ž' | 'ά'..='ώ' | 'а'..='џ' | 'ѡ'..='ҁ' | 'ҋ'..='ӿ' => {
            let mut upper = c.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(single), None) if !single.is_ascii() => single,
                _ => c,
            }
        }
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn folds_what_windows_folds() {
        for (one, other) in [
            ("Program Files", "PROGRAM FILES"),
            ("Größe", "GRÖßE"),
            ("ÿ", "Ÿ"),
            ("ž", "Ž"),
            ("λόγοσ", "ΛΌΓΟΣ"),
            ("журнал", "ЖУРНАЛ"),
        ] {
            assert_eq!(fold(one), fold(other));
        }
    }

    #[test]
    fn never_takes_other_letters_for_ascii() {
        for (one, other) in [
            ("\u{131}", "I"),  // dotless i
            ("\u{17f}", "S"),  // long s
            ("\u{212a}", "K"), // Kelvin sign
            ("\u{df}", "SS"),
            ("\u{212b}", "\u{c5}"), // Angstrom sign
            ("\u{b5}", "\u{39c}"),  // micro sign
            ("\u{3c2}", "\u{3a3}"), // final sigma
        ] {
            assert_ne!(fold(one), fold(other));
        }
    }
}
