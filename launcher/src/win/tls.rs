//! TLS for probes, by schannel, which every Windows has: a few kilobytes instead of the megabyte of a TLS library,
//! and the protocols and ciphers are those that the machine's administrator allows. The certificate is not
//! verified, see [`Tls`].
//!
//! After "Creating a Secure Connection Using Schannel" and the pages of the functions in the Windows documentation.
//! secur32.dll is loaded when the first probe needs it, from the system's folder only.

use std::ffi::c_void;
use std::io::{self, Read, Write};
use std::ptr::null_mut;

use windows_sys::Win32::Foundation::{
    SEC_E_ALGORITHM_MISMATCH, SEC_E_ILLEGAL_MESSAGE, SEC_E_INCOMPLETE_MESSAGE, SEC_E_INVALID_TOKEN,
    SEC_E_OK, SEC_I_CONTEXT_EXPIRED, SEC_I_CONTINUE_NEEDED, SEC_I_INCOMPLETE_CREDENTIALS,
    SEC_I_RENEGOTIATE,
};
use windows_sys::Win32::Security::Authentication::Identity::{
    INIT_SECURITY_INTERFACE_W, ISC_REQ_CONFIDENTIALITY, ISC_REQ_MANUAL_CRED_VALIDATION,
    ISC_REQ_REPLAY_DETECT, ISC_REQ_SEQUENCE_DETECT, ISC_REQ_STREAM, ISC_REQ_USE_SUPPLIED_CREDS,
    SCH_CRED_MANUAL_CRED_VALIDATION, SCH_CRED_NO_DEFAULT_CREDS, SCH_CREDENTIALS,
    SCH_CREDENTIALS_VERSION, SCHANNEL_CRED, SCHANNEL_CRED_VERSION, SCHANNEL_SHUTDOWN,
    SECBUFFER_DATA, SECBUFFER_EMPTY, SECBUFFER_EXTRA, SECBUFFER_STREAM_HEADER,
    SECBUFFER_STREAM_TRAILER, SECBUFFER_TOKEN, SECBUFFER_VERSION, SECPKG_ATTR_STREAM_SIZES,
    SECPKG_CRED_OUTBOUND, SecBuffer, SecBufferDesc, SecPkgContext_StreamSizes,
    SecurityFunctionTableW, UNISP_NAME_W,
};
use windows_sys::Win32::Security::Credentials::SecHandle;
use windows_sys::Win32::System::LibraryLoader::{
    GetProcAddress, LOAD_LIBRARY_SEARCH_SYSTEM32, LoadLibraryExW,
};
use windows_sys::core::{HRESULT, s, w};

use native_host_launcher::probing::{Connection, Timed, Tls};

/// What is asked of a context: a stream of bytes, and no judgement of certificates.
const ASKED: u32 = ISC_REQ_SEQUENCE_DETECT
    | ISC_REQ_REPLAY_DETECT
    | ISC_REQ_CONFIDENTIALITY
    | ISC_REQ_STREAM
    | ISC_REQ_MANUAL_CRED_VALIDATION
    | ISC_REQ_USE_SUPPLIED_CREDS;
/// The type of a record that is an alert (RFC 8446, section 5.1).
const ALERT: u8 = 21;
/// A TLS record is at most 16 KiB and some; a handshake message that is larger comes in several.
const ROOM: usize = 18 << 10;

/// TLS by the system's own library.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schannel;

impl Tls for Schannel {
    fn client(&self, plain: Timed) -> io::Result<Box<dyn Connection>> {
        let credentials = Credentials::new(table()?)?;
        let mut stream = Stream {
            context: Context {
                credentials,
                handle: None,
            },
            plain,
            sizes: SecPkgContext_StreamSizes::default(),
            incoming: Vec::with_capacity(ROOM),
            clear: Vec::new(),
            read: 0,
            ended: false,
        };
        stream.handshake()?;
        stream.sizes = stream.context.sizes()?;
        Ok(Box::new(stream))
    }
}

