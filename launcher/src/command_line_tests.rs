//! Tests of [`super`]. That the model below is Windows', and real programs read these lines so, is tested under wine
//! (`tests/windows_command_line.rs` of the workspace).

#![allow(clippy::unwrap_used)]

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

const SYSTEM: &str = r"C:\Windows\System32";
const BATCH_HEAD: &str = r#"C:\Windows\System32\cmd.exe /d /e:on /v:off /s /c ""#;

fn strings(argv: &[&str]) -> Vec<String> {
    argv.iter().map(|&argument| argument.to_owned()).collect()
}

fn line(argv: &[&str]) -> Result<String, Refused> {
    CommandLine::new(argv[0], &strings(argv), SYSTEM).map(|made| made.line)
}

/// `CommandLineToArgvW`, by its documentation: the program's name ends at its second quote, or at the first blank; then
/// 2n backslashes before a quote are n and the quote delimits, 2n+1 are n and it is one of the text.
fn command_line_to_argv(line: &str) -> Vec<String> {
    let mut rest = line.chars().peekable();
    let mut program = String::new();
    if rest.next_if_eq(&'"').is_some() {
        program.extend(std::iter::from_fn(|| rest.next_if(|&c| c != '"')));
        rest.next();
    } else {
        program.extend(std::iter::from_fn(|| rest.next_if(|&c| c > ' ')));
    }
    let mut argv = vec![program];
    loop {
        while rest.next_if(|c| matches!(c, ' ' | '\t')).is_some() {}
        if rest.peek().is_none() {
            return argv;
        }
        let (mut argument, mut quoted) = (String::new(), false);
        while let Some(&c) = rest.peek() {
            if matches!(c, ' ' | '\t') && !quoted {
                break;
            }
            let backslashes = std::iter::from_fn(|| rest.next_if_eq(&'\\')).count();
            if rest.next_if_eq(&'"').is_some() {
                argument.extend(std::iter::repeat_n('\\', backslashes / 2));
                if backslashes % 2 == 1 {
                    argument.push('"');
                } else {
                    quoted = !quoted;
                }
            } else if backslashes > 0 {
                argument.extend(std::iter::repeat_n('\\', backslashes));
            } else {
                argument.extend(rest.next());
            }
        }
        argv.push(argument);
    }
}

