//! What goes wrong between a program and the API server, as a test says.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use super::call::{Call, Entry, Kind};

/// When something happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The API server has not seen it.
    Before,
    /// The API server has answered, and the program has no answer yet.
    After,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Pass,
    /// Its connection is cut.
    Cut,
    /// It is answered by a failure with this status, by us.
    Answer(u16),
}

/// How an expired watch is told so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// By an event in a stream that began well, as the API server does it with a resource version
    /// that its watch cache no longer holds.
    Event,
    /// By the answer's own status.
    Status,
}

/// How the API server is reached.
pub struct Upstream {
    /// Host and port.
    pub authority: String,
    /// TLS to it.
    pub tls: TlsConnector,
}

/// What to do at one write.
pub type Act = dyn FnOnce(&Call) -> Verdict + Send;

type Decide = dyn Fn(Moment, &Call) -> Verdict + Send + Sync;

struct Armed {
    left: usize,
    moment: Moment,
    act: Box<Act>,
}

/// Something to do with the call at hand, later.
pub type Later = Option<Box<Act>>;

/// The proxy's state.
pub struct Faults {
    /// Where calls go.
    pub upstream: Upstream,
    log: Mutex<Vec<Entry>>,
    armed: Mutex<Option<Armed>>,
    decide: Mutex<Option<Arc<Decide>>>,
    conflicts: Mutex<Option<HashSet<String>>>,
    expired: Mutex<Option<(usize, Gone)>>,
    /// Whether connections are closed.
    pub refused: watch::Sender<bool>,
    frozen: watch::Sender<bool>,
    /// Told when open watches are to be cut.
    pub cut: watch::Sender<()>,
    /// How many watches are open.
    pub watches: AtomicUsize,
}

impl Faults {
    /// None yet.
    pub fn new(upstream: Upstream) -> Self {
        Self {
            upstream,
            log: Mutex::default(),
            armed: Mutex::default(),
            decide: Mutex::default(),
            conflicts: Mutex::default(),
            expired: Mutex::default(),
            refused: watch::channel(false).0,
            frozen: watch::channel(false).0,
            cut: watch::channel(()).0,
            watches: AtomicUsize::new(0),
        }
    }

    /// What was asked.
    pub fn log(&self) -> MutexGuard<'_, Vec<Entry>> {
        lock(&self.log)
    }

    /// Notes a call and its answer.
    pub fn note(&self, call: Call, status: Option<u16>) {
        self.log().push(Entry { call, status });
    }

    pub fn arm(&self, nth: usize, moment: Moment, act: Box<Act>) {
        assert!(nth > 0, "the first write is 1");
        let left = nth;
        *lock(&self.armed) = Some(Armed { left, moment, act });
    }

    pub fn is_armed(&self) -> bool {
        lock(&self.armed).is_some()
    }

    pub fn decide_by(&self, decide: Arc<Decide>) {
        *lock(&self.decide) = Some(decide);
    }

    pub fn conflict_first(&self, on: bool) {
        *lock(&self.conflicts) = on.then(HashSet::new);
    }

    pub fn refuse(&self, on: bool) {
        self.refused.send_replace(on);
    }

    pub fn freeze(&self, on: bool) {
        self.frozen.send_replace(on);
    }

    pub fn cut_watches(&self) {
        self.cut.send_replace(());
    }

    pub fn open_watches(&self) -> usize {
        self.watches.load(Ordering::SeqCst)
    }

    pub fn expire(&self, count: usize, how: Gone) {
        *lock(&self.expired) = (count > 0).then_some((count, how));
    }

    /// Waits until nothing is held.
    pub async fn thawed(&self) {
        // The sender is ours: it cannot be gone.
        let _ = self.frozen.subscribe().wait_for(|frozen| !frozen).await;
    }

    /// Decides on a call that has just come, and gives what is to be done with it after its
    /// answer.
    pub fn before(&self, call: &Call) -> (Verdict, Later) {
        let mut later = None;
        if call.kind == Kind::Write {
            let now = self.count();
            match now {
                Some(Armed {
                    moment: Moment::Before,
                    act,
                    ..
                }) => {
                    let verdict = act(call);
                    if verdict != Verdict::Pass {
                        return (verdict, None);
                    }
                }
                Some(armed) => later = Some(armed.act),
                None => {}
            }
            if let Some(tried) = lock(&self.conflicts).as_mut() {
                let identity = call.identity();
                if !tried.remove(&identity) {
                    tried.insert(identity);
                    return (Verdict::Answer(409), None);
                }
            }
        }
        (self.decide(Moment::Before, call), later)
    }

    /// Decides on a call that the API server has answered.
    pub fn after(&self, call: &Call, later: Later) -> Verdict {
        match later.map(|act| act(call)) {
            None | Some(Verdict::Pass) => self.decide(Moment::After, call),
            Some(verdict) => verdict,
        }
    }

    /// How this watch is told that it has expired, if so.
    pub fn expired(&self) -> Option<Gone> {
        let mut expired = lock(&self.expired);
        let (left, how) = expired.as_mut()?;
        let how = *how;
        *left -= 1;
        if *left == 0 {
            *expired = None;
        }
        Some(how)
    }

    /// Counts a write; gives what was to be done at it.
    fn count(&self) -> Option<Armed> {
        let mut armed = lock(&self.armed);
        let waiting = armed.as_mut()?;
        waiting.left -= 1;
        if waiting.left == 0 {
            armed.take()
        } else {
            None
        }
    }

    fn decide(&self, moment: Moment, call: &Call) -> Verdict {
        // Not under the lock: it may say something of the proxy itself.
        let decide = lock(&self.decide).clone();
        decide.map_or(Verdict::Pass, |decide| decide(moment, call))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

/// What was said. A poisoned lock means that a test's own closure panicked, which is told by it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
