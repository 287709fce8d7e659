//! Where connections come from: an address that this process listens on, or a socket that systemd has made before it.

use std::net::SocketAddr;

/// What is wrong with an address, and the remedy.
pub type Unfit = (String, &'static str);

/// `server.listen` and `admin.listen`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listen {
    Address(SocketAddr),
    /// A socket unit made the socket and keeps it: connections wait there while the service restarts.
    Systemd,
}

impl Listen {
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "systemd" {
            return Ok(Self::Systemd);
        }
        let address = text.parse().map_err(|_error| {
            format!("`{text}` is no address with a port, such as 127.0.0.1:8080, and not `systemd`")
        })?;
        Ok(Self::Address(address))
    }

    /// None where systemd decides.
    pub fn address(self) -> Option<SocketAddr> {
        match self {
            Self::Address(address) => Some(address),
            Self::Systemd => None,
        }
    }
}
