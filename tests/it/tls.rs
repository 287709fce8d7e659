//! TLS of the bridge's own: who is spoken with and who is not, certificates that change under it, and slow clients.

use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SignatureAlgorithm};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use ziflow_scim_bridge::simulator::{OWNER_EMAIL, Simulator};

use crate::harness::{Bridge, Folder, TOKEN, command, person, ziflow};

/// How long anything that must happen may take before the test fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A public authority as Entra knows them: a root, and an intermediate one that signs.
struct Authority {
    root: String,
    intermediate: String,
    issuer: Issuer<'static, KeyPair>,
}

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let ca = |name: &str| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        (params, KeyPair::generate().unwrap())
    };
    let ((root_params, root_key), (params, key)) = (ca("Root"), ca("Intermediate"));
    let root = root_params.self_signed(&root_key).unwrap().pem();
    let intermediate = params.signed_by(&key, &Issuer::new(root_params, root_key)).unwrap().pem();
    Authority { root, intermediate, issuer: Issuer::new(params, key) }
});

/// A certificate with its chain, and its key.
#[derive(Clone)]
struct Pair {
    chain: String,
    key: String,
}

impl Pair {
    fn new(kind: &'static SignatureAlgorithm) -> Self {
        Self::with(kind, -1, 365, &["scim.example.com", "127.0.0.1"])
    }

    /// From and until so many days from now.
    fn with(kind: &'static SignatureAlgorithm, from: i64, until: i64, names: &[&str]) -> Self {
        let key = KeyPair::generate_for(kind).unwrap();
        let params = params(from, until, names);
        let certificate = params.signed_by(&key, &AUTHORITY.issuer).unwrap();
        Self { chain: certificate.pem() + &AUTHORITY.intermediate, key: key.serialize_pem() }
    }

    fn first(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).unwrap()
    }
}

fn params(from: i64, until: i64, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    let time = |day: Date| {
        rcgen::date_time_ymd(
            day.year().into(),
            day.month().try_into().unwrap(),
            day.day().try_into().unwrap(),
        )
    };
    (params.not_before, params.not_after) = (time(day(from)), time(day(until)));
    params
}

/// So many days from today, in UTC.
fn day(from_now: i64) -> Date {
    TimeZone::UTC.to_datetime(Timestamp::now() + SignedDuration::from_hours(24 * from_now)).date()
}

/// A settings file whose certificate changes, and the Ziflow behind.
struct Place {
    folder: Folder,
    ziflow: Simulator,
}

impl Place {
    async fn new(pair: &Pair, server: &str) -> Self {
        let place = Self { folder: Folder::new(), ziflow: ziflow(&[]).await };
        place.folder.file("mapping.yaml", include_str!("../../config/mapping.yaml"));
        place.folder.file("key", place.ziflow.key());
        place.put(pair);
        place.server(server);
        place
    }

    fn server(&self, server: &str) -> PathBuf {
        let base_url = self.ziflow.base_url();
        let text = format!(
            "server:\n  tls: {{ certificate_file: chain.pem, private_key_file: key.pem, handshake_timeout_secs: 2 }}\n  \
             {server}\nadmin: {{ listen: 127.0.0.1:0 }}\nauth: {{ tokens: [{{ name: entra, token: {TOKEN} }}] }}\n\
             ziflow: {{ base_url: '{base_url}', api_key_file: key, key_user_email: {OWNER_EMAIL} }}\n\
             store: {{ url: 'memory:' }}\n"
        );
        self.folder.file("bridge.yaml", &text)
    }

    fn put(&self, pair: &Pair) {
        self.folder.file("chain.pem", &pair.chain);
        self.folder.file("key.pem", &pair.key);
    }

    async fn bridge(&self) -> Bridge {
        Bridge::trusted(&self.folder.path().join("bridge.yaml"), &AUTHORITY.root).await
    }

    /// The problems that `check` tells, and its exit code.
    fn check(&self) -> (String, Option<i32>) {
        let file = self.folder.path().join("bridge.yaml").display().to_string();
        let output = command(&["check", "--config", &file], &[]).output().unwrap();
        (String::from_utf8(output.stdout).unwrap(), output.status.code())
    }
}

const LISTEN: &str = "listen: 127.0.0.1:0";

