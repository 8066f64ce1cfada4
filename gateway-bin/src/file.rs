//! The configuration file.
//!
//! Owns its keys and the line of each value. Pure: the text is given. Must not know what a value may be,
//! nor what beats it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::bounds::{Bound, nearest};
use crate::collecting;
use crate::config::{Given, Origin, Setting};

/// The keys outside of tables.
const KEYS: [&str; 15] = [
    "archive",
    "gateway",
    "gc",
    "hot",
    "limits",
    "open_rpc",
    "rpc",
    "rpc_origins",
    "tls_certificate",
    "tls_key",
    "tokens",
    "upload",
    "upload_commands",
    "verify",
    "workers",
];
const ARCHIVE_KEYS: [&str; 2] = ["mixed", "path"];

/// What a file says.
#[derive(Debug, Default)]
pub(crate) struct File {
    /// Values by key: `gateway`, `limits.connections`.
    pub(crate) values: BTreeMap<String, Given>,
    pub(crate) archives: Vec<FileArchive>,
}

/// An archive in a file.
#[derive(Debug)]
pub(crate) struct FileArchive {
    pub(crate) path: Setting<PathBuf>,
    pub(crate) mixed: Option<Setting<bool>>,
}

/// A file that is being read, for its name and lines.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

type Table<'a> = DeTable<'a>;

impl File {
    /// Reads the text of the file at `path`. The error is a sentence with the line.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<File, String> {
        let source = Source { path, text };
        let table = DeTable::parse(text).map_err(|error| {
            let line = source.line(error.span().unwrap_or_default());
            format!("{line} is not valid TOML: {}", error.message().replace('\n', ", "))
        })?;
        let mut file = File::default();
        for (key, value) in table.get_ref().iter() {
            let at = key.span();
            match key.get_ref().as_ref() {
                "archive" => file.archives(&source, value)?,
                "limits" => file.limits(&source, value)?,
                // The one setting that is yes or no.
                "open_rpc" if value.get_ref().as_bool().is_some() => {
                    let text = value.get_ref().as_bool().unwrap_or_default().to_string();
                    let given = Given { text, origin: source.origin(value) };
                    file.values.insert("open_rpc".to_owned(), given);
                }
                "gc" => file.collecting(&source, value)?,
                name if KEYS.contains(&name) => {
                    file.values.insert(name.to_owned(), source.given(name, value)?);
                }
                name => return Err(source.unknown("setting", name, &KEYS, at)),
            }
        }
        Ok(file)
    }

    fn limits(&mut self, source: &Source<'_>, value: &Spanned<DeValue<'_>>) -> Result<(), String> {
        let table = source.table("limits", "[limits]", value)?;
        for (key, value) in table.iter() {
            let name = key.get_ref().as_ref();
            Bound::named(name)
                .map_err(|sentence| format!("{}: {sentence}", source.line(key.span())))?;
            self.values.insert(format!("limits.{name}"), source.given(name, value)?);
        }
        Ok(())
    }

    fn collecting(
        &mut self,
        source: &Source<'_>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), String> {
        for (key, value) in source.table("gc", "[gc]", value)?.iter() {
            let name = key.get_ref().as_ref();
            if !collecting::KEYS.contains(&name) {
                return Err(source.unknown("setting of [gc]", name, &collecting::KEYS, key.span()));
            }
            self.values.insert(format!("gc.{name}"), source.given(name, value)?);
        }
        Ok(())
    }

    fn archives(
        &mut self,
        source: &Source<'_>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<(), String> {
        let Some(array) = value.get_ref().as_array() else {
            return Err(source.wrong("archive", "[[archive]] with a path", value));
        };
        for value in array.iter() {
            self.archives.push(source.archive(value)?);
        }
        Ok(())
    }
}

impl<'a> Source<'a> {
    fn number(&self, at: Range<usize>) -> usize {
        let before = self.text.get(..at.start).unwrap_or(self.text);
        1 + before.matches('\n').count()
    }

    /// `the file PATH, line N`.
    fn line(&self, at: Range<usize>) -> Origin {
        Origin::File { path: self.path.to_owned(), line: self.number(at) }
    }

    fn origin(&self, value: &Spanned<DeValue<'_>>) -> Origin {
        self.line(value.span())
    }

