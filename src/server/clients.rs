//! Applications that get their tokens at `/oauth2/token` (`auth.clients`): by a secret of which the digest is known, or by
//! a token of another issuer, so that no secret is shared at all.

use aws_lc_rs::constant_time::verify_slices_are_equal;

use crate::server::claims::Expected;
use crate::server::signing::{Content, SigningKeys};
use crate::server::tokens::{Digest, digest};

/// A client as the settings describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// Unique among the clients.
    pub id: String,
    pub read_only: bool,
    pub proof: Proof,
}

/// How a client shows that it is the one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The SHA-256 of each secret that it may use.
    Secrets(Vec<Digest>),
    Federation(Federation),
}

/// Workload identity federation: what the tokens of the other issuer must say (RFC 7523 section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Federation {
    pub issuer: String,
    pub audience: String,
    pub subject: String,
    /// The tenant, where the issuer is one of Entra's.
    pub tenant_id: Option<String>,
    pub jwks_url: String,
}

/// All of them, and the keys with which their tokens are signed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    list: Vec<Registration>,
    keys: Option<SigningKeys>,
}

impl Clients {
    pub fn new(list: Vec<Registration>, keys: SigningKeys) -> Self {
        Self { list, keys: Some(keys) }
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Registration> {
        self.list.iter()
    }

    /// The client with this secret, for who does not know its id.
    pub fn whose_secret(&self, secret: &[u8]) -> Option<&Registration> {
        self.list.iter().find(|client| self.with_secret(&client.id, secret).is_some())
    }

    pub(super) fn get(&self, id: &str) -> Option<&Registration> {
        self.list.iter().find(|client| client.id == id)
    }

    pub(super) fn keys(&self) -> Option<&SigningKeys> {
        self.keys.as_ref()
    }

    /// Whose secret this is, and how its digest stands in a token. The id is no secret; the digests are compared so that
    /// the time does not tell which one fits.
    pub(super) fn with_secret(&self, id: &str, secret: &[u8]) -> Option<(&Registration, Digest)> {
        let presented = digest(secret);
        let fits = |known: &&Digest| verify_slices_are_equal(known.as_slice(), &presented).is_ok();
        let client = self.get(id);
        let known = client.map(|client| match &client.proof {
            Proof::Secrets(known) => known.as_slice(),
            Proof::Federation(_) => &[],
        });
        let fitting: Vec<_> = known.unwrap_or_default().iter().filter(fits).collect();
        Some((client?, credential_of_secret(fitting.first()?)))
    }

    /// Whose token it is, if both the client and the credential that it was got with are still in the settings.
    pub(super) fn with_token(&self, content: &Content) -> Result<&Registration, String> {
        let Content { client: id, credential, .. } = content;
        let client = self.get(id).ok_or_else(|| format!("client `{id}` is no longer in auth.clients"))?;
        if client.credentials().contains(credential) {
            Ok(client)
        } else {
            Err(format!(
                "client `{id}` got it with a secret, or a federation, that is no longer in auth.clients"
            ))
        }
    }
}

impl Registration {
    /// How each of its credentials stands in a token.
    fn credentials(&self) -> Vec<Digest> {
        match &self.proof {
            Proof::Secrets(known) => known.iter().map(credential_of_secret).collect(),
            Proof::Federation(federation) => vec![federation.credential()],
        }
    }
}

impl Federation {
    /// Whether who can show a token for the one can show it for the other.
    pub fn is_of_the_same_as(&self, other: &Self) -> bool {
        let names = |one: &Self| [one.issuer.clone(), one.audience.clone(), one.subject.clone()];
        names(self) == names(other)
    }

    pub(super) fn credential(&self) -> Digest {
        let Self { issuer, audience, subject, jwks_url, .. } = self;
        digest(format!("federation\n{issuer}\n{audience}\n{subject}\n{jwks_url}").as_bytes())
    }

    pub(super) fn expected(&self) -> Expected {
        let expected =
            Expected::default().and("iss", &self.issuer).and("aud", &self.audience).and("sub", &self.subject);
        match &self.tenant_id {
            Some(tenant_id) => expected.and("tid", tenant_id),
            None => expected,
        }
    }
}

/// A token can be read by whoever holds it, and must not help to guess the secret: it holds the digest of the digest.
fn credential_of_secret(known: &Digest) -> Digest {
    digest(&[b"secret\n", known.as_slice()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients() -> Clients {
        let secrets =
            |secrets: &[&str]| Proof::Secrets(secrets.iter().map(|one| digest(one.as_bytes())).collect());
        let federation = Federation {
            issuer: "https://issuer.example/".to_owned(),
            audience: "api://x".to_owned(),
            subject: "s".to_owned(),
            tenant_id: None,
            jwks_url: "https://issuer.example/keys".to_owned(),
        };
        let list = [
            ("a", secrets(&["one", "two"])),
            ("b", secrets(&["three"])),
            ("c", Proof::Federation(federation)),
        ];
        let client = |(id, proof): (&str, _)| Registration { id: id.to_owned(), read_only: false, proof };
        let keys = SigningKeys::parse(&"0123456789abcdef".repeat(4)).unwrap();
        Clients::new(list.map(client).to_vec(), keys)
    }

    #[test]
    fn a_secret_fits_its_own_client() {
        let clients = clients();
        for (id, secret, fits) in [
            ("a", "one", true),
            ("a", "two", true),
            ("b", "three", true),
            ("b", "one", false),
            ("a", "three", false),
            ("a", "", false),
            ("c", "", false),
            ("d", "one", false),
        ] {
            let found = clients.with_secret(id, secret.as_bytes());
            assert_eq!(found.map(|(client, _)| client.id.as_str()), fits.then_some(id), "{id} {secret}");
        }
    }

    #[test]
    fn a_token_dies_with_the_client_and_with_the_credential() {
        let before = clients();
        let content = |id: &str, credential| Content { client: id.to_owned(), credential, end: 0 };
        let (_, two) = before.with_secret("a", b"two").unwrap();
        let Some(Proof::Federation(federation)) = before.get("c").map(|client| client.proof.clone()) else {
            panic!("no federation")
        };
        let (by_secret, by_federation) = (content("a", two), content("c", federation.credential()));
        for token in [&by_secret, &by_federation] {
            assert_eq!(before.with_token(token).unwrap().id, token.client);
        }
        assert!(before.with_token(&content("b", two)).is_err());
        let mut after = before.clone();
        after.list[0].proof = Proof::Secrets(vec![digest(b"one")]);
        after.list[2].proof = Proof::Federation(Federation { subject: "t".to_owned(), ..federation });
        for token in [&by_secret, &by_federation] {
            assert!(after.with_token(token).unwrap_err().contains("got it with a secret"), "{token:?}");
        }
        after.list.clear();
        assert_eq!(after.with_token(&by_secret), Err("client `a` is no longer in auth.clients".to_owned()));
    }
}
