//! Who may call, and through which door.
//!
//! Owns the rules that a request passes before its command is looked at, in Kubo's order: method, origin and referer,
//! browsers that name neither, version, token, and the headers that let a browser read the answer. Pure over the head of a
//! request: no I/O, no clock. Must not know what a command does. Rules: go-ipfs-cmds `http/config.go` and
//! `http/handler.go`, rs/cors 1.11, kubo `core/corehttp/commands.go`.
//!
//! Stricter than Kubo where that costs no client anything: a token's scope is the command that would run and not a prefix
//! of the path as it was spelled, each listener knows its own port, a header that must be given once is refused when
//! it comes twice, and a browser may ask ahead of a call that needs a token.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};

use super::table::{self, Command, Effect};
use super::tokens::{Scope, Token, Tokens};
use super::version::KUBO_VERSION;
use super::{BELOW, plain};
use crate::body::Body;

/// What whoever has no token is told. Kubo's clients and its tests look for it.
const DENIED: &str = "Kubo RPC Access Denied: Please provide a valid authorization token as defined in the API.Authorizations configuration.";

/// Origins of the browser extension IPFS Companion, which Kubo lets in as well.
const COMPANION: [&str; 2] = [
    "chrome-extension://nibjojkomfdiaoajekhjakgkdhaomnch",
    "chrome-extension://hjoieblefckbooibpepigmacodalfndh",
];

/// Names of this machine in the origins that are always let in.
const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Headers that a script of another origin may set, in lower case. A token comes in the first.
const ASKED_HEADERS: [&str; 5] =
    ["authorization", "accept", "content-type", "origin", "x-requested-with"];

/// Who may call through a listener, and what.
#[derive(Clone, Debug, Default)]
pub struct Access {
    origins: Vec<String>,
    credentials: bool,
    commands: Option<Scope>,
    tokens: Option<Arc<Tokens>>,
    port: u16,
}

/// A request that was let in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Admitted {
    /// Whose token it came with; `None` where no tokens are asked for.
    pub(crate) token: Option<Arc<Token>>,
    /// The origin that may read the answer.
    origin: Option<HeaderValue>,
}

impl Access {
    /// Anyone who is no web page of another origin may call anything.
    pub fn new() -> Access {
        Access::default()
    }

    /// Lets pages of these origins call, as browsers spell them: `https://files.example.org`. `*` lets every page call, and
    /// with it every web site that a user of this machine visits.
    pub fn origins(mut self, origins: impl IntoIterator<Item = String>) -> Access {
        self.origins.extend(origins);
        self
    }

    /// Lets those pages send cookies and the like; never together with `*`.
    pub fn credentials(mut self, credentials: bool) -> Access {
        self.credentials = credentials;
        self
    }

    /// Serves these commands alone, to whomever.
    pub fn only(mut self, commands: Scope) -> Access {
        self.commands = Some(commands);
        self
    }

    /// Asks every call for one of these tokens.
    pub fn tokens(mut self, tokens: Arc<Tokens>) -> Access {
        self.tokens = Some(tokens);
        self
    }

    /// Whether every call needs a token.
    pub fn asks_tokens(&self) -> bool {
        self.tokens.is_some()
    }

    /// The port of the listener, for the origins that are its own.
    pub(crate) fn at_port(mut self, port: u16) -> Access {
        self.port = port;
        self
    }

    /// Lets a request in, or says what it gets instead.
    pub(crate) fn admit<B>(&self, request: &Request<B>) -> Result<Admitted, Response<Body>> {
        match *request.method() {
            Method::POST => {}
            Method::OPTIONS => return Err(self.options(request.headers())),
            _ => return Err(method_not_allowed()),
        }
        let origin = self.check_page(request.headers())?;
        let command = request.uri().path().strip_prefix(BELOW).and_then(table::find);
        let command = command.map(|(command, _)| command);
        if command.is_none_or(|command| command.name != "version") {
            check_version(request.headers())?;
        }
        let token = self.check_token(request.headers(), command)?;
        self.check_listener(command)?;
        Ok(Admitted { token, origin })
    }