/// The library's functions.
fn table() -> io::Result<&'static SecurityFunctionTableW> {
    // SAFETY: a name of a library, ended by NUL; it stays loaded for as long as the process lives.
    let library =
        unsafe { LoadLibraryExW(w!("secur32.dll"), null_mut(), LOAD_LIBRARY_SEARCH_SYSTEM32) };
    if library.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a loaded library, and a name that ends by NUL.
    let function = unsafe { GetProcAddress(library, s!("InitSecurityInterfaceW")) };
    // SAFETY: this export has that type (sspi.h). Both are pointers, or none.
    let function: INIT_SECURITY_INTERFACE_W = unsafe { std::mem::transmute(function) };
    let missing = || io::Error::other("schannel cannot be loaded");
    let init = function.ok_or_else(missing)?;
    // SAFETY: it takes nothing, and gives a table that lives as long as the library, or null.
    unsafe { init().as_ref() }.ok_or_else(missing)
}

/// One of the table's functions; schannel has all of them.
fn there<F>(function: Option<F>) -> io::Result<F> {
    function.ok_or_else(|| io::Error::other("schannel lacks a function"))
}

/// An error's code in words that say whose fault it is.
fn failed(what: &str, code: HRESULT) -> io::Error {
    let why = match code {
        SEC_E_INVALID_TOKEN => "what answers there does not speak TLS",
        SEC_E_ILLEGAL_MESSAGE => "the program refused it, or sent something else",
        SEC_E_ALGORITHM_MISMATCH => "no version or cipher of TLS in common",
        _ => "schannel's error",
    };
    io::Error::other(format!("TLS {what}: {why} (0x{code:08X})"))
}

/// Whether bytes can be the beginning of a record: one of the four types, and version 3 (RFC 8446, section 5.1).
fn is_record(bytes: &[u8]) -> bool {
    let kind = bytes.first().is_none_or(|kind| (20..=23).contains(kind));
    kind && bytes.get(1).is_none_or(|major| *major == 3)
}

/// What a client brings to a handshake: nothing but how it is to be made.
struct Credentials {
    table: &'static SecurityFunctionTableW,
    handle: SecHandle,
}

impl Credentials {
    fn new(table: &'static SecurityFunctionTableW) -> io::Result<Self> {
        let flags = SCH_CRED_MANUAL_CRED_VALIDATION | SCH_CRED_NO_DEFAULT_CREDS;
        let mut new = SCH_CREDENTIALS {
            dwVersion: SCH_CREDENTIALS_VERSION,
            dwFlags: flags,
            ..SCH_CREDENTIALS::default()
        };
        // Only with the newer structure is TLS 1.3 spoken (Windows Server 2022); an older library knows the other.
        Self::acquire(table, (&raw mut new).cast()).or_else(|_| {
            let mut old = SCHANNEL_CRED {
                dwVersion: SCHANNEL_CRED_VERSION,
                dwFlags: flags,
                ..SCHANNEL_CRED::default()
            };
            Self::acquire(table, (&raw mut old).cast())
        })
    }

    fn acquire(table: &'static SecurityFunctionTableW, how: *mut c_void) -> io::Result<Self> {
        let acquire = there(table.AcquireCredentialsHandleW)?;
        let mut handle = SecHandle::default();
        // SAFETY: the package's name is only read; `how` is one of the two structures that schannel takes, with
        // its version; the handle is written; everything else may be null.
        let code = unsafe {
            acquire(
                null_mut(),
                UNISP_NAME_W.cast_mut(),
                SECPKG_CRED_OUTBOUND,
                null_mut(),
                how,
                None,
                null_mut(),
                &raw mut handle,
                null_mut(),
            )
        };
        match code {
            SEC_E_OK => Ok(Self { table, handle }),
            code => Err(failed("cannot be prepared", code)),
        }
    }
}

