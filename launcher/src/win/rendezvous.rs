//! Where `run` and `stop` meet: a mutex and three events (`stop` of the library tells what they mean).

use std::ptr::null;
use std::sync::mpsc::Sender;
use std::time::Duration;

use windows_sys::Win32::Foundation::{
    ERROR_ALREADY_EXISTS, ERROR_FILE_NOT_FOUND, GetLastError, WAIT_ABANDONED, WAIT_OBJECT_0,
    WAIT_TIMEOUT,
};
use windows_sys::Win32::System::Threading::{
    CreateEventW, CreateMutexW, EVENT_MODIFY_STATE, OpenEventW, OpenMutexW, ReleaseMutex,
    ResetEvent, SYNCHRONIZATION_SYNCHRONIZE, SetEvent, WaitForMultipleObjects, WaitForSingleObject,
};

use super::handle::{Handle, done, failed, wide};
use native_host_launcher::stop::{Names, Running};
use native_host_launcher::supervise::{Signal, Step};

/// How long a former `run` of the same container may still be busy with its end.
const FORMER: u32 = 30_000;

/// `run`'s side. It belongs to the thread that made it.
#[derive(Debug)]
pub(crate) struct Serving {
    mutex: Handle,
}

impl Serving {
    /// Makes the objects, and a thread that tells of the events.
    pub(crate) fn begin(names: &Names, to: Sender<Signal>) -> Result<Self, String> {
        let mut events = Vec::new();
        let mut former = Vec::new();
        for (at, (step, name)) in names.steps.iter().enumerate() {
            let name = wide(name);
            // SAFETY: the name ends with a NUL; what comes back is a handle of ours, or null. Its error code
            // is read before anything else can change it.
            let (event, error) = unsafe {
                let event = CreateEventW(null(), 1, 0, name.as_ptr());
                let error = GetLastError();
                (Handle::own(event, "CreateEventW")?, error)
            };
            events.push((*step, event));
            if error == ERROR_ALREADY_EXISTS {
                former.push(at);
            }
        }
        // Last: who finds it finds the events too.
        let name = wide(&names.running);
        // SAFETY: the name ends with a NUL; what comes back is a handle of ours, or null.
        let mutex = unsafe { Handle::own(CreateMutexW(null(), 0, name.as_ptr()), "CreateMutexW")? };
        // SAFETY: the handle lives through the call.
        match unsafe { WaitForSingleObject(mutex.raw(), FORMER) } {
            WAIT_OBJECT_0 | WAIT_ABANDONED => {}
            WAIT_TIMEOUT => {
                return Err("another launcher of this container is still running".to_owned());
            }
            _ => return Err(failed("WaitForSingleObject")),
        }
        let serving = Self { mutex };
        for at in former {
            // What was said to a former `run`, by a `stop` that still has the event open.
            let (_, event) = &events[at];
            // SAFETY: the handle lives through the call.
            done(unsafe { ResetEvent(event.raw()) }, "ResetEvent")?;
        }
        std::thread::spawn(move || listen(events, &to));
        Ok(serving)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // SAFETY: the handle is open, and this thread owns the mutex.
        unsafe { ReleaseMutex(self.mutex.raw()) };
    }
}

/// Tells of each event once, until all were set or nobody listens.
fn listen(mut events: Vec<(Step, Handle)>, to: &Sender<Signal>) {
    const FOR_EVER: u32 = u32::MAX;
    while !events.is_empty() {
        let handles: Vec<_> = events.iter().map(|(_, event)| event.raw()).collect();
        let count = u32::try_from(handles.len()).unwrap_or(0);
        // SAFETY: three handles at most, open as long as `events` has them.
        let which = unsafe { WaitForMultipleObjects(count, handles.as_ptr(), 0, FOR_EVER) };
        let at = (which - WAIT_OBJECT_0) as usize;
        if at >= events.len() {
            return;
        }
        let (step, _) = events.remove(at);
        if to.send(Signal::Stop(step)).is_err() {
            return;
        }
    }
}

/// `stop`'s side.
#[derive(Debug)]
pub(crate) struct Reached {
    mutex: Handle,
    events: Vec<(Step, Handle)>,
}

impl Reached {
    /// Opens what a `run` made; nothing, if there is no `run`.
    pub(crate) fn find(names: &Names) -> Result<Option<Self>, String> {
        let name = wide(&names.running);
        // SAFETY: the name ends with a NUL; what comes back is a handle of ours, or null.
        let mutex = unsafe { OpenMutexW(SYNCHRONIZATION_SYNCHRONIZE, 0, name.as_ptr()) };
        // SAFETY: as above.
        let Some(mutex) = found(|| unsafe { Handle::own(mutex, "OpenMutexW") })? else {
            return Ok(None);
        };
        let mut events = Vec::new();
        for (step, name) in &names.steps {
            let name = wide(name);
            // SAFETY: as above.
            let event = unsafe { OpenEventW(EVENT_MODIFY_STATE, 0, name.as_ptr()) };
            // SAFETY: as above.
            match found(|| unsafe { Handle::own(event, "OpenEventW") })? {
                Some(event) => events.push((*step, event)),
                None => return Ok(None),
            }
        }
        Ok(Some(Self { mutex, events }))
    }
}

fn found(open: impl Fn() -> Result<Handle, String>) -> Result<Option<Handle>, String> {
    // Before anything else can change it.
    // SAFETY: it takes nothing.
    let error = unsafe { GetLastError() };
    match open() {
        Ok(handle) => Ok(Some(handle)),
        Err(_) if error == ERROR_FILE_NOT_FOUND => Ok(None),
        Err(why) => Err(why),
    }
}

impl Running for Reached {
    fn signal(&self, step: Step) -> Result<(), String> {
        match self.events.iter().find(|(known, _)| *known == step) {
            // SAFETY: the handle lives through the call.
            Some((_, event)) => done(unsafe { SetEvent(event.raw()) }, "SetEvent"),
            None => Ok(()),
        }
    }

    fn gone_within(&self, time: Duration) -> bool {
        let time = u32::try_from(time.as_millis()).unwrap_or(u32::MAX - 1);
        // SAFETY: the handle lives through the call.
        let result = unsafe { WaitForSingleObject(self.mutex.raw(), time) };
        let gone = matches!(result, WAIT_OBJECT_0 | WAIT_ABANDONED);
        if gone {
            // A second `stop` waits for it too.
            // SAFETY: this thread has just come to own the mutex.
            unsafe { ReleaseMutex(self.mutex.raw()) };
        }
        gone
    }
}
