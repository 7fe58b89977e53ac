//! Network compartments: iphlpapi.dll.
//!
//! `SetJobCompartmentId` is declared in netioapi.h of the SDK and documented nowhere; hcsshim calls it as it is
//! called here (`internal/winapi/net.go`). All return a Windows error code.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ptr::null;

use windows_sys::Win32::Foundation::{ERROR_BUFFER_OVERFLOW, ERROR_NO_DATA, HANDLE};
use windows_sys::Win32::NetworkManagement::IpHelper::{
    GAA_FLAG_INCLUDE_ALL_COMPARTMENTS, GAA_FLAG_SKIP_ANYCAST, GAA_FLAG_SKIP_DNS_SERVER,
    GAA_FLAG_SKIP_MULTICAST, IP_ADAPTER_ADDRESSES_LH,
};
use windows_sys::Win32::Networking::WinSock::{
    AF_INET, AF_INET6, AF_UNSPEC, SOCKADDR_IN, SOCKADDR_IN6, SOCKET_ADDRESS,
};

use super::handle::{Handle, code};
use super::library::{Function, Library};
use native_host_launcher::compartment::Assigned;

type SetJob = unsafe extern "system" fn(HANDLE, u32) -> u32;
type SetThread = unsafe extern "system" fn(u32) -> u32;
type GetThread = unsafe extern "system" fn() -> u32;
type Adapters = unsafe extern "system" fn(
    u32,
    u32,
    *const core::ffi::c_void,
    *mut IP_ADAPTER_ADDRESSES_LH,
    *mut u32,
) -> u32;

/// The library, loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compartments(Library);

impl Compartments {
    /// Loads it.
    pub(crate) fn load() -> Result<Self, String> {
        Library::load("iphlpapi.dll").map(Self)
    }

    /// Puts a job into a compartment; 0 takes it out again.
    pub(super) fn set_job(self, job: &Handle, compartment: u32) -> Result<(), String> {
        let function = self.0.function(c"SetJobCompartmentId")?;
        // SAFETY: the function is of this type (netioapi.h), and the handle lives through the call.
        let result = unsafe {
            let function = std::mem::transmute::<Function, SetJob>(function);
            function(job.raw(), compartment)
        };
        code(result, &format!("SetJobCompartmentId {compartment}"))
    }

    /// The compartment that this thread is in: its own, else that of its job or a job around that, else
    /// that of its session.
    pub(crate) fn current(self) -> Result<u32, String> {
        let function = self.0.function(c"GetCurrentThreadCompartmentId")?;
        // SAFETY: the function is of this type (netioapi.h) and takes nothing.
        Ok(unsafe {
            let function = std::mem::transmute::<Function, GetThread>(function);
            function()
        })
    }

    /// Puts this thread into a compartment, and makes sure that it is there. A socket belongs to the
    /// compartment of the thread that makes it: so does istio's ztunnel for the pods of a Windows node
    /// (`src/inpod/windows`).
    pub(crate) fn enter(self, compartment: u32) -> Result<(), String> {
        let function = self.0.function(c"SetCurrentThreadCompartmentId")?;
        // SAFETY: the function is of this type (netioapi.h).
        let result = unsafe {
            let function = std::mem::transmute::<Function, SetThread>(function);
            function(compartment)
        };
        code(
            result,
            &format!("SetCurrentThreadCompartmentId {compartment}"),
        )?;
        match self.current()? {
            there if there == compartment => Ok(()),
            other => Err(format!(
                "a thread that was put into compartment {compartment} is in {other}"
            )),
        }
    }

    /// The unicast addresses of all adapters in all compartments.
    pub(super) fn adapters(self) -> Result<Vec<Assigned>, String> {
        const CALL: &str = "GetAdaptersAddresses";
        let function = self.0.function(c"GetAdaptersAddresses")?;
        // SAFETY: the function is of this type (iphlpapi.h).
        let function = unsafe { std::mem::transmute::<Function, Adapters>(function) };
        let flags = GAA_FLAG_INCLUDE_ALL_COMPARTMENTS
            | GAA_FLAG_SKIP_ANYCAST
            | GAA_FLAG_SKIP_MULTICAST
            | GAA_FLAG_SKIP_DNS_SERVER;
        let mut size: u32 = 16 * 1024;
        // Adapters may come while this is asked; not for ever.
        for _ in 0..8 {
            // Of 8 bytes each, since the structures hold pointers.
            let mut buffer = vec![0_u64; size as usize / 8 + 1];
            let first = buffer.as_mut_ptr().cast::<IP_ADAPTER_ADDRESSES_LH>();
            // SAFETY: the buffer is at least as long as `size` says and aligned for the structures.
            let result = unsafe { function(AF_UNSPEC.into(), flags, null(), first, &raw mut size) };
            match result {
                ERROR_BUFFER_OVERFLOW => {}
                ERROR_NO_DATA => return Ok(Vec::new()),
                // SAFETY: the call filled the buffer, which lives until the end of this block.
                0 => return Ok(unsafe { addresses(first) }),
                other => return Err(code(other, CALL).err().unwrap_or_default()),
            }
        }
        Err(format!("{CALL}: it never fits"))
    }
}

/// # Safety
/// `first` is the beginning of a list that `GetAdaptersAddresses` made, or null.
unsafe fn addresses(first: *const IP_ADAPTER_ADDRESSES_LH) -> Vec<Assigned> {
    let mut all = Vec::new();
    let mut adapter = first;
    // SAFETY: every pointer of the lists is null or points to what the same call made.
    unsafe {
        while let Some(this) = adapter.as_ref() {
            let mut unicast = this.FirstUnicastAddress.cast_const();
            while let Some(one) = unicast.as_ref() {
                if let Some(address) = address(&one.Address) {
                    all.push((this.CompartmentId, address));
                }
                unicast = one.Next;
            }
            adapter = this.Next;
        }
    }
    all
}

/// # Safety
/// The socket address points to what its length says.
unsafe fn address(socket: &SOCKET_ADDRESS) -> Option<IpAddr> {
    // SAFETY: a socket address begins with its family, which says what it is; unaligned reads, since
    // nothing says how it lies in the buffer.
    unsafe {
        let family = socket.lpSockaddr.as_ref()?.sa_family;
        match family {
            AF_INET => {
                let v4 = socket.lpSockaddr.cast::<SOCKADDR_IN>().read_unaligned();
                Some(Ipv4Addr::from(v4.sin_addr.S_un.S_addr.to_ne_bytes()).into())
            }
            AF_INET6 => {
                let v6 = socket.lpSockaddr.cast::<SOCKADDR_IN6>().read_unaligned();
                Some(Ipv6Addr::from(v6.sin6_addr.u.Byte).into())
            }
            _ => None,
        }
    }
}
