//! The endpoints of the simulated API, once a call has been let in.
//!
//! Source: Ziflow's public API reference. What it leaves open is a quirk; where not even a quirk is worth it the
//! stricter reading holds: PUT and DELETE take an id and no e-mail address, bodies have to say that they are JSON.

use std::time::Instant;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::{Answer, Refusal};
use super::fields::{self, Write};
use super::people::{Fields, Person};
use super::quirks::{
    CountMeans, GroupStrings, GuestOnCreate, HasMore, Inactive, Order, OwnerWrites, PastTheEnd, Put,
    PutArrays, Unknown, WriteBody,
};
use super::random::scatter;
use super::route::Route;
use super::world::{Request, World};

/// The groups there are, where `group` holds their ids.
const GROUP_IDS: [&str; 3] = ["grp-1", "grp-2", "grp-3"];

type Outcome = Result<Answer, Refusal>;

/// Answers a call; what it changes is changed at once.
pub(super) fn answer(world: &mut World, request: &Request, now: Instant) -> Outcome {
    match (request.method.as_str(), request.route) {
        ("GET", Route::Users) => users(world, request, now),
        ("GET", Route::User) => user(world, request, now),
        ("POST", Route::Users) => create_user(world, request, now),
        ("PUT", Route::User) => update_user(world, request, now),
        ("DELETE", Route::User) => delete_user(world, request, now),
        ("GET", Route::Contacts) => contacts(world, request, now),
        ("GET", Route::Contact) => contact(world, request, now),
        ("POST", Route::Guests) => create_guest(world, request, now),
        ("PUT", Route::Guest) => update_guest(world, request, now),
        ("DELETE", Route::Guest) => delete_guest(world, request, now),
        (_, Route::Other) => Err(Refusal::new(StatusCode::NOT_FOUND, "no such endpoint")),
        (method, route) => {
            Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("{route} does not know {method}")))
        }
    }
}

fn users(world: &mut World, request: &Request, now: Instant) -> Outcome {
    let shown = world.people.shown(now).filter(|person| is_listed(world, person)).collect();
    let answer = page(world, request, "users", shown, |person| fields::user(person, &world.quirks))?;
    if let Some(count) = world.quirks.churn {
        world.people.churn(count, now, &world.quirks);
    }
    Ok(answer)
}

fn user(world: &World, request: &Request, now: Instant) -> Outcome {
    match world.people.show(&request.identifier, now).filter(|person| is_listed(world, person)) {
        Some(person) => Ok(Answer::json(StatusCode::OK, &fields::user(person, &world.quirks))),
        None => nobody(world),
    }
}

fn create_user(world: &mut World, request: &Request, now: Instant) -> Outcome {
    let given = accept(world, request, Write::CreateUser)?;
    if given.get("verified") == Some(&Value::Bool(true)) && !given.contains_key("password") {
        return Err(bad_request("password is required when verified is true"));
    }
    let mut person = newcomer(world, &given, world.quirks.guest_on_create)?;
    person.guest = false;
    apply(&mut person, given, PutArrays::Replace);
    need_seat(world, None, &person)?;
    Ok(save(world, person, world.quirks.create_status, now))
}

fn update_user(world: &mut World, request: &Request, now: Instant) -> Outcome {
    let Some(old) = world.people.with_id(&request.identifier).filter(|person| !person.guest).cloned() else {
        return nobody(world);
    };
    refuse_owner(world, &old)?;
    let given = accept(world, request, Write::UpdateUser)?;
    match given.get("verified").and_then(Value::as_bool) {
        Some(false) if old.flag("verified") => return Err(bad_request("verified cannot be taken back")),
        Some(true) if !old.flag("verified") && !given.contains_key("password") => {
            return Err(bad_request("password is required when verified turns true"));
        }
        _ => {}
    }
    let person = updated(world, &old, given);
    need_seat(world, Some(&old), &person)?;
    Ok(save(world, person, world.quirks.update_status, now))
}

fn delete_user(world: &mut World, request: &Request, now: Instant) -> Outcome {
    let Some(person) = world.people.with_id(&request.identifier).filter(|person| !person.guest) else {
        return nobody(world);
    };
    refuse_owner(world, person)?;
    if let Some(heir) = request.parameter("newOwner") {
        let heir = world.people.with_id(heir).filter(|heir| !heir.guest && heir.flag("active"));
        heir.filter(|heir| heir.id() != person.id())
            .ok_or_else(|| bad_request("newOwner has to be the id of another active user"))?;
    }
    Ok(delete(world, request, now))
}

