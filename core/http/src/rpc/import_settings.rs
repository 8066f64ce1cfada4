//! `Import.*` of the configuration: how content becomes blocks where a call does not say it.
//!
//! Owns reading them as Kubo does. A value that Kubo would not start with fails the call, with the name of the setting. Must
//! not know what is imported. Rules: kubo `config/import.go`.

use coldfront::mfs::{CidFormat, MfsOptions};
use coldfront::unixfs::import::{Chunker, DirectoryOptions, HashFunction, Layout, SizeEstimate};
use serde_json::Value;

use super::error::Failed;
use super::settings::Settings;

/// What the configuration says; nothing where it is silent.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ImportSettings {
    pub(crate) cid_version: Option<u8>,
    pub(crate) raw_leaves: Option<bool>,
    pub(crate) chunker: Option<Chunker>,
    pub(crate) hash: Option<HashFunction>,
    pub(crate) max_file_links: Option<usize>,
    pub(crate) layout: Option<Layout>,
    pub(crate) directories: DirectoryOptions,
}

impl ImportSettings {
    pub(crate) fn of(settings: &Settings) -> Result<ImportSettings, Failed> {
        // It holds no secret, so it is shown whole.
        match settings.get("Import") {
            Ok(value) => ImportSettings::read(&value),
            Err(_) => Ok(ImportSettings::default()),
        }
    }

    fn read(value: &Value) -> Result<ImportSettings, Failed> {
        let defaults = DirectoryOptions::default();
        let number = |name, least: i64, expected| -> Result<Option<usize>, Failed> {
            let read = |value: &Value| value.as_i64().filter(|number| *number >= least);
            let read = |value: &Value| read(value).and_then(|number| usize::try_from(number).ok());
            given(value, name, expected, read)
        };
        let fanout =
            given(value, "UnixFSHAMTDirectoryMaxFanout", "a power of 2 from 8 to 1024", |value| {
                let fanout = u32::try_from(value.as_u64()?).ok()?;
                (fanout.is_power_of_two() && (8..=1024).contains(&fanout)).then_some(fanout)
            })?;
        let estimate = given(
            value,
            "UnixFSHAMTDirectorySizeEstimation",
            "links, block or disabled",
            |value| match value.as_str()? {
                "links" => Some(SizeEstimate::Links),
                "block" => Some(SizeEstimate::Block),
                "disabled" => Some(SizeEstimate::Disabled),
                _ => None,
            },
        )?;
        let threshold =
            given(value, "UnixFSHAMTDirectorySizeThreshold", "a size such as 256KiB", |value| {
                value.as_u64().or_else(|| size(value.as_str()?))
            })?;
        Ok(ImportSettings {
            cid_version: given(value, "CidVersion", "0 or 1", |value| {
                u8::try_from(value.as_u64()?).ok().filter(|version| *version <= 1)
            })?,
            raw_leaves: given(value, "UnixFSRawLeaves", "true or false", Value::as_bool)?,
            chunker: given(
                value,
                "UnixFSChunker",
                "size-BYTES, rabin-MIN-AVG-MAX or buzhash",
                |value| value.as_str()?.parse().ok(),
            )?,
            hash: given(value, "HashFunction", "a hash function such as sha2-256", |value| {
                HashFunction::by_name(value.as_str()?).ok()
            })?,
            max_file_links: number("UnixFSFileMaxLinks", 1, "a number above 0")?,
            layout: given(value, "UnixFSDAGLayout", "balanced or trickle", |value| {
                match value.as_str()? {
                    "balanced" => Some(Layout::Balanced),
                    "trickle" => Some(Layout::Trickle),
                    _ => None,
                }
            })?,
            directories: DirectoryOptions {
                max_links: number("UnixFSDirectoryMaxLinks", 0, "0 or a number above")?
                    .unwrap_or(defaults.max_links),
                max_fanout: fanout.unwrap_or(defaults.max_fanout),
                threshold: threshold.unwrap_or(defaults.threshold),
                estimate: estimate.unwrap_or(defaults.estimate),
            },
        })
    }

