//! `auth.clients`, `auth.signing_key` and `auth.entra`: from what is written to who may speak, and what is doubtful about
//! it. Whoever is let in by mistake here may change every person, so that nothing is guessed but what Microsoft documents.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use crate::config::Loader;
use crate::config::keys::CLIENT_KEYS;
use crate::config::layer::{DIGEST, text_of};
use crate::config::tokens::of_digest;
use crate::server::callers::Callers;
use crate::server::clients::{Clients, Federation, Proof, Registration};
use crate::server::signing::SigningKeys;
use crate::server::tokens::{Digest, Tokens, digest, digest_from_hex};
use crate::server::{entra_token, issuer_keys, minted};
use crate::yaml::{Item, Problems, Section, Severity};

const CLIENTS: &str = "auth.clients";
const KEY: &str = "auth.signing_key";
const TENANT: &str = "auth.entra.tenant_id";

/// One that is used, and one that takes over from it.
const MOST_SECRETS: usize = 2;

const ID_CHARS: usize = 64;

/// Of these keys, an entry without a secret has the first three.
const FEDERATION_KEYS: &[&str] = &["issuer", "audience", "subject", "jwks_url"];

/// Where Entra signs for the tenants of each of Microsoft's clouds.
const CLOUDS: &[&str] =
    &["login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn"];

impl Loader {
    /// Everybody who may speak to the bridge; none while nobody is configured.
    pub(super) fn callers(&mut self, api_key: Option<&SecretString>) -> Option<Callers> {
        let (entra, clients) = (self.entra(), self.clients(api_key));
        let others = Others {
            any: entra.is_some() || !clients.is_empty(),
            write: entra.is_some() || clients.iter().any(|client| !client.read_only),
        };
        let tokens = self.tokens(api_key, others);
        let names = tokens.iter().flat_map(Tokens::iter).map(|token| token.name.clone()).collect::<Vec<_>>();
        self.check_names(&names, &clients);
        self.check_secrets(tokens.as_ref(), &clients);
        let given = self.value(CLIENTS).and_then(|value| Some(!value.as_array()?.is_empty())) == Some(true);
        let clients = self.signed(clients, given);
        (tokens.is_some() || entra.is_some() || given).then(|| Callers {
            tokens: tokens.unwrap_or_default(),
            entra,
            clients,
        })
    }

    /// Tokens that Entra issues itself.
    fn entra(&mut self) -> Option<entra_token::Settings> {
        let key = |name: &str| format!("auth.entra.{name}");
        let Some(tenant_id) = self.text(TENANT) else {
            for name in ["issuer", "audience", "application_id", "jwks_url"].map(key) {
                if self.layers.iter().skip(1).any(|layer| layer.values.contains_key(&name)) {
                    let message = "it does nothing without auth.entra.tenant_id";
                    self.report(
                        Severity::Error,
                        &name,
                        message,
                        "set auth.entra.tenant_id, or take this line away",
                    );
                }
            }
            return None;
        };
        if !is_uuid(&tenant_id) {
            let message =
                format!("`{tenant_id}` is no tenant id such as 3f2504e0-4f89-41d3-9a0c-0305e82c3301");
            self.report(Severity::Error, TENANT, &message, "Entra admin center → Overview → Tenant ID");
            return None;
        }
        let tenant_id = tenant_id.to_lowercase();
        let jwks_url =
            self.text(&key("jwks_url")).unwrap_or_else(|| entra_token::Settings::jwks_url(&tenant_id));
        if let Err(message) = issuer_keys::check_url(&jwks_url) {
            self.report(Severity::Error, &key("jwks_url"), &message, "");
            return None;
        }
        self.report(
            Severity::Warning,
            TENANT,
            "tokens that Entra issues itself are the same for every provisioning job of the tenant: whoever can set up \
             an application with provisioning there can speak to the bridge",
            "let few people make applications in Entra; better use auth.clients, with an issuer in place of a secret, or \
             auth.tokens",
        );
        let audience = self.text(&key("audience"))?;
        self.check_audience(&key("audience"), &audience);
        Some(entra_token::Settings {
            issuer: self.text(&key("issuer")).unwrap_or_else(|| entra_token::Settings::issuer(&tenant_id)),
            audience,
            application_id: self.text(&key("application_id"))?,
            jwks_url,
            tenant_id,
        })
    }

