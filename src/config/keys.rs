//! Every setting: its key and what it takes. A key that is not here is refused.

use std::ops::RangeInclusive;

/// What a setting takes.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Not empty: an empty text would be a setting that looks set and does nothing.
    Text,
    /// A text that is never shown; `KEY_file` gives it by a file.
    Secret,
    /// The same of a token, of which `KEY_sha256` gives the digest.
    Token,
    Integer(RangeInclusive<u64>),
    Boolean,
    Choice(&'static [&'static str]),
    Texts,
    Email,
    Emails,
    /// `auth.tokens`
    Tokens,
    /// `auth.clients`
    Clients,
}

/// A setting.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

impl Key {
    /// The section, which may lie in another one, and the name in it.
    pub(super) fn parts(&self) -> (&'static str, &'static str) {
        self.name.rsplit_once('.').unwrap_or(("", self.name))
    }

    /// The names under which the key may stand in its section, each with what it takes there.
    pub(super) fn forms(&self) -> Vec<(String, Kind)> {
        let (_, name) = self.parts();
        let mut forms = vec![(name.to_owned(), self.kind.clone())];
        if matches!(self.kind, Kind::Secret | Kind::Token) {
            forms.push((format!("{name}_file"), Kind::Text));
        }
        if matches!(self.kind, Kind::Token) {
            forms.push((format!("{name}_sha256"), Kind::Text));
        }
        forms
    }
}

/// The names of the sections that lie directly in this one; of the whole file: "".
pub(super) fn sections_in(section: &str) -> Vec<&'static str> {
    let inside = |key: Key| {
        let (full, _) = key.parts();
        let rest = if section.is_empty() { full } else { full.strip_prefix(section)?.strip_prefix('.')? };
        rest.split('.').next()
    };
    let mut names: Vec<&str> = Vec::new();
    for name in keys().into_iter().filter_map(inside) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// What stands in one entry of `auth.tokens`, and what it is for.
pub(super) const TOKEN_KEYS: &[(&str, &str)] = &[
    ("name", "Whose token it is, for the log. No two tokens have the same name."),
    ("token", "The token itself, without blanks. Better name a file, with token_file, or give its sha256."),
    ("token_file", "The file that holds the token, readable by the service alone."),
    ("sha256", "The SHA-256 of the token in hexadecimal digits, so that this file holds no secret."),
    (
        "expires",
        "When the token stops working: a day such as 2027-03-01, to its end in UTC, or an RFC 3339 time.",
    ),
    ("read_only", "Whether the token may look at everything and change nothing; never for Entra's own."),
];

/// Of these keys, each entry of `auth.tokens` has exactly one.
pub(super) const TOKEN_FORMS: &[&str] = &["token", "token_file", "sha256"];

/// The keys of one entry of `auth.tokens`.
pub(super) fn token_keys() -> Vec<&'static str> {
    TOKEN_KEYS.iter().map(|(name, _)| *name).collect()
}

/// What stands in one entry of `auth.clients`, and what it is for.
pub(super) const CLIENT_KEYS: &[(&str, &str)] = &[
    (
        "id",
        "What Entra is given as the client id, and the log calls the client: letters, digits and - . _ ~ only.",
    ),
    (
        "secrets",
        "The SHA-256 of the client's secret in hexadecimal digits; two while one takes over from the other.",
    ),
    (
        "issuer",
        "Who signs for a client without secrets; Entra is https://login.microsoftonline.com/TENANT-ID/v2.0.",
    ),
    ("audience", "For whom the issuer's tokens must be made out, exactly."),
    ("subject", "About whom they must be, exactly: the object id of Microsoft's application in the tenant."),
    ("jwks_url", "Where the issuer's keys are, with https; known already where the issuer is Entra."),
    ("read_only", "Whether the client may look at everything and change nothing; never for Entra's own."),
];

const SECONDS: RangeInclusive<u64> = 1..=3600;

