//! `server.tls`: the certificate with its chain and its key, from two files to what connections are begun with, and what
//! is doubtful about them.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use crate::bridge::in_force::digest;
use crate::config::secrets::{Access, group_may_change, on_file};
use crate::config::{Loader, Report, Reported, file};
use crate::server::certificate::RENEW;
use crate::server::tls::{Identity, Part, Unusable};
use crate::yaml::{Problem, Severity};

const CERTIFICATE: &str = "server.tls.certificate_file";
const KEY: &str = "server.tls.private_key_file";

/// Where the pair is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    certificate: PathBuf,
    key: PathBuf,
    /// Whom Entra asks for, if `server.public_url` says so.
    host: Option<String>,
}

/// What came of reading both, at about the same time.
#[derive(Debug)]
pub struct Texts {
    certificate: io::Result<String>,
    key: io::Result<String>,
}

/// A pair that can be used, the digest of its files, and what an operator should know of it all the same.
pub type Loaded = (Identity, String, Vec<Report>);

impl Files {
    /// The one that stands for both.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Whom Entra asks for, if that is known.
    pub fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    pub fn read(&self) -> Texts {
        Texts { certificate: file::read(&self.certificate), key: file::read(&self.key) }
    }

    /// Checks what came of reading, as loading all settings does.
    pub fn load(&self, texts: Texts) -> Result<Loaded, Vec<Report>> {
        let digest = texts.digest().unwrap_or_default();
        let (certificate, key) = match (texts.certificate, texts.key) {
            (Ok(certificate), Ok(key)) => (certificate, key),
            (certificate, key) => {
                let of = |text: io::Result<String>, part| Some(self.unreadable(part, &text.err()?));
                let wrong = [of(certificate, Part::Certificate), of(key, Part::Key)];
                return Err(wrong.into_iter().flatten().collect());
            }
        };
        let mut reports = self.exposed();
        match Identity::from_pem(&certificate, &key) {
            Ok(identity) if !reports.iter().any(Report::is_error) => {
                reports.extend(self.doubts(&identity));
                Ok((identity, digest, reports))
            }
            Ok(_) => Err(reports),
            Err(Unusable { part, message, hint }) => {
                reports.push(self.report(Severity::Error, part, message, hint));
                Err(reports)
            }
        }
    }

    /// What works on this side and may not on Entra's.
    fn doubts(&self, identity: &Identity) -> Vec<Report> {
        let certificate = &identity.certificate;
        let mut doubts: Vec<(String, &str)> = Vec::new();
        doubts.extend(certificate.announcement(Timestamp::now()).map(|told| (told, RENEW)));
        if certificate.is_self_signed() {
            doubts.push((
                "the certificate is self-signed, and Entra trusts public authorities only".to_owned(),
                "get one from a public authority, such as Let's Encrypt",
            ));
        } else if identity.chain_length() == 1 {
            doubts.push((
                "the file holds one certificate and no intermediate one, which Entra does not fetch"
                    .to_owned(),
                "name the file that holds the whole chain; certbot calls it fullchain.pem",
            ));
        }
        if let Some(host) = self.host.as_ref().filter(|host| !certificate.is_for(host)) {
            doubts.push((
                format!(
                    "the certificate is not for `{host}`, the host of server.public_url, but for {}",
                    certificate.in_short()
                ),
                "get one for the name that Entra uses",
            ));
        }
        let report = |(message, hint)| self.report(Severity::Warning, Part::Certificate, message, hint);
        doubts.into_iter().map(report).collect()
    }

    /// Whether others than the service may use the key.
    fn exposed(&self) -> Vec<Report> {
        let shown = self.key.display();
        let by_group = group_may_change(&self.key).then(|| {
            let message = format!("everybody in the group of `{shown}` can change it");
            on_file(Severity::Warning, &self.key, &message, "g-w")
        });
        let by_everybody = match Access::of(&self.key) {
            Access::Write => {
                let message = format!("everybody on this machine can change `{shown}`");
                Some(on_file(Severity::Error, &self.key, &message, "o-rw"))
            }
            Access::Read => {
                let message = format!("everybody on this machine can read the private key in `{shown}`");
                Some(on_file(Severity::Warning, &self.key, &message, "o-r"))
            }
            Access::None => None,
        };
        by_everybody.into_iter().chain(by_group).collect()
    }

    fn unreadable(&self, part: Part, error: &io::Error) -> Report {
        let hint = match error.kind() {
            ErrorKind::InvalidData => {
                "PEM is wanted, which is text; `openssl x509` and `openssl pkey` make it of DER"
            }
            ErrorKind::PermissionDenied => "the user that the bridge runs as must be able to read it",
            _ => "name a file that is there; a relative path begins at the settings file",
        };
        self.report(Severity::Error, part, format!("the file cannot be read: {error}"), hint)
    }

    fn report(&self, severity: Severity, part: Part, message: String, hint: &str) -> Report {
        let (file, key) = match part {
            Part::Certificate => (&self.certificate, CERTIFICATE),
            Part::Key => (&self.key, KEY),
        };
        let (key, hint) = (key.to_owned(), Some(hint.to_owned()));
        let problem = Problem { severity, at: None, key, message, hint, differences: Vec::new() };
        Report { file: shown(file), text: Arc::default(), problem }
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

impl Texts {
    /// Tells whether the files hold what they held before.
    pub fn digest(&self) -> io::Result<String> {
        let text = |text: &io::Result<String>| match text {
            Ok(text) => Ok(digest(text)),
            Err(error) => Err(io::Error::from(error.kind())),
        };
        Ok(format!("{} {}", text(&self.certificate)?, text(&self.key)?))
    }
}

impl Loader {
    /// The pair with the digest of its files, if there is to be TLS: both files are named, or neither.
    pub(super) fn tls(
        &mut self,
        public_url: Option<&str>,
    ) -> Result<Option<(Files, Identity, String)>, Reported> {
        let (given, missing) = match (self.text(CERTIFICATE), self.text(KEY)) {
            (None, None) => return Ok(None),
            _ if self.is_trial => return Ok(None),
            (Some(certificate), Some(key)) => {
                let host = public_url.and_then(host);
                let (certificate, key) = (self.beside(CERTIFICATE, &certificate), self.beside(KEY, &key));
                let files = Files { certificate, key, host };
                return match files.load(files.read()) {
                    Ok((identity, digest, reports)) => {
                        self.reports.extend(reports);
                        Ok(Some((files, identity, digest)))
                    }
                    Err(reports) => {
                        self.reports.extend(reports);
                        Err(Reported)
                    }
                };
            }
            (Some(_), None) => (CERTIFICATE, KEY),
            (None, Some(_)) => (KEY, CERTIFICATE),
        };
        let message = format!("it is given without {missing}");
        self.report(
            Severity::Error,
            given,
            &message,
            "give both for HTTPS, or neither behind a proxy that does TLS",
        );
        Err(Reported)
    }
}

/// The host of an address such as `https://scim.example.com:8443/x`.
fn host(url: &str) -> Option<String> {
    let authority = url.split_once("://")?.1.split('/').next()?;
    authority.parse::<http::uri::Authority>().ok().map(|authority| authority.host().to_owned())
}
