//! The listeners of the RPC API, as they were configured.
//!
//! Owns opening what they need (tokens, certificates) and looking for new ones while they serve. Must not know rules of
//! access.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use coldfront_http::rpc::access::Access;
use coldfront_http::rpc::tokens::{Scope, Tokens};
use coldfront_http::{RpcListener, Tls};
use tokio::net::TcpListener;

/// What stands at the doors: who is let in, and how a client knows that it is us.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) tokens: Option<Arc<Tokens>>,
    pub(crate) tls: Option<Arc<Tls>>,
    pub(crate) origins: Vec<String>,
    /// Whether pages of those origins may send cookies.
    pub(crate) credentials: bool,
    /// What the door for uploads serves.
    pub(crate) upload_commands: Scope,
}

impl Keys {
    /// Reads the files. What is wrong with one is an error now, and not at the first call.
    pub(crate) fn open(
        tokens: Option<PathBuf>,
        tls: Option<(PathBuf, PathBuf)>,
        origins: Vec<String>,
        upload_commands: Scope,
    ) -> anyhow::Result<Keys> {
        let tokens = tokens.map(Tokens::open).transpose();
        let tokens = tokens.context("without its tokens the RPC API is not served")?.map(Arc::new);
        if tokens.as_ref().is_some_and(|tokens| tokens.count() == 0) {
            tracing::warn!("the file of tokens holds none: nobody can call the RPC API");
        }
        let tls = tls.map(|(certificate, key)| Tls::open(certificate, key)).transpose();
        let tls = tls.context("TLS cannot be served")?.map(Arc::new);
        Ok(Keys { tokens, tls, origins, credentials: false, upload_commands })
    }

    /// The door for all commands.
    pub(crate) fn rpc(&self, listener: TcpListener) -> RpcListener {
        self.door(listener, self.access())
    }

    /// The door for uploads.
    pub(crate) fn upload(&self, listener: TcpListener) -> RpcListener {
        self.door(listener, self.access().only(self.upload_commands.clone()))
    }

    fn access(&self) -> Access {
        Access::new().origins(self.origins.clone()).credentials(self.credentials)
    }

    fn door(&self, listener: TcpListener, access: Access) -> RpcListener {
        let access = match &self.tokens {
            Some(tokens) => access.tokens(tokens.clone()),
            None => access,
        };
        let beyond = listener.local_addr().is_ok_and(|at| !at.ip().to_canonical().is_loopback());
        if beyond && self.tls.is_none() && self.tokens.is_some() {
            tracing::warn!(
                "secrets of the RPC API travel in the clear on {:?}; set --tls-certificate and --tls-key, or put TLS in front",
                listener.local_addr()
            );
        }
        RpcListener { listener, access, tls: self.tls.clone() }
    }

    /// Looks for new tokens and certificates, once. Blocks.
    pub(crate) fn refresh(&self) {
        match self.tokens.as_ref().map(|tokens| (tokens, tokens.refresh())) {
            Some((tokens, Ok(true))) => {
                tracing::info!(count = tokens.count(), "the tokens were read again");
            }
            Some((_, Err(error))) => {
                let error = anyhow::Error::new(error);
                tracing::error!(
                    "{error:#}: tokens that were let in stay so until the file is in order"
                );
            }
            _ => {}
        }
        match self.tls.as_ref().map(|tls| tls.refresh()) {
            Some(Ok(true)) => tracing::info!("the certificate was read again"),
            Some(Err(error)) => {
                let error = anyhow::Error::new(error);
                tracing::error!("{error:#}: the certificate that was read before stays in use");
            }
            _ => {}
        }
    }
}
