//! The configuration that clients read and change, in the form of Kubo's.
//!
//! Owns the value, what of it is secret, and saving it. Must not know which settings this program heeds: those are
//! the operator's, by flags and a file of their own. Rules: kubo `core/commands/config.go`.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

use super::error::Failed;

/// Where a changed configuration goes.
pub type Save = Arc<dyn Fn(&Value) -> io::Result<()> + Send + Sync>;

/// The configuration of a node.
pub struct Settings {
    value: Mutex<Value>,
    save: Option<Save>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Its value holds secrets.
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings::new(Value::Object(Map::new()), None)
    }
}

/// What nobody learns or changes through the API: a key and all below it. `*` is any name.
const SECRETS: [(&[&str], &str); 3] = [
    (&["Identity", "PrivKey"], "cannot show or change private key through API"),
    (&["API", "Authorizations"], "cannot show or change API authorizations through API"),
    (
        &["Pinning", "RemoteServices", "*", "API", "Key"],
        "cannot show or change pinning services credentials",
    ),
];

impl Settings {
    /// A configuration, and where changes of it go; without that they last as long as the process.
    pub fn new(value: Value, save: Option<Save>) -> Settings {
        Settings { value: Mutex::new(value), save }
    }

    /// All of it but what is secret.
    pub(crate) fn shown(&self) -> Value {
        let mut shown = self.lock().clone();
        for (secret, _) in SECRETS {
            scrub(&mut shown, secret);
        }
        shown
    }

    /// The value under a dotted key.
    pub(crate) fn get(&self, key: &str) -> Result<Value, Failed> {
        refuse_secret(key)?;
        let value = self.lock();
        let mut at = &*value;
        let mut path = String::new();
        for name in key.split('.') {
            let Value::Object(map) = at else {
                return Err(Failed::new(format!(
                    "failed to get config value: {:?}",
                    format!("{path} key is not a map")
                )));
            };
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
            at = map.get(name).ok_or_else(|| {
                Failed::new(format!(
                    "failed to get config value: {:?}",
                    format!("{path} not found")
                ))
            })?;
        }
        Ok(at.clone())
    }

    /// Sets a value; maps on the way are made.
    pub(crate) fn set(&self, key: &str, new: Value) -> Result<(), Failed> {
        refuse_secret(key)?;
        let mut value = self.lock();
        let mut changed = value.clone();
        let mut at = &mut changed;
        for name in key.split('.') {
            if !at.is_object() {
                *at = Value::Object(Map::new());
            }
            let Value::Object(map) = at else {
                return Err(Failed::new("the configuration is no map"));
            };
            at = map.entry(name).or_insert(Value::Null);
        }
        *at = new;
        self.store(&mut value, changed)
    }

    /// Changes several values together, or none: what `act` leaves is kept unless it fails. Secrets are in what it sees.
    pub(crate) fn change<T>(
        &self,
        act: impl FnOnce(&mut Value) -> Result<T, Failed>,
    ) -> Result<T, Failed> {
        let mut value = self.lock();
        let mut changed = value.clone();
        let done = act(&mut changed)?;
        if changed != *value {
            self.store(&mut value, changed)?;
        }
        Ok(done)
    }

    /// Replaces all of it but what is secret.
    pub(crate) fn replace(&self, mut new: Value) -> Result<(), Failed> {
        let mut value = self.lock();
        for (secret, sentence) in SECRETS {
            if holds(&new, secret) {
                return Err(Failed::new(sentence));
            }
            carry_over(&value, &mut new, secret);
        }
        self.store(&mut value, new)
    }

    fn store(&self, value: &mut Value, changed: Value) -> Result<(), Failed> {
        if let Some(save) = &self.save {
            save(&changed).map_err(|error| {
                tracing::warn!(%error, "the configuration cannot be saved");
                Failed::new("the configuration cannot be saved; the server's log says why")
            })?;
        }
        *value = changed;
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Value> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Refuses a key that names a secret, something below it, or something that holds it.
fn refuse_secret(key: &str) -> Result<(), Failed> {
    let names: Vec<&str> = key.split('.').collect();
    for (secret, sentence) in SECRETS {
        let matches =
            |(name, part): (&&str, &&str)| *part == "*" || name.eq_ignore_ascii_case(part);
        // A part of the configuration that is wider than a secret shows it.
        if names.iter().zip(secret).all(matches) {
            return Err(Failed::new(sentence));
        }
    }
    Ok(())
}

fn below<'v>(value: &'v Value, name: &str) -> Vec<&'v Value> {
    let Value::Object(map) = value else { return Vec::new() };
    let named = map.iter().filter(|(key, _)| name == "*" || key.eq_ignore_ascii_case(name));
    named.map(|(_, value)| value).collect()
}

