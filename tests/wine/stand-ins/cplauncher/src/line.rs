//! The command line of the program: cplauncher's own quoting (`winEscapeArg`), which differs from Go's and
//! Rust's in what it quotes, but is read in the same way.

/// A word of it.
pub fn word(argument: &str) -> String {
    if !argument.is_empty() && !argument.contains([' ', '\t', '"']) && !argument.ends_with('\\') {
        return argument.to_owned();
    }
    let mut word = String::from('"');
    let mut backslashes = 0;
    for character in argument.chars() {
        match character {
            '\\' => backslashes += 1,
            '"' => {
                word.push_str(&r"\".repeat(backslashes * 2 + 1));
                word.push('"');
                backslashes = 0;
            }
            other => {
                word.push_str(&r"\".repeat(backslashes));
                word.push(other);
                backslashes = 0;
            }
        }
    }
    word.push_str(&r"\".repeat(backslashes * 2));
    word.push('"');
    word
}
