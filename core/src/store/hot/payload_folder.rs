//! The folder of the payload, where that lies on another disk: which one it is, and that it is this store's.
//!
//! Owns the note in the store's folder and the marker in that of the payload. Both hold a name that was given when the
//! store was made, 32 hexadecimal digits: RocksDB removes files that it does not know from the folders it is given, so it is
//! never given one of another store. Must not know what the payload is.
//!
//! ```text
//! FOLDER/PAYLOAD              the name, a newline, the path of the payload's folder
//! PAYLOAD/COLDFRONT-PAYLOAD   the name
//! ```

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use super::error::HotError;
use super::folder::{demand_empty, sync_folder};
use crate::fail;

const NOTE: &str = "PAYLOAD";
pub(super) const MARKER: &str = "COLDFRONT-PAYLOAD";

/// What the note says.
struct Note {
    name: Vec<u8>,
    payload: PathBuf,
}

/// Where the payload of the store in `folder` lies; `None` beside its index. `asked` is where it is said to be.
pub(super) fn find(
    folder: &Path,
    is_new: bool,
    asked: Option<&Path>,
) -> Result<Option<PathBuf>, HotError> {
    let known = read_note(folder)?;
    let asked = asked.map(std::path::absolute).transpose();
    let asked = asked.map_err(HotError::io(folder, "finding the payload"))?;
    let note = match (known, asked) {
        (None, None) => return Ok(None),
        (None, Some(_)) if !is_new => {
            return Err(HotError::PayloadInside { path: folder.to_owned() });
        }
        (None, Some(payload)) => {
            let note = make(payload)?;
            fail::point("before the payload is noted");
            write_note(folder, &note)?;
            note
        }
        (Some(known), asked) => {
            let payload = asked.unwrap_or_else(|| known.payload.clone());
            if !is_marked(&payload, &known.name)? {
                return Err(HotError::PayloadAway { path: folder.to_owned(), payload });
            }
            let has_moved = payload != known.payload;
            let note = Note { payload, ..known };
            if has_moved {
                write_note(folder, &note)?;
            }
            note
        }
    };
    Ok(Some(note.payload))
}

/// Makes the folder of the payload of a new store. One that a crash left with a marker and nothing else is made again.
fn make(payload: PathBuf) -> Result<Note, HotError> {
    demand_empty(&payload)?;
    let failed = |error| HotError::io(&payload, "making the folder of the payload")(error);
    let name = name().map_err(failed)?;
    let write = |mut file: File| file.write_all(&name).and_then(|()| file.sync_all());
    fs::create_dir_all(&payload)
        .and_then(|()| File::create(payload.join(MARKER)))
        .and_then(write)
        .map_err(failed)?;
    sync_folder(&payload)?;
    Ok(Note { name, payload })
}

fn name() -> io::Result<Vec<u8>> {
    let mut random = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(random.iter().flat_map(|byte| format!("{byte:02x}").into_bytes()).collect())
}

/// Whether a folder is that of the payload of this name.
fn is_marked(payload: &Path, name: &[u8]) -> Result<bool, HotError> {
    let marker = payload.join(MARKER);
    match fs::read(&marker) {
        Ok(found) => Ok(found == name),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(false)
        }
        Err(error) => Err(HotError::io(&marker, "reading it")(error)),
    }
}

fn read_note(folder: &Path) -> Result<Option<Note>, HotError> {
    let path = folder.join(NOTE);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(HotError::io(&path, "reading it")(error)),
    };
    let mut parts = text.splitn(2, |byte| *byte == b'\n');
    let (Some(name), Some(payload)) = (parts.next(), parts.next()) else {
        return Err(HotError::damaged(folder, "PAYLOAD does not hold a name and a path"));
    };
    let payload = PathBuf::from(OsString::from_vec(payload.to_vec()));
    Ok(Some(Note { name: name.to_vec(), payload }))
}

fn write_note(folder: &Path, note: &Note) -> Result<(), HotError> {
    let (new, path) = (folder.join("PAYLOAD.new"), folder.join(NOTE));
    let text = [note.name.as_slice(), b"\n", note.payload.as_os_str().as_bytes()].concat();
    File::create(&new)
        .and_then(|mut file| file.write_all(&text).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&new, &path))
        .map_err(HotError::io(&path, "writing it"))?;
    sync_folder(folder)
}