impl Drop for Credentials {
    fn drop(&mut self) {
        if let Some(free) = self.table.FreeCredentialsHandle {
            // SAFETY: a handle that was acquired, freed once.
            unsafe { free(&raw mut self.handle) };
        }
    }
}

/// One side of a TLS connection.
struct Context {
    credentials: Credentials,
    /// There is one after the first step.
    handle: Option<SecHandle>,
}

/// What one step of a handshake came to.
struct Step {
    code: HRESULT,
    /// What is to be sent.
    token: Vec<u8>,
    /// How many bytes at the end of the input are not used yet.
    unused: usize,
}

impl Context {
    /// `InitializeSecurityContextW`, with what came in from the other side, if anything is to have come.
    fn step(&mut self, input: Option<&mut [u8]>) -> io::Result<Step> {
        let table = self.credentials.table;
        let initialize = there(table.InitializeSecurityContextW)?;
        let mut token = vec![0; ROOM];
        let given_any = input.is_some();
        let mut inputs = [
            buffer(SECBUFFER_TOKEN, input.unwrap_or_default()),
            buffer(SECBUFFER_EMPTY, &mut []),
        ];
        let mut outputs = [buffer(SECBUFFER_TOKEN, &mut token)];
        let mut given = describe(&mut inputs);
        let mut wanted = describe(&mut outputs);
        let mut attributes = 0;
        let mut new = SecHandle::default();
        let first = self.handle.is_none();
        let known = self
            .handle
            .as_mut()
            .map_or(null_mut(), |handle| &raw mut *handle);
        // SAFETY: credentials that live; on the first step no context, then the context that step gave, in its
        // place; no input, or buffers whose lengths are true; the output is written within its length. No target
        // name: it would be the server name that is sent, and the host is an address.
        let code = unsafe {
            initialize(
                &raw mut self.credentials.handle,
                known,
                null_mut(),
                ASKED,
                0,
                0,
                if given_any {
                    &raw mut given
                } else {
                    null_mut()
                },
                0,
                if first { &raw mut new } else { known },
                &raw mut wanted,
                &raw mut attributes,
                null_mut(),
            )
        };
        if first && code >= 0 {
            self.handle = Some(new);
        }
        let written = outputs[0].cbBuffer as usize;
        let sends = code >= 0 && !outputs[0].pvBuffer.is_null();
        token.truncate(if sends { written } else { 0 });
        let unused = inputs
            .iter()
            .find(|buffer| buffer.BufferType == SECBUFFER_EXTRA);
        Ok(Step {
            code,
            token,
            unused: unused.map_or(0, |buffer| buffer.cbBuffer as usize),
        })
    }