    /// Web pages of strangers are kept out: by `Origin` and `Referer`, and browsers that give neither altogether. The
    /// browser sets these, and no page can forge them; so a page that reaches us under a name of its own that
    /// leads to this machine (DNS rebinding) gives that name here.
    fn check_page(&self, headers: &HeaderMap) -> Result<Option<HeaderValue>, Response<Body>> {
        let forbidden = || plain(StatusCode::FORBIDDEN, "403 - Forbidden\n");
        let origin = once(headers, &header::ORIGIN).map_err(|()| forbidden())?;
        let referer = once(headers, &header::REFERER).map_err(|()| forbidden())?;
        let text = |value: &HeaderValue| value.to_str().ok().map(str::to_owned);
        let from_here =
            |value: &HeaderValue| text(value).is_some_and(|origin| self.is_allowed(&origin));
        let refers_here = |value: &HeaderValue| {
            text(value).and_then(|url| origin_of(&url)).is_some_and(|page| self.is_allowed(&page))
        };
        let is_page = origin.is_some() || referer.is_some();
        let is_allowed = origin.is_none_or(from_here)
            && referer.is_none_or(refers_here)
            && (is_page || !is_browser(headers));
        if is_allowed { Ok(origin.cloned()) } else { Err(forbidden()) }
    }

    fn is_allowed(&self, origin: &str) -> bool {
        self.origins.iter().any(|known| known == "*" || known == origin)
            || COMPANION.contains(&origin)
            || self.is_own(origin)
    }

    /// Whether an origin is this listener under a name of this machine.
    fn is_own(&self, origin: &str) -> bool {
        let Some((scheme, authority)) = origin.split_once("://") else { return false };
        let usual = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return false,
        };
        let (name, port) = match authority.rsplit_once(':') {
            Some((name, port)) if !port.ends_with(']') => (name, port.parse().ok()),
            _ => (authority, Some(usual)),
        };
        port == Some(self.port) && OWN_NAMES.contains(&name)
    }

    fn check_token(
        &self,
        headers: &HeaderMap,
        command: Option<&Command>,
    ) -> Result<Option<Arc<Token>>, Response<Body>> {
        let Some(tokens) = &self.tokens else { return Ok(None) };
        let denied = |more: &str| plain(StatusCode::FORBIDDEN, &format!("{DENIED}{more}\n"));
        let given = once(headers, &header::AUTHORIZATION).ok().flatten();
        let token = given.and_then(|given| tokens.find(given.as_bytes()));
        let token = token.ok_or_else(|| denied(""))?;
        match command {
            Some(command) if !token.may_call(command) => Err(denied(&format!(
                " The token \"{}\" may not call {}.",
                token.name(),
                command.name
            ))),
            _ => Ok(Some(token)),
        }
    }

    fn check_listener(&self, command: Option<&Command>) -> Result<(), Response<Body>> {
        match (&self.commands, command) {
            (Some(served), Some(command)) if !served.allows(command) => Err(plain(
                StatusCode::FORBIDDEN,
                &format!("{} is not served by this listener\n", command.name),
            )),
            _ => Ok(()),
        }
    }

    /// Answers a browser that asks before it calls, or anyone who asks for the methods.
    fn options(&self, headers: &HeaderMap) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        let value = HeaderValue::from_static;
        let Some(method) = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD) else {
            answer.insert(header::ALLOW, value("OPTIONS, POST"));
            answer.insert(header::VARY, value("Origin"));
            return response;
        };
        let asked = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let origin = once(headers, &header::ORIGIN).ok().flatten();
        let allowed =
            origin.filter(|origin| origin.to_str().is_ok_and(|text| self.is_allowed(text)));
        if let Some(origin) = allowed
            && (method == "POST" || method == "OPTIONS")
            && asked.is_none_or(are_headers_allowed)
        {
            answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
            self.let_read(answer, origin);
            if let Some(asked) = asked.filter(|asked| !asked.is_empty()) {
                answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
            }
        }
        let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
        answer.insert(header::VARY, value(vary));
        response
    }

    /// Lets the page that called read the answer.
    pub(crate) fn stamp(&self, admitted: &Admitted, answer: &mut HeaderMap) {
        if let Some(origin) = &admitted.origin {
            self.let_read(answer, origin);
        }
    }

    fn let_read(&self, answer: &mut HeaderMap, origin: &HeaderValue) {
        let is_any = self.origins.iter().any(|known| known == "*");
        let shown = if is_any { HeaderValue::from_static("*") } else { origin.clone() };
        answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, shown);
        if self.credentials && !is_any {
            let yes = HeaderValue::from_static("true");
            answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
    }
}

