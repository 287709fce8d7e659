//! `admin.*`: where those who watch may ask, and what is asked of them.

use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use crate::config::secrets::wrong;
use crate::config::tokens::{of_digest, of_token};
use crate::config::{Loader, Reported};
use crate::server::admin::Settings;
use crate::server::admin::access::Access;
use crate::server::callers::Callers;
use crate::server::clients::{Proof, Registration};
use crate::server::listen::Listen;
use crate::server::tls::Tls;
use crate::server::tokens::{Digest, digest};
use crate::yaml::Severity;

const LISTEN: &str = "admin.listen";
const HOSTS: &str = "admin.hosts";
const FORMS: [&str; 3] = ["admin.token", "admin.token_file", "admin.token_sha256"];

impl Loader {
    /// `others` must not be the token as well: whoever watches could then change people.
    pub(super) fn admin(
        &mut self,
        api_key: Option<&SecretString>,
        others: Option<&Callers>,
        tls: Option<Arc<Tls>>,
    ) -> Result<Settings, Reported> {
        let listen = self.admin_listen();
        let token = self.admin_token(api_key, others);
        let hosts = self.admin_hosts();
        let max_connections = self.number("admin.max_connections");
        let operations = self.number("admin.operations");
        let plain_http_behind_proxy = self.value("server.plain_http_behind_proxy") == Some(Value::Bool(true));
        let access = Access { token: token?, hosts: hosts? };
        let settings = Settings {
            listen: listen?,
            plain_http_behind_proxy,
            tls,
            max_connections: max_connections?,
            operations: operations?,
            access,
        };
        let address = settings.listen.and_then(Listen::address);
        if let Some(Err((message, hint))) = address.map(|address| settings.may_listen_on(address)) {
            self.report(Severity::Error, LISTEN, &message, hint);
        }
        Ok(settings)
    }

    fn number(&self, key: &str) -> Result<usize, Reported> {
        let number = self.value(key).and_then(|number| number.as_u64());
        number.and_then(|number| usize::try_from(number).ok()).ok_or(Reported)
    }

    fn admin_listen(&mut self) -> Result<Option<Listen>, Reported> {
        if self.text(LISTEN).as_deref() == Some("off") {
            return Ok(None);
        }
        let listen = self.parsed(LISTEN, Listen::parse)?;
        let address = listen.address().filter(|address| address.port() != 0);
        if let Some(address) = address.filter(|_| self.text("server.listen") == self.text(LISTEN)) {
            let message = format!("`{address}` is server.listen as well");
            self.report(Severity::Error, LISTEN, &message, "give one of them another port");
        }
        Ok(Some(listen))
    }

    fn admin_token(
        &mut self,
        api_key: Option<&SecretString>,
        others: Option<&Callers>,
    ) -> Result<Option<Digest>, Reported> {
        let given: Vec<_> = FORMS.into_iter().filter_map(|key| Some((key, self.effective(key)?))).collect();
        let (key, read) = match given.as_slice() {
            [] => return Ok(None),
            [(key, text)] => (*key, self.admin_digest(key, text)),
            [_, (key, _), ..] => (
                *key,
                wrong("the token is given in two forms", "keep one of token, token_file and token_sha256"),
            ),
        };
        let read = read.and_then(|found| {
            let opens = |other: &Digest| *other == found;
            let key = api_key.map(|key| digest(key.expose_secret().as_bytes()));
            if key.as_ref().is_some_and(opens) {
                return wrong("it is the Ziflow API key", OF_ITS_OWN);
            }
            let Some(others) = others else { return Ok(Some(found)) };
            if let Some(token) = others.tokens.iter().find(|token| opens(&token.digest)) {
                return wrong(&format!("it is the token `{}` of auth.tokens as well", token.name), OF_ITS_OWN);
            }
            let has = |client: &&Registration| matches!(&client.proof, Proof::Secrets(known) if known.iter().any(opens));
            match others.clients.iter().find(has) {
                Some(client) => {
                    wrong(&format!("it is a secret of `{}` of auth.clients as well", client.id), OF_ITS_OWN)
                }
                None => Ok(Some(found)),
            }
        });
        read.map_err(|(message, hint)| {
            self.report(Severity::Error, key, &message, &hint);
            Reported
        })
    }

    fn admin_digest(&mut self, key: &str, text: &str) -> Result<Digest, crate::config::secrets::Wrong> {
        match key {
            "admin.token_file" => self.secret_file(key, text).and_then(|token| of_token(&token)),
            "admin.token_sha256" => of_digest(text),
            _ => of_token(text),
        }
    }

    fn admin_hosts(&mut self) -> Result<Vec<String>, Reported> {
        let hosts = self.value(HOSTS);
        let hosts: Vec<String> = hosts
            .iter()
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_ascii_lowercase)
            .collect();
        let name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        match hosts.iter().find(|host| !host.chars().all(name)) {
            Some(host) => {
                let hint = "the name alone, without https:// and without a port";
                self.report(Severity::Error, HOSTS, &format!("`{host}` is no name of a host"), hint);
                Err(Reported)
            }
            None => Ok(hosts),
        }
    }
}

const OF_ITS_OWN: &str =
    "whoever watches would get more with it: make a token of its own with `ziflow-scim-bridge token new`";
