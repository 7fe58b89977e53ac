//! The node as `probe` and `doctor` see it, each from a process that is in no job of the launcher's.

use std::io;
use std::mem::size_of;
use std::net::{IpAddr, TcpListener, ToSocketAddrs as _};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use windows_sys::Win32::System::JobObjects::IsProcessInJob;
use windows_sys::Win32::System::SystemInformation::OSVERSIONINFOW;
use windows_sys::Win32::System::Threading::GetCurrentProcess;

use super::handle::done;
use super::hcn::Hcn;
use super::library::{Function, Library};
use super::machine::Network;
use super::tls::Schannel;
use super::{Compartments, system};
use native_host_launcher::compartment::{self, Assigned, Found, Node};
use native_host_launcher::doctor::{Inside, Patient};
use native_host_launcher::names;
use native_host_launcher::probe::Action;
use native_host_launcher::probing::outside::Place;
use native_host_launcher::probing::{self, Outcome};
use native_host_launcher::timestamp::Timestamp;

/// The calls that the launcher needs and that not every Windows has.
const CALLS: [(&str, &[&std::ffi::CStr]); 2] = [
    (
        "iphlpapi.dll",
        &[
            c"SetJobCompartmentId",
            c"SetCurrentThreadCompartmentId",
            c"GetCurrentThreadCompartmentId",
            c"GetAdaptersAddresses",
        ],
    ),
    (
        "computenetwork.dll",
        &[
            c"HcnEnumerateEndpoints",
            c"HcnOpenEndpoint",
            c"HcnQueryEndpointProperties",
            c"HcnOpenNamespace",
            c"HcnQueryNamespaceProperties",
        ],
    ),
];

/// This machine, looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look(Instant);

impl Look {
    /// From now on.
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

fn status_file() -> io::Result<Vec<u8>> {
    std::fs::read(Path::new(names::ANCHOR_DIR).join(names::ANCHOR_FILE))
}

impl Place for Look {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn pause(&self, time: Duration) {
        thread::sleep(time);
    }

    fn booted(&self) -> Timestamp {
        system::booted()
    }

    fn status(&self) -> io::Result<Vec<u8>> {
        status_file()
    }

    fn find(&self, ip: IpAddr) -> Result<Found, String> {
        compartment::find(&Network, ip)
    }

    fn enter(&self, compartment: u32) -> Result<(), String> {
        Compartments::load()?.enter(compartment)
    }

    fn attempt(&self, action: &Action, ip: IpAddr, timeout: Duration) -> Outcome {
        probing::attempt(action, ip, timeout, &Schannel)
    }
}

impl Node for Look {
    type Hcn = Hcn;

    fn hcn(&self) -> Result<Hcn, String> {
        Network.hcn()
    }

    fn adapters(&self) -> Result<Vec<Assigned>, String> {
        Network.adapters()
    }

    fn ipconfig(&self) -> Result<Vec<u8>, String> {
        Network.ipconfig()
    }
}

impl Patient for Look {
    fn system(&self) -> Vec<(&'static str, Result<String, String>)> {
        let own = Compartments::load().and_then(Compartments::current);
        vec![
            ("windows", version()),
            ("account", account()),
            (
                "in a job",
                in_job().map(|inside| if inside { "yes" } else { "no" }.to_owned()),
            ),
            ("own compartment", own.map(|number| number.to_string())),
        ]
    }

    fn calls(&self) -> Vec<(&'static str, Result<(), String>)> {
        let mut all = Vec::new();
        for (library, functions) in CALLS {
            let loaded = Library::load(library);
            for function in functions {
                let there = loaded
                    .clone()
                    .and_then(|library| library.function(function));
                // Every name is ASCII.
                all.push((function.to_str().unwrap_or_default(), there.map(|_| ())));
            }
        }
        all
    }

    fn booted(&self) -> Timestamp {
        system::booted()
    }

    fn status(&self) -> io::Result<Vec<u8>> {
        status_file()
    }

    fn inside(&self, compartment: u32, ip: Option<IpAddr>, name: &str) -> Inside {
        let name = name.to_owned();
        let looked = thread::spawn(move || {
            let entered = Compartments::load().and_then(|calls| calls.enter(compartment));
            if entered.is_err() {
                return Inside {
                    entered,
                    bound: None,
                    resolved: None,
                };
            }
            let bound = ip.map(|ip| {
                let listener = TcpListener::bind((ip, 0));
                listener.map(|_| ()).map_err(|error| error.to_string())
            });
            Inside {
                entered,
                bound,
                resolved: Some(resolve(&name)),
            }
        });
        looked.join().unwrap_or_else(|_| Inside {
            entered: Err("the thread ended".to_owned()),
            bound: None,
            resolved: None,
        })
    }
}

/// A name's addresses, each once.
fn resolve(name: &str) -> Result<Vec<IpAddr>, String> {
    let found = (name, 0)
        .to_socket_addrs()
        .map_err(|error| error.to_string())?;
    let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// `10.0.20348`, which `GetVersionEx` would not tell a program without a manifest.
fn version() -> Result<String, String> {
    type GetVersion = unsafe extern "system" fn(*mut OSVERSIONINFOW) -> i32;
    let function = Library::load("ntdll.dll")?.function(c"RtlGetVersion")?;
    let mut version = OSVERSIONINFOW {
        // A few hundred bytes.
        dwOSVersionInfoSize: u32::try_from(size_of::<OSVERSIONINFOW>()).unwrap_or(0),
        ..OSVERSIONINFOW::default()
    };
    // SAFETY: the function is of this type (wdm.h) and fills the structure, whose size it is told.
    let status = unsafe {
        let function = std::mem::transmute::<Function, GetVersion>(function);
        function(&raw mut version)
    };
    if status != 0 {
        return Err(format!("RtlGetVersion: {status:#010x}"));
    }
    Ok(format!(
        "{}.{}.{}",
        version.dwMajorVersion, version.dwMinorVersion, version.dwBuildNumber
    ))
}

/// `NT AUTHORITY\SYSTEM`
fn account() -> Result<String, String> {
    type GetUserName = unsafe extern "system" fn(i32, *mut u16, *mut u32) -> u8;
    /// `NameSamCompatible` of secext.h: `DOMAIN\NAME`.
    const SAM_COMPATIBLE: i32 = 2;
    let function = Library::load("secur32.dll")?.function(c"GetUserNameExW")?;
    let mut name = [0_u16; 512];
    let mut length = 512;
    // SAFETY: the function is of this type (secext.h); the buffer is as long as is said.
    let result = unsafe {
        let function = std::mem::transmute::<Function, GetUserName>(function);
        function(SAM_COMPATIBLE, name.as_mut_ptr(), &raw mut length)
    };
    done(result.into(), "GetUserNameExW")?;
    Ok(String::from_utf16_lossy(
        name.get(..length as usize).unwrap_or_default(),
    ))
}

/// Whether this process is in a job: a container's, or the launcher's.
fn in_job() -> Result<bool, String> {
    let mut inside = 0;
    // SAFETY: a pseudo-handle of this process, and null for "any job".
    let result =
        unsafe { IsProcessInJob(GetCurrentProcess(), std::ptr::null_mut(), &raw mut inside) };
    done(result, "IsProcessInJob")?;
    Ok(inside != 0)
}
