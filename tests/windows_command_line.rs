//! The model of a node's command-line pipeline (`native_host::windows`), checked against programs that
//! really run: a Windows .exe that prints its command line (`tests/wine/argv-echo`), started by
//! `CreateProcessW` plainly and through `cmd /c`, under wine. And, in `wine::names`, the model of paths.
//!
//! Not compared, since wine is known to do otherwise than Windows there, or says nothing:
//! - a line with a single `%`: in Windows' command-line mode it stays ("How does the Windows Command
//!   Interpreter (CMD.EXE) parse scripts?", Stack Overflow 4094699); the model refuses two;
//! - a line beyond 8191 characters: wine runs nothing and answers 0; the model refuses it
//!   ("Command prompt (Cmd.exe) command-line string limitation", KB 830473);
//! - a line feed: wine passes it on, Windows ends the line there (the same source); refused;
//! - `!`: delayed expansion is off unless the registry turns it on; the model refuses it.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod wine;

use native_host::windows::cmd::{LINE_LIMIT, Outcome, through_cmd};
use native_host::windows::pipeline::{argv, command_line, line_length, survives};
use native_host_launcher::{CommandLine, Run};
use proptest::collection::vec;
use proptest::prelude::*;
use wine::{Arrived, Way, Wine, generate, windows_path};

/// How many lines go through cmd, of which each takes two processes and 50 ms.
const CMD_LINES: usize = 1200;

/// Arguments of all that matters to anyone on the way. The letters make no command's name.
fn argument() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => r"[-qxQX0-9_./\\:@+,=~#]{0,8}",
        4 => r#"[ \t"\\&|<>^()$;,=*?'`q]{0,8}"#,
        1 => r#"[\\" ]{0,12}"#,
        1 => "[q äßλж東\u{a0}\u{2028}😀]{0,5}",
    ]
}

fn arguments() -> impl Strategy<Value = Vec<String>> {
    vec(argument(), 0..6)
}

fn with_program(program: &str, arguments: &[String]) -> Vec<String> {
    let mut argv = vec![program.to_owned()];
    argv.extend_from_slice(arguments);
    argv
}

/// Lines that the model of cmd says to run come out of cmd as it says, and what it says survives
/// arrives unchanged.
#[test]
fn cmd_does_what_its_model_says() {
    let Some(wine) = Wine::find() else { return };
    let program = wine.program();
    let mut lines = Vec::new();
    let mut expected = Vec::new();
    let mut survivors = 0;
    for arguments in generate(CMD_LINES * 5, arguments()) {
        if lines.len() == CMD_LINES * 3 / 4 {
            break;
        }
        let original = with_program(&program, &arguments);
        let line = command_line(&original);
        let Outcome::Runs(left) = through_cmd(&line) else {
            continue;
        };
        if survives(&original).is_ok() {
            survivors += 1;
            assert_eq!(argv(&left), original);
        }
        lines.push((Way::Cmd, line));
        expected.push(Ok(argv(&left)));
    }
    // And lines that no one escaped.
    for tail in generate(CMD_LINES * 2, r#"[ \t"\\&|<>^()$;=qä]{0,16}"#) {
        if lines.len() == CMD_LINES {
            break;
        }
        let line = format!("{program} {tail}");
        let Outcome::Runs(left) = through_cmd(&line) else {
            continue;
        };
        lines.push((Way::Cmd, line));
        expected.push(Ok(argv(&left)));
    }
    assert!(
        survivors > CMD_LINES / 2 && lines.len() == CMD_LINES,
        "{survivors} of {}",
        lines.len()
    );
    compare(&lines, &wine.run(&lines), &expected);
}

/// Lines are split as the model says, by Rust's library in a process of its own, and by
/// `CommandLineToArgvW` where the model is to agree with both: on lines that were escaped.
#[test]
fn programs_split_lines_as_the_model_says() {
    let Some(wine) = Wine::find() else { return };
    let program = wine.program();
    let mut lines = Vec::new();
    let mut expected = Vec::new();
    for arguments in generate(8000, arguments()) {
        let original = with_program(&program, &arguments);
        lines.push((Way::Shell, command_line(&original)));
        expected.push(Ok(original));
    }
    for arguments in generate(300, arguments()) {
        let original = with_program(&program, &arguments);
        lines.push((Way::Plain, command_line(&original)));
        expected.push(Ok(original));
    }
    for line in generate(300, r#"[a-c]{0,3}[ \t"\\ab]{0,16}"#) {
        // An empty line is the path of the program itself.
        let line = format!("a{line}");
        expected.push(Ok(argv(&line)));
        lines.push((Way::Plain, line));
    }
    compare(&lines, &wine.run(&lines), &expected);
}

