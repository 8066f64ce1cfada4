//! Tokens: who a caller is, what they may call, and how much of it at a time.
//!
//! Owns the comparison of what a client sends with what is kept, which are hashes alone. A secret is 256 random bits made
//! here, so one SHA-256 keeps it: nobody guesses their way through them. Must not know commands beyond their names.
//!
//! - `file`: the file of tokens, and changing it. `scope`: what may be called.
//! - `quota`: how much at a time. `own`: the pins that a token made.

mod file;
mod own;
mod quota;
mod scope;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConditionallySelectable as _, ConstantTimeEq as _};
use tokio::sync::OwnedSemaphorePermit;

pub use file::{Listed, NewToken, TokenError, TokenFile};
pub use own::MAX_OWN_PINS;
pub use quota::TokenLimits;
pub use scope::Scope;

pub(crate) use own::OwnPins;
pub(crate) use quota::{Pace, Quota, TooMany};

use super::access::is_for_own_pins;
use super::table::Command;
use file::Stamp;

/// The tokens of a server at most: each call is compared with all of them.
pub const MAX_TOKENS: usize = 1000;

/// The longest `Authorization` that is looked at, in bytes.
const MAX_GIVEN: usize = 4096;

/// A secret, hashed.
type Hash = [u8; 32];

fn hash(secret: &[u8]) -> Hash {
    Sha256::digest(secret).into()
}

/// What a token is, apart from what is left of its limits.
#[derive(Clone, PartialEq, Eq)]
struct Spec {
    name: String,
    /// The user's name when the secret comes as a password; `None`: it never does.
    user: Option<String>,
    /// Whether the secret may come as a bearer token.
    bearer: bool,
    hash: Hash,
    scope: Scope,
    limits: TokenLimits,
    /// The file of the pins it made, if it may only remove those.
    own_pins: Option<PathBuf>,
}

/// A token.
pub(crate) struct Token {
    spec: Spec,
    quota: Arc<Quota>,
    own_pins: Option<OwnPins>,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("name", &self.spec.name).finish_non_exhaustive()
    }
}

impl Token {
    fn new(spec: Spec) -> Token {
        let quota = Arc::new(Quota::new(&spec.limits));
        let own_pins = spec.own_pins.clone().map(OwnPins::new);
        Token { spec, quota, own_pins }
    }

    /// Whose it is, for the log and for refusals.
    pub(crate) fn name(&self) -> &str {
        &self.spec.name
    }

    pub(crate) fn may_call(&self, command: &Command) -> bool {
        self.spec.scope.allows(command) && (self.own_pins.is_none() || is_for_own_pins(command))
    }

    /// The pins it made, where it may remove no others.
    pub(crate) fn own_pins(&self) -> Option<&OwnPins> {
        self.own_pins.as_ref()
    }

    /// Takes a place for a call.
    pub(crate) async fn enter(&self) -> Result<OwnedSemaphorePermit, TooMany> {
        self.quota.enter().await
    }

    /// Slows one direction of a call down to the token's rate.
    pub(crate) fn pace(&self) -> Pace {
        Pace::new(self.quota.clone())
    }
}

/// The tokens of a server. Calls may come from many threads.
pub struct Tokens {
    tokens: RwLock<Arc<Vec<Arc<Token>>>>,
    /// The file they came from, and its state when it was read.
    file: Option<(TokenFile, Mutex<Option<Stamp>>)>,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("count", &self.all().len()).finish_non_exhaustive()
    }
}

impl Tokens {
    /// The tokens of a file, which must be there.
    ///
    /// # Errors
    /// [`TokenError`]: it cannot be read, is open to others, or is no file of tokens.
    pub fn open(path: impl AsRef<Path>) -> Result<Tokens, TokenError> {
        let file = TokenFile::new(path.as_ref());
        let (stamp, specs) = file.read()?;
        let tokens = Tokens::of(specs);
        Ok(Tokens { file: Some((file, Mutex::new(Some(stamp)))), ..tokens })
    }

