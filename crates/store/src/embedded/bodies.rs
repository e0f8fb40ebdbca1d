//! Envelopes on disk: reading one back, and the files to which a checkpoint moves them.
//!
//! Every envelope has its own checksum, so a file that was recycled meanwhile is noticed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use audit::Disk;
use bytes::Bytes;

use super::change::{Body, BodyFile};
use super::disk::Output;
use super::folder::Folder;

/// Reads envelopes, with each file opened once.
#[derive(Debug)]
pub(super) struct BodyReader<'a> {
    folder: &'a Folder,
    files: BTreeMap<BodyFile, File>,
}

impl<'a> BodyReader<'a> {
    pub(super) const fn new(folder: &'a Folder) -> Self {
        Self { folder, files: BTreeMap::new() }
    }

    /// Reads an envelope; says where and why if it cannot be read.
    pub(super) fn read(&mut self, body: Body) -> Result<Bytes, String> {
        let path = path_of(self.folder, body.file);
        let place = |what: &str| format!("{}, byte {}: {what}", path.display(), body.offset);
        let read = self.bytes(body, &path).map_err(|error| {
            self.files.remove(&body.file);
            place(&error.to_string())
        });
        let bytes = read?;
        if crc32fast::hash(&bytes) != body.crc {
            self.files.remove(&body.file);
            return Err(place("the checksum of an envelope does not match"));
        }
        Ok(bytes.into())
    }

    fn bytes(&mut self, body: Body, path: &PathBuf) -> io::Result<Vec<u8>> {
        if self.files.len() >= FILES_MAX {
            self.files.clear();
        }
        let file = match self.files.entry(body.file) {
            std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::btree_map::Entry::Vacant(place) => place.insert(File::open(path)?),
        };
        let mut bytes = vec![0; usize::try_from(body.len).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, body.offset)?;
        Ok(bytes)
    }
}

/// Writes envelopes one after the other into new files.
#[derive(Debug)]
pub(super) struct BodyWriter<'a> {
    folder: &'a Folder,
    disk: &'a dyn Disk,
    next: u64,
    current: Option<(BodyFile, u64, Output<'a>)>,
}

impl<'a> BodyWriter<'a> {
    /// Begins with a file of this number when the first envelope comes.
    pub(super) const fn new(folder: &'a Folder, disk: &'a dyn Disk, next: u64) -> Self {
        Self { folder, disk, next, current: None }
    }

    /// Writes an envelope; returns its place.
    pub(super) fn write(&mut self, envelope: &Bytes, crc: u32) -> io::Result<Body> {
        if self.current.as_ref().is_some_and(|(_, offset, _)| *offset >= FILE_BYTES) {
            self.finish()?;
        }
        let (file, offset, out) = match &mut self.current {
            Some(current) => current,
            none => {
                let number = self.next;
                self.next = self.next.saturating_add(1);
                let mut out = Output::create(self.disk, &self.folder.body_file(number))?;
                out.write_all(&MAGIC)?;
                none.insert((BodyFile::Moved(number), MAGIC.len() as u64, out))
            }
        };
        out.write_all(envelope)?;
        let len = u32::try_from(envelope.len()).map_err(io::Error::other)?;
        let body = Body { file: *file, offset: *offset, len, crc };
        *offset = offset.saturating_add(u64::from(len));
        Ok(body)
    }

    /// Brings everything to the disk.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if let Some((_, _, out)) = self.current.take() {
            out.sync()?;
            self.disk.sync_folder(&self.folder.bodies())?;
        }
        Ok(())
    }
}

fn path_of(folder: &Folder, file: BodyFile) -> PathBuf {
    match file {
        BodyFile::Segment(number) => folder.segment(number),
        BodyFile::Moved(number) => folder.body_file(number),
    }
}

const MAGIC: [u8; 8] = *b"PALBODY\n";
/// The size after which the next file begins.
const FILE_BYTES: u64 = 64 << 20;
/// LIMIT: files open at once.
const FILES_MAX: usize = 16;
