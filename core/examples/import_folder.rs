//! Makes a folder into blocks, prints what `ipfs add -r --cid-version 1` would print, and writes a CAR of it
//! where one is asked for.
//!
//! ```text
//! cargo run --example import_folder -- FOLDER [OUT.car]
//! ```
//!
//! The blocks wait in memory for the CAR, so this is for folders that fit there. A service imports into its
//! store instead, which any [`BlockStore`] can be: then memory does not grow with the folder.

use std::error::Error;
use std::fs::{self, File};
use std::io::BufWriter;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use coldfront::car::CarWriter;
use coldfront::store::memory::Memory;
use coldfront::unixfs::import::{ImportOptions, Imported, Importer, Metadata, Tree};
use coldfront::walk::{Repeats, walk};
use coldfront::{BlockSource, BlockStore, Cid};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.as_slice() {
        [folder] => import(folder.as_ref(), None).map(drop),
        [folder, car] => export(folder.as_ref(), car.as_ref()),
        _ => {
            eprintln!("usage: import_folder FOLDER [OUT.car]");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Imports into a store, or only hashes.
fn import(folder: &Path, store: Option<Arc<dyn BlockStore>>) -> Result<Cid, Box<dyn Error>> {
    let options = ImportOptions::cid_v1();
    let mut importer = match store {
        Some(store) => Importer::new(&options, store)?,
        None => Importer::only_hash(&options)?,
    };
    let mut tree = Tree::new();
    let mut ahead = vec![folder.to_owned()];
    while let Some(place) = ahead.pop() {
        let name = place.strip_prefix(folder)?.as_os_str().as_bytes();
        let kind = fs::symlink_metadata(&place)?.file_type();
        if kind.is_dir() {
            tree.directory(name, &Metadata::NONE)?;
            for entry in fs::read_dir(&place)? {
                ahead.push(entry?.path());
            }
        } else if kind.is_symlink() {
            let target = fs::read_link(&place)?;
            let link = importer.symlink(target.as_os_str().as_bytes(), &Metadata::NONE)?;
            added(name, &link);
            tree.insert(name, &link)?;
        } else if kind.is_file() {
            let file = importer.file(File::open(&place)?, &Metadata::NONE)?;
            added(name, &file);
            tree.insert(name, &file)?;
        }
    }
    let root = tree.finish(&mut importer, &mut added)?;
    // Only now are all blocks in the store.
    importer.finish()?;
    Ok(root.cid)
}

fn added(name: &[u8], imported: &Imported) {
    println!("added {} {}", imported.cid, String::from_utf8_lossy(name));
}

fn export(folder: &Path, car: &Path) -> Result<(), Box<dyn Error>> {
    let store = Arc::new(Memory::new());
    let root = import(folder, Some(store.clone()))?;
    let mut writer = CarWriter::new(BufWriter::new(File::create(car)?), &[root])?;
    for block in walk(&[root], Repeats::default(), |cid| store.get(cid)) {
        writer.put(&block?)?;
    }
    writer.finish()?;
    Ok(())
}
