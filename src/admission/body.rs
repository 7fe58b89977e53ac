//! A request body in one piece.
//!
//! A body that came with its header is taken as it is; any other is copied once, into a buffer
//! of its announced length. Above [`SMALL_BODY`] a body first gets a share of a budget that all
//! big ones have in common, so that memory has a bound whatever comes at the same time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout_at;

use super::limits::{Limits, SMALL_BODY};
use super::metrics::Refused;

/// Why a body could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    #[error("the request body is larger than {limit} bytes, the limit of this server")]
    TooLarge { limit: usize },
    #[error("the request body was not complete after {} s", .after.as_secs_f32())]
    Late { after: Duration },
    #[error("too many large reviews at a time: no memory was free for {} s", .after.as_secs_f32())]
    NoBudget { after: Duration },
    #[error("the request body ended early: {0}")]
    Aborted(#[from] hyper::Error),
}

impl BodyError {
    pub(crate) fn refused(&self) -> Refused {
        match self {
            BodyError::TooLarge { .. } => Refused::BodySize,
            BodyError::Late { .. } => Refused::BodyTimeout,
            BodyError::NoBudget { .. } => Refused::BodyBudget,
            BodyError::Aborted(_) => Refused::BodyAborted,
        }
    }
}

/// A whole body, and its share of the budget for as long as it lives.
#[derive(Debug)]
pub(crate) struct Whole {
    bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl std::ops::Deref for Whole {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The bytes that all big bodies may hold together.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    /// One permit a KiB.
    free: Arc<Semaphore>,
    all: usize,
}

impl Budget {
    const UNIT: usize = 1024;

    pub(crate) fn new(bytes: usize) -> Self {
        let all = bytes.div_ceil(Self::UNIT).max(1);
        Budget {
            free: Arc::new(Semaphore::new(all)),
            all,
        }
    }

    /// In one piece, so that two half-read bodies never wait for each other. A body larger than
    /// the whole budget gets all of it.
    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let units = bytes.div_ceil(Self::UNIT).min(self.all);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        // The semaphore is never closed; without it there is just no bound.
        Arc::clone(&self.free).acquire_many_owned(units).await.ok()
    }
}

/// Reads `body` to its end.
pub(crate) async fn whole(
    mut body: Incoming,
    limits: &Limits,
    budget: &Budget,
    start: Instant,
) -> Result<Whole, BodyError> {
    let limit = limits.body;
    let announced = body.size_hint().exact();
    let length = match announced {
        Some(length) => match usize::try_from(length) {
            Ok(length) if length <= limit => length,
            _ => return Err(BodyError::TooLarge { limit }),
        },
        // Chunked: nobody knows. It may grow to the limit.
        None => limit,
    };
    let after = limits.body_timeout;
    let deadline = (start + after).into();
    let late = |_| BodyError::Late { after };

    let mut buffer = BytesMut::new();
    let mut share = None;
    let mut slow = deadline;
    loop {
        let frame = match timeout_at(slow, body.frame()).await.map_err(late)? {
            Some(frame) => frame?,
            None => break,
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if buffer.is_empty() && announced == Some(data.len() as u64) {
            return Ok(Whole {
                bytes: data,
                _share: share,
            });
        }
        let end = buffer.len() + data.len();
        if end > limit {
            return Err(BodyError::TooLarge { limit });
        }
        // The share is taken when data flows, not when it is announced: a header costs a client
        // nothing.
        let big = announced.map_or(end, |_| length) > SMALL_BODY;
        if big && share.is_none() {
            share = timeout_at(deadline, budget.take(length))
                .await
                .map_err(|_| BodyError::NoBudget { after })?;
            slow = deadline.min((Instant::now() + Limits::hold(length)).into());
        }
        if buffer.is_empty() && announced.is_some() {
            buffer.reserve(length);
        }
        buffer.extend_from_slice(&data);
        if announced.is_some() && buffer.len() == length {
            break;
        }
    }
    Ok(Whole {
        bytes: buffer.freeze(),
        _share: share,
    })
}