    fn clients(&mut self, api_key: Option<&SecretString>) -> Vec<Registration> {
        let entries = self.value(CLIENTS).and_then(|value| value.as_array().cloned()).unwrap_or_default();
        let api_key = api_key.map(|key| digest(key.expose_secret().as_bytes()));
        let mut clients = Vec::new();
        for (index, entry) in entries.iter().enumerate() {
            let place = format!("{CLIENTS}[{index}]");
            let proof = match entry.get("secrets").and_then(Value::as_array) {
                Some(secrets) => self.secrets(secrets, &place, api_key),
                None => self.federation(entry, &place).map(Proof::Federation),
            };
            let Some(proof) = proof else { continue };
            let id = text_of(entry, "id").unwrap_or_default().to_owned();
            let read_only = entry.get("read_only") == Some(&Value::Bool(true));
            clients.push(Registration { id, read_only, proof });
        }
        clients
    }

    fn secrets(&mut self, secrets: &[Value], place: &str, api_key: Option<Digest>) -> Option<Proof> {
        let mut known: Vec<Digest> = Vec::new();
        for hex in secrets.iter().filter_map(Value::as_str) {
            match of_digest(hex) {
                Ok(digest) if known.contains(&digest) => {
                    let message = "both secrets are the same, so one cannot be taken away alone";
                    self.report(Severity::Error, &format!("{place}.secrets"), message, NEW_SECRET);
                }
                Ok(digest) => {
                    if api_key == Some(digest) {
                        let message =
                            "the secret is the Ziflow API key: whoever reads it is an admin in Ziflow";
                        self.report(Severity::Warning, &format!("{place}.secrets"), message, NEW_SECRET);
                    }
                    known.push(digest);
                }
                Err((message, hint)) => {
                    self.report(Severity::Error, &format!("{place}.secrets"), &message, &hint);
                }
            }
        }
        (known.len() == secrets.len()).then_some(Proof::Secrets(known))
    }

    fn federation(&mut self, entry: &Value, place: &str) -> Option<Federation> {
        let text = |key| text_of(entry, key).map(str::to_owned);
        let issuer = text("issuer")?;
        let of_entra = entra_of(&issuer);
        let url = text("jwks_url").or_else(|| of_entra.clone().map(|(_, url)| url));
        let Some(jwks_url) = url else {
            let message = format!("where the keys of `{issuer}` are is not known");
            let hint = "set jwks_url; for Entra the issuer is https://login.microsoftonline.com/TENANT-ID/v2.0, and \
                        jwks_url is not needed";
            self.report(Severity::Error, &format!("{place}.issuer"), &message, hint);
            return None;
        };
        if let Err(message) = issuer_keys::check_url(&jwks_url) {
            self.report(Severity::Error, &format!("{place}.jwks_url"), &message, "");
            return None;
        }
        let tenant_id = of_entra.map(|(tenant_id, _)| tenant_id);
        let audience = text("audience")?;
        if tenant_id.is_some() {
            self.check_audience(&format!("{place}.audience"), &audience);
        }
        Some(Federation { issuer, audience, subject: text("subject")?, tenant_id, jwks_url })
    }

    /// What is copied from Entra's screen may be a scope, with something at its end that no token of Entra's has. Other
    /// issuers may call theirs as they like.
    fn check_audience(&mut self, setting: &str, audience: &str) {
        let Some(in_tokens) = audience.strip_suffix("/.default") else { return };
        let message = format!(
            "`{audience}` is how Entra's screen writes the audience; its tokens have it without `/.default`, so none \
             of them would be accepted"
        );
        let hint = format!("write `{in_tokens}`; the log says of each refused token which audience it has");
        self.report(Severity::Warning, setting, &message, &hint);
    }

    /// A secret for two purposes: where it is taken away, it goes on opening the other door.
    fn check_secrets(&mut self, tokens: Option<&Tokens>, clients: &[Registration]) {
        for (index, client) in clients.iter().enumerate() {
            let Proof::Secrets(secrets) = &client.proof else { continue };
            let of_token =
                tokens.into_iter().flat_map(Tokens::iter).find(|token| secrets.contains(&token.digest));
            let other = clients.iter().take(index).find(|other| match &other.proof {
                Proof::Secrets(others) => others.iter().any(|secret| secrets.contains(secret)),
                Proof::Federation(_) => false,
            });
            let of_token = of_token.map(|token| format!("the token `{}` of auth.tokens", token.name));
            let of_client = other.map(|other| format!("a secret of `{}`", other.id));
            for whose in of_token.into_iter().chain(of_client) {
                let message = format!(
                    "a secret of `{}` is {whose} as well: taken away in one place, it stays good in the other",
                    client.id
                );
                self.report(Severity::Warning, &format!("{CLIENTS}[{index}].secrets"), &message, NEW_SECRET);
            }
        }
    }

