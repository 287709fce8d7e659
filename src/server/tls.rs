//! TLS of the bridge's own: the certificate in force, and agreeing with whoever connects, in time.
//!
//! TLS 1.2 and 1.3 with forward secrecy and authenticated encryption, which is all that this library speaks. It offers
//! HTTP/1.1 and nothing else, as the parser behind it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, SignatureAlgorithm};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tracing::{debug, warn};

use crate::bridge::health::Component;
use crate::server::certificate::Certificate;
use crate::server::connection::{LINGER, read_to_end};
use crate::server::seats::{Phase, Seat};
use crate::server::source::Source;

/// Whoever speaks plain HTTP here would otherwise see bytes that they cannot read.
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 56\r\n\
    connection: close\r\n\r\nThis is HTTPS: begin the address with https:// instead.\n";

const SWAPPED: &str = "are server.tls.certificate_file and server.tls.private_key_file swapped?";

/// Which of the two files something is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Certificate,
    Key,
}

/// Why a pair of files cannot be used, and the remedy.
#[derive(Clone, Debug)]
pub struct Unusable {
    pub part: Part,
    pub message: String,
    pub hint: &'static str,
}

/// A certificate with its chain and its key, ready to be shown.
#[derive(Debug)]
pub struct Identity {
    config: Arc<ServerConfig>,
    chain: Vec<CertificateDer<'static>>,
    pub certificate: Arc<Certificate>,
}

impl Identity {
    /// From the texts of the two files.
    pub fn from_pem(certificates: &str, key: &str) -> Result<Self, Unusable> {
        let of = |part, hint| move |message| Unusable { part, message, hint };
        if PrivateKeyDer::from_pem_slice(certificates.as_bytes()).is_ok()
            && CertificateDer::from_pem_slice(certificates.as_bytes()).is_err()
        {
            return Err(of(Part::Certificate, SWAPPED)(
                "it holds a private key and no certificate".to_owned(),
            ));
        }
        let chain = chain(certificates).map_err(of(Part::Certificate, CHAIN))?;
        let first = chain.first().ok_or("there is no certificate in it".to_owned());
        let certificate =
            first.and_then(Certificate::read).map_err(of(Part::Certificate, "is it damaged, or cut off?"))?;
        let key = private_key(key)?;
        let provider = Arc::new(default_provider());
        let signer = provider.key_provider.load_private_key(key).map_err(|error| error.to_string());
        let signer = signer.map_err(of(Part::Key, KEYS))?;
        if signer.algorithm() == SignatureAlgorithm::ED25519 {
            return Err(of(Part::Key, KEYS)("it is an Ed25519 key, which Entra does not speak".to_owned()));
        }
        let certified = CertifiedKey::new(chain.clone(), signer);
        certified.keys_match().map_err(|error| match error {
            rustls::Error::InvalidCertificate(error) => {
                of(Part::Certificate, "is it damaged, or cut off?")(format!("{error:?}"))
            }
            _ => of(Part::Key, PAIR)("it is not the key of the first certificate".to_owned()),
        })?;
        let config = ServerConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13, &TLS12]);
        let config = config.map_err(|error| of(Part::Key, KEYS)(error.to_string()))?;
        let mut config =
            config.with_no_client_auth().with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config), chain, certificate: Arc::new(certificate) })
    }

    /// How many certificates are shown.
    pub fn chain_length(&self) -> usize {
        self.chain.len()
    }
}

const CHAIN: &str =
    "it must hold certificates in PEM, the bridge's own first, then those up to the authority";
const KEYS: &str = "an RSA key of 2048 bits or more, or an EC key on P-256 or P-384, in PEM";
const PAIR: &str = "name the key that the certificate was asked for with, and the file whose first certificate is the \
                    bridge's own";

fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("it is no PEM that can be read: {error}"))
}

fn private_key(pem: &str) -> Result<PrivateKeyDer<'static>, Unusable> {
    let of = |message: &str, hint| Unusable { part: Part::Key, message: message.to_owned(), hint };
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_error| {
        if CertificateDer::from_pem_slice(pem.as_bytes()).is_ok() {
            of("it holds a certificate and no private key", SWAPPED)
        } else if pem.contains("ENCRYPTED") {
            let hint = "a service cannot be asked for it: write the key without, with `openssl pkey -in KEY -out NEW`";
            of("it is protected by a passphrase", hint)
        } else {
            of("there is no private key in PEM in it", KEYS)
        }
    })
}

