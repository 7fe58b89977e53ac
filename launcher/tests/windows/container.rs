//! A container to run the launcher in: a wine prefix of its own, made of links to the shared one, with the
//! stand-ins for what wine lacks (`tests/wine/stand-ins/network`) in its system32.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Seek as _};
use std::ops::Deref;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use native_host_launcher::names;
use native_host_launcher::timestamp::Timestamp;

/// The anchor's IP in all tests: loopback, so that it can be bound, and its compartment.
pub(crate) const IP: &str = "127.20.3.4";
pub(crate) const COMPARTMENT: u32 = 5;
/// The pod's.
pub(crate) const POD_UID: &str = "6e7e1f9e-6f4b-4b7e-8a57-0d6d8d1c2b3a";
/// A machine that runs these tests may be busy with others.
const PATIENCE: Duration = Duration::from_secs(120);

/// The programs, built, and a wine that works.
#[derive(Debug)]
pub(crate) struct Tools {
    launcher: PathBuf,
    pub(crate) echo: PathBuf,
    network: PathBuf,
    pub(crate) cplauncher: PathBuf,
    pub(crate) shim: PathBuf,
    /// The prefix that hack/wine makes.
    shared: PathBuf,
}

impl Tools {
    /// Builds and looks, once. On a developer's machine that has not what is needed this says so and leaves
    /// the tests out; in CI that is a failure.
    fn find() -> Option<&'static Self> {
        static FOUND: OnceLock<Option<Tools>> = OnceLock::new();
        FOUND.get_or_init(Self::look).as_ref()
    }

    fn look() -> Option<Self> {
        let found = || -> Result<Self, String> {
            let launcher = built(&["launcher", "native-host-launcher"])?;
            let echo = built(&["tests/wine/argv-echo"])?;
            let network = built(&["tests/wine/stand-ins/network", "network.dll"])?;
            let cplauncher = built(&["tests/wine/stand-ins/cplauncher"])?;
            let shim = built(&["tests/wine/shim"])?;
            let there = script("wine").args(["cmd", "/c", "exit"]).status();
            if !there.is_ok_and(|status| status.success()) {
                return Err("wine does not work".to_owned());
            }
            let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(
                || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cache"),
                PathBuf::from,
            );
            Ok(Self {
                launcher,
                echo,
                network,
                cplauncher,
                shim,
                shared: cache.join("native-host/wine"),
            })
        };
        match found() {
            Ok(tools) => Some(tools),
            Err(why) => {
                assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{why}");
                eprintln!("NOT TESTED UNDER WINE: {why}");
                None
            }
        }
    }
}

fn script(name: &str) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut command = Command::new(root.join("hack").join(name));
    command.current_dir(root);
    command
}

fn built(arguments: &[&str]) -> Result<PathBuf, String> {
    let output = script("build-windows").args(arguments).output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(String::from_utf8(output.stdout).unwrap().trim_end().into())
}