fn contacts(world: &World, request: &Request, now: Instant) -> Outcome {
    let shown = world.people.shown(now).collect();
    page(world, request, "contacts", shown, |person| fields::contact(person, &world.people, &world.quirks))
}

fn contact(world: &World, request: &Request, now: Instant) -> Outcome {
    match world.people.show(&request.identifier, now) {
        Some(person) => {
            Ok(Answer::json(StatusCode::OK, &fields::contact(person, &world.people, &world.quirks)))
        }
        None => nobody(world),
    }
}

fn create_guest(world: &mut World, request: &Request, now: Instant) -> Outcome {
    let given = accept(world, request, Write::CreateGuest)?;
    let mut person = newcomer(world, &given, GuestOnCreate::Duplicate)?;
    person.guest = true;
    person.fields.insert("roles".into(), json!([]));
    apply(&mut person, given, PutArrays::Replace);
    Ok(save(world, person, world.quirks.create_status, now))
}

fn update_guest(world: &mut World, request: &Request, now: Instant) -> Outcome {
    let Some(old) = world.people.with_id(&request.identifier).filter(|person| person.guest).cloned() else {
        return nobody(world);
    };
    let given = accept(world, request, Write::UpdateGuest)?;
    let person = updated(world, &old, given);
    Ok(save(world, person, world.quirks.update_status, now))
}

fn delete_guest(world: &mut World, request: &Request, now: Instant) -> Outcome {
    if !world.people.with_id(&request.identifier).is_some_and(|person| person.guest) {
        return nobody(world);
    }
    Ok(delete(world, request, now))
}

/// Guests are no users, and a quirk hides those who have been deactivated.
fn is_listed(world: &World, person: &Person) -> bool {
    !person.guest && (person.flag("active") || world.quirks.inactive == Inactive::Listed)
}

/// One page of people, under `name`.
fn page(
    world: &World,
    request: &Request,
    name: &str,
    mut people: Vec<&Person>,
    show: impl Fn(&Person) -> Value,
) -> Outcome {
    let count = whole_number(request, "count", 50, 100)?;
    let number = whole_number(request, "page", 1, usize::MAX)?;
    if world.quirks.order == Order::Shuffled {
        people.sort_by_cached_key(|person| scatter(world.seed, person.id()));
    }
    let skipped = count.saturating_mul(number - 1);
    let shown: Vec<Value> = people.iter().skip(skipped).take(count).map(|person| show(person)).collect();
    if shown.is_empty() && world.quirks.past_the_end == PastTheEnd::NotFound {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "there is no such page"));
    }
    let has_more = match world.quirks.has_more {
        HasMore::Right => Some(people.len() > skipped.saturating_add(count)),
        HasMore::AlwaysTrue => Some(true),
        HasMore::Missing => None,
    };
    let told = match world.quirks.count_means {
        CountMeans::Page => shown.len(),
        CountMeans::Asked => count,
    };
    let mut body = Map::from_iter([("count".to_owned(), json!(told)), ("page".to_owned(), json!(number))]);
    body.extend(has_more.map(|more| ("has_more".to_owned(), json!(more))));
    body.insert(name.to_owned(), Value::Array(shown));
    Ok(Answer::json(StatusCode::OK, &Value::Object(body)))
}

fn whole_number(request: &Request, name: &str, default: usize, most: usize) -> Result<usize, Refusal> {
    let Some(text) = request.parameter(name) else { return Ok(default) };
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| bad_request(format!("{name} has to be a number from 1 to {most}")))
}

fn accept(world: &World, request: &Request, write: Write) -> Result<Fields, Refusal> {
    if !request.says_json {
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body has to be application/json"));
    }
    let body = request.body.as_ref().ok_or_else(|| bad_request("the body is no JSON"))?;
    let given = fields::accept(body, write, &world.quirks).map_err(bad_request)?;
    let mut groups =
        given.get("group").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    match groups.find(|group| !takes_group(world, group)) {
        Some(group) => Err(bad_request(format!("group: there is no group `{group}`"))),
        None => Ok(given),
    }
}

