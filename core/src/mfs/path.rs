//! Paths of the mutable file system, read as Kubo reads them.
//!
//! Owns what a path says: absolute, cleaned without a look at the tree, and what a slash at its end
//! means. Must not know nodes. Rules: kubo `core/commands/files.go` (`checkPath`), Go's `path` package.

use super::error::MfsError;

/// The longest path that is looked at, in bytes.
const MAX_PATH_LEN: usize = 64 * 1024;

/// A cleaned absolute path. A slash at the end is kept apart: it makes `/a/` name what lies in `a`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MfsPath {
    names: Vec<String>,
    slash: bool,
}

impl MfsPath {
    /// Reads a path. `.` and `..` are resolved by their letters alone, and nothing lies above the root.
    pub(super) fn parse(text: &str) -> Result<MfsPath, MfsError> {
        if text.is_empty() {
            return Err(MfsError::EmptyPath);
        }
        if !text.starts_with('/') {
            return Err(MfsError::RelativePath);
        }
        if text.len() > MAX_PATH_LEN {
            return Err(MfsError::PathTooLong(text.len()));
        }
        let mut names: Vec<String> = Vec::new();
        for name in text.split('/') {
            match name {
                "" | "." => {}
                ".." => drop(names.pop()),
                name => names.push(name.to_owned()),
            }
        }
        let slash = text.ends_with('/') && !names.is_empty();
        Ok(MfsPath { names, slash })
    }

    pub(super) fn is_root(&self) -> bool {
        self.names.is_empty()
    }

    /// The names from the root down.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// The path says that it names a directory.
    pub(super) fn has_slash(&self) -> bool {
        self.slash
    }

    /// The names of the directory above, and the last name; `None` for the root.
    pub(super) fn split(&self) -> Option<(&[String], &str)> {
        let (last, above) = self.names.split_last()?;
        Some((above, last))
    }

    /// The path below this one of a name.
    pub(super) fn join(mut self, name: &str) -> MfsPath {
        self.names.push(name.to_owned());
        self.slash = false;
        self
    }

    /// Whether `other` is this path or lies below it.
    pub(super) fn holds(&self, other: &MfsPath) -> bool {
        other.names.starts_with(&self.names)
    }
}

impl std::fmt::Display for MfsPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "/{}{}", self.names.join("/"), if self.slash { "/" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn cleaned(text: &str) -> String {
        MfsPath::parse(text).unwrap().to_string()
    }

    #[test]
    fn paths_are_cleaned_as_go_cleans_them_and_a_slash_at_the_end_stays() {
        let paths = [
            ("/", "/"),
            ("//", "/"),
            ("/../..", "/"),
            ("/a//b/./c", "/a/b/c"),
            ("/a/b/../c/", "/a/c/"),
            ("/a/..", "/"),
        ];
        for (text, clean) in paths {
            assert_eq!(cleaned(text), clean);
        }
    }

    #[test]
    fn a_path_that_is_empty_relative_or_endless_is_refused() {
        let refused = |text: &str| MfsPath::parse(text).unwrap_err().to_string();
        assert_eq!(refused(""), "paths must not be empty");
        assert_eq!(refused("a/b"), "paths must start with a leading slash");
        assert!(refused(&"/a".repeat(MAX_PATH_LEN)).starts_with("a path of 131072 bytes"));
    }
}
