//! Reads and scans of the live state; what is on disk only is read by the caller's helper thread.
//!
//! Nothing here changes anything that a caller could see.

use bytes::Bytes;
use gate::limits::SlidingWindow;
use gate::ports::{DeadLetter, Found, Read, Scan, StoreError, Versioned};
use gate::types::{MessageId, SessionId};

use super::bodies::BodyReader;
use super::shared::Shared;
use super::state::{Spot, State};
use super::trail::AuditTrail;

/// Reads what needs no disk.
pub(super) fn read(state: &mut State, what: Read) -> Option<Found> {
    match what {
        Read::Value(key, now) => {
            let found = state.values.live(&key, now)?;
            let (value, version) = (found.value.clone(), found.version);
            Some(Found::Value(Versioned { key, value, version }))
        }
        Read::Message(message) => state.view(message).map(Found::Message),
        Read::DeadLetter(message) => {
            state.letters.letter(message).map(|letter| Found::DeadLetter(letter.listed()))
        }
        Read::Window { agent, class, limits, now } => {
            let window = state.windows.get_mut(&(agent, class));
            let view = window.map(|window| window.view(now, limits));
            let view = view.unwrap_or_else(|| SlidingWindow::default().view(now, limits));
            Some(Found::Window(view))
        }
        Read::Sent { sender, key, now } => state.sent.live(&sender, key, now).map(Found::Sent),
        Read::Depth(agent) => Some(Found::Depth(state.queues.depth(&agent))),
        Read::TotalDepth => Some(Found::Depth(state.queues.total().0)),
        // Known where the newest entries are kept.
        Read::RecordCount => None,
    }
}

/// Lists what needs no disk.
pub(super) fn scan(state: &State, what: &Scan, count: usize) -> Vec<Found> {
    match what {
        Scan::Values { space, after, now } => {
            state.values.page(*space, after.as_ref(), *now).take(count).map(Found::Value).collect()
        }
        Scan::DeadLetters(scan) => {
            state.letters.page(scan).take(count).map(Found::DeadLetter).collect()
        }
        Scan::Expired { now } => {
            state.queues.expired(*now).take(count).map(Found::Message).collect()
        }
        Scan::Queues => {
            let longest = state.queues.longest(count).into_iter();
            longest.map(|(agent, depth)| Found::Queue(agent.clone(), depth)).collect()
        }
        Scan::Records { .. } => Vec::new(),
    }
}

/// Reads the envelope of a dead letter.
pub(super) fn letter(shared: &Shared, letter: DeadLetter) -> Result<Option<Found>, StoreError> {
    let envelope = envelope(shared, letter.view.message)?;
    Ok(envelope.map(|e| Found::DeadLetter(DeadLetter { envelope: Some(e), ..letter })))
}

/// Reads audit entries that are no longer in memory.
pub(super) fn records(shared: &Shared, from: u64, count: usize) -> Result<Vec<Found>, StoreError> {
    let durable = shared.recent.lock().next_seq();
    if let Some(trail) = shared.trails.take(from)
        && let Ok(found) = page(shared, trail, (durable, count))
    {
        return Ok(found);
    }
    // The log may have moved on beneath a reading that paused: it is read anew before that counts.
    page(shared, AuditTrail::of(shared.folder.clone(), from), (durable, count))
}

/// Reads a page of the entries before `durable`; the reading is kept if there is more.
fn page(
    shared: &Shared,
    mut trail: AuditTrail,
    (durable, count): (u64, usize),
) -> Result<Vec<Found>, StoreError> {
    let mut found = Vec::new();
    while found.len() < count {
        let Some(entry) = trail.next() else { return Ok(found) };
        let entry = entry.map_err(|damage| StoreError::Corrupt(damage.to_string()))?;
        if entry.link.seq >= durable {
            return Ok(found);
        }
        found.push(Found::Record(entry));
    }
    shared.trails.keep(trail);
    Ok(found)
}

/// Reads the envelopes of messages that were leased to a session; nothing for one that has gone
/// meanwhile or cannot be read. Such a message is set aside.
pub(super) fn envelopes(
    shared: &Shared,
    holder: SessionId,
    messages: Vec<MessageId>,
) -> Vec<Option<Bytes>> {
    let read = |message| {
        envelope(shared, message).unwrap_or_else(|cause| {
            tracing::error!(%message, %cause, "a queued message cannot be delivered");
            shared.state.lock().queues.take_back(message, holder, Spot::Unreadable);
            None
        })
    };
    messages.into_iter().map(read).collect()
}

/// Reads the envelope of a message from disk; nothing if the message has gone meanwhile.
///
/// A checkpoint may move it while it is read: then it is at another place.
pub(super) fn envelope(shared: &Shared, message: MessageId) -> Result<Option<Bytes>, StoreError> {
    let mut place = shared.state.lock().body(message);
    loop {
        let Some(body) = place else { return Ok(None) };
        let read = BodyReader::new(&shared.folder).read(body);
        let now = shared.state.lock().body(message);
        match read {
            Ok(envelope) => return Ok(Some(envelope)),
            Err(damage) if now == place => return Err(StoreError::Corrupt(damage)),
            Err(_) => place = now,
        }
    }
}
