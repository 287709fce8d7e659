//! The checks of `doctor` on Ziflow's side, each as cheap as it can be: at most four calls, none of which writes.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::cli::diagnosis::{Check, Diagnosis};
use crate::config::Settings;
use crate::ziflow::answer::Page;
use crate::ziflow::look::{Look, Looker, Missed, Obstacle};
use crate::ziflow::model::{ADMIN, Field, User};
use crate::ziflow::origin::{Proxy, Trust};

/// How long looking up a name may take.
const DNS_PATIENCE: Duration = Duration::from_secs(5);

/// A clock may be off by so much.
const TOLERANCE: Duration = Duration::from_secs(60);

const DNS: &str = "dns";
const CONNECTION: &str = "connection";
const CLOCK: &str = "clock";
const KEY: &str = "key";
const PEOPLE: &str = "people";
const KEY_USER: &str = "key_user";

/// All of them, in their order.
pub(super) const ALL: &[&str] = &[DNS, CONNECTION, CLOCK, KEY, PEOPLE, KEY_USER];

/// People who were seen on the way.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) owner_id: Option<String>,
    pub(super) key_user_id: Option<String>,
}

/// What the checks work with.
struct Ziflow<'a> {
    settings: &'a Settings,
    looker: &'a Looker,
}

/// All checks in their order; those that need one which failed are skipped.
pub(super) async fn run(settings: &Settings, looker: &Looker, diagnosis: &mut Diagnosis) -> Seen {
    let ziflow = Ziflow { settings, looker };
    if !ziflow.look_up(diagnosis).await {
        diagnosis.skip(&[CONNECTION, CLOCK, KEY, PEOPLE, KEY_USER], "the name is not found");
        return Seen::default();
    }
    if !ziflow.connect(diagnosis).await {
        diagnosis.skip(&[CLOCK, KEY, PEOPLE, KEY_USER], "there is no connection");
        return Seen::default();
    }
    if !ziflow.show_the_key(diagnosis).await {
        diagnosis.skip(&[PEOPLE, KEY_USER], "the key is not known to work");
        return Seen::default();
    }
    ziflow.look_at_people(diagnosis).await
}