/// A header that is not given, or empty, is not there; one that comes twice is an error, since the one that is looked at may
/// not be the one that was meant.
fn once<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h HeaderValue>, ()> {
    let mut values = headers.get_all(name).iter();
    let first = values.next().filter(|value| !value.is_empty());
    if values.next().is_some() { Err(()) } else { Ok(first) }
}

/// Whether a browser calls, other than Electron, whose pages are programs.
fn is_browser(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT).map(|agent| agent.as_bytes()).unwrap_or_default();
    agent.starts_with(b"Mozilla") && !agent.windows(8).any(|part| part == b"Electron")
}

/// The origin of a page by its address.
fn origin_of(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let authority = rest.get(..end)?;
    // What stands before an @ is a user, and not where the page is from.
    let host = authority.rsplit('@').next()?;
    Some(format!("{scheme}://{host}"))
}

fn are_headers_allowed(asked: &HeaderValue) -> bool {
    asked.to_str().is_ok_and(|asked| {
        let mut names = asked.split(',').map(|name| name.trim().to_ascii_lowercase());
        names.all(|name| name.is_empty() || ASKED_HEADERS.contains(&name.as_str()))
    })
}

/// Kubo's own programs of another version are told so.
fn check_version(headers: &HeaderMap) -> Result<(), Response<Body>> {
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let agent = agent.unwrap_or_default();
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
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("OPTIONS, POST"));
    response
}

