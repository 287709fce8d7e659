//! What a certificate says about itself: for which names it stands, from when, and until when.

use der::asn1::{GeneralizedTime, UtcTime};
use der::{DateTime, Decode as _, Reader, SliceReader, Tag};
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;

use crate::bridge::{Component, Health};
use crate::server::expiry::{Ends, Outlook, left};

/// What to do about a certificate that ends.
pub const RENEW: &str = "renew it: the files are looked at every few seconds, and taken over by themselves";

/// So many names are shown.
const MOST_NAMES: usize = 3;

/// The first certificate of a chain.
#[derive(Clone, Debug)]
pub struct Certificate {
    der: CertificateDer<'static>,
    starts: Timestamp,
    pub(super) ends: Timestamp,
    names: Vec<String>,
    is_self_signed: bool,
}

impl Certificate {
    /// Fails with the reason.
    pub fn read(der: &CertificateDer<'static>) -> Result<Self, String> {
        let (starts, ends) = validity(der).map_err(|error| error.to_string())?;
        let parsed = EndEntityCert::try_from(der).map_err(|error| error.to_string())?;
        let names = parsed.valid_dns_names().map(str::to_owned).collect();
        let is_self_signed = parsed.issuer() == parsed.subject();
        Ok(Self { starts: timestamp(starts), ends: timestamp(ends), names, is_self_signed, der: der.clone() })
    }

    /// Whether it stands for this host, a name or an address.
    pub fn is_for(&self, host: &str) -> bool {
        let name = ServerName::try_from(host.trim_matches(['[', ']']));
        let parsed = EndEntityCert::try_from(&self.der);
        match (name, parsed) {
            (Ok(name), Ok(parsed)) => parsed.verify_is_valid_for_subject_name(&name).is_ok(),
            _ => false,
        }
    }

    /// Whether it was made without an authority.
    pub fn is_self_signed(&self) -> bool {
        self.is_self_signed
    }

    /// The names of hosts, of which one may begin with `*.`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// In one line.
    pub fn in_short(&self) -> String {
        let mut names: Vec<&str> = self.names.iter().take(MOST_NAMES).map(String::as_str).collect();
        if names.is_empty() {
            names.push("no name of a host");
        } else if self.names.len() > MOST_NAMES {
            names.push("…");
        }
        format!("{}, until {:.0}", names.join(", "), self.ends)
    }

    fn outlook(&self, now: Timestamp) -> Outlook {
        if now < self.starts { Outlook::Early(self.starts) } else { Outlook::of(Some(self.ends), now) }
    }

    /// What is to be told about its time: nothing while its end is far.
    pub fn announcement(&self, now: Timestamp) -> Option<String> {
        match self.outlook(now) {
            Outlook::Good => None,
            Outlook::Soon(end) => Some(format!("the certificate expires at {end:.0}, in {}", left(end, now))),
            Outlook::Over(end) => {
                Some(format!("the certificate expired at {end:.0}, and Entra does not connect any more"))
            }
            Outlook::Early(start) => Some(format!(
                "the certificate is not valid before {start:.0}, and Entra does not connect until then; is this \
                 machine's clock right?"
            )),
        }
    }

    /// The part of readiness. `refusal` says why a newer one was not taken over.
    pub(super) fn health(&self, refusal: Option<String>, now: Timestamp) -> Component {
        let told: Vec<_> = self.announcement(now).into_iter().chain(refusal).collect();
        let state = match self.outlook(now) {
            Outlook::Over(_) | Outlook::Early(_) => Health::Failing,
            _ if told.is_empty() => Health::Fine,
            _ => Health::Stale,
        };
        let detail = if told.is_empty() { self.in_short() } else { told.join("; ") };
        Component { name: "certificate", state, detail }
    }
}

impl Ends for Certificate {
    fn outlooks(&self, now: Timestamp) -> Vec<Outlook> {
        vec![self.outlook(now)]
    }

    fn announcements(&self, now: Timestamp) -> Vec<String> {
        self.announcement(now).into_iter().collect()
    }
}

/// From when and until when it is valid (RFC 5280 section 4.1), which is read nowhere else.
fn validity(der: &[u8]) -> der::Result<(DateTime, DateTime)> {
    SliceReader::new(der)?.sequence(|certificate| {
        let validity = certificate.sequence(|fields| {
            // The version has a tag of its own, because it may be missing.
            if Tag::peek(fields)?.is_context_specific() {
                fields.tlv_bytes()?;
            }
            for _before in ["serialNumber", "signature", "issuer"] {
                fields.tlv_bytes()?;
            }
            let validity = fields.sequence(|times| Ok::<_, der::Error>((time(times)?, time(times)?)))?;
            fields.drain(fields.remaining_len())?;
            Ok::<_, der::Error>(validity)
        })?;
        certificate.drain(certificate.remaining_len())?;
        Ok(validity)
    })
}

fn time(reader: &mut SliceReader<'_>) -> der::Result<DateTime> {
    match Tag::peek(reader)? {
        Tag::UtcTime => UtcTime::decode(reader).map(|time| time.to_date_time()),
        _ => GeneralizedTime::decode(reader).map(|time| time.to_date_time()),
    }
}

/// A certificate without an end says 9999, which is the end of what can be told.
fn timestamp(time: DateTime) -> Timestamp {
    let seconds = i64::try_from(time.unix_duration().as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}