    /// The users of a Kubo's `API.Authorizations`, by name, each with its secret and the paths it may call; `None` where
    /// there are none, which means that nobody needs a token. Kubo keeps the secrets as they are; here they are hashed at once.
    pub fn of_kubo<'a>(
        users: impl IntoIterator<Item = (&'a str, &'a str, Vec<&'a str>)>,
    ) -> Option<Tokens> {
        let mut any = false;
        let specs =
            users.into_iter().inspect(|_| any = true).filter_map(|(name, secret, paths)| {
                let scope = Scope::of_kubo_paths(paths);
                let (user, secret) = kubo_secret(secret)?;
                Some(Spec {
                    name: name.to_owned(),
                    bearer: user.is_none(),
                    user,
                    hash: hash(&secret),
                    scope,
                    limits: TokenLimits { streams: usize::MAX, queue: 0, bytes_per_second: 0 },
                    own_pins: None,
                })
            });
        let tokens = Tokens::of(specs.collect());
        any.then_some(tokens)
    }

    fn of(specs: Vec<Spec>) -> Tokens {
        let tokens = specs.into_iter().map(|spec| Arc::new(Token::new(spec))).collect();
        Tokens { tokens: RwLock::new(Arc::new(tokens)), file: None }
    }

    fn all(&self) -> Arc<Vec<Arc<Token>>> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many there are. With none nobody is let in.
    pub fn count(&self) -> usize {
        self.all().len()
    }

    /// To be called about every second: reads the file again if it has changed, and says whether it had. Calls under way go on;
    /// new ones need a token that is in the file now. Blocks.
    ///
    /// # Errors
    /// [`TokenError`]: the file cannot be used. When it is gone, nobody is let in until it is back; else those who were
    /// stay.
    pub fn refresh(&self) -> Result<bool, TokenError> {
        let Some((file, seen)) = &self.file else { return Ok(false) };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = file.stamp();
        if now == *seen {
            return Ok(false);
        }
        // ORDER: first, so that one bad file is told once and not each second.
        seen.clone_from(&now);
        if now.is_none() {
            self.replace(Vec::new());
            return Err(TokenError::gone(file.path()));
        }
        let (stamp, specs) = file.read()?;
        *seen = Some(stamp);
        self.replace(specs);
        Ok(true)
    }

    /// What did not change keeps its calls under way and its debts.
    fn replace(&self, specs: Vec<Spec>) {
        let old = self.all();
        let kept = |spec: Spec| {
            let same = old.iter().find(|token| token.spec == spec).cloned();
            same.unwrap_or_else(|| Arc::new(Token::new(spec)))
        };
        let new = Arc::new(specs.into_iter().map(kept).collect());
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = new;
    }

    /// The token that an `Authorization` names. Compares with all of them, whichever it is, and each in constant time.
    pub(crate) fn find(&self, given: &[u8]) -> Option<Arc<Token>> {
        let (user, secret) = presented(given)?;
        let given = hash(&secret);
        let tokens = self.all();
        let mut at = u64::MAX;
        for (place, token) in tokens.iter().enumerate() {
            let form = match &user {
                None => Choice::from(u8::from(token.spec.bearer)),
                Some(user) => match &token.spec.user {
                    Some(known) => hash(user.as_bytes()).ct_eq(&hash(known.as_bytes())),
                    None => Choice::from(0),
                },
            };
            let is_it = given.ct_eq(&token.spec.hash) & form;
            at.conditional_assign(&(place as u64), is_it);
        }
        tokens.get(usize::try_from(at).ok()?).cloned()
    }
}

/// User and secret of an `Authorization`; the user is `None` where it is a bearer token.
fn presented(given: &[u8]) -> Option<(Option<String>, Vec<u8>)> {
    let text = std::str::from_utf8(given.get(..given.len().min(MAX_GIVEN + 1))?).ok()?;
    if text.len() > MAX_GIVEN {
        return None;
    }
    let (scheme, rest) = text.trim().split_once(' ')?;
    let rest = rest.trim_start();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some((None, rest.as_bytes().to_vec()));
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let (user, secret) = user_and_password(&BASE64.decode(rest.as_bytes()).ok()?)?;
    Some((Some(user), secret))
}

