//! Who may call.
//!
//! Owns the rules before a command is looked at, in Kubo's order: method, origin, referer, browser, version. Must not
//! know commands. Rules: go-ipfs-cmds `http/config.go` and `http/handler.go`, kubo `core/corehttp/commands.go`.

use http::{Method, Request, Response, StatusCode, header};

use super::plain;
use super::version::KUBO_VERSION;
use crate::body::Body;

/// The origins from which browsers may call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Policy {
    /// As browsers spell them, such as `http://localhost:5001`; `*` for any.
    origins: Vec<String>,
}

impl Policy {
    /// Lets a request in, or says what it gets instead.
    pub(crate) fn admit<B>(&self, request: &Request<B>) -> Result<(), Response<Body>> {
        match *request.method() {
            Method::POST => {}
            Method::OPTIONS => return Err(self.options(request)),
            _ => return Err(method_not_allowed()),
        }
        let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or("?"));
        let (origin, referer) = (text(header::ORIGIN), text(header::REFERER));
        let agent = text(header::USER_AGENT).unwrap_or_default();
        let from_here = |origin: &str| self.is_allowed(request, origin);
        let is_allowed = origin.is_none_or(from_here)
            && referer.is_none_or(|referer| origin_of(referer).is_some_and(from_here))
            // Browsers say where a page comes from; one that does not is not to be trusted.
            && (origin.is_some() || referer.is_some() || !agent.starts_with("Mozilla") || agent.contains("Electron"));
        if !is_allowed {
            return Err(plain(StatusCode::FORBIDDEN, "403 - Forbidden\n"));
        }
        // Who only asks for the version learns it.
        if request.uri().path() == "/api/v0/version" { Ok(()) } else { check_version(agent) }
    }

    fn is_allowed<B>(&self, request: &Request<B>, origin: &str) -> bool {
        self.origins.iter().any(|known| known == "*" || known == origin) || is_own(request, origin)
    }

    /// Answers a browser that asks before it calls.
    fn options<B>(&self, request: &Request<B>) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        let value = header::HeaderValue::from_static;
        let asked = request.headers().get(header::ACCESS_CONTROL_REQUEST_METHOD);
        let origin = request.headers().get(header::ORIGIN);
        let Some((asked, origin)) = asked.zip(origin) else {
            headers.insert(header::ALLOW, value("OPTIONS, POST"));
            headers.insert(header::VARY, value("Origin"));
            return response;
        };
        let is_allowed = origin.to_str().is_ok_and(|text| self.is_allowed(request, text));
        if is_allowed && asked == "POST" {
            headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, value("POST"));
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
        let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
        headers.insert(header::VARY, value(vary));
        response
    }
}

/// Whether an origin is this server under a name of this machine, at the port that was called.
fn is_own<B>(request: &Request<B>, origin: &str) -> bool {
    let Some(authority) = origin.strip_prefix("http://") else { return false };
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let port = host.and_then(|host| host.rsplit_once(':')).map_or("80", |(_, port)| port);
    let (name, own_port) = match authority.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, port),
        _ => (authority, "80"),
    };
    own_port == port && matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

/// The origin of a page by its address.
fn origin_of(url: &str) -> Option<&str> {
    let scheme = url.find("://")?;
    let host = url.get(scheme + 3..)?;
    let end = host.find(['/', '?', '#']).unwrap_or(host.len());
    url.get(..scheme + 3 + end)
}

/// Kubo's own programs of another version are told so.
fn check_version(agent: &str) -> Result<(), Response<Body>> {
    for prefix in ["/kubo/", "/go-ipfs/"] {
        let Some(at) = agent.find(prefix) else { continue };
        let version = agent.get(at + prefix.len()..).unwrap_or_default();
        let version = version.split('/').next().unwrap_or_default();
        if version != KUBO_VERSION {
            let sentence = format!("api version mismatch (/kubo/{KUBO_VERSION}/ != {agent})\n");
            let mut response = plain(StatusCode::BAD_REQUEST, &sentence);
            response.headers_mut().remove(header::VARY);
            return Err(response);
        }
    }
    Ok(())
}

fn method_not_allowed() -> Response<Body> {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "405 - Method Not Allowed\n");
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("OPTIONS, POST"));
    response
}
