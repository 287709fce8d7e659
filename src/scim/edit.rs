//! Changes inside one attribute: setting and removing among its values, in objects whose member names have
//! any letter case. Types are not looked at here; what comes in was checked.

use serde_json::{Map, Value, json};

use crate::scim::check;
use crate::scim::compare::Subject;
use crate::scim::filter::Filter;
use crate::scim::schema::Attribute;

/// The place of a member, in whatever case its name has; a new one holds null.
pub(super) fn slot<'a>(map: &'a mut Map<String, Value>, name: &str) -> &'a mut Value {
    let key = key(map, name);
    map.entry(key).or_insert(Value::Null)
}

pub(super) fn put(map: &mut Map<String, Value>, name: &str, value: Value) -> bool {
    *slot(map, name) = value;
    true
}

pub(super) fn take(map: &mut Map<String, Value>, name: &str) -> Option<Value> {
    let key = key(map, name);
    map.shift_remove(&key)
}

/// A value alone for a multi-valued attribute is a list of one.
pub(super) fn listed(value: Value, many: Option<bool>) -> Value {
    if many == Some(true) && !value.is_array() { Value::Array(vec![value]) } else { value }
}

/// Without a filter a sub-attribute is set on every value.
pub(super) fn set_sub(slot: &mut Value, sub: &str, value: Value, many: Option<bool>) -> bool {
    if !many.unwrap_or(slot.is_array()) {
        set_member(slot, sub, value);
        return true;
    }
    edit_items(slot, |items| {
        if items.is_empty() {
            items.push(json!({}));
        }
        for item in items {
            set_member(item, sub, value.clone());
        }
    });
    true
}

/// A single complex attribute is its own only value.
pub(super) fn set_selected(
    slot: &mut Value,
    filter: &Filter,
    sub: Option<&str>,
    value: Value,
    many: Option<bool>,
) -> bool {
    if many != Some(false) {
        return edit_items(slot, |items| {
            if change_selected(items, filter, sub, &value) {
                return true;
            }
            let fresh = described(filter, sub, value);
            items.extend(fresh.clone());
            fresh.is_some()
        });
    }
    if change_selected(std::slice::from_mut(slot), filter, sub, &value) {
        return true;
    }
    match described(filter, sub, value) {
        Some(fresh) => {
            *slot = fresh;
            true
        }
        None => false,
    }
}

fn change_selected(items: &mut [Value], filter: &Filter, sub: Option<&str>, value: &Value) -> bool {
    let mut selected = false;
    for item in items.iter_mut().filter(|item| filter.holds(Subject::Element(item))) {
        selected = true;
        change(item, filter, sub, value.clone());
    }
    selected
}

/// The value that the filter describes, with the change in it. What the filter would not find again is not
/// what it described: `emails[type eq "work"].type` = "home".
fn described(filter: &Filter, sub: Option<&str>, value: Value) -> Option<Value> {
    let mut fresh = filter.described().map(Value::Object)?;
    change(&mut fresh, filter, sub, value);
    filter.holds(Subject::Element(&fresh)).then_some(fresh)
}

/// A value given as a whole keeps what the filter knew it by, unless it says otherwise itself.
fn change(item: &mut Value, filter: &Filter, sub: Option<&str>, value: Value) {
    match (sub, value) {
        (Some("value"), value) if is_plain(item) => *item = value,
        (Some(sub), value) => set_member(item, sub, value),
        (None, Value::Object(given)) => {
            let mut whole = filter.described().unwrap_or_default();
            whole.extend(given);
            *item = Value::Object(whole);
        }
        (None, value) => *item = value,
    }
}

pub(super) fn remove_selected(
    slot: &mut Value,
    filter: Option<&Filter>,
    sub: Option<&str>,
    definition: Option<&'static Attribute>,
) {
    let selected = |item: &Value| filter.is_none_or(|filter| filter.holds(Subject::Element(item)));
    let strip = |item: &mut Value| {
        if selected(item) {
            match (sub, item.as_object_mut()) {
                (Some(sub), Some(map)) => drop(take(map, sub)),
                _ => *item = Value::Null,
            }
        }
    };
    match slot {
        Value::Array(items) => {
            items.iter_mut().for_each(strip);
            items.retain(|item| !check::is_bare(definition, item));
        }
        single => strip(single),
    }
}

/// The values of a multi-valued attribute; a value alone counts as a list of one.
fn edit_items<T>(slot: &mut Value, edit: impl FnOnce(&mut Vec<Value>) -> T) -> T {
    let mut items = match slot.take() {
        Value::Array(items) => items,
        Value::Null => Vec::new(),
        single => vec![single],
    };
    let result = edit(&mut items);
    *slot = Value::Array(items);
    result
}

/// Sets a member; what is no object yet becomes one, and a plain value its `value`.
pub(super) fn set_member(item: &mut Value, name: &str, value: Value) {
    let mut map = match item.take() {
        Value::Object(map) => map,
        plain if is_plain(&plain) => Map::from_iter([("value".to_owned(), plain)]),
        _ => Map::new(),
    };
    put(&mut map, name, value);
    *item = Value::Object(map);
}

/// The key of a member in whatever case it has.
fn key(map: &Map<String, Value>, name: &str) -> String {
    let same = |key: &&String| key.eq_ignore_ascii_case(name);
    let found = if map.contains_key(name) { None } else { map.keys().find(same) };
    found.map_or(name, String::as_str).to_owned()
}

fn is_plain(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Number(_) | Value::String(_))
}