fn user_and_password(bytes: &[u8]) -> Option<(String, Vec<u8>)> {
    let colon = bytes.iter().position(|byte| *byte == b':')?;
    let user = String::from_utf8(bytes.get(..colon)?.to_vec()).ok()?;
    Some((user, bytes.get(colon + 1..)?.to_vec()))
}

/// The user and the secret that Kubo's `AuthSecret` stands for: `bearer:TOKEN`, `basic:USER:PASSWORD`, `basic:BASE64`, or a
/// bearer token alone. `None` for what Kubo lets nobody in with. Rules: kubo `config/api.go`.
fn kubo_secret(text: &str) -> Option<(Option<String>, Vec<u8>)> {
    let Some((kind, secret)) = text.split_once(':') else {
        return (!text.is_empty()).then(|| (None, text.as_bytes().to_vec()));
    };
    match kind {
        "bearer" => Some((None, secret.as_bytes().to_vec())),
        "basic" => {
            let plain = match secret.contains(':') {
                true => secret.as_bytes().to_vec(),
                false => BASE64.decode(secret.as_bytes()).ok()?,
            };
            let (user, password) = user_and_password(&plain)?;
            Some((Some(user), password))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn basic(text: &str) -> String {
        format!("Basic {}", BASE64.encode(text.as_bytes()))
    }

    fn found(tokens: &Tokens, given: &str) -> Option<String> {
        tokens.find(given.as_bytes()).map(|token| token.name().to_owned())
    }

    #[test]
    fn kubos_four_spellings_of_a_secret_let_in_whom_they_let_in_there() {
        let all = vec!["/api/v0"];
        for (secret, given) in [
            ("myToken", "Bearer myToken".to_owned()),
            ("bearer:myToken", "Bearer myToken".to_owned()),
            ("bearer:a:b", "bearer a:b".to_owned()),
            ("basic:user:pass:word", basic("user:pass:word")),
            ("basic:dXNlcjpwYXNz", "basic dXNlcjpwYXNz".to_owned()),
        ] {
            let tokens = Tokens::of_kubo([("a", secret, all.clone())]).unwrap();
            assert_eq!(found(&tokens, &given).as_deref(), Some("a"), "{secret}");
        }
        for secret in ["", "digest:x", "basic:***"] {
            let tokens = Tokens::of_kubo([("a", secret, all.clone())]).unwrap();
            for given in ["Bearer ", "Bearer", "", "Basic ", "Bearer x", "Basic ***"] {
                assert_eq!(found(&tokens, given), None, "{secret} {given}");
            }
        }
        assert!(Tokens::of_kubo([]).is_none());
    }

    #[test]
    fn a_secret_is_the_whole_secret_in_its_own_form_with_its_own_user() {
        let all = vec!["/api/v0"];
        let tokens = Tokens::of_kubo([
            ("a", "bearer:secret", all.clone()),
            ("b", "basic:bob:secret", all.clone()),
            ("c", "basic:carol:secret", all),
        ])
        .unwrap();
        assert_eq!(found(&tokens, "Bearer secret").as_deref(), Some("a"));
        assert_eq!(found(&tokens, &basic("bob:secret")).as_deref(), Some("b"));
        assert_eq!(found(&tokens, &basic("carol:secret")).as_deref(), Some("c"));
        for given in [
            "Bearer secre",
            "Bearer secret2",
            "Bearer SECRET",
            "secret",
            "Token secret",
            "Bearersecret",
            &basic("a:secret"),
            &basic("bob:"),
            &basic(":secret"),
            &basic("secret"),
            &format!("Bearer secret{}", " x".repeat(MAX_GIVEN)),
        ] {
            assert_eq!(found(&tokens, given), None, "{given}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_authorization_stops_the_server(given in proptest::collection::vec(0u8.., 0..64)) {
            let tokens = Tokens::of_kubo([("a", "basic:u:p", vec!["/"])]).unwrap();
            proptest::prop_assert!(tokens.find(&given).is_none());
            let _ = tokens.find(&[&b"Basic "[..], &given].concat());
        }
    }
}
