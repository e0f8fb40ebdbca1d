//! A snapshot: the state at a log position as a file, so that the log before can go.
//!
//! Written and read item by item, so memory does not grow with it; envelopes and audit records
//! are not in it.

use std::fs::File;
use std::io::{self, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use audit::{Chain, Disk, Hash};
use bytes::Bytes;
use gate::limits::SlidingWindow;
use gate::ports::{CounterClass, Key, Sent};
use gate::types::{AgentId, MessageId, Timestamp};
use serde::{Deserialize, Serialize};

use super::change::{Body, Head};
use super::disk::Output;
use super::folder::Folder;
use super::state::{Ended, Letter, Message, Spot, State, Use, Value};
use super::{OpenError, Options};

/// A state and where in the log it belongs.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) state: State,
    /// The end of the audit chain at that position.
    pub(super) chain: Chain,
    pub(super) position: u64,
}

/// One item of the file; the order of variants is part of the format.
#[derive(Debug, Serialize, Deserialize)]
enum Item {
    Meta(Meta),
    Value { key: Key, value: Bytes, version: u64, expires_at: Option<Timestamp> },
    Message { head: Head, body: Body, place: u64, attempts: u32, not_before: Option<Timestamp> },
    Dead(Dead),
    Ended { message: MessageId, ended: Ended },
    Window { agent: AgentId, class: CounterClass, window: SlidingWindow },
    End,
    Sent(Sent),
}

/// A dead letter and its place in the order of deaths.
#[derive(Debug, Serialize, Deserialize)]
struct Dead {
    head: Head,
    body: Body,
    death: u64,
    attempts: u32,
    reason: Arc<str>,
    died_at: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    position: u64,
    next_seq: u64,
    chain_head: Hash,
    version: u64,
    next_place: u64,
    next_letter: u64,
}

impl Snapshot {
    /// Returns the state of a store in which nothing has happened.
    pub(super) fn empty(options: &Options, usage: Use) -> Self {
        let state = State::new(options.bounds, options.cache_bytes, usage);
        Self { state, chain: Chain::genesis(), position: 0 }
    }

    /// Writes the snapshot to the disk; it counts when its file has its name. Returns the file
    /// and its size.
    pub(super) fn draft(&self, folder: &Folder, disk: &dyn Disk) -> io::Result<(PathBuf, u64)> {
        let draft = folder.snapshot(self.position).with_extension("draft");
        let bytes = self.write_items(Items::new(Output::create(disk, &draft)?))?;
        Ok((draft, bytes))
    }

    fn write_items(&self, mut out: Items<'_>) -> io::Result<u64> {
        out.raw(&MAGIC)?;
        out.raw(&VERSION.to_le_bytes())?;
        let state = &self.state;
        out.item(&Item::Meta(Meta {
            position: self.position,
            next_seq: self.chain.next_seq(),
            chain_head: self.chain.head(),
            version: state.values.version(),
            next_place: state.queues.next_place(),
            next_letter: state.letters.next(),
        }))?;
        for (key, value) in state.values.iter() {
            let Value { value, version, expires_at } = value.clone();
            out.item(&Item::Value { key: key.clone(), value, version, expires_at })?;
        }
        for message in state.queues.iter() {
            let Message { head, body, place, attempts, spot, .. } = message.clone();
            let not_before = if let Spot::Delayed(until) = spot { Some(until) } else { None };
            out.item(&Item::Message { head, body, place, attempts, not_before })?;
        }
        for (death, letter) in state.letters.iter() {
            let Letter { head, body, attempts, reason, died_at } = letter.clone();
            out.item(&Item::Dead(Dead { head, body, death, attempts, reason, died_at }))?;
        }
        for (message, ended) in state.statuses.iter() {
            out.item(&Item::Ended { message, ended: ended.clone() })?;
        }
        for sent in state.sent.iter() {
            out.item(&Item::Sent(sent))?;
        }
        for ((agent, class), window) in &state.windows {
            let (agent, class, window) = (agent.clone(), *class, window.clone());
            out.item(&Item::Window { agent, class, window })?;
        }
        out.item(&Item::End)?;
        out.finish()
    }

    /// Reads a snapshot.
    ///
    /// # Errors
    ///
    /// Fails with the place if the file is damaged.
    pub(super) fn read(path: &Path, options: &Options, usage: Use) -> Result<Self, OpenError> {
        let file = File::open(path).map_err(OpenError::io(path, "open"))?;
        let mut input = Input::new(path, file);
        if input.raw::<8>()? != MAGIC {
            return Err(OpenError::corrupt(path, 0, "not a snapshot"));
        }
        let version = u32::from_le_bytes(input.raw()?);
        if version > VERSION {
            return Err(OpenError::Newer { file: path.to_owned(), version, known: VERSION });
        }
        let mut snapshot = Self::empty(options, usage);
        let mut meta = None;
        loop {
            match input.item()? {
                Item::Meta(found) => meta = Some(found),
                Item::End => break,
                item @ (Item::Value { .. }
                | Item::Message { .. }
                | Item::Dead(_)
                | Item::Ended { .. }
                | Item::Sent(_)
                | Item::Window { .. }) => snapshot.take(item),
            }
        }
        input.check()?;
        let meta = meta.ok_or_else(|| OpenError::corrupt(path, 0, "the snapshot has no head"))?;
        snapshot.position = meta.position;
        snapshot.chain = Chain::resume(meta.next_seq, meta.chain_head);
        snapshot.state.values.set_version(meta.version);
        snapshot.state.queues.set_next_place(meta.next_place);
        snapshot.state.letters.set_next(meta.next_letter);
        Ok(snapshot)
    }