#[test]
fn lines_look_as_a_person_would_write_them() {
    for (argv, expected) in [
        (
            &[r"C:\apps\a.exe", "--x=1", "y"][..],
            r"C:\apps\a.exe --x=1 y",
        ),
        (
            &[r"C:\Program Files\a.exe", r"C:\a b\"],
            r#""C:\Program Files\a.exe" "C:\a b\\""#,
        ),
        (&[r"C:\a b\"], r#""C:\a b\""#),
        (&["a.exe", ""], r#"a.exe """#),
        (&["a.exe", r#"say "hi""#], r#"a.exe "say \"hi\"""#),
        (&["a.exe", r#"\""#], r#"a.exe \\\""#),
        (&["a.exe", "x\ny"], "a.exe \"x\ny\""),
        (&["a.exe", "%PATH%", "a&b"], "a.exe %PATH% a&b"),
    ] {
        assert_eq!(line(argv).as_deref(), Ok(expected));
    }
}

#[test]
fn the_program_is_named_beside_the_line() {
    let made = CommandLine::new(r"C:\apps\a.exe", &strings(&["a", "b c"]), SYSTEM).unwrap();
    assert_eq!(made.application, r"C:\apps\a.exe");
    assert_eq!(made.line, r#"a "b c""#);
}

#[test]
fn batch_files_are_run_by_cmd() {
    for (argv, expected) in [
        (&[r"C:\apps\run.cmd"][..], r#""C:\apps\run.cmd"""#),
        (
            &[r"C:\a b\run.BAT", "install", "--x"],
            r#""C:\a b\run.BAT" install --x""#,
        ),
        (
            &[r"C:\run.cmd", "a&calc", "x=1,2;3", "a b", ""],
            r#""C:\run.cmd" "a&calc" "x=1,2;3" "a b" """"#,
        ),
        (
            &[r"C:\run.cmd", r"C:\dir\", r"C:\a b\"],
            r#""C:\run.cmd" C:\dir\ "C:\a b\\"""#,
        ),
        (
            &[r"C:\run.cmd", "!x!", "^", "(|)", "\t"],
            "\"C:\\run.cmd\" \"!x!\" \"^\" \"(|)\" \"\t\"\"",
        ),
    ] {
        let made = CommandLine::new(argv[0], &strings(argv), r"C:\Windows\System32\").unwrap();
        assert_eq!(made.application, r"C:\Windows\System32\cmd.exe");
        assert_eq!(made.line.strip_prefix(BATCH_HEAD), Some(expected));
    }
}

#[test]
fn what_cmd_would_act_on_even_in_quotes_is_refused() {
    for (argv, at, character) in [
        (&[r"C:\run.cmd", "x", "\"&calc"][..], 2, '"'),
        (&[r"C:\run.cmd", "100%"], 1, '%'),
        (&[r"C:\run.cmd", "a\nb"], 1, '\n'),
        (&[r"C:\run.cmd", "a\rb"], 1, '\r'),
        (&[r"C:\run.cmd", "\u{1a}"], 1, '\u{1a}'),
        (&[r"C:\%a%\run.cmd"], 0, '%'),
    ] {
        assert_eq!(line(argv), Err(Refused::Batch(at, character)));
        assert!(line(&[&["a.exe"], &argv[1..]].concat()).is_ok());
    }
}

#[test]
fn a_batch_file_is_one_by_any_name_that_windows_takes_for_it() {
    for name in [
        "a.bat",
        r"C:\a.CMD",
        "a.bat ",
        "a.cmd. .",
        r"C:\x.exe\a.Bat",
        "C:/x/a.cmd",
        ".bat",
    ] {
        assert!(is_batch(name), "{name:?}");
    }
    for name in [
        "a.exe",
        "a",
        "bat",
        "a.bat.exe",
        r"C:\a.bat\a",
        r"C:\a.cmd\a.exe",
        "a.batch",
        "",
    ] {
        assert!(!is_batch(name), "{name:?}");
    }
}

#[test]
fn refuses_what_no_line_can_say() {
    assert_eq!(
        CommandLine::new("a.exe", &[], SYSTEM),
        Err(Refused::NoProgram)
    );
    assert_eq!(line(&[""]), Err(Refused::NoProgram));
    assert_eq!(line(&["a\"b.exe"]), Err(Refused::QuoteInProgram));
    assert_eq!(line(&["a.exe", "", "x\0"]), Err(Refused::Nul(2)));
    assert_eq!(
        CommandLine::new("a\0.exe", &strings(&["a"]), SYSTEM),
        Err(Refused::Nul(0))
    );
}

#[test]
fn lines_may_be_just_so_long() {
    let long = |length: usize| "x".repeat(length);
    let most = LIMIT - "a.exe ".len();
    assert_eq!(line(&["a.exe", &long(most)]).unwrap().len(), LIMIT);
    let length = LIMIT + 1;
    assert_eq!(
        line(&["a.exe", &long(most + 1)]),
        Err(Refused::TooLong {
            length,
            limit: LIMIT
        })
    );
    // What counts are UTF-16 units.
    let wide = "😀".repeat(most / 2 + 1);
    assert!(matches!(
        line(&["a.exe", &wide]),
        Err(Refused::TooLong { .. })
    ));
    let most = CMD_LIMIT - BATCH_HEAD.len() - r#""C:\a.cmd" ""#.len();
    assert!(line(&[r"C:\a.cmd", &long(most)]).is_ok());
    let refused = line(&[r"C:\a.cmd", &long(most + 1)]);
    assert!(matches!(
        refused,
        Err(Refused::TooLong {
            limit: CMD_LIMIT,
            ..
        })
    ));
}

#[test]
fn refusals_say_what_to_do() {
    let said = line(&[r"C:\run.cmd", "x", "a\"b"]).unwrap_err().to_string();
    assert!(
        said.starts_with("argument 2 of a batch file holds `\"`, on which cmd.exe would act; "),
        "{said}"
    );
    let said = line(&[r"C:\run.cmd", "\n"]).unwrap_err().to_string();
    assert!(said.contains("U+000A"), "{said}");
}

/// What `cmd` makes of a line after `/s /c`: the outer quotes go, then operators and variables count outside of quotes and
/// in them. Whether nothing of it happens.
fn cmd_leaves_alone(line: &str) -> bool {
    let inner = line
        .strip_prefix(BATCH_HEAD)
        .unwrap()
        .strip_suffix('"')
        .unwrap();
    let mut quoted = false;
    for c in inner.chars() {
        match c {
            '"' => quoted = !quoted,
            '%' | '\r' | '\n' | '\u{1a}' => return false,
            '&' | '|' | '<' | '>' | '^' | '(' | ')' | '=' | ',' | ';' | '!' if !quoted => {
                return false;
            }
            _ => {}
        }
    }
    !quoted
}

proptest! {
    #[test]
    fn every_argument_arrives(
        program in r"[a-z \\:.\t]{1,10}",
        rest in vec(prop_oneof![r#"[\\" \t]{0,8}"#, "[^\0]{0,8}"], 0..6),
    ) {
        let argv: Vec<_> = std::iter::once(format!("C:{program}")).chain(rest).collect();
        let made = CommandLine::new(r"C:\a.exe", &argv, SYSTEM).unwrap();
        prop_assert_eq!(command_line_to_argv(&made.line), argv);
    }

    #[test]
    fn nothing_in_a_batch_files_line_is_acted_on(rest in vec(prop_oneof![r#"[\\"% &|<>^!=,;()]{0,8}"#, "[^\0]{0,8}"], 0..6)) {
        let argv: Vec<_> = std::iter::once(r"C:\apps\run.cmd".to_owned()).chain(rest).collect();
        match CommandLine::new(&argv[0], &argv, SYSTEM) {
            Ok(made) => {
                prop_assert!(cmd_leaves_alone(&made.line), "{}", made.line);
                // And what the batch file hands on as `%*` arrives too.
                let inner = made.line.strip_prefix(BATCH_HEAD).unwrap().strip_suffix('"').unwrap();
                prop_assert_eq!(command_line_to_argv(inner), argv);
            }
            Err(Refused::Batch(at, c)) => prop_assert!(argv[at].contains(c) && !argv[at].is_empty()),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn no_input_panics(application in any::<String>(), argv in vec(any::<String>(), 0..4), system in any::<String>()) {
        let _ = CommandLine::new(&application, &argv, &system);
    }
}
