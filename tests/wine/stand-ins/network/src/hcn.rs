//! computenetwork.dll, with the documents that Windows answers with (hcsshim `hcn/hcnendpoint.go`,
//! `hcn/hcnnamespace.go` and their tests), in memory of `CoTaskMemAlloc`.

use std::ffi::c_void;
use std::fmt::Write as _;

use windows_sys::Win32::System::Com::CoTaskMemAlloc;
use windows_sys::core::GUID;

use super::folder::{Endpoint, Fault, called, endpoints, exists, fault};

type Text = *mut u16;

/// `HRESULT_FROM_WIN32(RPC_S_SERVER_UNAVAILABLE)`: no Host Network Service runs.
const UNAVAILABLE: u32 = 0x8007_06ba;
/// `HCN_E_ENDPOINT_NOT_FOUND`
const ENDPOINT_NOT_FOUND: u32 = 0x803b_0002;
/// `HCN_E_NAMESPACE_NOT_FOUND`
const NAMESPACE_NOT_FOUND: u32 = 0x803b_0007;
/// `E_INVALIDARG`
const INVALID: u32 = 0x8007_0057;

/// Answers a call: writes it down, fails if it is to, and gives `out` what was made.
///
/// # Safety
/// `out` and `record` are null or may be written to.
unsafe fn answer<T>(
    function: &str,
    arguments: &str,
    out: *mut T,
    record: *mut Text,
    make: impl FnOnce() -> Result<T, u32>,
) -> i32 {
    let made = match fault(function) {
        _ if !exists() => Err(UNAVAILABLE),
        Some(Fault::Error(code)) => Err(code),
        Some(Fault::Ignored) => Err(INVALID),
        None => make(),
    };
    let code = match made {
        Ok(made) => {
            // SAFETY: says the caller.
            unsafe { out.write(made) };
            0
        }
        Err(code) => {
            if !record.is_null() {
                let said = format!(r#"{{"Success":false,"Error":"stand-in","ErrorCode":{code}}}"#);
                // SAFETY: says the caller.
                unsafe { record.write(text(&said)) };
            }
            code
        }
    };
    called(function, arguments, format_args!("{code:#x}"));
    code.cast_signed()
}

/// A text for the caller to free.
fn text(text: &str) -> Text {
    let units: Vec<u16> = text.encode_utf16().chain([0]).collect();
    // SAFETY: there is room for as many units as are copied.
    unsafe {
        let memory = CoTaskMemAlloc(units.len() * 2).cast::<u16>();
        if !memory.is_null() {
            memory.copy_from_nonoverlapping(units.as_ptr(), units.len());
        }
        memory
    }
}

/// # Safety
/// `id` points to a GUID.
unsafe fn name(id: *const GUID) -> String {
    // SAFETY: says the caller.
    let id = unsafe { &*id };
    let mut name = format!("{:08x}-{:04x}-{:04x}-", id.data1, id.data2, id.data3);
    for (i, byte) in id.data4.iter().enumerate() {
        let _ = write!(name, "{}{byte:02x}", if i == 2 { "-" } else { "" });
    }
    name
}

/// # Safety
/// As for [`answer`]; `id` points to a GUID.
unsafe fn open(
    function: &str,
    id: *const GUID,
    out: *mut *mut c_void,
    record: *mut Text,
    unknown: u32,
    known: impl Fn(&Endpoint, &str) -> bool,
) -> i32 {
    // SAFETY: says the caller.
    unsafe {
        let id = name(id);
        answer(function, &format!("id={id}"), out, record, || {
            if endpoints().iter().any(|one| known(one, &id)) {
                // The handle is the object's name.
                Ok(Box::into_raw(Box::new(id.clone())).cast())
            } else {
                Err(unknown)
            }
        })
    }
}

/// # Safety
/// `object` was opened and not closed.
unsafe fn query(
    function: &str,
    object: *const c_void,
    out: *mut Text,
    record: *mut Text,
    unknown: u32,
    document: impl Fn(&str) -> Option<String>,
) -> i32 {
    // SAFETY: says the caller.
    unsafe {
        let id = &*object.cast::<String>();
        answer(function, &format!("id={id}"), out, record, || {
            document(id).map(|document| text(&document)).ok_or(unknown)
        })
    }
}

/// # Safety
/// `object` was opened and not closed.
unsafe fn close(function: &str, object: *mut c_void) -> i32 {
    // SAFETY: says the caller.
    let id = unsafe { Box::from_raw(object.cast::<String>()) };
    called(function, &format!("id={id}"), "0x0");
    0
}

/// # Safety
/// computenetwork.h
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcnEnumerateEndpoints(
    _: *const u16,
    out: *mut Text,
    record: *mut Text,
) -> i32 {
    // SAFETY: as the header says.
    unsafe {
        answer("HcnEnumerateEndpoints", "", out, record, || {
            let ids: Vec<_> = endpoints()
                .iter()
                .map(|one| format!("\"{}\"", one.id.to_uppercase()))
                .collect();
            Ok(text(&format!("[{}]", ids.join(","))))
        })
    }
}

/// # Safety
/// computenetwork.h
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcnOpenEndpoint(
    id: *const GUID,
    out: *mut *mut c_void,
    record: *mut Text,
) -> i32 {
    let known = |one: &Endpoint, id: &str| one.id == id;
    // SAFETY: as the header says.
    unsafe {
        open(
            "HcnOpenEndpoint",
            id,
            out,
            record,
            ENDPOINT_NOT_FOUND,
            known,
        )
    }
}

/// # Safety
/// computenetwork.h
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcnQueryEndpointProperties(
    object: *mut c_void,
    _: *const u16,
    out: *mut Text,
    record: *mut Text,
) -> i32 {
    let document = |id: &str| endpoints().iter().find(|one| one.id == id).map(endpoint);
    // SAFETY: as the header says.
    unsafe {
        query(
            "HcnQueryEndpointProperties",
            object,
            out,
            record,
            ENDPOINT_NOT_FOUND,
            document,
        )
    }
}

fn endpoint(one: &Endpoint) -> String {
    let namespace = match &one.namespace {
        Some(id) => format!(r#""HostComputeNamespace":"{}","#, id.to_uppercase()),
        None => String::new(),
    };
    let address = |ip: &std::net::IpAddr| {
        let length = if ip.is_ipv4() { 24 } else { 64 };
        format!(r#"{{"IpAddress":"{ip}","PrefixLength":{length}}}"#)
    };
    let addresses: Vec<_> = one.addresses.iter().map(address).collect();
    format!(
        r#"{{"ID":"{}","Name":"stand-in","HostComputeNetwork":"4F0D6C0A-5B8E-4C57-9E4B-2A7B7B0C1D11",{namespace}"Policies":[],"IpConfigurations":[{}],"Dns":{{}},"Routes":[],"MacAddress":"00-15-5D-0A-0B-0C","Flags":{},"Health":{{"Data":null,"Extra":{{}}}},"SchemaVersion":{{"Major":2,"Minor":0}}}}"#,
        one.id.to_uppercase(),
        addresses.join(","),
        one.flags
    )
}

/// # Safety
/// computenetwork.h
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcnCloseEndpoint(object: *mut c_void) -> i32 {
    // SAFETY: as the header says.
    unsafe { close("HcnCloseEndpoint", object) }
}

/// # Safety
/// computenetwork.h
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcnOpenNamespace(
    id: *const GUID,
    out: *mut *mut c_void,
    record: *mut Text,
) -> i32 {
    let known = |one: &Endpoint, id: &str| one.namespace.as_deref() == Some(id);
    // SAFETY: as the header says.
    unsafe {
        open(
            "HcnOpenNamespace",
            id,
            out,
            record,
            NAMESPACE_NOT_FOUND,
            known,
        )
    }
}

/// # Safety
/// computenetwork.h
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcnQueryNamespaceProperties(
    object: *mut c_void,
    _: *const u16,
    out: *mut Text,
    record: *mut Text,
) -> i32 {
    let document = |id: &str| {
        let all = endpoints();
        let one = all
            .iter()
            .find(|one| one.namespace.as_deref() == Some(id))?;
        Some(namespace(id, one))
    };
    // SAFETY: as the header says.
    unsafe {
        query(
            "HcnQueryNamespaceProperties",
            object,
            out,
            record,
            NAMESPACE_NOT_FOUND,
            document,
        )
    }
}

fn namespace(id: &str, one: &Endpoint) -> String {
    // A member with an empty value is left out.
    let compartment = match one.compartment {
        0 => String::new(),
        number => format!(r#""NamespaceId":{number},"#),
    };
    format!(
        r#"{{"ID":"{}",{compartment}"Type":"Host","Resources":[{{"Type":"Endpoint","Data":{{"ID":"{}"}}}}],"SchemaVersion":{{"Major":2,"Minor":0}}}}"#,
        id.to_uppercase(),
        one.id.to_uppercase()
    )
}

/// # Safety
/// computenetwork.h
#[unsafe(no_mangle)]
pub unsafe extern "system" fn HcnCloseNamespace(object: *mut c_void) -> i32 {
    // SAFETY: as the header says.
    unsafe { close("HcnCloseNamespace", object) }
}
