//! Tests of [`super`].
#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn path(text: &str) -> WindowsPath {
    WindowsPath::parse(text).unwrap()
}

fn allows(pattern: &str, target: &str) -> bool {
    let pattern = PathPattern::parse(pattern).unwrap();
    WindowsPath::parse(target).is_ok_and(|target| pattern.matches(&target))
}

#[test]
fn accepts_plain_absolute_paths() {
    for text in [
        r"C:\apps\albums.exe",
        "c:/apps/albums.exe",
        r"C:\Program Files (x86)\Größe\a-b_c.v1.exe",
        r"\\server\share\a.exe",
        "//server/c$/a.exe",
        r"C:\",
        r"C:\apps\",
        r"C:\console\nullable.txt",
        r"C:\COM10\x",
        r"C:\a~b\x",
    ] {
        assert_eq!(path(text).as_str(), text);
    }
}

#[test]
fn refuses_what_may_mean_another_file() {
    let owned = str::to_owned;
    for (text, fault) in [
        ("", PathFault::Empty),
        ("albums.exe", PathFault::Relative),
        (r".\albums.exe", PathFault::Relative),
        (r"apps\albums.exe", PathFault::Relative),
        ("ä:\\a.exe", PathFault::Relative),
        ("C:albums.exe", PathFault::DriveRelative),
        ("C:", PathFault::DriveRelative),
        (r"\apps\albums.exe", PathFault::RootRelative),
        ("/apps/albums.exe", PathFault::RootRelative),
        (r"\\?\C:\apps\a.exe", PathFault::Device),
        (r"//?/C:/apps/a.exe", PathFault::Device),
        (r"\\.\pipe\x", PathFault::Device),
        (r"\??\C:\apps\a.exe", PathFault::Device),
        (r"\\server", PathFault::NoShare),
        (r"\\server\", PathFault::NoShare),
        (r"\\\server\share\a", PathFault::NoShare),
        (r"C:\apps\a.exe:x.exe", PathFault::Stream),
        (r"C:\apps\a.exe::$DATA", PathFault::Stream),
        (r"C:\apps\..\a.exe", PathFault::Dots(owned(".."))),
        (r"C:\apps\.\a.exe", PathFault::Dots(owned("."))),
        (r"\\server\..\a.exe", PathFault::Dots(owned(".."))),
        (
            r"C:\PROGRA~1\a.exe",
            PathFault::ShortName(owned("PROGRA~1")),
        ),
        (
            r"C:\apps\ALBUMS~2.EXE",
            PathFault::ShortName(owned("ALBUMS~2.EXE")),
        ),
        (r"C:\apps.\a.exe", PathFault::Trailing(owned("apps."))),
        (r"C:\apps\a.exe ", PathFault::Trailing(owned("a.exe "))),
        (r"C:\apps\...\a.exe", PathFault::Trailing(owned("..."))),
        (r"C:\NUL", PathFault::Reserved(owned("NUL"))),
        (r"C:\apps\con.exe", PathFault::Reserved(owned("con.exe"))),
        (r"C:\apps\aux .txt", PathFault::Reserved(owned("aux .txt"))),
        (r"C:\apps\com1\a.exe", PathFault::Reserved(owned("com1"))),
        (r"C:\apps\LPT³", PathFault::Reserved(owned("LPT³"))),
        (r"C:\apps\$(APP).exe", PathFault::Variable("$(")),
        (r"C:\apps\$$(APP).exe", PathFault::Variable("$(")),
        (r"C:\%X%\a.exe", PathFault::Variable("%")),
        (r"$env:X\a.exe", PathFault::Variable("$env:")),
        (r"C:\apps\*\a.exe", PathFault::Character('*')),
        ("C:\\apps\\\"a\".exe", PathFault::Character('"')),
        ("C:\\apps\\a\n.exe", PathFault::Character('\n')),
        ("C:\\apps\\a\0.exe", PathFault::Character('\0')),
    ] {
        assert_eq!(WindowsPath::parse(text), Err(fault), "{text}");
    }
}

#[test]
fn compares_as_windows_does() {
    for (one, other) in [
        (r"C:\apps\albums.exe", "c:/APPS/Albums.EXE"),
        (r"C:\apps\albums.exe", r"C:\\apps\\\albums.exe"),
        (r"C:\apps", r"C:\apps\"),
        (r"\\Server\Share\a.exe", "//server/SHARE//a.exe"),
        (r"C:\Größe\a.exe", r"C:\GRÖßE\a.exe"),
    ] {
        assert_eq!(path(one), path(other));
    }
    for (one, other) in [
        (r"C:\apps\a.exe", r"D:\apps\a.exe"),
        (r"C:\apps\a.exe", r"C:\apps\a"),
        (r"C:\app\sa.exe", r"C:\apps\a.exe"),
        (r"\\server\c\a.exe", r"C:\a.exe"),
        (r"C:\ı.exe", r"C:\I.exe"),
    ] {
        assert_ne!(path(one), path(other));
    }
}

#[test]
fn names_the_file() {
    let parts = |text| {
        let path = path(text);
        (
            path.file_name().map(str::to_owned),
            path.extension().map(str::to_owned),
        )
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        parts(r"C:\apps\Albums.Exe"),
        (some("Albums.Exe"), some("Exe"))
    );
    assert_eq!(parts(r"C:\v1.2\albums"), (some("albums"), None));
    assert_eq!(parts(r"C:\apps\"), (None, None));
    assert_eq!(parts(r"C:\"), (None, None));
    assert_eq!(parts(r"\\server\share"), (None, None));
}

#[test]
fn a_file_allows_itself_only() {
    assert!(allows(r"C:\apps\albums.exe", "c:/apps/ALBUMS.exe"));
    assert!(!allows(r"C:\apps\albums.exe", r"C:\apps\albums"));
    assert!(!allows(r"C:\apps\albums.exe", r"C:\apps\albums.exe\"));
    assert!(!allows(r"C:\apps\albums.exe", r"C:\apps\albums.exe\x.exe"));
    assert!(!allows(r"C:\apps\albums.exe", r"C:\apps\x\..\albums.exe"));
}

#[test]
fn a_folder_allows_all_below_it() {
    assert!(allows(r"C:\apps\*", r"C:\apps\albums.exe"));
    assert!(allows(r"C:\apps\*", "c:/Apps/v1/bin/albums"));
    assert!(allows(r"C:\*", r"C:\albums.exe"));
    assert!(allows(r"\\server\share\*", r"\\SERVER\share\a.exe"));
    for target in [
        r"C:\apps",
        r"C:\apps\",
        r"C:\apps\v1\",
        r"C:\apps2\a.exe",
        r"D:\apps\a.exe",
        r"C:\apps\..\windows\system32\cmd.exe",
        r"C:\APPS~1\a.exe",
        r"\\?\C:\apps\a.exe",
        r"C:\apps\a.exe:evil.exe",
        r"apps\a.exe",
    ] {
        assert!(!allows(r"C:\apps\*", target), "{target}");
    }
}

#[test]
fn refuses_patterns_that_could_surprise() {
    for (text, fault) in [
        ("*", PatternFault::Star),
        (r"C:\apps*", PatternFault::Star),
        (r"C:\*\a.exe", PatternFault::Star),
        (r"C:\apps\*.exe", PatternFault::Star),
        (r"C:\apps\**", PatternFault::Star),
        (r"C:\apps\", PatternFault::Folder),
        (r"C:\", PatternFault::Folder),
        (r"C:\apps\albums", PatternFault::NoExtension),
        (r"apps\*", PatternFault::Path(PathFault::Relative)),
        (r"\\server\*", PatternFault::Path(PathFault::NoShare)),
        (
            r"C:\a\..\*",
            PatternFault::Path(PathFault::Dots("..".to_owned())),
        ),
    ] {
        assert_eq!(PathPattern::parse(text), Err(fault), "{text}");
    }
}

proptest! {
    #[test]
    fn slashes_and_case_make_no_difference(text in r"[a-cA-C]:[\\/][a-dA-D./\\~1 ]{0,12}") {
        let other = text.replace('/', "\\").to_ascii_uppercase();
        prop_assert_eq!(WindowsPath::parse(&text).ok(), WindowsPath::parse(&other).ok());
    }

    #[test]
    fn nothing_outside_a_folder_is_below_it(tail in r"[a-c./\\:~12 *$()%]{0,16}") {
        let target = format!(r"C:\apps\{tail}");
        if allows(r"C:\apps\*", &target) {
            // what is let through has no way out, and no second name
            let up = target.split(['\\', '/']).any(|segment| segment == "..");
            prop_assert!(!up && !target.contains("~1"), "{}", target);
            prop_assert!(target.matches(':').count() == 1, "{}", target);
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>(), root in r"(C:|\\\\s\\h|//|\\)?") {
        let _ = WindowsPath::parse(&format!("{root}{text}"));
        let _ = PathPattern::parse(&format!("{root}{text}"));
    }
}