/// What connections are begun with, which may become another while they arrive.
#[derive(Debug)]
pub struct Tls {
    identity: ArcSwap<Identity>,
    handshake_timeout: Duration,
    /// Why newer files were not taken over.
    refusal: Mutex<Option<String>>,
    pub(super) failed: AtomicU64,
    /// When the log last heard of somebody with whom TLS was not agreed upon.
    told: Mutex<Option<Instant>>,
}

/// So often that is told: whoever does not trust the certificate goes on trying.
const MINUTE: Duration = Duration::from_secs(60);

impl Tls {
    pub fn new(identity: Identity, handshake_timeout: Duration) -> Self {
        let identity = ArcSwap::from_pointee(identity);
        Self {
            identity,
            handshake_timeout,
            refusal: Mutex::default(),
            failed: AtomicU64::new(0),
            told: Mutex::default(),
        }
    }

    pub fn identity(&self) -> Arc<Identity> {
        self.identity.load_full()
    }

    /// Connections that begin from now on see this one. Whether it is another one than before.
    pub fn put(&self, identity: Arc<Identity>) -> bool {
        *self.lock() = None;
        let is_new = self.identity.load().chain != identity.chain;
        self.identity.store(identity);
        is_new
    }

    /// The files hold something else that cannot be used.
    pub fn refuse(&self, reason: String) {
        *self.lock() = Some(reason);
    }

    /// The part of readiness.
    pub(super) fn health(&self, now: jiff::Timestamp) -> Component {
        self.identity.load().certificate.health(self.lock().clone(), now)
    }

    /// The connection once both sides have agreed; none when they have not, or not in time, when somebody else needs the
    /// place, or a moment after `stop` has changed.
    pub(super) async fn agree(
        &self,
        stream: TcpStream,
        seat: &Seat,
        stop: watch::Receiver<()>,
    ) -> Option<TlsStream<TcpStream>> {
        seat.enter(Phase::Handshake);
        let acceptor = TlsAcceptor::from(Arc::clone(&self.identity.load().config));
        let peer = stream.peer_addr().ok().map(Source::of_peer);
        let mut has_spoken = false;
        let agreed = tokio::select! {
            agreed = timeout(self.handshake_timeout, accept(acceptor, stream, &mut has_spoken)) => agreed,
            () = seat.has_to_go() => return None,
            () = told_to_end(stop) => return None,
        };
        match agreed.map_err(io::Error::from).flatten() {
            Ok(agreed) => agreed,
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                // What only knocks, as a load balancer does to see whether somebody is there, wants no TLS.
                if has_spoken {
                    self.tell(peer, &error);
                } else {
                    debug!(%error, "TLS was not agreed upon");
                }
                None
            }
        }
    }

    fn tell(&self, source: Option<Source>, error: &io::Error) {
        let source = source.map(tracing::field::display);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|last| last.elapsed() < MINUTE) {
            debug!(source, reason = %error, "TLS was not agreed upon");
            return;
        }
        *told = Some(Instant::now());
        warn!(
            source, reason = %error,
            hint = "Entra wants a certificate of a public authority, for the name in server.public_url and with its whole \
                    chain: `ziflow-scim-bridge doctor` looks at it",
            "TLS was not agreed upon; further ones are not logged for a minute (failed_tls_handshakes_total counts them)"
        );
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.refusal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever has begun when the process stops has a request on its way.
async fn told_to_end(mut stop: watch::Receiver<()>) {
    // An error means that nobody is left who could tell, which is an end as well.
    drop(stop.changed().await);
    sleep(LINGER).await;
}

/// Nothing comes of a client that speaks plain HTTP, which is told so.
async fn accept(
    acceptor: TlsAcceptor,
    mut stream: TcpStream,
    has_spoken: &mut bool,
) -> io::Result<Option<TlsStream<TcpStream>>> {
    let mut first = [0];
    *has_spoken = stream.peek(&mut first).await? > 0;
    // What TLS begins with is no letter, and a method of HTTP is nothing else.
    if !first.iter().all(u8::is_ascii_uppercase) {
        return acceptor.accept(stream).await.map(Some);
    }
    debug!("plain HTTP where HTTPS is spoken");
    stream.write_all(PLAIN).await?;
    stream.shutdown().await?;
    read_to_end(&mut stream).await;
    Ok(None)
}