    fn take(&mut self, item: Item) {
        let state = &mut self.state;
        match item {
            Item::Value { key, value, version, expires_at } => {
                state.values.restore(key, Value { value, version, expires_at });
            }
            Item::Message { head, body, place, attempts, not_before } => {
                let head = state.names.head(head);
                let spot = not_before.map_or(Spot::Ready, Spot::Delayed);
                state.queues.restore(Message::restored(head, body, (place, attempts, spot)));
            }
            Item::Dead(Dead { head, body, death, attempts, reason, died_at }) => {
                let (head, reason) = (state.names.head(head), state.names.text(reason));
                state.letters.restore(death, Letter { head, body, attempts, reason, died_at });
            }
            Item::Ended { message, ended } => {
                let Ended { sender, target, attempts, state: end } = ended;
                let (sender, target) = (state.names.agent(sender), state.names.agent(target));
                let ended = Ended { sender, target, attempts, state: end };
                state.statuses.push(message, ended);
            }
            Item::Sent(sent) => state.sent.push(sent),
            Item::Window { agent, class, window } => {
                state.windows.insert((agent, class), window);
            }
            Item::Meta(_) | Item::End => {}
        }
    }
}

/// Items on their way into a file.
struct Items<'a> {
    file: Output<'a>,
    crc: crc32fast::Hasher,
    bytes: u64,
}

impl<'a> Items<'a> {
    fn new(file: Output<'a>) -> Self {
        Self { file, crc: crc32fast::Hasher::new(), bytes: 0 }
    }

    fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.crc.update(bytes);
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        self.file.write_all(bytes)
    }

    fn item(&mut self, item: &Item) -> io::Result<()> {
        let bytes = postcard::to_stdvec(item).map_err(io::Error::other)?;
        let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.raw(&len.to_le_bytes())?;
        self.raw(&bytes)
    }

    fn finish(mut self) -> io::Result<u64> {
        let crc = self.crc.clone().finalize();
        self.raw(&crc.to_le_bytes())?;
        self.file.sync()?;
        Ok(self.bytes)
    }
}

struct Input<'a> {
    path: &'a Path,
    file: BufReader<File>,
    crc: crc32fast::Hasher,
    offset: u64,
    buffer: Vec<u8>,
}

impl<'a> Input<'a> {
    fn new(path: &'a Path, file: File) -> Self {
        let (file, crc) = (BufReader::new(file), crc32fast::Hasher::new());
        Self { path, file, crc, offset: 0, buffer: Vec::new() }
    }

    fn damage(&self, what: impl Into<String>) -> OpenError {
        OpenError::corrupt(self.path, self.offset, what)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), OpenError> {
        self.file.read_exact(bytes).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                return self.damage("the file ends too early");
            }
            OpenError::io(self.path, "read")(error)
        })?;
        self.offset = self.offset.saturating_add(bytes.len() as u64);
        Ok(())
    }

    fn raw<const N: usize>(&mut self) -> Result<[u8; N], OpenError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        self.crc.update(&bytes);
        Ok(bytes)
    }

    fn item(&mut self) -> Result<Item, OpenError> {
        let len = u32::from_le_bytes(self.raw()?);
        if len > ITEM_BYTES_MAX {
            return Err(self.damage(format!("an item of {len} bytes")));
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(usize::try_from(len).unwrap_or_default(), 0);
        self.fill(&mut buffer)?;
        self.crc.update(&buffer);
        let item = postcard::from_bytes(&buffer);
        self.buffer = buffer;
        item.map_err(|error| self.damage(format!("an item is unreadable: {error}")))
    }

    fn check(&mut self) -> Result<(), OpenError> {
        let wanted = self.crc.clone().finalize();
        let mut bytes = [0; 4];
        self.fill(&mut bytes)?;
        if u32::from_le_bytes(bytes) == wanted {
            return Ok(());
        }
        Err(OpenError::corrupt(self.path, 0, "the checksum of the snapshot does not match"))
    }
}

const MAGIC: [u8; 8] = *b"PALSNAP\n";
const VERSION: u32 = 1;
/// LIMIT: no value, window or letter comes near this, so a damaged length cannot ask for more.
const ITEM_BYTES_MAX: u32 = 128 << 20;
