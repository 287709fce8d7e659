//! What a certificate says about itself: for which names it stands, from when, and until when.

use der::asn1::{GeneralizedTime, UtcTime};
use der::{DateTime, Decode as _, Reader, SliceReader, Tag};
use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;

use crate::bridge::health::{Component, Health};
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
        Outlook::of_life(self.starts, self.ends, now)
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

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// From and until these first days of January.
    fn certificate(names: &[&str], from: i32, until: i32) -> Certificate {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
        Certificate::read(params.self_signed(&KeyPair::generate().unwrap()).unwrap().der()).unwrap()
    }

    #[test]
    fn both_ways_to_write_a_time_are_read() {
        // RFC 5280 section 4.1.2.5: two digits of the year until 2049, four from then on.
        for (from, until) in [(1999, 2026), (2027, 2049), (2049, 2050), (2050, 9999)] {
            let certificate = certificate(&["a.example"], from, until);
            let year = |time: Timestamp| time.to_string().get(..10).unwrap().to_owned();
            let found = (year(certificate.starts), year(certificate.ends));
            assert_eq!(found, (format!("{from}-01-01"), format!("{until}-01-01")));
        }
    }

    #[test]
    fn a_certificate_is_for_its_names_and_addresses() {
        let certificate =
            certificate(&["scim.example.com", "*.wild.example", "192.0.2.7", "2001:db8::7"], 2020, 2030);
        assert_eq!(certificate.names(), ["scim.example.com", "*.wild.example"]);
        for host in ["scim.example.com", "SCIM.example.com", "a.wild.example", "192.0.2.7", "[2001:db8::7]"] {
            assert!(certificate.is_for(host), "{host}");
        }
        for host in
            ["example.com", "wild.example", "a.b.wild.example", "192.0.2.8", "[2001:db8::8]", "", "a b"]
        {
            assert!(!certificate.is_for(host), "{host}");
        }
    }

    #[test]
    fn its_time_is_told_from_the_first_day_on() {
        let certificate = certificate(&["a.example"], 2027, 2028);
        let at = |time: &str| time.parse::<Timestamp>().unwrap();
        for (now, state, told) in [
            (
                "2026-12-31T23:59:59Z",
                Health::Failing,
                "the certificate is not valid before 2027-01-01T00:00:00Z",
            ),
            ("2027-01-01T00:00:00Z", Health::Fine, "a.example, until 2028-01-01T00:00:00Z"),
            ("2027-12-01T23:59:59Z", Health::Fine, "a.example, until"),
            (
                "2027-12-02T00:00:00Z",
                Health::Stale,
                "the certificate expires at 2028-01-01T00:00:00Z, in 30 days",
            ),
            ("2028-01-01T00:00:00Z", Health::Failing, "the certificate expired at 2028-01-01T00:00:00Z"),
        ] {
            let Component { state: found, detail, .. } = certificate.health(None, at(now));
            assert_eq!(found, state, "{now}");
            assert!(detail.starts_with(told), "{now}: {detail}");
        }
        let short = {
            let mut short = certificate.clone();
            short.ends = at("2027-01-09T00:00:00Z");
            move |now: &str| short.health(None, at(now)).state
        };
        assert_eq!(short("2027-01-06T23:59:59Z"), Health::Fine);
        assert_eq!(short("2027-01-07T00:00:00Z"), Health::Stale);
        let refused = certificate.health(Some("no key".to_owned()), at("2027-06-01T00:00:00Z"));
        assert_eq!((refused.state, refused.detail.as_str()), (Health::Stale, "no key"));
    }

    #[test]
    fn what_is_no_certificate_is_no_panic() {
        let whole = certificate(&["a.example"], 2020, 2030).der.to_vec();
        for length in 0..whole.len() {
            assert!(Certificate::read(&whole[..length].to_vec().into()).is_err(), "{length}");
        }
    }
}