/// Every setting, section by section.
pub(super) fn keys() -> Vec<Key> {
    use Kind::{Boolean, Choice, Clients, Email, Emails, Integer, Secret, Text, Texts, Token, Tokens};
    let table = [
        ("server.listen", Text),
        ("server.base_path", Text),
        ("server.public_url", Text),
        ("server.max_body_bytes", Integer(1024..=67_108_864)),
        ("server.max_header_bytes", Integer(8192..=262_144)),
        ("server.max_target_bytes", Integer(1024..=65_534)),
        ("server.max_connections", Integer(1..=1_000_000)),
        ("server.max_connections_per_source", Integer(1..=1_000_000)),
        ("server.max_requests_in_flight", Integer(1..=1_000_000)),
        ("server.first_byte_timeout_secs", Integer(SECONDS)),
        ("server.header_timeout_secs", Integer(SECONDS)),
        ("server.idle_timeout_secs", Integer(SECONDS)),
        ("server.write_timeout_secs", Integer(SECONDS)),
        ("server.request_timeout_secs", Integer(1..=300)),
        ("server.shutdown_grace_secs", Integer(0..=300)),
        ("server.tls.certificate_file", Text),
        ("server.tls.private_key_file", Text),
        ("server.tls.handshake_timeout_secs", Integer(SECONDS)),
        ("server.plain_http_behind_proxy", Boolean),
        ("server.allow_networks", Texts),
        ("server.trusted_proxies", Texts),
        ("server.max_filter_chars", Integer(64..=65_536)),
        ("server.max_filter_depth", Integer(1..=64)),
        ("server.max_filter_terms", Integer(1..=1000)),
        ("server.max_results", Integer(1..=1_000_000)),
        ("server.max_bulk_operations", Integer(1..=1000)),
        ("server.max_headers", Integer(16..=1000)),
        ("server.max_json_depth", Integer(12..=100)),
        ("server.max_json_values", Integer(100..=10_000_000)),
        ("server.max_patch_operations", Integer(1..=100_000)),
        ("server.max_members", Integer(1..=1_000_000)),
        ("server.max_group_members", Integer(1..=10_000_000)),
        ("server.max_attributes", Integer(1..=10_000)),
        ("admin.listen", Text),
        ("admin.token", Token),
        ("admin.hosts", Texts),
        ("admin.max_connections", Integer(1..=65_536)),
        ("admin.operations", Integer(0..=10_000)),
        ("auth.tokens", Tokens),
        ("auth.max_failures_per_minute", Integer(0..=1_000_000)),
        ("auth.clients", Clients),
        ("auth.signing_key", Secret),
        ("auth.entra.tenant_id", Text),
        ("auth.entra.audience", Text),
        ("auth.entra.application_id", Text),
        ("auth.entra.issuer", Text),
        ("auth.entra.jwks_url", Text),
        ("auth.jwks_proxy", Secret),
        ("auth.jwks_timeout_secs", Integer(1..=60)),
        ("auth.jwks_pause_secs", Integer(1..=3600)),
        ("auth.jwks_refresh_secs", Integer(1..=86_400)),
        ("ziflow.base_url", Text),
        ("ziflow.api_key", Secret),
        ("ziflow.key_user_email", Email),
        ("ziflow.ca_file", Text),
        ("ziflow.proxy", Secret),
        ("ziflow.connect_timeout_secs", Integer(1..=60)),
        ("ziflow.timeout_secs", Integer(1..=300)),
        ("ziflow.max_answer_bytes", Integer(65_536..=1_073_741_824)),
        ("ziflow.update", Choice(&["changed_fields", "full_object"])),
        ("ziflow.inactive_fallback", Boolean),
        ("ziflow.read_back_delay_ms", Integer(0..=10_000)),
        ("ziflow.read_back_tries", Integer(1..=20)),
        ("ziflow.no_seat_texts", Texts),
        ("ziflow.proof_ttl_secs", Integer(1..=3600)),
        ("ziflow.page_size", Integer(1..=100)),
        ("ziflow.directory_ttl_secs", Integer(0..=86_400)),
        ("ziflow.read_cache_ttl_secs", Integer(0..=60)),
        ("rate_limit.requests_per_second", Integer(1..=1000)),
        ("rate_limit.burst", Integer(1..=1000)),
        ("rate_limit.in_flight", Integer(1..=1000)),
        ("rate_limit.max_wait_secs", Integer(1..=300)),
        ("rate_limit.max_pause_secs", Integer(1..=86_400)),
        ("rate_limit.recovery_secs", Integer(1..=3600)),
        ("rate_limit.retries", Integer(0..=20)),
        ("rate_limit.backoff_min_ms", Integer(1..=60_000)),
        ("rate_limit.backoff_max_secs", Integer(1..=300)),
        ("rate_limit.breaker_failures", Integer(0..=1000)),
        ("rate_limit.breaker_max_secs", Integer(1..=300)),
        ("store.url", Text),
        ("policy.on_deactivate", Choice(&["deactivate", "ignore"])),
        ("policy.on_delete", Choice(&["deactivate", "delete", "refuse"])),
        ("policy.new_owner_id", Text),
        ("policy.delete_without_new_owner", Boolean),
        ("policy.on_existing", Choice(&["conflict", "adopt"])),
        ("policy.on_recreate", Choice(&["same_person", "anyone"])),
        ("policy.on_email_change", Choice(&["keep", "refuse"])),
        ("policy.invitation", Choice(&["email", "none"])),
        ("policy.protected_emails", Emails),
        ("policy.max_deactivations_per_hour", Integer(0..=1_000_000)),
        ("policy.dry_run", Boolean),
        ("mapping.file", Text),
        ("mapping.watch", Boolean),
        ("audit.destination", Text),
        ("audit.required", Boolean),
        ("audit.timeout_secs", Integer(1..=60)),
        ("log.level", Choice(&["error", "warn", "info", "debug", "trace"])),
        ("log.format", Choice(&["auto", "text", "json"])),
        ("log.personal_data", Boolean),
    ];
    table.into_iter().map(|(name, kind)| Key { name, kind }).collect()
}
