//! What may stand between the bridge and those whom it asks: authorities of a company's own, TLS and proxies.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// An authority of a company's own.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for this name, good until the end of that year.
    pub fn sign(&self, name: &str, until: i32) -> ServerConfig {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 12, 31);
        let key = KeyPair::generate().unwrap();
        let certificate: CertificateDer<'static> =
            params.signed_by(&key, &self.issuer).unwrap().der().clone();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        builder.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap()
    }
}

/// A listener of its own, and each connection in the hands of `serve`.
pub async fn listen<F>(serve: impl Fn(TcpStream) -> F + Send + Sync + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    address
}

/// TLS with this certificate before what listens there; the address of it.
pub async fn with_tls(behind: SocketAddr, config: ServerConfig) -> SocketAddr {
    let acceptor = TlsAcceptor::from(Arc::new(config));
    listen(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut stream) = acceptor.accept(stream).await else { return };
            let mut there = TcpStream::connect(behind).await.unwrap();
            drop(copy_bidirectional(&mut stream, &mut there).await);
        }
    })
    .await
}

/// A proxy that makes tunnels for those who say this, and remembers what it was told.
pub async fn proxy(demands: Option<&'static str>) -> (SocketAddr, Arc<Mutex<Vec<u8>>>) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&heard);
    let address = listen(move |mut stream| {
        let noted = Arc::clone(&noted);
        async move {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { return };
                head.push(byte);
            }
            let head = String::from_utf8(head).unwrap();
            noted.lock().unwrap().extend_from_slice(head.as_bytes());
            let target =
                head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).map(str::to_owned);
            let allowed =
                demands.is_none_or(|word| head.to_ascii_lowercase().contains(&word.to_ascii_lowercase()));
            let Some(target) = target.filter(|_| allowed) else {
                let refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n";
                return drop(stream.write_all(refusal).await);
            };
            let mut ziflow = TcpStream::connect(target).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
            // What goes through is noted as well, as a proxy could.
            let (mut from, mut to) = stream.split();
            let (mut back, mut forth) = ziflow.split();
            let there = async {
                let mut bytes = [0; 4096];
                while let Ok(read @ 1..) = from.read(&mut bytes).await {
                    noted.lock().unwrap().extend_from_slice(&bytes[..read]);
                    if forth.write_all(&bytes[..read]).await.is_err() {
                        break;
                    }
                }
            };
            tokio::select! {
                () = there => {}
                _ = tokio::io::copy(&mut back, &mut to) => {}
            }
        }
    });
    (address.await, heard)
}

/// `user:s3cret-word`, as `Proxy-Authorization` carries it.
pub const CREDENTIALS: &str = "Basic dXNlcjpzM2NyZXQtd29yZA==";