    /// The log tells everybody apart by name alone.
    fn check_names(&mut self, tokens: &[String], clients: &[Registration]) {
        for (index, client) in clients.iter().enumerate() {
            let id = &client.id;
            let others = clients.iter().take(index).map(|other| &other.id).chain(tokens);
            if others.into_iter().any(|other| other == id) {
                let message = format!(
                    "`{id}` is the name of another client, or of a token: the log could not tell them apart"
                );
                let hint = "give each of them a name of its own";
                self.report(Severity::Error, &format!("{CLIENTS}[{index}].id"), &message, hint);
            }
        }
        for (index, client) in clients.iter().enumerate() {
            let same = |other: &Registration| match (&client.proof, &other.proof) {
                (Proof::Federation(one), Proof::Federation(other)) => one.is_of_the_same_as(other),
                _ => false,
            };
            if clients.iter().take(index).any(same) {
                let message = "another client has the same issuer, audience and subject, so a token of theirs is either's";
                let hint = "one client is enough for one application";
                self.report(Severity::Error, &format!("{CLIENTS}[{index}]"), message, hint);
            }
        }
        let ids = clients.iter().map(|client| &client.id);
        if ids.chain(tokens).any(|name| name == entra_token::CLIENT) {
            let message =
                format!("`{}` is what the log calls Entra with a token of its own", entra_token::CLIENT);
            self.report(Severity::Error, "auth", &message, "give the client, or the token, another name");
        }
    }

    /// The clients with the keys that sign their tokens.
    fn signed(&mut self, clients: Vec<Registration>, given: bool) -> Clients {
        let Some((setting, text)) = self.secret(KEY) else {
            if given {
                self.report(
                    Severity::Error,
                    "auth.signing_key_file",
                    "the tokens of auth.clients must be signed, and there is no key for it: one made at the start would end \
                     them all at every restart, and be good at one instance alone",
                    "`openssl rand -hex 32` makes a key: put it into a file that the service alone can read, and name \
                     that here",
                );
            }
            return Clients::default();
        };
        let keys = text.and_then(|text| {
            SigningKeys::parse(&text).map_err(|fault| (fault.to_owned(), NEW_KEY.to_owned()))
        });
        match keys {
            Ok(keys) if given => Clients::new(clients, keys),
            Ok(_) => {
                let message = "nothing is signed with it while auth.clients is empty";
                self.report(Severity::Warning, &setting, message, "take it away, or add a client");
                Clients::default()
            }
            Err((message, hint)) => {
                self.report(Severity::Error, &setting, &message, &hint);
                Clients::default()
            }
        }
    }
}

const NEW_SECRET: &str = "make one with `ziflow-scim-bridge token new`";
const NEW_KEY: &str = "`openssl rand -hex 32` makes one; while keys change, the new one stands in the first line and the old one \
                       in the second";

/// Whether there is anybody beside the holders of tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Others {
    pub(super) any: bool,
    /// Of those, whether anybody may change something.
    pub(super) write: bool,
}

/// An entry of `auth.clients` as written, if it is formed well.
pub(super) fn entry(section: &Section<'_>, problems: &mut Problems) -> Option<Value> {
    // Each is read, so that all problems are told.
    let id = section.require("id", problems).and_then(|item| id(&item, problems));
    let read_only = section.get("read_only").map(|item| item.boolean(problems));
    let is_federated = FEDERATION_KEYS.iter().any(|key| section.get(key).is_some());
    let proof = match (section.get("secrets"), is_federated) {
        (Some(item), false) => secrets(&item, problems),
        (None, true) => federation(section, problems),
        (secrets, _) => {
            let found = if secrets.is_some() { "both" } else { "neither" };
            let message = format!(
                "either `secrets`, or `issuer` with `audience` and `subject`, is needed; found {found}"
            );
            problems.error(section.at, &section.key, message);
            None
        }
    };
    let mut entry = proof?;
    entry.insert("id".to_owned(), id?.into());
    if let Some(read_only) = read_only {
        entry.insert("read_only".to_owned(), read_only?.into());
    }
    Some(Value::Object(entry))
}