impl Ziflow<'_> {
    /// One call, be it a slow page, with its wait for a turn.
    fn deadline(&self) -> Instant {
        let (call, wait) = (self.settings.connection.timeout_secs, self.settings.pace.max_wait_secs);
        Instant::now() + Duration::from_secs(call.saturating_mul(3).saturating_add(wait))
    }

    fn proxy(&self) -> Option<&Proxy> {
        self.settings.connection.way.proxy.as_ref()
    }

    fn no_connection(&self, missed: &Missed) -> &'static str {
        match missed.obstacle() {
            Obstacle::Issuer if matches!(self.settings.connection.way.trust, Trust::Only(_)) => {
                "none of the certificates in ziflow.ca_file has signed what came: is it the right file, and does \
                 nobody else answer in Ziflow's place? That file replaces what this machine trusts"
            }
            Obstacle::Issuer => {
                "nobody whom this machine trusts has signed the certificate that came: if a proxy of your company \
                 opens TLS on the way, name the company's CA certificates in ziflow.ca_file; else, are this machine's \
                 (ca-certificates) up to date?"
            }
            Obstacle::Dates => {
                "is this machine's clock right? If it is, whoever runs the other side must renew its certificate"
            }
            Obstacle::Name => {
                "somebody else answers there: is ziflow.base_url right, and does DNS or a proxy lead astray?"
            }
            Obstacle::Certificate => "whoever answers there cannot show that they are Ziflow: who is it?",
            Obstacle::Proxy => {
                "are address, user and password in ziflow.proxy right, and does the proxy let this machine out to \
                 Ziflow?"
            }
            Obstacle::Other if self.proxy().is_some() => {
                "is the address in ziflow.proxy right, and does this machine reach the proxy?"
            }
            Obstacle::Other => {
                "is the address in ziflow.base_url right, and does a firewall let this machine out to it? Proxies \
                 from the environment are not used: name one in ziflow.proxy"
            }
        }
    }

    async fn look_up(&self, diagnosis: &mut Diagnosis) -> bool {
        let (host, port) = self.looker.next_hop();
        let setting = if self.proxy().is_some() { "ziflow.proxy" } else { "ziflow.base_url" };
        let tried = format!("look up {host}, the host of {setting}");
        diagnosis.begin(&tried);
        let found = addresses(host, port).await;
        let check = match &found {
            Ok(addresses) => Check::ok(DNS, tried, counted(addresses.len(), "address", "addresses")),
            Err(reason) => Check::failed(DNS, tried, reason).remedy(format!(
                "is the name in {setting} right, and does this machine reach its DNS server?"
            )),
        };
        diagnosis.add(check);
        found.is_ok()
    }

    async fn connect(&self, diagnosis: &mut Diagnosis) -> bool {
        let base_url = &self.settings.connection.base_url;
        let through = self.proxy().map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default();
        let tried = format!("GET {base_url}{through} without the key");
        diagnosis.begin(&tried);
        match self.looker.knock(self.deadline()).await {
            Ok(look) => {
                let found = format!("{} after {} ms", look.told(), look.took.as_millis());
                diagnosis.add(Check::ok(CONNECTION, tried, found));
                diagnosis.add(clock(&look));
                true
            }
            Err(missed) => {
                let remedy = self.no_connection(&missed);
                diagnosis.add(Check::failed(CONNECTION, tried, missed.reason).remedy(remedy));
                false
            }
        }
    }

    async fn show_the_key(&self, diagnosis: &mut Diagnosis) -> bool {
        let tried = "GET /users?count=1 with the API key";
        diagnosis.begin(tried);
        let answer = self.looker.first(self.deadline()).await;
        let works = answer.as_ref().is_ok_and(|look| look.page().is_some());
        diagnosis.add(match answer {
            Ok(look) if works => {
                Check::ok(KEY, tried, format!("{} of people; the key is accepted", look.told()))
            }
            Ok(look) => Check::failed(KEY, tried, look.told()).remedy(no_page(&look)),
            Err(missed) => Check::failed(KEY, tried, missed.reason).remedy(WAIT),
        });
        works
    }

    async fn look_at_people(&self, diagnosis: &mut Diagnosis) -> Seen {
        let count = self.settings.client.page_size;
        let tried = format!("GET /users?count={count}&page=1");
        diagnosis.begin(&tried);
        let answer = self.looker.people(self.deadline(), count).await;
        let page = answer.as_ref().ok().and_then(Look::page);
        let (look, page) = match (answer, page) {
            (Ok(look), Some(page)) => (look, page),
            (other, _) => {
                let told = other.map_or_else(|missed| missed.reason, |look| look.told());
                diagnosis.add(
                    Check::failed(PEOPLE, tried, told)
                        .remedy("the bridge cannot read such a page; if it lasts, report it with this line"),
                );
                diagnosis.skip(&[KEY_USER], "no people were shown");
                return Seen::default();
            }
        };
        diagnosis.add(people(tried, &look, &page));
        let key_user_id = self.look_for_the_key_user(&page.users, diagnosis).await;
        let owner = page.users.iter().find(|user| user.account_owner);
        Seen { owner_id: owner.map(|user| user.id.clone()), key_user_id }
    }

    async fn look_for_the_key_user(&self, users: &[User], diagnosis: &mut Diagnosis) -> Option<String> {
        let Some(email) = &self.settings.bridge.key_user_email else {
            diagnosis.add(
                Check::skipped(
                    KEY_USER,
                    "look for the owner of the API key",
                    "ziflow.key_user_email is not set",
                )
                .remedy("set it to the address of whose API key the bridge uses: Entra could disable them"),
            );
            return None;
        };
        let tried = format!("look for {email} (ziflow.key_user_email)");
        let known = users.iter().find(|user| user.email.eq_ignore_ascii_case(email)).cloned();
        diagnosis.begin(&tried);
        let user = match known {
            Some(user) => Ok(user),
            None => self.one(email).await,
        };
        let check = match &user {
            Ok(user) => key_user(tried, user),
            Err(told) => Check::failed(KEY_USER, tried, told).remedy(WRONG_USER),
        };
        diagnosis.add(check);
        user.ok().map(|user| user.id)
    }

    /// A person by their address, or what came in their place.
    async fn one(&self, email: &str) -> Result<User, String> {
        let look = self.looker.user(self.deadline(), email).await.map_err(|missed| missed.reason)?;
        let is_meant = |user: &User| user.email.eq_ignore_ascii_case(email);
        look.user().filter(is_meant).ok_or_else(|| {
            if look.is_absence() { format!("nobody has this address ({})", look.told()) } else { look.told() }
        })
    }
}

