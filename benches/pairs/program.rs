//! The program under measurement: its controller alone.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::support::process::Server;
use crate::support::{ControlPlane, free_port, wait_until};

pub struct Program {
    server: Server,
    http: u16,
}

impl Program {
    pub fn start(plane: &ControlPlane) -> Self {
        let http = free_port();
        let flags = [
            "serve".to_owned(),
            "--webhook=false".to_owned(),
            format!(
                "--kubeconfig={}",
                plane.program_kubeconfig("bench", None).display()
            ),
            format!("--http-listen=127.0.0.1:{http}"),
        ];
        let binary = Path::new(env!("CARGO_BIN_EXE_native-host"));
        let server = Server::start("native-host", binary, &flags, plane.folder()).unwrap();
        Program { server, http }
    }

    pub fn until_leading(&self) {
        self.until("native_host_leader", 1.0);
    }

    /// Waits until the series whose line begins so is at a value.
    pub fn until(&self, series: &str, value: f64) {
        wait_until(
            &format!("{series} is {value}"),
            Duration::from_secs(600),
            || self.metric(series).filter(|now| *now >= value),
        );
    }

    fn metric(&self, series: &str) -> Option<f64> {
        let text = self.metrics()?;
        let line = text.lines().find(|line| line.starts_with(series))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    fn metrics(&self) -> Option<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.http)).ok()?;
        write!(stream, "GET /metrics HTTP/1.0\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Errors and retries, which there should be few of.
    pub fn interesting(&self) -> Vec<String> {
        let text = self.metrics().unwrap_or_default();
        let lines = text.lines().filter(|line| {
            let named = [
                "native_host_api_",
                "native_host_retries",
                "native_host_events_dropped",
            ];
            named.iter().any(|name| line.starts_with(name)) && !line.ends_with(" 0")
        });
        lines.map(str::to_owned).collect()
    }

    /// Resident memory now, what of it is no page of the program's file, and the highest of the first,
    /// in MiB.
    pub fn memory(&self) -> (f64, f64, f64) {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.server.pid())).unwrap();
        let of = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key)).unwrap();
            let number = line.split_whitespace().nth(1).unwrap();
            number.parse::<f64>().unwrap() / 1024.0
        };
        (of("VmRSS:"), of("RssAnon:"), of("VmHWM:"))
    }
}