/// It stands in every line of the log, and in a header where `:` ends it and `%` begins something else.
fn id<'a>(item: &Item<'a>, problems: &mut Problems) -> Option<&'a str> {
    let id = item.text(problems)?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    if id.is_empty() || id.len() > ID_CHARS || !id.chars().all(is_plain) || id.contains(minted::PREFIX) {
        let message =
            format!("it must be letters, digits and - . _ ~ only, {ID_CHARS} at the most, and no token");
        problems.error(item.at(), &item.key, message).hint("a word such as `entra` will do");
        return None;
    }
    Some(id)
}

fn secrets(item: &Item<'_>, problems: &mut Problems) -> Option<Map<String, Value>> {
    let items = item.list(problems)?;
    if items.is_empty() || items.len() > MOST_SECRETS {
        let message = format!("one secret or {MOST_SECRETS} are expected, found {}", items.len());
        problems
            .error(item.at(), &item.key, message)
            .hint("two are for the time in which one takes over from the other");
        return None;
    }
    let mut read = Vec::new();
    for item in &items {
        let text = item.text(problems)?;
        if digest_from_hex(text).is_none() {
            problems
                .error(item.at(), &item.key, DIGEST)
                .hint("`ziflow-scim-bridge token new` prints a secret with its digest");
            return None;
        }
        read.push(text);
    }
    Some(Map::from_iter([("secrets".to_owned(), read.into())]))
}

fn federation(section: &Section<'_>, problems: &mut Problems) -> Option<Map<String, Value>> {
    let mut read = Map::new();
    let mut is_whole = true;
    for key in FEDERATION_KEYS {
        let item = match *key {
            "jwks_url" => section.get(key),
            _ => section.require(key, problems),
        };
        match item.as_ref().map(|item| (item, item.text(problems))) {
            Some((_, Some(text))) if !text.trim().is_empty() => {
                read.insert((*key).to_owned(), text.into());
            }
            Some((item, Some(_))) => {
                problems.error(item.at(), &item.key, "it is empty");
                is_whole = false;
            }
            Some((_, None)) => is_whole = false,
            None => is_whole &= *key == "jwks_url",
        }
    }
    is_whole.then_some(read)
}

/// The keys of one entry.
pub(super) fn client_keys() -> Vec<&'static str> {
    CLIENT_KEYS.iter().map(|(name, _)| *name).collect()
}

/// The tenant whose issuer this is, and where Entra publishes its keys.
fn entra_of(issuer: &str) -> Option<(String, String)> {
    let (host, path) = issuer.strip_prefix("https://")?.split_once('/')?;
    let tenant_id = path.strip_suffix("/v2.0").filter(|tenant_id| is_uuid(tenant_id))?;
    let url = format!("https://{host}/{tenant_id}/discovery/v2.0/keys");
    CLOUDS.contains(&host).then(|| (tenant_id.to_owned(), url))
}

fn is_uuid(text: &str) -> bool {
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    groups == [8, 4, 4, 4, 12] && text.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_entras_keys_are_follows_from_the_issuer() {
        let tenant = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
        for (issuer, url) in [
            (
                format!("https://login.microsoftonline.com/{tenant}/v2.0"),
                Some(format!("https://login.microsoftonline.com/{tenant}/discovery/v2.0/keys")),
            ),
            (
                format!("https://login.microsoftonline.us/{tenant}/v2.0"),
                Some(format!("https://login.microsoftonline.us/{tenant}/discovery/v2.0/keys")),
            ),
            (format!("https://login.microsoftonline.com/{tenant}/v2.0/"), None),
            (format!("https://login.microsoftonline.com/{tenant}"), None),
            (format!("http://login.microsoftonline.com/{tenant}/v2.0"), None),
            (format!("https://login.microsoftonline.com.evil.example/{tenant}/v2.0"), None),
            ("https://login.microsoftonline.com/common/v2.0".to_owned(), None),
            (format!("https://sts.windows.net/{tenant}/"), None),
        ] {
            let found = entra_of(&issuer);
            assert_eq!(found, url.map(|url| (tenant.to_owned(), url)), "{issuer}");
        }
    }
}