/// Whether a command may be called with a token that is limited to pins of its own: what removes other things would
/// remove those of others.
pub(crate) fn is_for_own_pins(command: &Command) -> bool {
    match command.effect {
        Effect::Reads | Effect::Writes => true,
        Effect::Removes => matches!(command.name, "pin/rm" | "pin/update"),
        Effect::Controls => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const PORT: u16 = 5001;

    fn access() -> Access {
        Access::new().at_port(PORT)
    }

    fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    /// The status that a call of `id` gets; 200 is let in.
    fn call(access: &Access, headers: &[(&str, &str)]) -> u16 {
        status(access, &request("POST", "/api/v0/id", headers))
    }

    fn status(access: &Access, request: &Request<()>) -> u16 {
        access.admit(request).map_or_else(|refused| refused.status().as_u16(), |_| 200)
    }

    fn tokens() -> Arc<Tokens> {
        let users = [
            ("all", "bearer:everything", vec!["/api/v0"]),
            ("block", "basic:bob:blocks", vec!["/api/v0/block"]),
            ("one", "bearer:one", vec!["/api/v0/block/get"]),
        ];
        Arc::new(Tokens::of_kubo(users).unwrap())
    }

    #[test]
    fn only_post_calls() {
        for method in ["GET", "HEAD", "PUT", "DELETE", "PATCH", "post"] {
            let refused = access().admit(&request(method, "/api/v0/id", &[])).unwrap_err();
            assert_eq!(refused.status(), 405, "{method}");
            assert_eq!(refused.headers()["allow"], "OPTIONS, POST");
        }
        assert_eq!(call(&access(), &[]), 200);
    }

    #[test]
    fn a_page_of_this_listener_may_call_and_no_other() {
        for origin in [
            "http://localhost:5001",
            "http://127.0.0.1:5001",
            "https://[::1]:5001",
            "chrome-extension://nibjojkomfdiaoajekhjakgkdhaomnch",
        ] {
            assert_eq!(call(&access(), &[("origin", origin)]), 200, "{origin}");
        }
        for origin in [
            "http://evil",
            "null",
            "http://localhost",
            "http://localhost:8080",
            "http://localhost:5001.evil.example",
            "http://localhost:5001:5001",
            "http://localhost:5001@evil.example",
            "http://evil.example:5001",
            "ftp://localhost:5001",
            "http://LOCALHOST:5001/",
            "file://",
            "localhost:5001",
            "http://127.0.0.1.evil.example:5001",
            "*",
            "\u{e4}",
        ] {
            let given = call(&access(), &[("origin", origin)]);
            assert_eq!(given, 403, "{origin}");
        }
    }

    /// A name of the attacker's leads to 127.0.0.1: the browser takes our answers for the page's own, and still says whose
    /// page it is.
    #[test]
    fn a_page_whose_name_was_rebound_to_this_machine_is_kept_out() {
        let host = ("host", "evil.example:5001");
        assert_eq!(call(&access(), &[host, ("origin", "http://evil.example:5001")]), 403);
        assert_eq!(call(&access(), &[host, ("referer", "http://evil.example:5001/x")]), 403);
        assert_eq!(call(&access(), &[host, ("user-agent", "Mozilla/5.0")]), 403);
        // Nor does a Host of the attacker's make another port one of ours.
        let other = ("host", "localhost:3000");
        assert_eq!(call(&access(), &[other, ("origin", "http://localhost:3000")]), 403);
    }

    /// Forms are sent without asking ahead, with `Origin: null` from a sandboxed frame.
    #[test]
    fn a_form_of_another_page_is_kept_out() {
        let form = ("content-type", "multipart/form-data; boundary=x");
        for page in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("referer", "https://evil.example/form"),
        ] {
            assert_eq!(call(&access(), &[form, page, ("user-agent", "Mozilla/5.0")]), 403);
        }
        assert_eq!(call(&access(), &[form, ("user-agent", "Mozilla/5.0")]), 403);
    }

    #[test]
    fn a_referer_counts_as_the_origin_of_its_page() {
        for (referer, status) in [
            ("http://localhost:5001/webui?x#y", 200),
            ("http://localhost:5001", 200),
            ("http://user@localhost:5001/", 200),
            ("http://localhost:5001@evil.example/", 403),
            ("http://localhost:5001\\@evil.example/", 200),
            ("http://evil.example/http://localhost:5001/", 403),
            ("nothing", 403),
        ] {
            assert_eq!(call(&access(), &[("referer", referer)]), status, "{referer}");
        }
        let both = [("origin", "http://localhost:5001"), ("referer", "http://evil.example/")];
        assert_eq!(call(&access(), &both), 403);
    }

    #[test]
    fn a_header_that_comes_twice_is_not_believed() {
        let own = "http://localhost:5001";
        for headers in [
            [("origin", own), ("origin", "http://evil.example")],
            [("origin", ""), ("origin", "http://evil.example")],
            [("referer", own), ("referer", own)],
        ] {
            assert_eq!(call(&access(), &headers), 403);
        }
        let access = access().tokens(tokens());
        let twice = [("authorization", "Bearer everything"), ("authorization", "Bearer x")];
        assert_eq!(call(&access, &twice), 403);
    }

    #[test]
    fn a_browser_that_says_nothing_of_the_page_is_kept_out_and_programs_are_not() {
        for (agent, status) in [
            ("Mozilla/5.0 (X11; Linux) Firefox/140.0", 403),
            ("Mozilla", 403),
            ("Mozilla/5.0 Electron/30.0", 200),
            ("curl/8.0", 200),
            ("Go-http-client/1.1", 200),
            ("go-ipfs-cmds/http", 200),
            ("", 200),
        ] {
            assert_eq!(call(&access(), &[("user-agent", agent)]), status, "{agent}");
        }
        let empty = [("user-agent", "Mozilla"), ("origin", ""), ("referer", "")];
        assert_eq!(call(&access(), &empty), 403);
    }

    #[test]
    fn origins_that_are_configured_may_call_and_read_the_answer() {
        let access = access().origins(["https://app.example".to_owned()]).credentials(true);
        let from = |origin| request("POST", "/api/v0/id", &[("origin", origin)]);
        let admitted = access.admit(&from("https://app.example")).unwrap();
        let mut headers = HeaderMap::new();
        access.stamp(&admitted, &mut headers);
        assert_eq!(headers["access-control-allow-origin"], "https://app.example");
        assert_eq!(headers["access-control-allow-credentials"], "true");
        assert_eq!(status(&access, &from("https://app.example.evil")), 403);
        let mut headers = HeaderMap::new();
        let admitted = access.admit(&request("POST", "/api/v0/id", &[])).unwrap();
        access.stamp(&admitted, &mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn any_origin_is_let_in_when_told_so_and_then_without_credentials() {
        let access = access().origins(["*".to_owned()]).credentials(true);
        let admitted =
            access.admit(&request("POST", "/api/v0/id", &[("origin", "http://x")])).unwrap();
        let mut headers = HeaderMap::new();
        access.stamp(&admitted, &mut headers);
        assert_eq!(headers["access-control-allow-origin"], "*");
        assert!(!headers.contains_key("access-control-allow-credentials"));
    }

    #[test]
    fn a_browser_that_asks_ahead_is_answered_even_where_calls_need_a_token() {
        let access = access().tokens(tokens());
        let ask = |origin, method, more: &[(&str, &str)]| {
            let mut headers = vec![("origin", origin), ("access-control-request-method", method)];
            headers.extend(more);
            let refused = access.admit(&request("OPTIONS", "/api/v0/add", &headers)).unwrap_err();
            assert_eq!(refused.status(), 204);
            refused.headers().clone()
        };
        let own = "http://localhost:5001";
        let asked = [("access-control-request-headers", "Authorization, content-type")];
        let answer = ask(own, "POST", &asked);
        assert_eq!(answer["access-control-allow-methods"], "POST");
        assert_eq!(answer["access-control-allow-origin"], own);
        assert_eq!(answer["access-control-allow-headers"], "Authorization, content-type");
        for (origin, method, asked) in
            [("http://evil", "POST", "accept"), (own, "PUT", "accept"), (own, "POST", "x-evil")]
        {
            let answer = ask(origin, method, &[("access-control-request-headers", asked)]);
            assert!(
                !answer.contains_key("access-control-allow-origin"),
                "{origin} {method} {asked}"
            );
            assert!(answer["vary"].to_str().unwrap().starts_with("Origin"));
        }
        let plain = access.admit(&request("OPTIONS", "/api/v0/id", &[])).unwrap_err();
        assert_eq!(plain.headers()["allow"], "OPTIONS, POST");
    }

    #[test]
    fn kubos_own_programs_have_the_version_of_the_api() {
        for (agent, status) in [
            ("/kubo/0.1.0/", 400),
            ("/go-ipfs/0.42.0/", 200),
            ("/kubo/0.42.0/", 200),
            ("/kubo/0.42.0-rc1/", 400),
            ("kubo/0.1.0", 200),
        ] {
            assert_eq!(call(&access(), &[("user-agent", agent)]), status, "{agent}");
            let asks = request("POST", "/api/v0/version", &[("user-agent", agent)]);
            assert_eq!(self::status(&access(), &asks), 200);
        }
    }

    #[test]
    fn without_a_valid_token_nothing_is_called_not_even_what_does_not_exist() {
        let access = access().tokens(tokens());
        let paths =
            ["/api/v0/id", "/api/v0/version", "/api/v0/nope", "/", "/debug/pprof", "/webui"];
        for path in paths {
            for given in ["", "Bearer wrong", "Bearer", "Basic Ym9iOmJsb2Nr", "everything"] {
                let request = request("POST", path, &[("authorization", given)]);
                let refused = access.admit(&request).unwrap_err();
                assert_eq!(refused.status(), 403, "{path} {given}");
            }
        }
        assert_eq!(call(&access, &[("authorization", "Bearer everything")]), 200);
        assert_eq!(call(&access, &[("authorization", "bearer  everything")]), 200);
    }

    #[test]
    fn a_scope_is_the_command_that_would_run_however_its_path_is_spelled() {
        let access = access().tokens(tokens());
        let status = |given, path: &str| {
            self::status(&access, &request("POST", path, &[("authorization", given)]))
        };
        // bob:blocks
        let block = "Basic Ym9iOmJsb2Nrcw==";
        for path in ["/api/v0/block/get", "/api/v0/block/get/bafy", "/api/v0/version"] {
            assert_eq!(status(block, path), 200, "{path}");
        }
        for path in ["/api/v0/id", "/api/v0/add", "/api/v0/cat/block", "/api/v0/add/block/get"] {
            let allowed = status(block, path) == 200;
            // What is no command is let through to a 404.
            let is_command = path.strip_prefix(BELOW).and_then(table::find).is_some();
            assert!(!(allowed && is_command), "{path}");
        }
        assert_eq!(status("Bearer one", "/api/v0/block/get"), 200);
        assert_eq!(status("Bearer one", "/api/v0/block/put"), 403);
        // None of these is a command, so none of them runs.
        for path in [
            "/api/v0/block/getx",
            "/api/v0/blockxyz",
            "/api/v0/block/../add",
            "/api/v0/block%2fget",
            "/api/v0//block/get",
            "/api/v0/block//get",
            "/api/v0/./add",
            "/api/v0/ADD",
            "/api/v0/add%00",
            "/api/v1/add",
            "/api/v0add",
        ] {
            let found = path.strip_prefix(BELOW).and_then(table::find);
            assert!(found.is_none_or(|(command, _)| command.name != "add"), "{path}");
        }
    }

    #[test]
    fn a_refusal_names_the_token_and_the_command_and_no_secret() {
        let access = access().tokens(tokens());
        let request = request("POST", "/api/v0/add", &[("authorization", "Bearer one")]);
        let refused = format!("{:?}", access.admit(&request).unwrap_err());
        assert!(refused.contains(DENIED), "{refused}");
        assert!(refused.contains("may not call add"), "{refused}");
        assert!(!format!("{access:?}").contains("everything"));
    }

    #[test]
    fn a_listener_may_serve_some_commands_alone() {
        let access = access().only(Scope::upload());
        let status = |path| self::status(&access, &request("POST", path, &[]));
        assert_eq!((status("/api/v0/add"), status("/api/v0/version")), (200, 200));
        assert_eq!((status("/api/v0/cat"), status("/api/v0/id")), (403, 403));
    }

    proptest::proptest! {
        #[test]
        fn no_head_stops_the_server(
            origin in "\\PC{0,40}",
            referer in "[ -~]{0,40}",
            given in "[ -~]{0,40}",
            path in "/[a-z/%.0-9]{0,40}",
        ) {
            let access = access().tokens(tokens());
            let headers = [("origin", origin.as_bytes()), ("referer", referer.as_bytes()), ("authorization", given.as_bytes())];
            let mut request = request("POST", &path, &[]);
            for (name, value) in headers {
                if let Ok(value) = HeaderValue::from_bytes(value) {
                    request.headers_mut().insert(name, value);
                }
            }
            proptest::prop_assert!(access.admit(&request).is_err());
        }
    }
}