    fn handle(&mut self) -> io::Result<*mut SecHandle> {
        let handle = self.handle.as_mut();
        handle
            .map(|handle| &raw mut *handle)
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn sizes(&mut self) -> io::Result<SecPkgContext_StreamSizes> {
        let query = there(self.credentials.table.QueryContextAttributesW)?;
        let handle = self.handle()?;
        let mut sizes = SecPkgContext_StreamSizes::default();
        // SAFETY: a context whose handshake is done, and the structure that this attribute fills.
        match unsafe { query(handle, SECPKG_ATTR_STREAM_SIZES, (&raw mut sizes).cast()) } {
            SEC_E_OK => Ok(sizes),
            code => Err(failed("has no sizes", code)),
        }
    }

    /// Says that nothing more is coming: what is to be sent for it.
    fn shut_down(&mut self) -> io::Result<Vec<u8>> {
        let apply = there(self.credentials.table.ApplyControlToken)?;
        let handle = self.handle()?;
        let mut what = SCHANNEL_SHUTDOWN.to_ne_bytes();
        let mut buffers = [buffer(SECBUFFER_TOKEN, &mut what)];
        let mut given = describe(&mut buffers);
        // SAFETY: a context, and a buffer that holds the number that asks for it.
        let code = unsafe { apply(handle, &raw mut given) };
        if code != SEC_E_OK {
            return Err(failed("cannot be closed", code));
        }
        Ok(self.step(None)?.token)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        if let (Some(handle), Some(delete)) = (
            &mut self.handle,
            self.credentials.table.DeleteSecurityContext,
        ) {
            // SAFETY: a context that a step gave, deleted once.
            unsafe { delete(&raw mut *handle) };
        }
    }
}

fn buffer(kind: u32, bytes: &mut [u8]) -> SecBuffer {
    SecBuffer {
        // Never longer than a few records.
        cbBuffer: u32::try_from(bytes.len()).unwrap_or(0),
        BufferType: kind,
        pvBuffer: if bytes.is_empty() {
            null_mut()
        } else {
            bytes.as_mut_ptr().cast()
        },
    }
}

fn describe(buffers: &mut [SecBuffer]) -> SecBufferDesc {
    SecBufferDesc {
        ulVersion: SECBUFFER_VERSION,
        cBuffers: u32::try_from(buffers.len()).unwrap_or(0),
        pBuffers: buffers.as_mut_ptr(),
    }
}

/// A TLS connection.
struct Stream {
    context: Context,
    plain: Timed,
    sizes: SecPkgContext_StreamSizes,
    /// What came in and was not decrypted yet.
    incoming: Vec<u8>,
    /// What was decrypted, and how much of it has been read.
    clear: Vec<u8>,
    read: usize,
    /// The other side said that nothing more is coming.
    ended: bool,
}

impl Stream {
    fn handshake(&mut self) -> io::Result<()> {
        let mut step = self.context.step(None)?;
        loop {
            self.plain.write_all(&step.token)?;
            match step.code {
                SEC_E_OK => return Ok(()),
                // The other side asks for a certificate of ours: there is none, so once more without.
                SEC_I_INCOMPLETE_CREDENTIALS => {}
                SEC_I_CONTINUE_NEEDED if !self.incoming.is_empty() => {}
                SEC_I_CONTINUE_NEEDED | SEC_E_INCOMPLETE_MESSAGE => self.more()?,
                code => return Err(failed("handshake", code)),
            }
            // Schannel would wait for the rest of whatever it takes for a record.
            if !is_record(&self.incoming) {
                return Err(failed("handshake", SEC_E_INVALID_TOKEN));
            }
            step = self.next_step()?;
        }
    }

    /// A step with what came in; what it does not use stays.
    fn next_step(&mut self) -> io::Result<Step> {
        let step = self.context.step(Some(&mut self.incoming))?;
        // Of a message that is not complete nothing was used, whatever else is said.
        if !matches!(
            step.code,
            SEC_E_INCOMPLETE_MESSAGE | SEC_I_INCOMPLETE_CREDENTIALS
        ) {
            let used = self.incoming.len().saturating_sub(step.unused);
            self.incoming.drain(..used);
        }
        Ok(step)
    }

