//! Bodies: read whole, under a cap for each and a budget for all.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::failure::{Failure, Kind};

/// Longest time for a body to come in. At the 64 MiB that are allowed by default, 1.1 MB/s.
const READ_TIME_MAX: Duration = Duration::from_mins(1);

/// When to come back if there is no room: the bodies at work are pushed in a second or two.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The bytes that all bodies together may take. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    free_kib: Arc<Semaphore>,
    bytes: usize,
    spares: Arc<Spares>,
}

/// Most room made for a body because its sender announces that many bytes; the rest is made as they come.
const ANNOUNCED_ROOM_MAX: usize = 1 << 20;

/// Rooms that are worth to be kept: the allocator has smaller ones at hand, and larger ones are seldom needed again.
const SPARE_BYTES: RangeInclusive<usize> = 64 << 10..=8 << 20;

/// Bytes of all spare rooms: they are not in the budget.
const SPARES_BYTES_MAX: usize = 16 << 20;

/// The rooms of bodies that are done with, oldest first. Fresh memory has to be cleared by the system, page by page: that was a tenth
/// of the cost of taking a body in.
#[derive(Debug, Default)]
struct Spares(Mutex<Vec<Vec<u8>>>);

impl Spares {
    /// An empty room of one of these sizes.
    fn take(&self, sizes: &RangeInclusive<usize>) -> Option<Vec<u8>> {
        let mut rooms = self.0.lock();
        let index = rooms.iter().position(|room| sizes.contains(&room.capacity()))?;
        Some(rooms.swap_remove(index))
    }

    fn give(&self, mut room: Vec<u8>) {
        if !SPARE_BYTES.contains(&room.capacity()) {
            return;
        }
        room.clear();
        let mut rooms = self.0.lock();
        rooms.push(room);
        let mut bytes: usize = rooms.iter().map(Vec::capacity).sum();
        while bytes > SPARES_BYTES_MAX {
            bytes -= rooms.remove(0).capacity();
        }
    }
}

/// A body whose room goes to the spare ones when its last reader is done.
struct Lent {
    bytes: Vec<u8>,
    spares: Arc<Spares>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.spares.give(std::mem::take(&mut self.bytes));
    }
}

/// A part of a budget, given back when dropped.
#[derive(Debug)]
struct Share {
    budget: Budget,
    held: Option<OwnedSemaphorePermit>,
    kib: usize,
}

/// A body and its share of the budget.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Bytes,
    share: Share,
}

impl Held {
    /// Takes as much of the budget again, for what the body is translated into.
    pub(super) fn cover_twice(&mut self) -> Result<(), Failure> {
        self.share.cover(self.share.kib.saturating_mul(2 * 1024))
    }
}

impl Budget {
    pub(super) fn new(bytes: usize) -> Self {
        let kib = bytes.div_ceil(1024).min(Semaphore::MAX_PERMITS);
        Self { free_kib: Arc::new(Semaphore::new(kib)), bytes, spares: Arc::default() }
    }

    fn share(&self) -> Share {
        Share { budget: self.clone(), held: None, kib: 0 }
    }
}

impl Share {
    /// Grows to at least so many bytes.
    fn cover(&mut self, bytes: usize) -> Result<(), Failure> {
        let more_kib = bytes.div_ceil(1024).saturating_sub(self.kib);
        if more_kib == 0 {
            return Ok(());
        }
        let permits = u32::try_from(more_kib).unwrap_or(u32::MAX);
        let more = Arc::clone(&self.budget.free_kib).try_acquire_many_owned(permits);
        let more = more.map_err(|_| {
            let max = self.budget.bytes;
            let text = format!("the requests at work hold {max} bytes (bytes_in_flight_max)");
            Failure::new(Kind::Busy { retry_after: RETRY_AFTER }, text)
        })?;
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
        self.kib += more_kib;
        Ok(())
    }
}

/// Bytes that grow up to a cap, covered by a share.
pub(super) struct Sink {
    bytes: Vec<u8>,
    bytes_max: usize,
    /// Room that is made at once.
    announced: usize,
    share: Share,
}

