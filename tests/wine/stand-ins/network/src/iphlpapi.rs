//! iphlpapi.dll, of which the launcher asks for compartments and adapters.

use std::cell::Cell;
use std::ffi::c_void;
use std::net::IpAddr;
use std::ptr::{null_mut, write_bytes};

use windows_sys::Win32::Foundation::{
    ERROR_BUFFER_OVERFLOW, ERROR_INVALID_PARAMETER, ERROR_NOT_SUPPORTED, HANDLE,
};
use windows_sys::Win32::NetworkManagement::IpHelper::{
    GAA_FLAG_INCLUDE_ALL_COMPARTMENTS, IP_ADAPTER_ADDRESSES_LH, IP_ADAPTER_UNICAST_ADDRESS_LH,
};
use windows_sys::Win32::Networking::WinSock::{
    AF_INET, AF_INET6, SOCKADDR, SOCKADDR_IN, SOCKADDR_IN6,
};
use windows_sys::Win32::System::JobObjects::IsProcessInJob;
use windows_sys::Win32::System::Threading::GetCurrentProcess;

use super::folder::{Fault, called, compartment, endpoints, exists, fault, set_compartment};

/// The compartment of everything that has no other.
const DEFAULT: u32 = 1;
/// The host's own address.
const HOST: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(172, 19, 1, 100));

thread_local! {
    /// What this thread was told.
    static THREAD: Cell<u32> = const { Cell::new(0) };
}

fn set(function: &str, arguments: &str, act: impl FnOnce() -> u32) -> u32 {
    let result = match fault(function) {
        _ if !exists() => ERROR_NOT_SUPPORTED,
        Some(Fault::Error(code)) => code,
        Some(Fault::Ignored) => 0,
        None => act(),
    };
    called(function, arguments, result);
    result
}

fn is_known(number: u32) -> bool {
    number <= DEFAULT || endpoints().iter().any(|one| one.compartment == number)
}

/// # Safety
/// netioapi.h
#[unsafe(no_mangle)]
pub unsafe extern "system" fn SetJobCompartmentId(job: HANDLE, number: u32) -> u32 {
    set(
        "SetJobCompartmentId",
        &format!("compartment={number}"),
        || {
            // A handle of a job it must be: the question is one that only a job can answer.
            let mut inside = 0;
            // SAFETY: the call checks the handle itself.
            let is_job = !job.is_null()
                && unsafe { IsProcessInJob(GetCurrentProcess(), job, &raw mut inside) } != 0;
            if !is_job || !is_known(number) {
                return ERROR_INVALID_PARAMETER;
            }
            set_compartment(number);
            0
        },
    )
}

/// # Safety
/// netioapi.h
#[unsafe(no_mangle)]
pub unsafe extern "system" fn SetCurrentThreadCompartmentId(number: u32) -> u32 {
    set(
        "SetCurrentThreadCompartmentId",
        &format!("compartment={number}"),
        || {
            if !is_known(number) {
                return ERROR_INVALID_PARAMETER;
            }
            THREAD.set(number);
            0
        },
    )
}

/// # Safety
/// netioapi.h
#[unsafe(no_mangle)]
pub unsafe extern "system" fn GetCurrentThreadCompartmentId() -> u32 {
    let of_the_job = || {
        let mut inside = 0;
        // SAFETY: without a job it answers for any.
        unsafe { IsProcessInJob(GetCurrentProcess(), null_mut(), &raw mut inside) };
        let (number, setter) = compartment()?;
        (inside != 0 && setter != std::process::id() && number != 0).then_some(number)
    };
    let number = match THREAD.get() {
        _ if !exists() => DEFAULT,
        0 => of_the_job().unwrap_or(DEFAULT),
        own => own,
    };
    called("GetCurrentThreadCompartmentId", "", number);
    number
}

/// One adapter with its addresses, as one block.
#[repr(C)]
struct Adapter {
    head: IP_ADAPTER_ADDRESSES_LH,
    unicast: IP_ADAPTER_UNICAST_ADDRESS_LH,
    socket: SOCKADDR_IN6,
}

/// # Safety
/// iphlpapi.h
#[unsafe(no_mangle)]
pub unsafe extern "system" fn GetAdaptersAddresses(
    family: u32,
    flags: u32,
    _: *const c_void,
    out: *mut IP_ADAPTER_ADDRESSES_LH,
    size: *mut u32,
) -> u32 {
    set(
        "GetAdaptersAddresses",
        &format!("family={family} flags={flags:#x}"),
        || {
            let mut all = vec![(DEFAULT, HOST)];
            if flags & GAA_FLAG_INCLUDE_ALL_COMPARTMENTS != 0 {
                // Of another node's endpoint there is no adapter here.
                let here = endpoints()
                    .into_iter()
                    .filter(|one| one.flags & 1 == 0 && one.compartment > 0);
                all.extend(here.flat_map(|one| {
                    one.addresses
                        .into_iter()
                        .map(move |ip| (one.compartment, ip))
                }));
            }
            let needed = all.len() * size_of::<Adapter>();
            // SAFETY: the caller gives a size, and memory of that size.
            unsafe {
                let given = *size as usize;
                *size = u32::try_from(needed).unwrap_or(u32::MAX);
                if given < needed || out.is_null() {
                    return ERROR_BUFFER_OVERFLOW;
                }
                write_bytes(out.cast::<u8>(), 0, needed);
                let first = out.cast::<Adapter>();
                for (i, (number, ip)) in all.iter().enumerate() {
                    let this = first.add(i);
                    fill(this, *number, *ip);
                    if i + 1 < all.len() {
                        (*this).head.Next = (&raw mut (*this.add(1)).head).cast();
                    }
                }
            }
            0
        },
    )
}

/// # Safety
/// `this` points to zeros that may be written to.
unsafe fn fill(this: *mut Adapter, number: u32, ip: IpAddr) {
    // SAFETY: says the caller.
    unsafe {
        (*this).head.CompartmentId = number;
        (*this).head.FirstUnicastAddress = &raw mut (*this).unicast;
        let socket = &raw mut (*this).socket;
        let address = &raw mut (*this).unicast.Address;
        (*address).lpSockaddr = socket.cast::<SOCKADDR>();
        match ip {
            IpAddr::V4(ip) => {
                let v4 = socket.cast::<SOCKADDR_IN>();
                (*v4).sin_family = AF_INET;
                (*v4).sin_addr.S_un.S_addr = u32::from_ne_bytes(ip.octets());
                (*address).iSockaddrLength = i32::try_from(size_of::<SOCKADDR_IN>()).unwrap_or(0);
            }
            IpAddr::V6(ip) => {
                (*socket).sin6_family = AF_INET6;
                (*socket).sin6_addr.u.Byte = ip.octets();
                (*address).iSockaddrLength = i32::try_from(size_of::<SOCKADDR_IN6>()).unwrap_or(0);
            }
        }
    }
}
