//! Where the service listens: at addresses of its own, or at sockets that systemd has made and passed to it.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use listenfd::ListenFd;
use tokio::net::TcpListener;

use crate::cli::environment;
use crate::server::listen::Listen;

/// The socket with this name (`FileDescriptorName=`) is for those who watch, any other for Entra.
const ADMIN: &str = "admin";

/// Who is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Entra,
    Admin,
}

impl Side {
    fn key(self) -> &'static str {
        match self {
            Self::Entra => "server.listen",
            Self::Admin => "admin.listen",
        }
    }
}

/// The sockets that systemd has passed and nobody has taken yet.
pub(super) struct Sockets {
    passed: ListenFd,
    /// What each of them is for.
    sides: Vec<Option<Side>>,
}

impl Sockets {
    /// Takes systemd's variables out of the environment, so it comes before the first thread.
    pub(super) fn passed() -> Self {
        let names = environment().find(|(name, _)| name == "LISTEN_FDNAMES").map(|(_, names)| names);
        let names: Vec<_> = names.iter().flat_map(|names| names.split(':')).collect();
        let passed = ListenFd::from_env();
        let is_admin = |at: usize| names.get(at).is_some_and(|name| *name == ADMIN);
        let sides = (0..passed.len()).map(|at| Some(if is_admin(at) { Side::Admin } else { Side::Entra }));
        Self { sides: sides.collect(), passed }
    }

    /// What this side listens at.
    pub(super) async fn listener(&mut self, side: Side, listen: Listen) -> Result<TcpListener, String> {
        match listen {
            Listen::Address(address) => bind(address, side.key()).await.map_err(|reason| {
                let passed = self.sides.contains(&Some(side));
                let hint =
                    "; systemd has passed a socket for it, which `systemd` in place of the address takes";
                if passed { reason + hint } else { reason }
            }),
            Listen::Systemd => self.take(side).map_err(|reason| format!("{}: {reason}", side.key())),
        }
    }

    fn take(&mut self, side: Side) -> Result<TcpListener, String> {
        let of_side = self.sides.iter().enumerate().filter(|(_, one)| **one == Some(side));
        let places: Vec<_> = of_side.map(|(at, _)| at).collect();
        let &[at] = places.as_slice() else { return Err(wanted(side, places.len())) };
        let unusable = |error| format!("the socket that systemd has passed cannot be used: {error}");
        let listener = self.passed.take_tcp_listener(at).map_err(unusable)?;
        let listener = listener.ok_or_else(|| wanted(side, 0))?;
        if let Some(place) = self.sides.get_mut(at) {
            *place = None;
        }
        listener.set_nonblocking(true).map_err(unusable)?;
        TcpListener::from_std(listener).map_err(unusable)
    }

    /// A setting that would have taken a socket that was passed: whoever connects to it waits for nobody.
    pub(super) fn left(&self) -> Option<&'static str> {
        self.sides.iter().flatten().next().map(|side| side.key())
    }
}

pub(super) async fn bind(address: SocketAddr, key: &str) -> Result<TcpListener, String> {
    let port = address.port();
    let remedy = |kind| {
        match kind {
        ErrorKind::AddrInUse => {
            format!("; another process has the port, and `sudo ss -ltnp 'sport = :{port}'` shows which")
        }
        ErrorKind::AddrNotAvailable => "; no network interface of this machine has this address".to_owned(),
        ErrorKind::PermissionDenied if port < 1024 => {
            "; ports below 1024 need a right of their own: let systemd make the socket (`systemd` in place of the address)"
                .to_owned()
        }
        _ => String::new(),
    }
    };
    let told =
        |error: io::Error| format!("{key}: cannot listen on {address}: {error}{}", remedy(error.kind()));
    TcpListener::bind(address).await.map_err(told)
}

fn wanted(side: Side, found: usize) -> String {
    match (found, side) {
        (0, Side::Entra) => {
            "systemd has passed no socket; `systemctl enable --now ziflow-scim-bridge.socket` makes \
                             it, or give an address"
                .to_owned()
        }
        (0, Side::Admin) => format!(
            "systemd has passed no socket with FileDescriptorName={ADMIN}; make a socket unit for it, or give an address"
        ),
        _ => format!("systemd has passed {found} sockets, and there can be one: keep one ListenStream="),
    }
}