    /// Receives more, where something is still missing.
    fn more(&mut self) -> io::Result<()> {
        if self.receive()? {
            return Ok(());
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    /// Receives more; `false` if there is no more.
    fn receive(&mut self) -> io::Result<bool> {
        let length = self.incoming.len();
        self.incoming.resize(length + ROOM, 0);
        let received = self.plain.read(&mut self.incoming[length..]);
        self.incoming
            .truncate(length + received.as_ref().map_or(0, |received| *received));
        Ok(received? > 0)
    }

    /// Decrypts one record of what came in.
    fn decrypt(&mut self) -> io::Result<HRESULT> {
        let decrypt = there(self.context.credentials.table.DecryptMessage)?;
        let handle = self.context.handle()?;
        let empty = || buffer(SECBUFFER_EMPTY, &mut []);
        let mut buffers = [
            buffer(SECBUFFER_DATA, &mut self.incoming),
            empty(),
            empty(),
            empty(),
        ];
        let mut message = describe(&mut buffers);
        // SAFETY: a context whose handshake is done, and four buffers, the first with the true length of what came
        // in: it is decrypted where it lies, and the others then point into it.
        let code = unsafe { decrypt(handle, &raw mut message, 0, null_mut()) };
        if code == SEC_E_INCOMPLETE_MESSAGE || code < 0 {
            return Ok(code);
        }
        let start = self.incoming.as_ptr() as usize;
        let mut unused = 0;
        self.clear.clear();
        self.read = 0;
        for part in &buffers[..] {
            match part.BufferType {
                SECBUFFER_DATA if !part.pvBuffer.is_null() => {
                    let from = (part.pvBuffer as usize).saturating_sub(start);
                    let to = from + part.cbBuffer as usize;
                    self.clear
                        .extend_from_slice(self.incoming.get(from..to).unwrap_or_default());
                }
                SECBUFFER_EXTRA => unused = part.cbBuffer as usize,
                _ => {}
            }
        }
        let used = self.incoming.len().saturating_sub(unused);
        self.incoming.drain(..used);
        Ok(code)
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.read == self.clear.len() {
            if self.ended {
                return Ok(0);
            }
            if self.incoming.is_empty() && !self.receive()? {
                // Between two records many programs end without a word, and Go's client takes that for an
                // end (`readRecordOrCCS`, crypto/tls/conn.go).
                self.ended = true;
                continue;
            }
            let alert = self.incoming.first() == Some(&ALERT);
            match self.decrypt()? {
                // Windows calls a farewell SEC_I_CONTEXT_EXPIRED; to wine (8.0) it is a record without data.
                SEC_E_OK => self.ended = alert && self.clear.is_empty(),
                SEC_E_INCOMPLETE_MESSAGE => self.more()?,
                SEC_I_CONTEXT_EXPIRED => self.ended = true,
                // In TLS 1.3 every message after the handshake, such as a ticket, comes as one.
                SEC_I_RENEGOTIATE => {
                    let mut step = self.next_step()?;
                    while step.code == SEC_E_INCOMPLETE_MESSAGE {
                        self.more()?;
                        step = self.next_step()?;
                    }
                    if step.code < 0 {
                        return Err(failed("after its handshake", step.code));
                    }
                    self.plain.write_all(&step.token)?;
                }
                code => return Err(failed("data", code)),
            }
        }
        let clear = &self.clear[self.read..];
        let length = clear.len().min(into.len());
        into[..length].copy_from_slice(&clear[..length]);
        self.read += length;
        Ok(length)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let encrypt = there(self.context.credentials.table.EncryptMessage)?;
        let handle = self.context.handle()?;
        let bytes = &bytes[..bytes.len().min(self.sizes.cbMaximumMessage as usize)];
        let mut header = vec![0; self.sizes.cbHeader as usize];
        let mut data = bytes.to_vec();
        let mut trailer = vec![0; self.sizes.cbTrailer as usize];
        let mut buffers = [
            buffer(SECBUFFER_STREAM_HEADER, &mut header),
            buffer(SECBUFFER_DATA, &mut data),
            buffer(SECBUFFER_STREAM_TRAILER, &mut trailer),
            buffer(SECBUFFER_EMPTY, &mut []),
        ];
        let mut message = describe(&mut buffers);
        // SAFETY: a context whose handshake is done, buffers of the sizes that it asks for, and data that is no
        // longer than it takes; all are written within their lengths.
        let code = unsafe { encrypt(handle, 0, &raw mut message, 0) };
        if code != SEC_E_OK {
            return Err(failed("data", code));
        }
        let lengths = buffers.map(|buffer| buffer.cbBuffer as usize);
        let mut record = header;
        record.truncate(lengths[0]);
        record.extend_from_slice(data.get(..lengths[1]).unwrap_or(&data));
        record.extend_from_slice(trailer.get(..lengths[2]).unwrap_or(&trailer));
        self.plain.write_all(&record)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.plain.flush()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A program may log a connection that ends without a word, at every probe.
        if let Ok(token) = self.context.shut_down() {
            let _ = self.plain.write_all(&token);
        }
    }
}
