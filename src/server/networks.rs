//! Who may come, by address: which networks are let in, and which proxies are believed about whom they speak for.
//!
//! Only `X-Forwarded-For` is read; `Forwarded` (RFC 7239) says the same in a form that fewer proxies write, and two
//! headers could contradict each other.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::{IpNet, Ipv4Net};
use tokio::time::Instant;
use tracing::warn;

use crate::server::failures::{Failures, Verdict};
use crate::server::source::Source;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A network as people write it: `192.0.2.0/24`, `2001:db8::/32`, or one address.
pub fn parse(text: &str) -> Result<IpNet, String> {
    let one = || text.parse::<IpAddr>().map(IpNet::from);
    let network = text.parse().or_else(|_no_network| one());
    let network = network
        .map_err(|_no_address| format!("`{text}` is no network such as 192.0.2.0/24 or 2001:db8::/32"))?;
    Ok(canonical(network))
}

/// IPv4 as IPv4, as sources are: written as IPv6 it would hold nobody.
fn canonical(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let v4 = v6.network().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    v4.and_then(|(address, bits)| Ipv4Net::new(address, bits).ok()).map_or(network, IpNet::V4)
}

/// `server.allow_networks` and `server.trusted_proxies`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    /// None at all: everybody.
    pub allowed: Vec<IpNet>,
    pub proxies: Vec<IpNet>,
}

impl Networks {
    fn allows(&self, source: Source) -> bool {
        self.allowed.is_empty() || holds(&self.allowed, source.address())
    }

    fn trusts(&self, peer: Source) -> bool {
        holds(&self.proxies, peer.address())
    }

    /// From whom a request comes. Each proxy adds at the end whom it has heard, so the end is believed for as long as
    /// those who wrote it are: the first one from there who is no proxy is meant, whatever they have written themselves.
    fn source(&self, peer: Source, headers: &HeaderMap) -> Source {
        let mut source = peer;
        let values = headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes);
        let parts: Vec<_> = values.flat_map(|value| value.split(|byte| *byte == b',')).collect();
        let said = parts.into_iter().rev().map(<[u8]>::trim_ascii).filter(|part| !part.is_empty());
        for part in said {
            if !self.trusts(source) {
                break;
            }
            // What is no address was written by nobody who is trusted, or means nobody.
            let Some(address) = address(part) else { break };
            source = Source::of(address);
        }
        source
    }
}

fn holds(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// An address as proxies write it: alone, with a port, in brackets.
fn address(part: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(part).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().ok().or_else(|| text.parse().ok().map(|address: SocketAddr| address.ip()))
}

/// What becomes of a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It is one of those that this source may have.
    Counted(IpAddr),
    /// Over it come the requests of others.
    OfProxy,
    Refused,
}

/// The border: the networks, which may become others while people come.
#[derive(Debug, Default)]
pub struct Border {
    networks: ArcSwap<Networks>,
    turned_away: Mutex<Failures>,
}

