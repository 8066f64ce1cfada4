//! Who may call the RPC API, and through which door.
//!
//! Owns the settings of tokens, uploads, origins and TLS, and the rule that nobody listens beyond loopback by
//! mistake. Must not open anything, nor know where a text came from beyond telling it.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use coldfront_http::rpc::tokens::Scope;

use crate::config::{
    Setting, Sources, address, line, or_default, path_text, quoted, setting, yes_or_no,
};
use crate::flags::Flags;

/// The settings.
#[derive(Debug)]
pub(crate) struct Doors {
    pub(crate) tokens: Option<Setting<PathBuf>>,
    pub(crate) upload: Option<Setting<SocketAddr>>,
    pub(crate) upload_commands: Setting<Scope>,
    pub(crate) origins: Setting<Vec<String>>,
    tls_certificate: Option<Setting<PathBuf>>,
    tls_key: Option<Setting<PathBuf>>,
    open: Setting<bool>,
}

impl Doors {
    pub(crate) fn merge(flags: &Flags, sources: &Sources<'_>) -> Result<Doors, String> {
        let text = |name, value: &Option<String>, variable, key| {
            sources.first(value.as_deref().map(|text| (name, text)), variable, key)
        };
        let path = |name, value: &Option<PathBuf>, variable, key| {
            sources.path(value.as_ref().map(|path| (name, path)), variable, key)
        };
        let upload = text("--upload", &flags.upload, "COLDFRONT_UPLOAD", "upload")?;
        let commands = text(
            "--upload-commands",
            &flags.upload_commands,
            "COLDFRONT_UPLOAD_COMMANDS",
            "upload_commands",
        )?;
        let origins =
            text("--rpc-origins", &flags.rpc_origins, "COLDFRONT_RPC_ORIGINS", "rpc_origins")?;
        let open = text("--open-rpc", &flags.open_rpc, "COLDFRONT_OPEN_RPC", "open_rpc")?;
        let certificate = path(
            "--tls-certificate",
            &flags.tls_certificate,
            "COLDFRONT_TLS_CERTIFICATE",
            "tls_certificate",
        );
        Ok(Doors {
            tokens: path("--tokens", &flags.tokens, "COLDFRONT_TOKENS", "tokens"),
            upload: upload.map(|given| setting(given, "upload", address)).transpose()?,
            upload_commands: or_default(
                commands,
                "upload_commands",
                Scope::upload(),
                Scope::parse,
            )?,
            origins: or_default(origins, "rpc_origins", Vec::new(), origin_list)?,
            tls_certificate: certificate,
            tls_key: path("--tls-key", &flags.tls_key, "COLDFRONT_TLS_KEY", "tls_key"),
            open: or_default(open, "open_rpc", false, yes_or_no)?,
        })
    }

    /// The files of certificate and key, if there is to be TLS.
    pub(crate) fn tls(&self) -> Result<Option<(PathBuf, PathBuf)>, String> {
        match (&self.tls_certificate, &self.tls_key) {
            (Some(certificate), Some(key)) => {
                Ok(Some((certificate.value.clone(), key.value.clone())))
            }
            (None, None) => Ok(None),
            (Some(_), None) => {
                Err("a certificate is set and no key: name its file with --tls-key".into())
            }
            (None, Some(_)) => {
                Err("a key is set and no certificate: name its file with --tls-certificate".into())
            }
        }
    }

    /// Whether the RPC API may listen at an address; else a sentence that names the ways out. `asks_tokens`: calls need one.
    pub(crate) fn may_listen(&self, at: SocketAddr, asks_tokens: bool) -> Result<(), String> {
        if at.ip().to_canonical().is_loopback() || asks_tokens || self.open.value {
            return Ok(());
        }
        Err(format!(
            "the RPC API would listen on {at} for whoever reaches it, to add, remove and unpin; make a token with `coldfront-gateway token add` and name its file with --tokens, or listen on loopback, or say --open-rpc if something else keeps strangers out"
        ))
    }

    /// Its part of a file of settings.
    pub(crate) fn to_toml(&self, out: &mut String) -> Result<(), String> {
        let paths = [
            ("tokens", "file of tokens", "--tokens", &self.tokens, "nobody needs a token"),
            (
                "tls_certificate",
                "certificate",
                "--tls-certificate",
                &self.tls_certificate,
                "no TLS",
            ),
            ("tls_key", "key", "--tls-key", &self.tls_key, "no TLS"),
        ];
        for (key, what, flag, path, unset) in paths {
            match path {
                Some(Setting { value, origin }) => {
                    line(out, key, &quoted(&path_text(what, value, flag)?), origin);
                }
                None => {
                    let _ = writeln!(out, "# {key} = \"/a/file\" # not set: {unset}");
                }
            }
        }
        match &self.upload {
            Some(Setting { value, origin }) => {
                line(out, "upload", &quoted(&value.to_string()), origin);
            }
            None => out.push_str("# upload = \"127.0.0.1:5002\" # not set: no door for uploads\n"),
        }
        let Setting { value, origin } = &self.upload_commands;
        line(out, "upload_commands", &quoted(&value.to_string()), origin);
        let Setting { value, origin } = &self.origins;
        line(out, "rpc_origins", &quoted(&value.join(",")), origin);
        line(out, "open_rpc", &self.open.value.to_string(), &self.open.origin);
        Ok(())
    }
}

/// Origins, separated by commas: scheme and host as browsers send them, or `*`.
fn origin_list(text: &str) -> Result<Vec<String>, String> {
    let all = text.split(',').map(str::trim).filter(|origin| !origin.is_empty());
    let is_origin = |origin: &str| {
        let host = origin.split_once("://").map(|(_, host)| host);
        origin == "*"
            || host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', ' ']))
    };
    all.map(|origin| match is_origin(origin) {
        true => Ok(origin.to_owned()),
        false => Err(format!(
            "expected origins such as https://app.example.org, without a path, or *; \"{origin}\" is none"
        )),
    })
    .collect()
}
