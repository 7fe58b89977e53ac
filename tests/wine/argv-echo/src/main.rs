//! What a Windows program sees of its command line, for `tests/windows_command_line.rs`.
//!
//! With the variable `ARGV_ECHO_LIST` it reads that file: lines of `plain HEX`, `cmd HEX` or `shell HEX`,
//! each a command line in hexadecimal UTF-8. `plain` and `cmd` start it as hcsshim would, by
//! `CreateProcessW`, without or after `cmd /c `, and print `run N`, what the child prints, and
//! `exit N CODE`. `shell` only has `CommandLineToArgvW` split it, and prints `shell N ARGUMENTS`. Two further
//! words ask Windows about names: `path` for the full path of a path, `upcase` for a text's upper case as file
//! systems take it; the answers are `path N TEXT` and `upcase N TEXT`.
//!
//! Without it, it is such a child, and prints `echo LINE ARGUMENTS`: its command line, and its
//! arguments as Rust's library splits them. All texts are printed in hexadecimal UTF-16.
#![cfg(windows)]

mod win32;

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::windows::ffi::OsStrExt as _;

fn main() {
    if let Some(list) = std::env::var_os("ARGV_ECHO_LIST") {
        // Children are to be children.
        // SAFETY: this process has one thread.
        unsafe { std::env::remove_var("ARGV_ECHO_LIST") };
        return drive(&std::fs::read_to_string(list).expect("the list can be read"));
    }
    let raw = win32::command_line();
    let split: Vec<Vec<u16>> = std::env::args_os().map(|a| a.encode_wide().collect()).collect();
    println!("echo {} {}", hex(&raw), join(&split));
}

fn drive(list: &str) {
    let own = std::env::current_exe().expect("a program knows its path");
    let own: Vec<u16> = own.as_os_str().encode_wide().collect();
    let shell = win32::Shell::load();
    for (number, case) in list.lines().enumerate() {
        let (how, line) = case.split_once(' ').expect("a way and a line");
        let line = String::from_utf8(bytes(line)).expect("a line is UTF-8");
        let run = |application, line: &str| {
            println!("run {number}");
            std::io::stdout().flush().expect("stdout is open");
            println!("\nexit {number} {}", win32::run(application, line));
        };
        match how {
            // hcsshim looks the program up itself and hands its path over.
            "plain" => run(Some(own.as_slice()), &line),
            "cmd" => run(None, &format!("cmd /c {line}")),
            "shell" => println!("shell {number} {}", join(&shell.split(&line))),
            "path" => println!("path {number} {}", hex(&win32::full_path(&line))),
            "upcase" => println!("upcase {number} {}", hex(&win32::upcase(&line))),
            other => panic!("{other} is no way to run"),
        }
    }
}

fn join(arguments: &[Vec<u16>]) -> String {
    let words: Vec<String> = arguments.iter().map(|argument| hex(argument)).collect();
    words.join(",")
}

/// `-` stands for the empty text, so that there is always a word.
fn hex(text: &[u16]) -> String {
    let mut word = String::with_capacity(text.len() * 4 + 1);
    for unit in text {
        let _ = write!(word, "{unit:04x}");
    }
    if word.is_empty() { "-".to_owned() } else { word }
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(pair, 16).expect("hexadecimal")
        })
        .collect()
}