    fn archive(&self, value: &Spanned<DeValue<'_>>) -> Result<FileArchive, String> {
        let table = self.table("archive", "[[archive]] with a path", value)?;
        let (mut path, mut mixed) = (None, None);
        for (key, value) in table.iter() {
            let origin = self.origin(value);
            match key.get_ref().as_ref() {
                "path" => {
                    let text = value.get_ref().as_str();
                    let text = text.ok_or_else(|| self.wrong("path", "a string", value))?;
                    path = Some(Setting { value: text.into(), origin });
                }
                "mixed" => {
                    let answer = value.get_ref().as_bool();
                    let answer =
                        answer.ok_or_else(|| self.wrong("mixed", "true or false", value))?;
                    mixed = Some(Setting { value: answer, origin });
                }
                name => {
                    let what = "setting of an archive";
                    return Err(self.unknown(what, name, &ARCHIVE_KEYS, key.span()));
                }
            }
        }
        let path = path.ok_or_else(|| {
            let line = self.line(value.span());
            format!("{line}: an archive has no path; add path = \"/a/repository\"")
        })?;
        Ok(FileArchive { path, mixed })
    }

    /// A string or a whole number, as text.
    fn given(&self, name: &str, value: &Spanned<DeValue<'_>>) -> Result<Given, String> {
        let text = match value.get_ref() {
            DeValue::String(text) => text.to_string(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().to_owned(),
            _ => return Err(self.wrong(name, "a string or a whole number", value)),
        };
        Ok(Given { text, origin: self.origin(value) })
    }

    fn table<'v, 'i>(
        &self,
        name: &str,
        expected: &str,
        value: &'v Spanned<DeValue<'i>>,
    ) -> Result<&'v Table<'i>, String> {
        value.get_ref().as_table().ok_or_else(|| self.wrong(name, expected, value))
    }

    fn wrong(&self, name: &str, expected: &str, value: &Spanned<DeValue<'_>>) -> String {
        let found = value.get_ref().type_str();
        format!("{}: {name} is a TOML {found}, expected {expected}", self.origin(value))
    }

    fn unknown(&self, what: &str, name: &str, known: &[&'static str], at: Range<usize>) -> String {
        let near = nearest(name, known.iter().copied());
        format!("{}: there is no {what} \"{name}\"; did you mean \"{near}\"?", self.line(at))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn parse(text: &str) -> Result<File, String> {
        File::parse(Path::new("/etc/x.toml"), text)
    }

    #[test]
    fn values_come_with_their_lines() {
        let file =
            parse("gateway = \"8080\"\nworkers = 1_0\n\n[limits]\nhead_time = \"3s\"\n").unwrap();
        let said: Vec<String> = file
            .values
            .iter()
            .map(|(key, given)| format!("{key}={} {}", given.text, given.origin))
            .collect();
        assert_eq!(
            said,
            [
                "gateway=8080 the file /etc/x.toml, line 1",
                "limits.head_time=3s the file /etc/x.toml, line 5",
                "workers=10 the file /etc/x.toml, line 2",
            ]
        );
    }

    #[test]
    fn archives_keep_their_order() {
        let file =
            parse("[[archive]]\npath = '/b'\nmixed = true\n[[archive]]\npath = '/a'\n").unwrap();
        let said: Vec<_> = file
            .archives
            .iter()
            .map(|a| (a.path.value.to_str().unwrap(), a.mixed.as_ref().map(|mixed| mixed.value)))
            .collect();
        assert_eq!(said, [("/b", Some(true)), ("/a", None)]);
        assert_eq!(file.archives[1].path.origin.to_string(), "the file /etc/x.toml, line 5");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, sentence) in [
            (
                "\ngatway = 1",
                "the file /etc/x.toml, line 2: there is no setting \"gatway\"; did you mean \"gateway\"?",
            ),
            (
                "[limits]\nconection = 1",
                "the file /etc/x.toml, line 2: there is no limit \"conection\"; did you mean \"connections\"?",
            ),
            (
                "gateway = true",
                "the file /etc/x.toml, line 1: gateway is a TOML boolean, expected a string or a whole number",
            ),
            (
                "limits = 3",
                "the file /etc/x.toml, line 1: limits is a TOML integer, expected [limits]",
            ),
            (
                "archive = '/a'",
                "the file /etc/x.toml, line 1: archive is a TOML string, expected [[archive]] with a path",
            ),
            (
                "[[archive]]\nmixed = true",
                "the file /etc/x.toml, line 1: an archive has no path; add path = \"/a/repository\"",
            ),
            (
                "[[archive]]\npath = '/a'\nmixd = true",
                "the file /etc/x.toml, line 3: there is no setting of an archive \"mixd\"; did you mean \"mixed\"?",
            ),
            (
                "[[archive]]\npath = '/a'\nmixed = 'y'",
                "the file /etc/x.toml, line 3: mixed is a TOML string, expected true or false",
            ),
        ] {
            assert_eq!(parse(text).unwrap_err(), sentence);
        }
        let broken = parse("gateway = '8080'\nworkers = = 3\n").unwrap_err();
        assert!(broken.starts_with("the file /etc/x.toml, line 2 is not valid TOML: "), "{broken}");
    }
}