impl Border {
    /// The settings that are others than before.
    pub fn put(&self, networks: Networks) -> Vec<&'static str> {
        let before = self.networks.swap(Arc::new(networks));
        let now = self.networks.load();
        let changed = [
            ("server.allow_networks", before.allowed != now.allowed),
            ("server.trusted_proxies", before.proxies != now.proxies),
        ];
        changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key).collect()
    }

    /// Whoever is no proxy speaks for nobody else, and need not be heard.
    pub(super) fn admit(&self, peer: Source) -> Admission {
        let networks = self.networks.load();
        if networks.trusts(peer) {
            Admission::OfProxy
        } else if networks.allows(peer) {
            Admission::Counted(peer.network())
        } else {
            self.tell(peer, "closed");
            Admission::Refused
        }
    }

    /// From whom a request comes, and whether they may come. Who has come in before may not be let in any more.
    pub(super) fn source(&self, peer: Source, headers: &HeaderMap) -> (Source, bool) {
        let networks = self.networks.load();
        let source = networks.source(peer, headers);
        let may_come = networks.allows(source);
        if !may_come {
            self.tell(source, "answered 403");
        }
        (source, may_come)
    }

    /// Once a minute of each source: it goes on asking.
    fn tell(&self, source: Source, what: &str) {
        let mut turned_away = self.turned_away.lock().unwrap_or_else(PoisonError::into_inner);
        if turned_away.note(source, 1, Instant::now()) == Verdict::Tolerated {
            warn!(
                %source,
                "somebody is not let in, and {what}: their network is not in server.allow_networks; further ones from \
                 there are not logged for a minute"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(allowed: &[&str], proxies: &[&str]) -> Networks {
        let read = |texts: &[&str]| texts.iter().map(|text| parse(text).unwrap()).collect();
        Networks { allowed: read(allowed), proxies: read(proxies) }
    }

    fn of(text: &str) -> Source {
        Source::of(text.parse().unwrap())
    }

    #[test]
    fn networks_are_read_as_people_write_them() {
        for (text, inside, outside) in [
            ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
            ("192.0.2.77/24", "192.0.2.1", "192.0.3.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "127.0.0.1"),
            ("::ffff:10.0.0.0/104", "10.255.0.1", "11.0.0.1"),
            ("::ffff:10.0.0.1", "10.0.0.1", "10.0.0.2"),
            ("10.0.0.0/8", "::ffff:10.0.0.1", "::ffff:11.0.0.1"),
        ] {
            let networks = networks(&[text], &[]);
            assert!(networks.allows(of(inside)) && !networks.allows(of(outside)), "{text}");
        }
        for text in
            ["", "10.0.0.0/33", "10.0.0", "example.com", "10.0.0.0/", "10.0.0.1:80", "fe80::1%eth0", "/8"]
        {
            assert!(parse(text).unwrap_err().contains(text), "{text}");
        }
        assert!(networks(&[], &[]).allows(of("192.0.2.1")));
    }

    /// The peer, the headers, and who is meant; `10.0.0.0/8` and `fd00::/8` are proxies.
    #[test]
    fn the_rightmost_who_is_no_proxy_is_meant() {
        let known = networks(&[], &["10.0.0.0/8", "fd00::/8"]);
        for (peer, headers, meant) in [
            ("10.0.0.1", &[][..], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.7"], "203.0.113.7"),
            ("::ffff:10.0.0.1", &["203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1", &["203.0.113.7:443"], "203.0.113.7"),
            ("fd00::1", &["[2001:db8::7]:443"], "2001:db8::7"),
            ("fd00::1", &["[2001:db8::7]"], "2001:db8::7"),
            ("fd00::1", &["2001:db8::7"], "2001:db8::7"),
            ("fd00::1", &["::ffff:203.0.113.7"], "203.0.113.7"),
            // What stands before was written by whoever came.
            ("10.0.0.1", &["192.0.2.1, 203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1", &["10.0.0.9, 203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1", &["192.0.2.1", "203.0.113.7"], "203.0.113.7"),
            // Proxies behind each other, in one header or in several.
            ("10.0.0.1", &["192.0.2.1, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
            ("10.0.0.1", &["192.0.2.1", " 203.0.113.7 ,10.0.0.2:8080 "], "203.0.113.7"),
            ("10.0.0.1", &["192.0.2.1, 203.0.113.7", "10.0.0.2"], "203.0.113.7"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            // Nobody is invented where nobody is named.
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.7, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["192.0.2.1, _hidden, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["192.0.2.1;10.0.0.2"], "10.0.0.1"),
            ("10.0.0.1", &["\"192.0.2.1\""], "10.0.0.1"),
            ("10.0.0.1", &["203.0.113.7, ,"], "203.0.113.7"),
            ("10.0.0.1", &["", ","], "10.0.0.1"),
            ("10.0.0.1", &["\u{fc}, 203.0.113.7"], "203.0.113.7"),
            ("10.0.0.1", &["203.0.113.7, \u{fc}"], "10.0.0.1"),
            // Who is no proxy says nothing about anybody.
            ("203.0.113.9", &["192.0.2.1"], "203.0.113.9"),
            ("203.0.113.9", &["192.0.2.1, 10.0.0.2"], "203.0.113.9"),
        ] {
            let value = |text: &&str| (FORWARDED_FOR, HeaderValue::from_bytes(text.as_bytes()).unwrap());
            let headers: HeaderMap = headers.iter().map(value).collect();
            assert_eq!(known.source(of(peer), &headers), of(meant), "{peer} {headers:?}");
        }
    }

    #[test]
    fn proxies_are_heard_and_others_judged_as_they_come() {
        let border = Border::default();
        let (proxy, stranger) = (of("10.0.0.1"), of("192.0.2.1"));
        assert_eq!(border.admit(proxy), Admission::Counted(proxy.network()));
        let known = networks(&["203.0.113.0/24"], &["10.0.0.0/8"]);
        assert_eq!(border.put(known.clone()), ["server.allow_networks", "server.trusted_proxies"]);
        assert_eq!(border.put(known), Vec::<&str>::new());
        assert_eq!(border.admit(proxy), Admission::OfProxy);
        assert_eq!(border.admit(stranger), Admission::Refused);
        assert_eq!(border.admit(of("203.0.113.7")), Admission::Counted(of("203.0.113.7").network()));
        // The proxy speaks for itself when it names nobody, and is not let in by being one.
        assert_eq!(border.source(proxy, &HeaderMap::new()), (proxy, false));
        assert_eq!(border.put(networks(&["203.0.113.0/24"], &[])), ["server.trusted_proxies"]);
        assert_eq!(border.admit(proxy), Admission::Refused);
    }
}