    /// For mutable files; the form of CIDs is that of the root as well.
    pub(crate) fn for_files(&self) -> Result<MfsOptions, Failed> {
        let defaults = MfsOptions::default();
        let format = CidFormat::choose(self.version(), self.hash);
        let format = format.map_err(|error| Failed::new(error.to_string()))?;
        Ok(MfsOptions {
            format: format.unwrap_or(defaults.format),
            chunker: self.chunker.unwrap_or(defaults.chunker),
            raw_leaves: self.raw_leaves,
            directories: self.directories,
        })
    }

    /// Version 0 of another hash function than its own is 1, where nobody asked for it in a call.
    fn version(&self) -> Option<u8> {
        let other = self.hash.is_some_and(|hash| hash != HashFunction::default());
        self.cid_version.filter(|version| *version != 0 || !other)
    }
}

/// A setting that is there and not left to the default; an error with its name where it makes no sense.
fn given<T>(
    value: &Value,
    name: &str,
    expected: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Option<T>, Failed> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text == "default" => Ok(None),
        Some(value) => read(value).map(Some).ok_or_else(|| {
            Failed::new(format!(
                "Import.{name} in the configuration is {value}, expected {expected}"
            ))
        }),
    }
}

/// Bytes as Go's `humanize` reads them.
fn size(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text.get(..end)?.parse().ok()?;
    let unit = match text.get(end..)?.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" | "k" => 1000,
        "kib" | "ki" => 1 << 10,
        "mb" | "m" => 1_000_000,
        "mib" | "mi" => 1 << 20,
        "gb" | "g" => 1_000_000_000,
        "gib" | "gi" => 1 << 30,
        _ => return None,
    };
    number.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<ImportSettings, Failed> {
        ImportSettings::of(&Settings::new(json!({"Import": value}), None))
    }

    #[test]
    fn what_is_not_set_or_set_to_the_default_is_left_to_it() {
        let none = ImportSettings::default();
        assert_eq!(ImportSettings::of(&Settings::default()).unwrap(), none);
        let silent = json!({"CidVersion": null, "UnixFSRawLeaves": "default", "UnixFSChunker": null, "BatchMaxNodes": 5});
        assert_eq!(read(silent).unwrap(), none);
    }

    #[test]
    fn every_setting_is_read() {
        let settings = read(json!({
            "CidVersion": 1, "UnixFSRawLeaves": true, "UnixFSChunker": "size-1048576",
            "HashFunction": "blake3", "UnixFSFileMaxLinks": 1024, "UnixFSDirectoryMaxLinks": 7,
            "UnixFSHAMTDirectoryMaxFanout": 512, "UnixFSHAMTDirectorySizeThreshold": "1MiB",
            "UnixFSHAMTDirectorySizeEstimation": "block", "UnixFSDAGLayout": "trickle",
        }))
        .unwrap();
        assert_eq!((settings.cid_version, settings.raw_leaves), (Some(1), Some(true)));
        assert_eq!(settings.max_file_links, Some(1024));
        assert_eq!(settings.layout, Some(Layout::Trickle));
        let directories = settings.directories;
        assert_eq!((directories.max_links, directories.max_fanout), (7, 512));
        assert_eq!((directories.threshold, directories.estimate), (1 << 20, SizeEstimate::Block));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (name, value) in [
            ("CidVersion", json!(2)),
            ("UnixFSRawLeaves", json!("yes")),
            ("UnixFSChunker", json!("foo-1")),
            ("HashFunction", json!("nope")),
            ("UnixFSFileMaxLinks", json!(0)),
            ("UnixFSDirectoryMaxLinks", json!(-1)),
            ("UnixFSHAMTDirectoryMaxFanout", json!(100)),
            ("UnixFSHAMTDirectorySizeThreshold", json!("much")),
            ("UnixFSHAMTDirectorySizeEstimation", json!("guess")),
            ("UnixFSDAGLayout", json!("flat")),
        ] {
            let error = read(json!({name: value})).unwrap_err().message;
            assert!(
                error.starts_with(&format!("Import.{name} in the configuration is ")),
                "{error}"
            );
        }
    }
}