impl Sink {
    fn new(bytes_max: usize, budget: &Budget) -> Self {
        Self { bytes: Vec::new(), bytes_max, announced: 0, share: budget.share() }
    }

    /// For what is made from a body while that is held.
    pub(super) fn beside(body: &Held, bytes_max: usize) -> Self {
        Self::new(bytes_max, &body.share.budget)
    }

    pub(super) fn put(&mut self, piece: &[u8]) -> Result<(), Failure> {
        self.make_room(piece.len())?;
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// So many bytes more, zeros as yet.
    pub(super) fn room(&mut self, bytes: usize) -> Result<&mut [u8], Failure> {
        let before = self.bytes.len();
        self.make_room(bytes)?;
        self.bytes.resize(before + bytes, 0);
        Ok(&mut self.bytes[before..])
    }

    fn make_room(&mut self, bytes: usize) -> Result<(), Failure> {
        let wanted = self.bytes.len().saturating_add(bytes);
        if wanted > self.bytes_max {
            return Err(too_large(self.bytes_max));
        }
        if wanted > self.bytes.capacity() {
            // Doubled, but never over the cap: what is allocated is what is covered.
            let capacity = (self.bytes.capacity() * 2).max(self.announced);
            self.grow(capacity.clamp(wanted, self.bytes_max.max(wanted)))?;
        }
        Ok(())
    }

    fn grow(&mut self, capacity: usize) -> Result<(), Failure> {
        let sizes = capacity..=capacity.saturating_mul(2).min(self.bytes_max);
        let spares = Arc::clone(&self.share.budget.spares);
        if let Some(mut room) = spares.take(&sizes) {
            self.share.cover(room.capacity())?;
            room.extend_from_slice(&self.bytes);
            spares.give(std::mem::replace(&mut self.bytes, room));
        } else {
            self.share.cover(capacity)?;
            self.bytes.reserve_exact(capacity - self.bytes.len());
        }
        Ok(())
    }

    pub(super) fn into_held(self) -> Held {
        let Self { bytes, bytes_max: _, announced: _, share } = self;
        let bytes = if SPARE_BYTES.contains(&bytes.capacity()) {
            Bytes::from_owner(Lent { bytes, spares: Arc::clone(&share.budget.spares) })
        } else {
            bytes.into()
        };
        Held { bytes, share }
    }
}

/// The refusal of a body that is larger than allowed.
pub(super) fn too_large(bytes_max: usize) -> Failure {
    let text = format!("request body too large: more than {bytes_max} bytes (max_body_bytes)");
    Failure::new(Kind::TooLarge, text)
}

/// Reads a body to its end.
///
/// # Errors
/// [`Kind::TooLarge`] over `bytes_max`, [`Kind::Busy`] without room in the budget, [`Kind::Timeout`] after 60 s,
/// [`Kind::Invalid`] when the sender breaks off.
pub(super) async fn read(body: Body, bytes_max: usize, budget: &Budget) -> Result<Held, Failure> {
    let announced = body.size_hint().lower();
    if usize::try_from(announced).map_or(true, |bytes| bytes > bytes_max) {
        return Err(too_large(bytes_max));
    }
    let mut sink = Sink::new(bytes_max, budget);
    sink.announced = usize::try_from(announced).map_or(0, |bytes| bytes.min(ANNOUNCED_ROOM_MAX));
    timeout(READ_TIME_MAX, read_to_end(body, sink)).await.unwrap_or_else(|_| {
        let text = format!("the body did not come in within {READ_TIME_MAX:?}");
        Err(Failure::new(Kind::Timeout, text))
    })
}

async fn read_to_end(mut body: Body, mut sink: Sink) -> Result<Held, Failure> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Failure::invalid(format!(
                "the body breaks off after {} bytes: {error}",
                sink.bytes.len()
            ))
        })?;
        if let Some(piece) = frame.data_ref() {
            sink.put(piece)?;
        }
    }
    Ok(sink.into_held())
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
