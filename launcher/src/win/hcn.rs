//! The Host Compute Network: computenetwork.dll. Signatures as in computenetwork.h of the SDK and in hcsshim's
//! `hcn/hcn.go`.

use std::ffi::{CStr, c_void};
use std::ptr::null_mut;

use windows_sys::core::GUID;

use super::handle::{text, wide};
use super::library::{Function, Library};
use native_host_launcher::compartment::hcn::{Calls, Guid, QUERY};

type Text = *mut u16;
type Object = *mut c_void;
type Enumerate = unsafe extern "system" fn(*const u16, *mut Text, *mut Text) -> i32;
type Open = unsafe extern "system" fn(*const GUID, *mut Object, *mut Text) -> i32;
type Query = unsafe extern "system" fn(Object, *const u16, *mut Text, *mut Text) -> i32;
type Close = unsafe extern "system" fn(Object) -> i32;
type Free = unsafe extern "system" fn(*const c_void);

/// The calls, loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hcn {
    network: Library,
    free: Free,
}

/// The three calls that read one kind of object.
struct Kind {
    open: &'static CStr,
    query: &'static CStr,
    close: &'static CStr,
}

const ENDPOINT: Kind = Kind {
    open: c"HcnOpenEndpoint",
    query: c"HcnQueryEndpointProperties",
    close: c"HcnCloseEndpoint",
};
const NAMESPACE: Kind = Kind {
    open: c"HcnOpenNamespace",
    query: c"HcnQueryNamespaceProperties",
    close: c"HcnCloseNamespace",
};

impl Hcn {
    /// Loads them.
    pub(super) fn load() -> Result<Self, String> {
        let network = Library::load("computenetwork.dll")?;
        let free = Library::load("combase.dll")?.function(c"CoTaskMemFree")?;
        // SAFETY: the function is of this type (combaseapi.h).
        let free = unsafe { std::mem::transmute::<Function, Free>(free) };
        Ok(Self { network, free })
    }

    /// Takes a text that a call made.
    fn take(self, made: Text) -> Option<String> {
        if made.is_null() {
            return None;
        }
        // SAFETY: HCN's texts end with a NUL and are the caller's to free by `CoTaskMemFree`, once.
        unsafe {
            let taken = text(made);
            (self.free)(made.cast());
            Some(taken)
        }
    }

    /// Whether a call went well. As in hcsshim's `checkForErrors`, an error record is an error too.
    fn judge(self, call: &CStr, result: i32, record: Text) -> Result<(), String> {
        let record = self.take(record).filter(|record| !record.is_empty());
        if result >= 0 && record.is_none() {
            return Ok(());
        }
        let record = record.map_or_else(String::new, |record| format!(" {record}"));
        Err(format!(
            "{}: {result:#010x}{record}",
            call.to_string_lossy()
        ))
    }

    fn document(self, kind: &Kind, id: Guid) -> Result<String, String> {
        let (data1, data2, data3) = id.data;
        let guid = GUID {
            data1,
            data2,
            data3,
            data4: id.rest,
        };
        let query = wide(QUERY);
        let (mut object, mut made, mut record) = (null_mut(), null_mut(), null_mut());
        let [open, ask, close] =
            [kind.open, kind.query, kind.close].map(|name| self.network.function(name));
        let (open, ask, close) = (open?, ask?, close?);
        // SAFETY: the functions are of these types (computenetwork.h); what they write to lives through the
        // calls, and the object is used between its opening and its one closing only.
        unsafe {
            let open = std::mem::transmute::<Function, Open>(open);
            let result = open(&raw const guid, &raw mut object, &raw mut record);
            self.judge(kind.open, result, record)?;
            record = null_mut();
            let ask = std::mem::transmute::<Function, Query>(ask);
            let result = ask(object, query.as_ptr(), &raw mut made, &raw mut record);
            let close = std::mem::transmute::<Function, Close>(close);
            close(object);
            let document = self.take(made);
            self.judge(kind.query, result, record)?;
            Ok(document.unwrap_or_default())
        }
    }
}

impl Calls for Hcn {
    fn endpoints(&self) -> Result<String, String> {
        const CALL: &CStr = c"HcnEnumerateEndpoints";
        let function = self.network.function(CALL)?;
        let query = wide(QUERY);
        let (mut made, mut record) = (null_mut(), null_mut());
        // SAFETY: the function is of this type (computenetwork.h), and what it writes to lives through it.
        let result = unsafe {
            let function = std::mem::transmute::<Function, Enumerate>(function);
            function(query.as_ptr(), &raw mut made, &raw mut record)
        };
        let list = self.take(made);
        self.judge(CALL, result, record)?;
        Ok(list.unwrap_or_default())
    }

    fn endpoint(&self, id: Guid) -> Result<String, String> {
        self.document(&ENDPOINT, id)
    }

    fn namespace(&self, id: Guid) -> Result<String, String> {
        self.document(&NAMESPACE, id)
    }
}