fn holds(value: &Value, secret: &[&str]) -> bool {
    match secret.split_first() {
        None => !value.is_null(),
        Some((name, rest)) => below(value, name).into_iter().any(|value| holds(value, rest)),
    }
}

fn scrub(value: &mut Value, secret: &[&str]) {
    let Value::Object(map) = value else { return };
    let Some((name, rest)) = secret.split_first() else { return };
    let is_it = |key: &str| *name == "*" || key.eq_ignore_ascii_case(name);
    if rest.is_empty() {
        map.retain(|key, _| !is_it(key));
        return;
    }
    for (_, value) in map.iter_mut().filter(|(key, _)| is_it(key)) {
        scrub(value, rest);
    }
}

/// Copies a secret from the old configuration, where it has one.
fn carry_over(old: &Value, new: &mut Value, secret: &[&str]) {
    let (Value::Object(old), Some((name, rest))) = (old, secret.split_first()) else { return };
    for (key, value) in old.iter().filter(|(key, _)| *name == "*" || key.eq_ignore_ascii_case(name))
    {
        let Value::Object(new) = &mut *new else { return };
        if rest.is_empty() {
            new.insert(key.clone(), value.clone());
        } else if holds(value, rest) {
            carry_over(
                value,
                new.entry(key.clone()).or_insert_with(|| Value::Object(Map::new())),
                rest,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn settings() -> Settings {
        let value = json!({
            "Identity": {"PeerID": "12D3", "PrivKey": "SECRET1"},
            "API": {"HTTPHeaders": {}, "authorizations": {"a": "SECRET2"}},
            "Pinning": {"RemoteServices": {"x": {"API": {"Endpoint": "https://x", "Key": "SECRET3"}}}},
            "Addresses": {"API": "/ip4/127.0.0.1/tcp/5001"},
        });
        Settings::new(value, None)
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        let shown = settings().shown().to_string();
        assert!(!shown.contains("SECRET"), "{shown}");
        assert!(shown.contains("12D3") && shown.contains("https://x"), "{shown}");
    }

    #[test]
    fn no_key_leads_to_a_secret_or_around_one() {
        for key in [
            "Identity",
            "identity.privkey",
            "Identity.PrivKey",
            "API",
            "api.Authorizations",
            "API.authorizations.a",
            "Pinning",
            "Pinning.RemoteServices",
            "Pinning.RemoteServices.x.API.Key",
            "pinning.remoteservices.x.api",
        ] {
            assert!(settings().get(key).is_err(), "{key}");
            assert!(settings().set(key, json!("new")).is_err(), "{key}");
        }
        assert_eq!(settings().get("Identity.PeerID").unwrap(), json!("12D3"));
        assert_eq!(settings().get("API.HTTPHeaders").unwrap(), json!({}));
    }

    #[test]
    fn what_is_not_there_is_told_as_kubo_tells_it() {
        let error = |key| settings().get(key).unwrap_err().message;
        assert_eq!(error("Nope.Nope"), "failed to get config value: \"Nope not found\"");
        assert_eq!(
            error("Addresses.Nope"),
            "failed to get config value: \"Addresses.Nope not found\""
        );
    }

    #[test]
    fn a_value_that_was_set_is_read_and_saved() {
        let saved = Arc::new(Mutex::new(Value::Null));
        let to = saved.clone();
        let save: Save = Arc::new(move |value: &Value| {
            *to.lock().unwrap() = value.clone();
            Ok(())
        });
        let settings = Settings::new(json!({}), Some(save));
        settings.set("A.B", json!([1])).unwrap();
        assert_eq!(settings.get("A.B").unwrap(), json!([1]));
        assert_eq!(*saved.lock().unwrap(), json!({"A": {"B": [1]}}));
    }

    #[test]
    fn replacing_all_keeps_secrets() {
        let settings = settings();
        assert!(settings.replace(json!({"Identity": {"PrivKey": "mine"}})).is_err());
        settings.replace(json!({"Identity": {"PeerID": "new"}})).unwrap();
        assert_eq!(settings.lock()["Identity"], json!({"PeerID": "new", "PrivKey": "SECRET1"}));
        assert_eq!(settings.lock()["API"]["authorizations"]["a"], json!("SECRET2"));
    }
}