/// A path of this machine as wine names it.
pub(crate) fn windows_path(path: &Path) -> String {
    format!("Z:{}", path.to_str().unwrap().replace('/', r"\"))
}

/// Prefixes that no test uses at the moment, and how many tests use one. A prefix takes a second to start.
static POOL: Mutex<(Vec<Container>, usize)> = Mutex::new((Vec::new(), 0));

/// A container that a test has for itself.
pub(crate) struct Lease(Option<Container>);

impl Deref for Lease {
    type Target = Container;

    fn deref(&self) -> &Container {
        self.0.as_ref().unwrap()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let container = self.0.take();
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        pool.1 -= 1;
        // What a failed test leaves is nobody's to use.
        if !std::thread::panicking() {
            pool.0.extend(container);
        }
        if pool.1 == 0 {
            // Nothing else would ever drop them.
            pool.0.clear();
        }
    }
}

/// A prefix, alone in it the launcher and what it starts.
pub(crate) struct Container {
    prefix: tempfile::TempDir,
    pub(crate) tools: &'static Tools,
}

/// How a command line ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// All 32 bits; wine itself passes on eight.
    pub(crate) code: u32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A command line that runs.
pub(crate) struct Started {
    child: Child,
    out: fs::File,
    err: fs::File,
    _stdin: Option<ChildStdin>,
    _list: tempfile::TempDir,
}

impl Container {
    /// A node with one pod, whose anchor runs and whose status is there.
    pub(crate) fn lease() -> Option<Lease> {
        let tools = Tools::find()?;
        let idle = {
            let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
            pool.1 += 1;
            pool.0.pop()
        };
        let container = idle.unwrap_or_else(|| {
            let prefix = tempfile::tempdir().unwrap();
            let container = Self { prefix, tools };
            container.furnish();
            container
        });
        container.take_calls();
        // A launcher that was killed has left it there: such a compartment leaks.
        let _ = fs::remove_file(container.file("native-host-stand-in/compartment"));
        container.set_faults("");
        container.deliver_ctrl_break(false);
        container.set_endpoints(&line(COMPARTMENT, 0, IP));
        container.set_status(&status(IP, Timestamp::of(SystemTime::now()), "a-b"));
        Some(Lease(Some(container)))
    }

    fn furnish(&self) {
        let (shared, own) = (&self.tools.shared, self.prefix.path());
        for file in [
            "system.reg",
            "user.reg",
            "userdef.reg",
            ".update-timestamp",
            ".ready",
        ] {
            fs::copy(shared.join(file), own.join(file)).unwrap();
        }
        // wine prefers its own library of this name, unless told otherwise.
        let mut registry = fs::read_to_string(own.join("user.reg")).unwrap();
        let key = r"Software\\Wine\\AppDefaults\\native-host-launcher.exe\\DllOverrides";
        writeln!(registry, "\n[{key}]\n\"iphlpapi\"=\"native\"").unwrap();
        fs::write(own.join("user.reg"), registry).unwrap();

        let system = "windows/system32";
        fs::create_dir_all(own.join("drive_c").join(system)).unwrap();
        fs::create_dir(own.join("dosdevices")).unwrap();
        symlink("../drive_c", own.join("dosdevices/c:")).unwrap();
        symlink("/", own.join("dosdevices/z:")).unwrap();
        let link_all = |folder: &str, but: &[&str]| {
            for entry in fs::read_dir(shared.join("drive_c").join(folder)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                if !but.contains(&name.as_str()) {
                    let to = shared.join("drive_c").join(folder).join(&name);
                    symlink(to, self.file(&format!("{folder}/{name}"))).unwrap();
                }
            }
        };
        link_all("", &["windows"]);
        link_all("windows", &["system32"]);
        link_all(system, &["iphlpapi.dll"]);
        for name in ["iphlpapi.dll", "computenetwork.dll"] {
            fs::copy(&self.tools.network, self.file(&format!("{system}/{name}"))).unwrap();
        }
        let bin = self.file(&unix(names::LAUNCHER_DIR));
        fs::create_dir_all(&bin).unwrap();
        fs::copy(&self.tools.launcher, bin.join(names::LAUNCHER_EXE)).unwrap();
        fs::create_dir_all(self.file(&unix(names::ANCHOR_DIR))).unwrap();
        fs::create_dir(self.file("native-host-stand-in")).unwrap();
    }

    /// A file of drive C.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.prefix
            .path()
            .join("drive_c")
            .join(path.trim_start_matches('/'))
    }

    /// Replaces a file at once, as whoever reads it meanwhile expects.
    fn put(&self, path: &str, content: &str) {
        let part = self.file(&format!("{path}.part"));
        fs::write(&part, content).unwrap();
        fs::rename(part, self.file(path)).unwrap();
    }

    pub(crate) fn set_status(&self, content: &str) {
        self.put(
            &format!("{}/{}", unix(names::ANCHOR_DIR), names::ANCHOR_FILE),
            content,
        );
    }

    pub(crate) fn set_endpoints(&self, lines: &str) {
        self.put("native-host-stand-in/endpoints", lines);
    }

    pub(crate) fn set_faults(&self, lines: &str) {
        self.put("native-host-stand-in/faults", lines);
    }

    /// Whether CTRL_BREAK reaches other process groups, which wine's does not.
    pub(crate) fn deliver_ctrl_break(&self, whether: bool) {
        let file = self.file("native-host-stand-in/ctrl-break");
        if whether {
            fs::write(file, "").unwrap();
        } else {
            let _ = fs::remove_file(file);
        }
    }

    /// The calls since the last time: process, function with arguments, result.
    pub(crate) fn take_calls(&self) -> Vec<(u32, String, String)> {
        let file = self.file("native-host-stand-in/calls");
        let text = fs::read_to_string(&file).unwrap_or_default();
        let _ = fs::remove_file(file);
        let parse = |line: &str| {
            let (process, call) = line.split_once(' ').unwrap();
            let (call, result) = call.split_once(" -> ").unwrap();
            (process.parse().unwrap(), call.to_owned(), result.to_owned())
        };
        text.lines().map(parse).collect()
    }

    /// Whether a file comes to be.
    pub(crate) fn wait_for(&self, path: &str) {
        let start = Instant::now();
        while !self.file(path).exists() {
            assert!(start.elapsed() < PATIENCE, "{path} never came");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Starts the launcher as a node would: `cmd /c`, and its line as the webhook writes it.
    pub(crate) fn start(&self, args: &[String]) -> Started {
        let line = format!(
            r"{}\{} {}",
            names::LAUNCHER_DIR,
            names::LAUNCHER_EXE,
            args.join(" ")
        );
        self.start_line(&line)
    }

    /// Starts any line so.
    pub(crate) fn start_line(&self, line: &str) -> Started {
        self.start_lines(&[line])
    }

    /// Starts lines so, each after the end of the one before.
    pub(crate) fn start_lines(&self, lines: &[&str]) -> Started {
        let list = tempfile::tempdir().unwrap();
        let lines: Vec<String> = lines
            .iter()
            .map(|line| format!("cmd {}", hex(line)))
            .collect();
        fs::write(list.path().join("list"), lines.join("\n") + "\n").unwrap();
        // Files and no pipes: wine's own services inherit them and outlive the program.
        let (out, err) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let mut child = self
            .wine(&self.tools.echo)
            .env("ARGV_ECHO_LIST", windows_path(&list.path().join("list")))
            // One that never ends: the target's is another.
            .stdin(Stdio::piped())
            .stdout(out.try_clone().unwrap())
            .stderr(err.try_clone().unwrap())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        Started {
            child,
            out,
            err,
            _stdin: stdin,
            _list: list,
        }
    }

    /// A program of Windows, in this prefix and with the pod's variables.
    pub(crate) fn wine(&self, program: &Path) -> Command {
        let mut command = script("wine");
        command
            .arg(program)
            .env("WINEPREFIX", self.prefix.path())
            .env(names::POD_UID, POD_UID)
            .env("OTHER", "of the pod");
        command
    }

    /// Runs the launcher to its end.
    pub(crate) fn run(&self, args: &[String]) -> Ended {
        self.start(args).end()
    }

    /// Whether a program of the prefix runs that has such an argument. Asked of Linux, since wine's tasklist prints
    /// nothing.
    pub(crate) fn runs(&self, program: &str, argument: &str) -> bool {
        let prefix = format!("WINEPREFIX={}", self.prefix.path().display());
        let words = |file: PathBuf| {
            let bytes = fs::read(file).unwrap_or_default();
            let words = bytes.split(|&byte| byte == 0);
            words
                .map(|word| String::from_utf8_lossy(word).into_owned())
                .collect::<Vec<_>>()
        };
        let is_it = |process: &Path| {
            let line = words(process.join("cmdline"));
            let name = line[0].rsplit('\\').next().unwrap_or_default();
            name.trim_end_matches(".exe") == program
                && line.iter().any(|word| word == argument)
                && words(process.join("environ")).contains(&prefix)
        };
        let mut processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        processes.any(|process| is_it(&process.path()))
    }

    /// Waits until such a program runs, or none does.
    #[track_caller]
    pub(crate) fn wait_until_runs(&self, whether: bool, program: &str, argument: &str) {
        let start = Instant::now();
        while self.runs(program, argument) != whether {
            assert!(
                start.elapsed() < PATIENCE,
                "{program} {argument} runs: {}",
                !whether
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // Its wineserver, with all that is left, before the folder goes.
        let _ = script("wine")
            .args(["wineboot", "--kill"])
            .env("WINEPREFIX", self.prefix.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

impl Started {
    pub(crate) fn end(mut self) -> Ended {
        let status = self.child.wait().unwrap();
        let (out, err) = (text(&mut self.out), text(&mut self.err));
        assert!(status.success(), "{status}\n{out}\n{err}");
        let exit = out
            .lines()
            .rev()
            .find_map(|line| line.trim_end().strip_prefix("exit 0 "));
        let code = exit.unwrap_or_else(|| panic!("no exit code in\n{out}\n{err}"));
        // Windows counts them without sign.
        let code = code
            .parse()
            .unwrap_or_else(|_| panic!("it did not end: {code}\n{out}\n{err}"));
        Ended { code, out, err }
    }
}

impl Ended {
    /// The last line on stderr: all that `kubectl describe` shows of it.
    pub(crate) fn last_line(&self) -> &str {
        self.err.lines().last().unwrap_or_default()
    }
}

fn text(file: &mut fs::File) -> String {
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A text as argv-echo and the shim take it.
pub(crate) fn hex(text: &str) -> String {
    let byte = |hex: String, byte: u8| hex + &format!("{byte:02x}");
    text.bytes().fold(String::new(), byte)
}

/// `C:\native-host\bin` as a path below `drive_c`.
fn unix(path: &str) -> String {
    path.strip_prefix(r"C:\").unwrap().replace('\\', "/")
}

/// A line of the stand-in's `endpoints`; each compartment has an endpoint and a namespace of its own.
pub(crate) fn line(compartment: u32, flags: u32, ip: &str) -> String {
    let guid = |first: u32| format!("{first:08x}-8c5b-4f8f-9f0e-3f9b6f7d2c11");
    let (endpoint, namespace) = (guid(0xe000 + compartment), guid(0xf000 + compartment));
    format!("{endpoint} {namespace} {compartment} {flags} {ip}\n")
}

/// The status file, as the controller writes it.
pub(crate) fn status(ip: &str, started: Timestamp, uid: &str) -> String {
    format!(r#"{{"ip":"{ip}","started":"{started}","uid":"{uid}"}}"#)
}
