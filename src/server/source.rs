//! Where a request comes from: the address of whoever has opened the connection, or of whom a trusted proxy speaks for.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// An address, IPv4 as IPv4 however it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source(IpAddr);

/// The bits of an IPv6 address that name a network and no machine in it.
const NETWORK: u128 = u128::MAX << 64;

impl Source {
    /// The other end of an accepted connection.
    pub fn of_peer(peer: SocketAddr) -> Self {
        Self::of(peer.ip())
    }

    pub(super) fn of(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    pub(super) fn address(self) -> IpAddr {
        self.0
    }

    /// What counts as one: whoever has one IPv6 address has all of its network.
    pub(super) fn network(self) -> IpAddr {
        match self.0 {
            IpAddr::V4(_) => self.0,
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_is_one_source() {
        for (peer, shown, network) in [
            ("192.0.2.7:1", "192.0.2.7", "192.0.2.7"),
            ("[::ffff:192.0.2.7]:2", "192.0.2.7", "192.0.2.7"),
            ("[2001:db8:1:2:3:4:5:6]:3", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("[2001:db8:1:2::9]:4", "2001:db8:1:2::9", "2001:db8:1:2::"),
            ("[::1]:5", "::1", "::"),
        ] {
            let source = Source::of_peer(peer.parse().unwrap());
            assert_eq!(
                (source.to_string(), source.network().to_string()),
                (shown.to_owned(), network.to_owned())
            );
        }
    }
}