const WAIT: &str = "wait a little and run this again; if it lasts, Ziflow or the network between is at fault";

const WRONG_USER: &str = "set ziflow.key_user_email to the address of the admin whose API key the bridge uses: \
                          otherwise Entra could disable them and lock the bridge out";

/// On a thread of its own: the system's resolver may hang, and the end of the process must not wait for it.
async fn addresses(host: String, port: u16) -> Result<Vec<SocketAddr>, String> {
    let (sender, answer) = oneshot::channel();
    let look_up = move || {
        let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        // Nobody listens any more once it took too long.
        drop(sender.send(found));
    };
    drop(std::thread::spawn(look_up));
    match timeout(DNS_PATIENCE, answer).await {
        Ok(Ok(Ok(found))) if !found.is_empty() => Ok(found),
        Ok(Ok(Ok(_))) => Err("the name has no address".to_owned()),
        Ok(Ok(Err(error))) => Err(error.to_string()),
        Ok(Err(_)) | Err(_) => Err(format!("no answer within {} s", DNS_PATIENCE.as_secs())),
    }
}

fn clock(look: &Look) -> Check {
    let tried = "compare the Date of that answer with this machine's clock";
    let Some(date) = look.date else {
        return Check::skipped(CLOCK, tried, "the answer has no Date");
    };
    let now = SystemTime::now();
    let ahead = now.duration_since(date).is_ok();
    let off = now.duration_since(date).or_else(|_| date.duration_since(now)).unwrap_or_default();
    if off <= TOLERANCE {
        return Check::ok(CLOCK, tried, "they agree");
    }
    let found = format!("this machine is {} s {}", off.as_secs(), if ahead { "ahead" } else { "behind" });
    Check::warning(CLOCK, tried, found).remedy(
        "let the clock be set by the network, as with systemd-timesyncd or chrony: certificates, and the pauses that \
         Ziflow asks for, are judged by it",
    )
}

fn no_page(look: &Look) -> String {
    match look.status.as_u16() {
        401 | 403 => "is the API key still valid and copied whole, and is its owner an active admin in Ziflow? \
                      A new one stands in the admin's profile"
            .to_owned(),
        429 => {
            let wait = look.retry_after.unwrap_or(Duration::from_secs(60)).as_secs();
            format!("Ziflow asks to slow down: run this again in {wait} s")
        }
        500.. => WAIT.to_owned(),
        _ => "this is not what Ziflow's API answers: is ziflow.base_url right, its path included, and does a proxy or \
              login page stand between?"
            .to_owned(),
    }
}

fn people(tried: String, look: &Look, page: &Page) -> Check {
    let more = match page.has_more {
        Some(true) => "has_more says that there are more",
        Some(false) => "has_more says that these are all",
        None => "has_more is not told, so lists are read until a page is empty",
    };
    let accounts = if page.accounts.is_empty() { "accounts are not shown" } else { "accounts are shown" };
    let found = format!("{}; {more}; {accounts}", counted(page.users.len(), "person", "people"));
    if !look.shows_keys {
        return Check::ok(PEOPLE, tried, format!("{found}; API keys are hidden"));
    }
    Check::warning(PEOPLE, tried, format!("{found}; everybody's API key is shown to admins")).remedy(
        "in Ziflow's API settings, switch on \"Hide personal API key in User object\": no program needs them, and the \
         bridge drops them unread",
    )
}

fn key_user(tried: String, user: &User) -> Check {
    let roles = user.list(Field::Roles);
    if !user.active {
        return Check::failed(KEY_USER, tried, "they are not active, so the key must be somebody else's")
            .remedy(WRONG_USER);
    }
    if roles.is_empty() {
        return Check::warning(KEY_USER, tried, "an active person, whose roles are not shown")
            .remedy("see in Ziflow that they are an admin");
    }
    if user.account_owner || roles.iter().any(|role| role == ADMIN) {
        return Check::ok(KEY_USER, tried, "an active admin");
    }
    Check::failed(KEY_USER, tried, "they are no admin, so the key must be somebody else's").remedy(WRONG_USER)
}

fn counted(number: usize, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one}") } else { format!("{number} {many}") }
}