/// Whatever a pod asks the launcher to run arrives there, through `cmd /c`.
#[test]
fn the_launcher_gets_what_the_pod_asks_for() {
    let Some(wine) = Wine::find() else { return };
    let program = wine.program();
    let target = prop_oneof![r"C:\\[a-z ]{1,8}\.exe", "[^\0]{1,8}"];
    let anything = prop_oneof![argument(), r"[%!\r\n\x01-\x1f]{0,6}", "[^\0]{0,8}"];
    let mut runs = Vec::new();
    let mut lines = Vec::new();
    for (target, rest) in generate(150, (target, vec(anything, 0..5))) {
        let run = Run::new("albums", with_program(&target, &rest));
        lines.push((
            Way::Cmd,
            command_line(&with_program(&program, &run.to_args().unwrap())),
        ));
        runs.push(run);
    }
    for (arrived, run) in wine.run(&lines).into_iter().zip(runs) {
        assert_eq!(Run::parse(&arrived.unwrap()[1..]).as_ref(), Ok(&run));
    }
}

/// The lines that the launcher itself writes are split into what it was given, by Rust's library and by
/// `CommandLineToArgvW`: everything but a NUL, through no cmd.
#[test]
fn programs_get_what_the_launcher_gives_them() {
    let Some(wine) = Wine::find() else { return };
    let program = wine.program();
    let anything = prop_oneof![argument(), r"[%!\r\n\x01-\x1f]{0,6}", "[^\0]{0,8}"];
    let mut lines = Vec::new();
    let mut expected = Vec::new();
    for (i, rest) in generate(2000, vec(anything, 0..6)).into_iter().enumerate() {
        let original = with_program(&program, &rest);
        let made = CommandLine::new(&program, &original, r"C:\windows\system32").unwrap();
        assert_eq!(argv(&made.line), original);
        let way = if i < 200 { Way::Plain } else { Way::Shell };
        lines.push((way, made.line));
        expected.push(Ok(original));
    }
    compare(&lines, &wine.run(&lines), &expected);
}

/// The model does not refuse for nothing: of each kind that wine can show, one that is mangled.
#[test]
fn what_is_refused_is_mangled_for_real() {
    let Some(wine) = Wine::find() else { return };
    let program = wine.program();
    let folder = tempfile::tempdir().unwrap();
    let spaced = folder.path().join("with space.exe");
    std::fs::copy(&wine.exe, &spaced).unwrap();
    let spaced = windows_path(&spaced);

    let mut lines = Vec::new();
    let mut refused = Vec::new();
    for argv in [
        vec![program.as_str(), "q&q"],
        vec![&program, "q|q"],
        vec![&program, ">q"],
        vec![&program, "<q"],
        vec![&program, "q^q"],
        vec![&program, "q\"q & q"],
        vec![&program, "%PATH%"],
        vec![&program, "q %PATH%"],
        vec![&spaced, "q q"],
        vec![&spaced, ""],
        vec!["echo", "q"],
    ] {
        assert!(survives(&argv).is_err(), "{argv:?}");
        lines.push((Way::Cmd, command_line(&argv)));
        refused.push(argv.iter().map(|&a| a.to_owned()).collect::<Vec<_>>());
    }
    for (arrived, original) in wine.run(&lines).iter().zip(&refused) {
        assert_ne!(arrived.as_ref(), Ok(original), "arrived after all");
    }

    // A program with a space and no other quotes keeps them, and so arrives.
    let kept = vec![spaced, "q".to_owned(), "--x=1".to_owned()];
    assert_eq!(survives(&kept), Ok(()));
    assert_eq!(wine.run(&[(Way::Cmd, command_line(&kept))]), [Ok(kept)]);
}

/// A line of just the limit arrives.
#[test]
fn the_longest_line_arrives() {
    let Some(wine) = Wine::find() else { return };
    let mut argv = vec![wine.program(), "q".to_owned()];
    argv[1] = "q".repeat(LINE_LIMIT - line_length(&argv) + 1);
    assert_eq!((line_length(&argv), survives(&argv)), (LINE_LIMIT, Ok(())));
    assert_eq!(wine.run(&[(Way::Cmd, command_line(&argv))]), [Ok(argv)]);
}

fn compare(lines: &[(Way, String)], arrived: &[Arrived], expected: &[Arrived]) {
    let differing: Vec<_> = lines
        .iter()
        .zip(arrived.iter().zip(expected))
        .filter(|(_, (arrived, expected))| arrived != expected)
        .collect();
    let shown =
        differing
            .iter()
            .take(10)
            .fold(String::new(), |text, (line, (arrived, expected))| {
                text + &format!("{line:?}\n  arrived  {arrived:?}\n  expected {expected:?}\n")
            });
    assert!(
        differing.is_empty(),
        "{} of {} differ:\n{shown}",
        differing.len(),
        lines.len()
    );
}