/// A client that trusts the authority, with these versions and these protocols.
fn client(versions: &[&'static SupportedProtocolVersion], alpn: &[&str]) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(AUTHORITY.root.as_bytes()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(config))
}

fn address(bridge: &Bridge) -> &str {
    bridge.url.strip_prefix("https://").unwrap().split('/').next().unwrap()
}

async fn plain(bridge: &Bridge) -> TcpStream {
    TcpStream::connect(address(bridge)).await.unwrap()
}

/// A connection under the bridge's name.
async fn connect(bridge: &Bridge, client: TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from("scim.example.com").unwrap();
    client.connect(name, plain(bridge).await).await
}

/// The certificate that newcomers are shown.
async fn shown(bridge: &Bridge) -> CertificateDer<'static> {
    let stream = connect(bridge, client(&[&TLS13], &[])).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].clone()
}

/// The status of an answer over this connection.
async fn ask(stream: &mut TlsStream<TcpStream>) -> u16 {
    let request = format!(
        "GET /scim/v2/ServiceProviderConfig HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !(answer.contains("\r\n\r\n") && answer.ends_with('}')) {
        let mut part = [0; 4096];
        let read = timeout(PATIENCE, stream.read(&mut part)).await.unwrap().unwrap();
        assert!(read > 0, "closed after {answer}");
        answer.push_str(std::str::from_utf8(&part[..read]).unwrap());
    }
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Everything until the bridge closes the connection.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    let read = read.unwrap_or_else(|_| panic!("the connection stays open"));
    assert!(read.is_ok() || read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    rest
}

/// What an old client says first: this version at the most, and these suites (RFC 5246 section 7.4.1.2).
fn hello(version: [u8; 2], suites: &[u16]) -> Vec<u8> {
    let with_length = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    let extension = |number: u16, list: &[u8]| [&number.to_be_bytes()[..], &with_length(list)].concat();
    let groups = extension(10, &[0, 4, 0, 23, 0, 24]);
    let signatures = extension(13, &[0, 6, 4, 1, 4, 3, 8, 4]);
    let suites: Vec<u8> = suites.iter().flat_map(|suite| suite.to_be_bytes()).collect();
    let body = [
        &version[..],
        &[7; 32],
        &[0],
        &with_length(&suites),
        &[1, 0],
        &with_length(&[groups, signatures].concat()),
    ]
    .concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let handshake = [&[1][..], &length[1..], &body].concat();
    [&[22, 3, 1][..], &with_length(&handshake)].concat()
}

/// The alert with which the bridge refuses.
async fn refused(bridge: &Bridge, hello: &[u8]) -> u8 {
    let mut stream = plain(bridge).await;
    stream.write_all(hello).await.unwrap();
    let said = rest(&mut stream).await;
    assert!(said.len() == 7 && said[0] == 21 && said[5] == 2, "no fatal alert: {said:?}");
    said[6]
}

#[tokio::test(flavor = "multi_thread")]
async fn new_and_fairly_old_clients_are_spoken_with_and_older_ones_are_refused() {
    for kind in [&rcgen::PKCS_RSA_SHA256, &rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
        let place = Place::new(&Pair::new(kind), LISTEN).await;
        let bridge = place.bridge().await;
        for (version, number) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
            for (offered, agreed) in [(&[][..], None), (&["h2", "http/1.1"], Some(&b"http/1.1"[..]))] {
                let mut stream = connect(&bridge, client(&[version], offered)).await.unwrap();
                let (_, session) = stream.get_ref();
                assert_eq!((session.protocol_version(), session.alpn_protocol()), (Some(number), agreed));
                let suite = format!("{:?}", session.negotiated_cipher_suite().unwrap().suite());
                assert!(suite.contains("AES_256_GCM") || suite.contains("AES_128_GCM"), "{suite}");
                assert_eq!(ask(&mut stream).await, 200);
            }
            assert!(connect(&bridge, client(&[version], &["h2"])).await.is_err());
        }
        // TLS 1.1, and TLS 1.2 with nothing but CBC, with both kinds of keys.
        assert_eq!(refused(&bridge, &hello([3, 2], &[0xc013, 0xc009, 0xc02f, 0xc02b])).await, 70);
        assert_eq!(refused(&bridge, &hello([3, 3], &[0xc013, 0xc027, 0xc009, 0xc023, 0x009c])).await, 40);
        let id = bridge.create(person("jo@example.com")).await.expect(201);
        assert!(id.text("/meta/location").starts_with("https://127.0.0.1:"), "{id:?}");
        bridge.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_told_to_use_https() {
    let place = Place::new(&Pair::new(&rcgen::PKCS_ECDSA_P256_SHA256), LISTEN).await;
    let bridge = place.bridge().await;
    let mut stream = plain(&bridge).await;
    let long = format!("GET /scim/v2/Users HTTP/1.1\r\nHost: b\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    stream.write_all(long.as_bytes()).await.unwrap();
    let said = String::from_utf8(rest(&mut stream).await).unwrap();
    assert!(said.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{said}");
    let (_, body) = said.split_once("\r\n\r\n").unwrap();
    assert!(
        said.contains(&format!("content-length: {}\r\n", body.len())) && body.contains("https://"),
        "{said}"
    );
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_taken_over_by_itself() {
    let kind = &rcgen::PKCS_ECDSA_P256_SHA256;
    let [first, second, third, fourth] = std::array::from_fn(|_| Pair::new(kind));
    let place = Place::new(&first, LISTEN).await;
    // As certbot does it: links to the files of each renewal.
    let swap = |name: &str, target: &str| {
        let (new, link) = (place.folder.path().join("new-link"), place.folder.path().join(name));
        symlink(target, &new).unwrap();
        std::fs::rename(new, link).unwrap();
    };
    let archive = |number: usize, pair: &Pair| {
        place.folder.file(&format!("chain{number}.pem"), &pair.chain);
        place.folder.file(&format!("key{number}.pem"), &pair.key);
    };
    archive(1, &first);
    archive(2, &second);
    swap("chain.pem", "chain1.pem");
    swap("key.pem", "key1.pem");
    let bridge = place.bridge().await;
    assert_eq!(shown(&bridge).await, first.first());
    let mut old = connect(&bridge, client(&[&TLS13], &[])).await.unwrap();
    swap("chain.pem", "chain2.pem");
    swap("key.pem", "key2.pem");
    bridge.line(IN_FORCE).await;
    assert_eq!(shown(&bridge).await, second.first());
    // Who was connected before goes on.
    assert_eq!(ask(&mut old).await, 200);

    // Half a pair is no pair, and does no harm.
    archive(3, &third);
    swap("chain.pem", "chain3.pem");
    let line =
        bridge.line("the certificate's files have changed and cannot be used; what was in force stays").await;
    assert_eq!(line["level"], "ERROR");
    assert_eq!(shown(&bridge).await, second.first());
    let part = part(&bridge, 200).await;
    assert_eq!(part["state"], "stale");
    assert!(
        part["detail"].as_str().unwrap().contains("it is not the key of the first certificate"),
        "{part}"
    );
    bridge.hang_up();
    bridge.line("the reload is refused, and everything stays as it was").await;
    assert_eq!(shown(&bridge).await, second.first());
    // Its other half mends both, what the watch and what the reload refused.
    swap("key.pem", "key3.pem");
    bridge.nth_line("reloaded", 1).await;
    assert_eq!(shown(&bridge).await, third.first());
    assert_eq!(self::part(&bridge, 200).await["state"], "ok");
    assert_eq!(bridge.admin("/readyz").await.body["parts"]["mapping"]["state"], "ok");

    place.put(&fourth);
    bridge.hang_up();
    let changed = bridge.nth_line("reloaded", 2).await;
    assert!(
        changed["changed"].as_str().unwrap().starts_with("certificate (scim.example.com, until "),
        "{changed}"
    );
    assert_eq!(shown(&bridge).await, fourth.first());
    bridge.stop().await;
}

const IN_FORCE: &str = "the certificate's files have changed, and are in force";

async fn part(bridge: &Bridge, status: u16) -> Value {
    bridge.admin("/readyz").await.expect(status).body["parts"]["certificate"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_certificate_is_announced() {
    let kind = &rcgen::PKCS_ECDSA_P256_SHA256;
    let names = &["scim.example.com", "127.0.0.1"];
    let place = Place::new(&Pair::with(kind, -60, 20, names), LISTEN).await;
    let bridge = place.bridge().await;
    let soon = part(&bridge, 200).await;
    assert_eq!(soon["state"], "stale");
    assert!(soon["detail"].as_str().unwrap().starts_with("the certificate expires at "), "{soon}");
    let end = TimeZone::UTC.to_timestamp(day(20).at(0, 0, 0, 0)).unwrap().as_second();
    assert_eq!(
        bridge.metric("ziflow_scim_bridge_certificate_expiry_timestamp_seconds").await,
        end.to_string()
    );
    place.put(&Pair::with(kind, -60, -1, names));
    bridge.line(IN_FORCE).await;
    let over = part(&bridge, 503).await;
    assert_eq!(over["state"], "failing");
    assert!(over["detail"].as_str().unwrap().contains("Entra does not connect any more"), "{over}");
    let log = bridge.stop().await;
    let warned = |line: &&Value| {
        line["message"].as_str().is_some_and(|text| text.starts_with("the certificate expire"))
    };
    assert_eq!(log.iter().filter(warned).count(), 2, "{log:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_what_entra_would_not_accept() {
    let kind = &rcgen::PKCS_ECDSA_P256_SHA256;
    let names = &["scim.example.com"];
    let good = Pair::with(kind, -1, 365, names);
    let listen = "{ listen: 0.0.0.0:8443, public_url: 'https://scim.example.com' }";
    let listen = listen.trim_matches(['{', '}', ' ']).replace(", ", "\n  ");
    let place = Place::new(&good, &listen).await;
    // Fit for the network, without a proxy.
    let (told, code) = place.check();
    assert_eq!(code, Some(0), "{told}");
    assert!(!told.contains("warning"), "{told}");

    let only = |pem: &str| pem.split_inclusive("-----END CERTIFICATE-----\n").next().unwrap().to_owned();
    let self_signed_key = KeyPair::generate().unwrap();
    let self_signed = params(-1, 365, names).self_signed(&self_signed_key).unwrap().pem();
    let ed25519 = Pair::with(&rcgen::PKCS_ED25519, -1, 365, names);
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let with = |chain: &str, key: &str| Pair { chain: chain.to_owned(), key: key.to_owned() };
    for (pair, code, told) in [
        (Pair::with(kind, -60, 10, names), 0, "warning: the certificate expires at "),
        (Pair::with(kind, -60, -1, names), 0, "warning: the certificate expired at "),
        (Pair::with(kind, 2, 60, names), 0, "warning: the certificate is not valid before "),
        (
            Pair::with(kind, -1, 365, &["other.example.com"]),
            0,
            "the certificate is not for `scim.example.com`",
        ),
        (Pair::with(kind, -1, 365, &["*.example.com"]), 0, ""),
        (with(&only(&good.chain), &good.key), 0, "no intermediate one"),
        (with(&self_signed, &self_signed_key.serialize_pem()), 0, "self-signed"),
        (
            with(&good.chain, &self_signed_key.serialize_pem()),
            78,
            "it is not the key of the first certificate",
        ),
        (with(&good.chain, encrypted), 78, "it is protected by a passphrase"),
        (with(&good.chain, &good.chain), 78, "it holds a certificate and no private key"),
        (with(&good.key, &good.key), 78, "it holds a private key and no certificate"),
        (with("-----BEGIN CERTIFICATE-----\nMIIB\n", &good.key), 78, "it is no PEM that can be read"),
        (
            with("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", &good.key),
            78,
            "is it damaged, or cut off?",
        ),
        (ed25519, 78, "Ed25519"),
        (with("", &good.key), 78, "there is no certificate in it"),
    ] {
        place.put(&pair);
        let (found, exit) = place.check();
        assert_eq!(exit, Some(code), "{told}: {found}");
        assert!(
            found.contains(told) && (code == 0 || found.contains("server.tls.")),
            "`{told}` not in: {found}"
        );
        assert_eq!(found.contains("warning") || found.contains("error"), !told.is_empty(), "{found}");
    }
    place.put(&good);
    for (mode, code, told) in
        [(0o604, 0, "everybody on this machine can read the private key"), (0o602, 78, "can change `")]
    {
        place.folder.file_with_mode("key.pem", &good.key, mode);
        let (found, exit) = place.check();
        assert_eq!(exit, Some(code), "{found}");
        assert!(found.contains(told), "{found}");
    }
    std::fs::remove_file(place.folder.path().join("key.pem")).unwrap();
    let (found, exit) = place.check();
    assert_eq!(exit, Some(78), "{found}");
    assert!(found.contains("the file cannot be read"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_explained_without_the_certificate() {
    let place = Place::new(&Pair::new(&rcgen::PKCS_ECDSA_P256_SHA256), "listen: 0.0.0.0:8443").await;
    std::fs::remove_file(place.folder.path().join("key.pem")).unwrap();
    let jo = place.folder.file("jo.json", &person("jo@example.com").to_string());
    let file = place.folder.path().join("bridge.yaml");
    let arguments = ["explain", "--config", file.to_str().unwrap(), jo.to_str().unwrap()];
    let output = command(&arguments, &[]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn one_file_without_the_other_is_a_mistake() {
    let variables = [
        ("BRIDGE_ZIFLOW__API_KEY", "k"),
        ("BRIDGE_SERVER__LISTEN", "0.0.0.0:8443"),
        ("BRIDGE_SERVER__TLS__CERTIFICATE_FILE", "x.pem"),
    ];
    let output = command(&["check"], &variables).output().unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(78), "{told}");
    assert!(told.contains("it is given without server.tls.private_key_file"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_long_to_agree_keeps_nobody_out() {
    let pair = Pair::new(&rcgen::PKCS_ECDSA_P256_SHA256);
    let place = Place::new(&pair, &format!("{LISTEN}\n  max_connections: 4")).await;
    let bridge = place.bridge().await;
    let begun = hello([3, 3], &[0xc02b]);
    // Whoever says what no TLS begins with is told of once.
    for _ in 0..3 {
        let mut stream = plain(&bridge).await;
        stream.write_all(&[0; 40]).await.unwrap();
        rest(&mut stream).await;
    }
    let told = bridge.log();
    let told = told.iter().filter(|line| {
        line["level"] == "WARN" && line["message"].as_str().unwrap().starts_with("TLS was not agreed upon")
    });
    assert_eq!(told.count(), 1);
    let mut slow = Vec::new();
    for said in [&[][..], &begun[..1], &begun[..40], &[22, 3, 1, 64, 0]] {
        for _ in 0..4 {
            let mut stream = plain(&bridge).await;
            stream.write_all(said).await.unwrap();
            slow.push(stream);
        }
        let mut stream = connect(&bridge, client(&[&TLS12], &[])).await.unwrap();
        assert_eq!(ask(&mut stream).await, 200);
    }
    for stream in &mut slow {
        assert_eq!(rest(stream).await, Vec::<u8>::new());
    }
    let failed = bridge.metric("ziflow_scim_bridge_failed_tls_handshakes_total").await;
    assert_ne!(failed, "0");
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_tries_the_way_in_and_says_when_nobody_trusts_it() {
    let pair = Pair::new(&rcgen::PKCS_ECDSA_P256_SHA256);
    let place = Place::new(&pair, LISTEN).await;
    let bridge = place.bridge().await;
    // The port that the bridge was given, for `doctor` to find it.
    place.server(&format!("listen: {}\n  public_url: 'https://scim.example.com'", address(&bridge)));
    let root = place.folder.file("root.pem", &AUTHORITY.root).display().to_string();
    let other = place
        .folder
        .file("other.pem", &params(-1, 9, &[]).self_signed(&KeyPair::generate().unwrap()).unwrap().pem());
    let other = other.display().to_string();
    let file = place.folder.path().join("bridge.yaml").display().to_string();
    for (trusted, state, told) in [
        (&root, "ok", "HTTP 200 with an empty ListResponse"),
        (&other, "failed", "this machine does not trust it"),
    ] {
        let arguments = ["doctor", "--config", &file, "--format", "json"];
        let output = command(&arguments, &[("SSL_CERT_FILE", trusted)]).output().unwrap();
        let told_all: Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = told_all["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == "bridge").unwrap();
        assert_eq!(check["state"], state, "{check:#}");
        assert!(check.to_string().contains(told), "{check:#}");
        assert!(check["tried"].as_str().unwrap().contains("https://"), "{check:#}");
    }
    bridge.stop().await;
}

/// A token must not travel in plain HTTP, so where others can reach the admin listener it shows the same certificate.
#[tokio::test(flavor = "multi_thread")]
async fn the_admin_listener_in_the_open_speaks_it_too() {
    let place = Place::new(&Pair::new(&rcgen::PKCS_ECDSA_P256_SHA256), LISTEN).await;
    let file = place.folder.path().join("bridge.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let admin = "admin: { listen: '0.0.0.0:0', token: watchers-token }";
    place.folder.file("bridge.yaml", &text.replace("admin: { listen: 127.0.0.1:0 }", admin));
    let bridge = place.bridge().await;
    let port = bridge.admin.rsplit(':').next().unwrap();
    let stream = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
    let name = ServerName::try_from("scim.example.com").unwrap();
    let mut stream = client(&[&TLS13], &[]).connect(name, stream).await.unwrap();
    let request = "GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer watchers-token\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let mut plain = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
    plain.write_all(request.as_bytes()).await.unwrap();
    assert!(rest(&mut plain).await.starts_with(b"HTTP/1.1 400"));
    bridge.stop().await;
}