fn takes_group(world: &World, group: &str) -> bool {
    match world.quirks.group_strings {
        GroupStrings::Any => true,
        GroupStrings::KnownOnly => world.people.knows_group(group),
        GroupStrings::Ids => GROUP_IDS.contains(&group),
    }
}

/// A person without a past, or the guest who has the address and may become one.
fn newcomer(world: &mut World, given: &Fields, guests: GuestOnCreate) -> Result<Person, Refusal> {
    let email = given.get("email").and_then(Value::as_str).unwrap_or_default();
    match world.people.with_email(email) {
        None => Ok(Person { guest: false, fields: world.people.newcomer(world.quirks.ids) }),
        Some(guest) if guest.guest && guests == GuestOnCreate::BecomesUser => {
            let mut person = guest.clone();
            person.fields.insert("roles".into(), json!(["user"]));
            Ok(person)
        }
        Some(_) => Err(Refusal::new(world.quirks.duplicate_status, "this e-mail address is already in use")),
    }
}

/// The person after a PUT. One that replaces leaves who they are, but nothing of what they were given.
fn updated(world: &mut World, old: &Person, given: Fields) -> Person {
    const KEPT: &[&str] = &["id", "email", "verified", "account_owner", "accounts", "api_key"];
    let mut person = old.clone();
    if world.quirks.put == Put::Replace {
        let kept = |name: &&str| Some(((*name).to_owned(), old.fields.get(*name)?.clone()));
        person.fields = world.people.newcomer(world.quirks.ids);
        person.fields.extend(KEPT.iter().filter_map(kept));
        if old.guest {
            person.fields.insert("roles".into(), json!([]));
        }
    }
    apply(&mut person, given, world.quirks.put_arrays);
    person
}

fn apply(person: &mut Person, given: Fields, arrays: PutArrays) {
    for (name, value) in given.into_iter().filter(|(name, _)| name != "password") {
        let old = person.fields.get_mut(&name);
        match (old, value) {
            (Some(Value::Array(old)), Value::Array(new)) if arrays == PutArrays::Add => {
                let new: Vec<Value> = new.into_iter().filter(|item| !old.contains(item)).collect();
                old.extend(new);
            }
            (Some(Value::Object(old)), Value::Object(new)) => old.extend(new),
            (_, value) => drop(person.fields.insert(name, value)),
        }
    }
}

fn need_seat(world: &World, old: Option<&Person>, new: &Person) -> Result<(), Refusal> {
    let takes_another = new.takes_seat() && !old.is_some_and(Person::takes_seat);
    match world.quirks.seats {
        Some(seats) if takes_another && world.people.seats_taken() >= seats => {
            let text = format!("all {seats} user seats of your license are taken");
            Err(Refusal::new(world.quirks.seat_status, text))
        }
        _ => Ok(()),
    }
}

fn refuse_owner(world: &World, person: &Person) -> Result<(), Refusal> {
    if person.flag("account_owner") && world.quirks.owner_writes == OwnerWrites::Refused {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "the account owner cannot be changed"));
    }
    Ok(())
}

fn save(world: &mut World, person: Person, status: StatusCode, now: Instant) -> Answer {
    let answer = match world.quirks.write_body {
        _ if status == StatusCode::NO_CONTENT => Answer::empty(status),
        WriteBody::User => Answer::json(status, &fields::user(&person, &world.quirks)),
        WriteBody::IdOnly => Answer::json(status, &json!({ "id": person.id() })),
        WriteBody::Empty => Answer::empty(status),
    };
    world.people.save(person, now, world.quirks.consistency);
    answer
}

fn delete(world: &mut World, request: &Request, now: Instant) -> Answer {
    world.people.remove(&request.identifier, now, world.quirks.consistency);
    Answer::empty(world.quirks.delete_status)
}

fn nobody(world: &World) -> Outcome {
    let text = "there is no such person";
    match world.quirks.unknown_status {
        Unknown::NotFound => Err(Refusal::new(StatusCode::NOT_FOUND, text)),
        Unknown::BadRequest => Err(bad_request(text)),
        Unknown::EmptyOk => Ok(Answer::empty(StatusCode::OK)),
    }
}

fn bad_request(text: impl Into<String>) -> Refusal {
    Refusal::new(StatusCode::BAD_REQUEST, text)
}
