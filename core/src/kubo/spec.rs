//! Which store is mounted where.
//!
//! Owns the grammar of `datastore_spec` and of `Datastore.Spec` in the configuration: mounts, nested as deep as one
//! likes, and wrappers that change nothing on the disk. Pure. Rules: kubo `repo/fsrepo/datastores.go`.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::error::RepositoryError;

/// Mounts and wrappers that may stand in one another.
const MAX_DEPTH: usize = 32;

/// Mounts that one repository may have; Kubo's own profiles have two.
const MAX_MOUNTS: usize = 1024;

/// A store and the keys that are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The beginning of its keys, `/` or such as `/blocks`, without a slash behind it.
    pub mountpoint: String,
    /// What is mounted there.
    pub store: StoreSpec,
}

/// A store, as the spec describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreSpec {
    /// A tree of files, one a block.
    Flatfs {
        /// Its root.
        path: PathBuf,
    },
    /// LevelDB, Pebble or Badger; which of them, its files tell.
    Pairs {
        /// Its folder.
        path: PathBuf,
        /// The type that the spec names.
        kind: String,
    },
    /// Nothing of it is on the disk.
    Memory,
}

/// The mounts that a spec describes, the longest mountpoints first. Relative paths are below `repository`; `file` is
/// what errors name.
///
/// # Errors
/// [`RepositoryError::UnsupportedStore`] for a type that is not read here; [`RepositoryError::Spec`].
pub fn mounts_of(
    spec: &Value,
    repository: &Path,
    file: &Path,
) -> Result<Vec<Mount>, RepositoryError> {
    let mut found = Found { repository, file, mounts: Vec::new() };
    found.add(spec, "", 0)?;
    // As Kubo: by text descending, so that what is mounted inside another comes before it.
    found.mounts.sort_by(|a, b| b.mountpoint.cmp(&a.mountpoint));
    let twice = found.mounts.windows(2).find(|pair| match pair {
        [a, b] => a.mountpoint == b.mountpoint,
        _ => false,
    });
    match twice {
        Some([one, ..]) => Err(found.bad(format!("two stores are mounted at {}", one.mountpoint))),
        _ => Ok(found.mounts),
    }
}

struct Found<'a> {
    repository: &'a Path,
    file: &'a Path,
    mounts: Vec<Mount>,
}

impl Found<'_> {
    fn add(&mut self, spec: &Value, at: &str, depth: usize) -> Result<(), RepositoryError> {
        let kind = self.text(spec, "type", at)?;
        if depth >= MAX_DEPTH || self.mounts.len() >= MAX_MOUNTS {
            return Err(self.bad(format!(
                "more than {MAX_DEPTH} stores in one another, or {MAX_MOUNTS} in all"
            )));
        }
        match kind.as_str() {
            "mount" => {
                let inner = spec.get("mounts").and_then(Value::as_array);
                let inner = inner
                    .ok_or_else(|| self.bad(format!("a mount at {at}/ without \"mounts\"")))?;
                for one in inner {
                    let below = joined(at, &self.text(one, "mountpoint", at)?);
                    self.add(one, &below, depth + 1)?;
                }
                Ok(())
            }
            "measure" | "log" => {
                let child = spec.get("child");
                let child = child
                    .ok_or_else(|| self.bad(format!("a {kind} at {at}/ without \"child\"")))?;
                self.add(child, at, depth + 1)
            }
            _ => {
                let store = self.store(spec, kind, at)?;
                self.mounts.push(Mount { mountpoint: shown(at), store });
                Ok(())
            }
        }
    }

    fn store(&self, spec: &Value, kind: String, at: &str) -> Result<StoreSpec, RepositoryError> {
        match kind.as_str() {
            "flatfs" => Ok(StoreSpec::Flatfs { path: self.path(spec, at)? }),
            "levelds" | "pebbleds" | "badgerds" => {
                Ok(StoreSpec::Pairs { path: self.path(spec, at)?, kind })
            }
            "mem" => Ok(StoreSpec::Memory),
            _ => Err(RepositoryError::UnsupportedStore {
                path: self.repository.to_owned(),
                mountpoint: shown(at),
                kind,
            }),
        }
    }

    fn path(&self, spec: &Value, at: &str) -> Result<PathBuf, RepositoryError> {
        Ok(self.repository.join(self.text(spec, "path", at)?))
    }

    fn text(&self, spec: &Value, field: &str, at: &str) -> Result<String, RepositoryError> {
        let text = spec.get(field).and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| self.bad(format!("a store at {} without \"{field}\"", shown(at))))
    }

    fn bad(&self, what: String) -> RepositoryError {
        RepositoryError::Spec { path: self.file.to_owned(), what }
    }
}

/// `at` and what follows it, each part once, without a slash at the end; the root is empty.
fn joined(at: &str, below: &str) -> String {
    let parts = below.split('/').filter(|part| !part.is_empty());
    parts.fold(at.to_owned(), |path, part| path + "/" + part)
}

fn shown(at: &str) -> String {
    if at.is_empty() { "/".to_owned() } else { at.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn mounts(spec: &Value) -> Result<Vec<(String, StoreSpec)>, String> {
        let found = mounts_of(spec, Path::new("/repo"), Path::new("/repo/datastore_spec"));
        found
            .map(|all| all.into_iter().map(|one| (one.mountpoint, one.store)).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn wrappers_vanish_and_nested_mounts_are_joined() {
        let spec = json!({"type": "mount", "mounts": [
            {"mountpoint": "/", "type": "log", "name": "x", "child":
                {"type": "measure", "prefix": "y", "child": {"type": "levelds", "path": "datastore"}}},
            {"mountpoint": "/blocks/", "type": "mount", "mounts": [
                {"mountpoint": "/", "type": "flatfs", "path": "blocks", "shardFunc": "z"},
                {"mountpoint": "/far", "type": "pebbleds", "path": "/far/away"},
            ]},
        ]});
        let pairs =
            |path: &str, kind: &str| StoreSpec::Pairs { path: path.into(), kind: kind.into() };
        assert_eq!(
            mounts(&spec).unwrap(),
            [
                ("/blocks/far".to_owned(), pairs("/far/away", "pebbleds")),
                ("/blocks".to_owned(), StoreSpec::Flatfs { path: "/repo/blocks".into() }),
                ("/".to_owned(), pairs("/repo/datastore", "levelds")),
            ]
        );
    }

    #[test]
    fn a_store_of_another_kind_is_refused_by_name() {
        let s3 = json!({"type": "mount", "mounts": [
            {"mountpoint": "/blocks", "type": "measure", "child": {"type": "s3ds", "bucket": "b"}}]});
        let error = mounts(&s3).unwrap_err();
        assert!(error.contains("\"s3ds\"") && error.contains("/blocks"), "{error}");
    }

    #[test]
    fn what_is_no_spec_is_refused() {
        let mut deep = json!({"type": "mem"});
        for _ in 0..100 {
            deep = json!({"type": "measure", "child": deep});
        }
        let twice = json!({"type": "mount", "mounts": [
            {"mountpoint": "/a", "type": "mem"}, {"mountpoint": "a/", "type": "mem"}]});
        for bad in [
            json!(null),
            json!({}),
            json!({"type": 7}),
            json!({"type": "flatfs"}),
            json!({"type": "mount"}),
            json!({"type": "mount", "mounts": [{"type": "mem"}]}),
            json!({"type": "measure"}),
            deep,
            twice,
        ] {
            assert!(mounts(&bad).is_err(), "{bad}");
        }
    }
}
