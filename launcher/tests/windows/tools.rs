//! What people and init containers call: `install`, `doctor`, `version`, `--help`; and batch files as targets.

use std::fs;

use native_host_launcher::help::Topic;
use native_host_launcher::json::Value;
use native_host_launcher::{Exit, Install, names};

use super::container::{Container, IP, windows_path};
use super::run;

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(str::to_owned).collect()
}

#[test]
fn it_says_what_it_is_and_how_it_is_used() {
    let Some(container) = Container::lease() else {
        return;
    };
    let ended = container.run(&words("version"));
    let version = concat!("native-host-launcher ", env!("CARGO_PKG_VERSION"));
    assert!(ended.code == 0 && ended.out.contains(version), "{ended:?}");
    for (line, topic) in [("--help", Topic::All), ("run --help", Topic::Run)] {
        let ended = container.run(&words(line));
        assert!(
            ended.code == 0 && ended.out.contains(&topic.text()),
            "{ended:?}"
        );
    }
    let ended = container.run(&words("start"));
    assert_eq!(ended.code, Exit::Usage.code());
    assert!(
        ended.last_line().contains("`start` is no command"),
        "{ended:?}"
    );
}

#[test]
fn doctor_looks_at_the_node() {
    let Some(container) = Container::lease() else {
        return;
    };
    let ended = container.run(&words("doctor --resolve localhost"));
    assert_eq!((ended.code, ended.err.trim()), (0, ""), "{ended:?}");
    // Columns are as wide as they have to be.
    let squeeze = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<_> = ended.out.lines().map(squeeze).collect();
    for line in [
        "SetJobCompartmentId there",
        "own compartment 1",
        &format!("ip {IP}"),
        &format!("5 {IP}"),
        &format!("look-up of {IP}"),
        "hcn compartment 5",
        "adapters compartment 5",
        "in compartment 5",
        "entered yes",
        &format!("bind {IP} yes"),
    ] {
        assert!(
            lines.iter().any(|found| found == line),
            "{line}\n{}",
            ended.out
        );
    }
    let resolved = ended
        .out
        .lines()
        .find(|line| line.starts_with("  resolve localhost"));
    assert!(
        resolved.is_some_and(|line| line.contains("127.0.0.1")),
        "{}",
        ended.out
    );
    let problems = lines.iter().position(|line| line == "problems").unwrap();
    assert_eq!(lines[problems + 1], "none");

    // The same for a program, on a node on which a thread may not enter.
    container.set_faults("SetCurrentThreadCompartmentId 5");
    let ended = container.run(&words(&format!("doctor --ip {IP} -o json")));
    let json = ended
        .out
        .lines()
        .find(|line| line.starts_with('{'))
        .unwrap();
    let value = Value::parse(json).unwrap();
    let entered = value
        .get("in compartment 5")
        .and_then(|inside| inside.get("entered"));
    let entered = entered.and_then(Value::as_str).unwrap();
    assert!(
        entered.starts_with("no: SetCurrentThreadCompartmentId 5: "),
        "{entered}"
    );
    assert_eq!(value.get("problems").unwrap().items().len(), 1, "{json}");
}

#[test]
fn install_puts_itself_where_containers_find_it() {
    let Some(container) = Container::lease() else {
        return;
    };
    let own = container.file(&format!("native-host/bin/{}", names::LAUNCHER_EXE));
    let there = container.file(&format!("pod/bin/{}", names::LAUNCHER_EXE));
    let install = Install {
        dir: r"C:\pod\bin".to_owned(),
    };
    let install = || container.run(&install.to_args());
    let same = || fs::read(&own).unwrap() == fs::read(&there).unwrap();
    let others = || {
        let names = fs::read_dir(there.parent().unwrap()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names
            .filter(|name| name != names::LAUNCHER_EXE)
            .collect::<Vec<_>>()
    };

    let ended = install();
    assert!(
        ended.code == 0
            && ended
                .out
                .contains(r"installed C:\pod\bin\native-host-launcher.exe"),
        "{ended:?}"
    );
    assert!(same() && others().is_empty());
    let ended = install();
    assert!(
        ended.code == 0 && ended.out.contains("is the same already"),
        "{ended:?}"
    );

    // Another version, which runs: what follows a program's last section changes nothing in it.
    let mut other = fs::read(&own).unwrap();
    other.extend_from_slice(b"another version");
    fs::write(&there, &other).unwrap();
    let target = r"echo.> C:\running & ping -n 6 127.0.0.1 > nul & exit 4";
    let run = run(&["cmd.exe", "/c", target]).to_args().unwrap();
    let line = format!(r"C:\pod\bin\{} {}", names::LAUNCHER_EXE, run.join(" "));
    let running = container.start_line(&line);
    container.wait_for("running");
    let ended = install();
    assert!(
        ended.code == 0 && ended.out.contains("replaced"),
        "{ended:?}"
    );
    assert!(same(), "the new one is not there");
    assert_eq!(running.end().code, 4, "the old one does not run on");
    // What is left of the old one goes with the next change.
    fs::write(&there, &other).unwrap();
    assert_eq!(install().code, 0);
    assert!(same() && others().is_empty(), "{:?}", others());
}

#[test]
fn what_cannot_be_installed_is_said() {
    let Some(container) = Container::lease() else {
        return;
    };
    fs::write(container.file("no folder"), "").unwrap();
    let install = Install {
        dir: r"C:\no folder\bin".to_owned(),
    };
    let ended = container.run(&install.to_args());
    assert_eq!(ended.code, Exit::InstallFailed.code(), "{ended:?}");
    assert!(
        ended
            .last_line()
            .contains(r"cannot make the folder C:\no folder\bin"),
        "{ended:?}"
    );
}

/// A batch file gets its arguments as they are, and nothing that stands in one is run.
#[test]
fn batch_files_get_their_arguments_and_run_none_of_them() {
    let Some(container) = Container::lease() else {
        return;
    };
    let echo = windows_path(&container.tools.echo);
    fs::create_dir(container.file("a b")).unwrap();
    let batch = format!("@echo off\r\nif \"%1\"==\"install\" \"{echo}\" %*\r\n");
    fs::write(container.file("a b/run.cmd"), batch).unwrap();
    let argv = [
        r"C:\a b\run.cmd",
        "install",
        "x y",
        "x&echo>C:\\caught",
        "a=1,2;3",
        "(^)|<>",
        r"C:\dir with space\",
        "ü",
    ];
    let ended = container.run(&run(&argv).to_args().unwrap());
    assert_eq!(ended.code, 0, "{ended:?}");
    let echoed = ended
        .out
        .lines()
        .find_map(|line| line.strip_prefix("echo "));
    let (_, split) = echoed
        .unwrap_or_else(|| panic!("{ended:?}"))
        .split_once(' ')
        .unwrap();
    let arrived: Vec<_> = split
        .trim_end()
        .split(',')
        .map(super::target::unhex)
        .collect();
    assert_eq!(arrived[1..], argv[1..]);
    assert!(!container.file("caught").exists());

    for bad in ["\"&echo>C:\\caught&\"", "%PATH%"] {
        let ended = container.run(&run(&[argv[0], "install", bad]).to_args().unwrap());
        assert_eq!(ended.code, Exit::TargetNotStarted.code(), "{ended:?}");
        assert!(
            ended.last_line().contains("on which cmd.exe would act"),
            "{ended:?}"
        );
    }
    assert!(!container.file("caught").exists());
}
