//! Tests of [`super`].

use super::*;

fn fault(line: &str) -> Option<(usize, Fault)> {
    match through_cmd(line) {
        Outcome::Runs(_) => None,
        Outcome::Unsure { at, fault } => Some((at, fault)),
    }
}

#[test]
fn leaves_ordinary_lines_alone() {
    for line in [
        r"C:\apps\a.exe",
        r"C:\apps\a.exe --x=1,2;3 C:\dir\ (y) [z] {w} 'v' 100% @f *? $(NAME)",
        r#"C:\apps\a.exe "a & b" "c|d" "<e>" "^""#,
        "C:\\apps\\a.exe \"say \\\"hi\\\"\" \"\" \"a\tb\"",
        r"\\server\share\a.exe x",
        "powershell.exe -NoLogo",
        r"C:\Größe\a.EXE größe",
        r#""C:\Program Files\a.exe" --x y"#,
    ] {
        assert_eq!(through_cmd(line), Outcome::Runs(line.to_owned()));
    }
}

#[test]
fn takes_the_outer_quotes_off() {
    // no white space between the two
    let outcome = through_cmd(r#""C:\a.exe" x"#);
    assert_eq!(outcome, Outcome::Runs(r"C:\a.exe x".to_owned()));
    // more than two, or a special character between them
    for line in [
        r#""C:\Program Files\a.exe" "x y""#,
        r#""C:\Program Files (x86)\a.exe" x"#,
        r#""C:\R&D files\a.exe" x"#,
        r#""C:\Program Files\a.exe" """#,
    ] {
        assert!(
            !matches!(through_cmd(line), Outcome::Runs(left) if left == line),
            "{line}"
        );
    }
}

#[test]
fn sees_quotes_as_cmd_does_and_not_as_the_program() {
    // \" closes cmd's quotes, so the & is outside
    assert_eq!(
        fault(r#"a.exe "a\"b & c""#),
        Some((12, Fault::Operator('&')))
    );
    // and here it opens them
    assert_eq!(fault(r#"a.exe \"a&b\""#), None);
    assert_eq!(fault(r#"a.exe \"a\"&b"#), Some((11, Fault::Operator('&'))));
}

#[test]
fn acts_on_operators_variables_and_control_characters() {
    for (line, at, expected) in [
        ("a.exe a&b", 7, Fault::Operator('&')),
        ("a.exe x | y", 8, Fault::Operator('|')),
        ("a.exe <in", 6, Fault::Operator('<')),
        ("a.exe 2>&1", 7, Fault::Operator('>')),
        ("a.exe a^b", 7, Fault::Operator('^')),
        ("a.exe %PATH%", 6, Fault::Percent),
        (r#"a.exe "100%" x 5%"#, 10, Fault::Percent),
        (r#"a.exe "hi!""#, 9, Fault::Exclamation),
        ("a.exe a\nb", 7, Fault::Control('\n')),
        ("a.exe \"a\rb\"", 8, Fault::Control('\r')),
        ("a.exe \u{1a}", 6, Fault::Control('\u{1a}')),
    ] {
        assert_eq!(fault(line), Some((at, expected)), "{line}");
    }
}

#[test]
fn runs_only_what_it_takes_for_that_program() {
    for (line, expected) in [
        ("", Fault::NoProgram),
        (" a.exe", Fault::NoProgram),
        ("echo hello", Fault::Internal("ECHO")),
        ("echo.exe", Fault::Internal("ECHO")),
        (r"cd\apps.exe", Fault::Internal("CD")),
        ("Start.exe", Fault::Internal("START")),
        ("C:/apps/a.exe", Fault::ProgramCharacter('/')),
        ("@a.exe", Fault::ProgramCharacter('@')),
        (":a.exe", Fault::ProgramCharacter(':')),
        ("(a.exe", Fault::ProgramCharacter('(')),
        ("a,b.exe", Fault::ProgramCharacter(',')),
        (r#"C:\a" b".exe"#, Fault::ProgramCharacter('"')),
        (r#""C:\a b.exe"x"#, Fault::ProgramCharacter('"')),
        ("C:\\a\u{a0}b.exe", Fault::ProgramCharacter('\u{a0}')),
        (r"C:\apps\a", Fault::NoExecutable),
        (r"C:\apps\a.bat", Fault::NoExecutable),
        (r"C:\apps\a.cmd x", Fault::NoExecutable),
        ("C:", Fault::NoExecutable),
    ] {
        assert_eq!(fault(line), Some((0, expected)), "{line}");
    }
}
