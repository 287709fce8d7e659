//! Quirks: what Ziflow's documentation leaves open, as named switches with closed value lists.
//!
//! Every quirk can be set at the start and while the simulator runs. The first value is the default.
//! The table below is the only place that knows names, values and explanations.

use std::time::Duration;

use http::StatusCode;

/// A switch as shown to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirk {
    pub name: &'static str,
    /// The first is the default; `N` stands for a number, `N_ms` for a number of milliseconds.
    pub values: &'static [&'static str],
    pub help: &'static str,
}

/// Every quirk there is.
pub fn quirks() -> &'static [Quirk] {
    TABLE
}

/// How a value is read, once it is known to be one of its quirk's values.
trait Setting: Sized {
    fn read(text: &str) -> Option<Self>;
}

impl Setting for StatusCode {
    fn read(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// A number, or the word that says there is none.
impl Setting for Option<usize> {
    fn read(text: &str) -> Option<Self> {
        Some(text.parse().ok())
    }
}

/// `N_ms`, or the word that says there is no wait.
impl Setting for Duration {
    fn read(text: &str) -> Option<Self> {
        let millis = text.strip_suffix("_ms").and_then(|number| number.parse().ok());
        Some(Self::from_millis(millis.unwrap_or(0)))
    }
}

macro_rules! words {
    ($($name:ident { $($word:literal => $variant:ident),+ })+) => {$(
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum $name { $($variant),+ }

        impl $name {
            const WORDS: &'static [&'static str] = &[$($word),+];
        }

        impl Setting for $name {
            fn read(text: &str) -> Option<Self> {
                match text {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    )+};
}

words! {
    Put { "merge" => Merge, "replace" => Replace }
    PutArrays { "replace" => Replace, "add" => Add }
    Unknown { "404" => NotFound, "400" => BadRequest, "200_empty" => EmptyOk }
    ErrorBody {
        "message" => Message, "error_object" => ErrorObject, "errors_list" => ErrorsList,
        "text" => Text, "html" => Html, "empty" => Empty
    }
    WriteBody { "user" => User, "empty" => Empty, "id_only" => IdOnly }
    HasMore { "right" => Right, "missing" => Missing, "always_true" => AlwaysTrue }
    PastTheEnd { "empty" => Empty, "404" => NotFound }
    CountMeans { "page" => Page, "asked" => Asked }
    Order { "created" => Created, "shuffled" => Shuffled }
    Ids { "auth0_pipe" => Auth0Pipe, "uuid" => Uuid, "nasty" => Nasty }
    EmailOnPut { "ignored" => Ignored, "refused" => Refused }
    UnknownFields { "refused" => Refused, "ignored" => Ignored }
    EmptyFields { "shown" => Shown, "null" => Null, "left_out" => LeftOut }
    Inactive { "listed" => Listed, "contacts_only" => ContactsOnly }
    ApiKeys { "shown" => Shown, "hidden" => Hidden }
    Texts { "verbatim" => Verbatim, "trimmed" => Trimmed }
    GroupStrings { "any" => Any, "known_only" => KnownOnly, "ids" => Ids }
    RolesCase { "plain" => Plain, "role_prefix" => RolePrefix }
    RoleSets { "strict" => Strict, "any" => Any }
    GuestOnCreate { "becomes_user" => BecomesUser, "duplicate" => Duplicate }
    OwnerIsKeyUser { "yes" => Yes, "no" => No }
    OwnerWrites { "allowed" => Allowed, "refused" => Refused }
    Rights { "admin" => Admin, "403" => Forbidden, "404" => NotFound }
    RetryAfterForm { "seconds" => Seconds, "date" => Date, "none" => None }
}

macro_rules! quirks {
    ($($name:ident: $type:ty = $default:expr, $values:expr, $help:literal;)+) => {
        /// The quirks in force.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) struct Quirks { $(pub(super) $name: $type),+ }

        impl Default for Quirks {
            fn default() -> Self {
                Self { $($name: $default),+ }
            }
        }

        const TABLE: &[Quirk] =
            &[$(Quirk { name: stringify!($name), values: $values, help: $help }),+];

        impl Quirks {
            fn store(&mut self, name: &str, value: &str) -> Option<()> {
                match name {
                    $(stringify!($name) => self.$name = Setting::read(value)?,)+
                    _ => return None,
                }
                Some(())
            }
        }
    };
}

quirks! {
    put: Put = Put::Merge, Put::WORDS,
        "what PUT does with fields it is not given: keeps them, or sets them back to what a new user has";
    put_arrays: PutArrays = PutArrays::Replace, PutArrays::WORDS,
        "whether roles and group of a PUT take the place of the old ones or are added to them";
    duplicate_status: StatusCode = StatusCode::CONFLICT, &["409", "400", "422"],
        "status when the e-mail address is taken";
    unknown_status: Unknown = Unknown::NotFound, Unknown::WORDS,
        "status when there is no such person; 200_empty is a 200 without a body";
    bad_key_status: StatusCode = StatusCode::UNAUTHORIZED, &["401", "403"],
        "status when the key is missing, wrong, or its user is not active";
    error_body: ErrorBody = ErrorBody::Message, ErrorBody::WORDS,
        "shape of the body of an error";
    write_body: WriteBody = WriteBody::User, WriteBody::WORDS,
        "what the answer to a POST or PUT carries";
    create_status: StatusCode = StatusCode::OK, &["200", "201"],
        "status of a successful POST";
    update_status: StatusCode = StatusCode::OK, &["200", "204"],
        "status of a successful PUT; 204 has no body";
    delete_status: StatusCode = StatusCode::OK, &["200", "202", "204"],
        "status of a successful DELETE";
    has_more: HasMore = HasMore::Right, HasMore::WORDS,
        "has_more of a page: right, left out, or true even on the last page";
    past_the_end: PastTheEnd = PastTheEnd::Empty, PastTheEnd::WORDS,
        "a page after the last: an empty one, or 404";
    count_means: CountMeans = CountMeans::Page, CountMeans::WORDS,
        "count in a page: the people on it, or the number asked for";
    order: Order = Order::Created, Order::WORDS,
        "order of lists; shuffled stays the same between requests, but newcomers land anywhere";
    ids: Ids = Ids::Auth0Pipe, Ids::WORDS,
        "form of new ids; nasty ones contain | / ? # % + and a space";
    email_on_put: EmailOnPut = EmailOnPut::Ignored, EmailOnPut::WORDS,
        "what PUT does with an email field (it never changes the address)";
    unknown_fields: UnknownFields = UnknownFields::Refused, UnknownFields::WORDS,
        "what POST and PUT do with fields that they do not take";
    empty_fields: EmptyFields = EmptyFields::Shown, EmptyFields::WORDS,
        "how empty texts and lists are shown";
    inactive: Inactive = Inactive::Listed, Inactive::WORDS,
        "where deactivated people are seen: in /users and /contacts, or in /contacts only";
    api_keys: ApiKeys = ApiKeys::Shown, ApiKeys::WORDS,
        "whether a user object carries that person's API key";
    seats: Option<usize> = None, &["unlimited", "N"],
        "active users, lite users aside, that the licence covers";
    seat_status: StatusCode = StatusCode::FORBIDDEN, &["403", "400", "402", "409", "422"],
        "status when there is no seat left";
    texts: Texts = Texts::Verbatim, Texts::WORDS,
        "whether texts are kept as sent, or trimmed (and phone numbers freed of blanks)";
    group_strings: GroupStrings = GroupStrings::Any, GroupStrings::WORDS,
        "what group takes: any text, only those that somebody has had before, or only the ids of the groups there are, \
         which are grp-1, grp-2 and grp-3";
    roles_case: RolesCase = RolesCase::Plain, RolesCase::WORDS,
        "how roles are shown: user, or ROLE_USER";
    role_sets: RoleSets = RoleSets::Strict, RoleSets::WORDS,
        "whether an empty list of roles, and lite_user beside others, is refused";
    guest_on_create: GuestOnCreate = GuestOnCreate::BecomesUser, GuestOnCreate::WORDS,
        "what POST /users does with the address of a guest";
    owner_is_key_user: OwnerIsKeyUser = OwnerIsKeyUser::Yes, OwnerIsKeyUser::WORDS,
        "whether the key belongs to the account owner, or to an admin of its own (who then exists as well)";
    owner_writes: OwnerWrites = OwnerWrites::Allowed, OwnerWrites::WORDS,
        "whether the account owner can be changed and deleted through the API";
    consistency: Duration = Duration::ZERO, &["immediate", "N_ms"],
        "how long reads show people as they were before a write";
    rights: Rights = Rights::Admin, Rights::WORDS,
        "what the key may do: all, or have every /users call refused";
    churn: Option<usize> = None, &["off", "N"],
        "after each page of /users, N other people come to or go from the front of the list";
    rate_limit: Option<usize> = None, &["off", "N"],
        "calls accepted in any one second; further ones answer 429";
    retry_after: RetryAfterForm = RetryAfterForm::Seconds, RetryAfterForm::WORDS,
        "form of Retry-After in a 429 of rate_limit";
}

impl Quirks {
    /// Sets one quirk, or says what would have been right.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let names: Vec<&str> = TABLE.iter().map(|quirk| quirk.name).collect();
        let quirk =
            TABLE.iter().find(|quirk| quirk.name == name).ok_or_else(|| unknown("quirk", name, &names))?;
        let refusal = || unknown(&format!("value of {name}"), value, quirk.values);
        if !quirk.values.iter().any(|allowed| fits(allowed, value)) {
            return Err(refusal());
        }
        self.store(name, value).ok_or_else(refusal)
    }
}

/// What to say about a word that is not in its list.
pub(super) fn unknown(what: &str, word: &str, known: &[&str]) -> String {
    let likeness = |candidate: &str| strsim::jaro_winkler(candidate, word);
    let nearest = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    let hint = match nearest.filter(|nearest| likeness(nearest) > 0.7) {
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None => String::new(),
    };
    format!("unknown {what} `{word}`{hint} (there are: {})", known.join(", "))
}

fn fits(allowed: &str, value: &str) -> bool {
    let is_number = |text: &str| text.parse::<usize>().is_ok();
    match allowed {
        "N" => is_number(value),
        "N_ms" => value.strip_suffix("_ms").is_some_and(is_number),
        word => word == value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_value_is_the_default() {
        for quirk in quirks() {
            let mut quirks = Quirks::default();
            quirks.set(quirk.name, quirk.values[0]).unwrap();
            assert_eq!(quirks, Quirks::default(), "{}", quirk.name);
        }
    }

    #[test]
    fn every_other_value_changes_something() {
        for quirk in quirks() {
            for value in &quirk.values[1..] {
                let mut quirks = Quirks::default();
                quirks.set(quirk.name, &value.replace('N', "7")).unwrap();
                assert_ne!(quirks, Quirks::default(), "{}={value}", quirk.name);
            }
        }
    }

    #[test]
    fn what_is_wrong_is_refused_with_the_right_words() {
        let cases = [
            ("putt", "merge", "unknown quirk `putt`; did you mean `put`? (there are: put, put_arrays, "),
            ("put", "merg", "unknown value of put `merg`; did you mean `merge`? (there are: merge, replace)"),
            ("seats", "many", "unknown value of seats `many` (there are: unlimited, N)"),
            ("seats", "-1", "unknown value of seats `-1` (there are: unlimited, N)"),
            ("consistency", "50", "unknown value of consistency `50` (there are: immediate, N_ms)"),
        ];
        for (name, value, message) in cases {
            let said = Quirks::default().set(name, value).unwrap_err();
            assert!(said.starts_with(message), "{said}");
        }
    }
}
