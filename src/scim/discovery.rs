//! What this service can do, for clients that ask (RFC 7644 section 4). It tells no more than is true:
//! Microsoft's validator and other clients act on it.

use serde_json::{Map, Value, json};

use crate::scim::bulk;
use crate::scim::path::Path;
use crate::scim::query::list_response;
use crate::scim::schema::{
    Attribute, COMMON, GROUP_TYPE, Kind, Mutability, ResourceType, Returned, Schema, USER_TYPE, Uniqueness,
};

const CONFIG_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
const RESOURCE_TYPE_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const SCHEMA_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";

static RESOURCE_TYPES: [&ResourceType; 2] = [&USER_TYPE, &GROUP_TYPE];

/// How much a client gets at once, and for how long a cursor is good at least.
#[derive(Clone, Copy, Debug)]
pub struct Pages {
    pub max_results: usize,
    pub cursor_timeout_secs: u64,
}

/// RFC 7643 section 5 and RFC 9865 section 4. `base_url` is the SCIM root without a slash at its end.
pub fn service_provider_config(base_url: &str, pages: Pages, bulk: bulk::Limits) -> Value {
    json!({
        "schemas": [CONFIG_SCHEMA],
        "patch": { "supported": true },
        "bulk": {
            "supported": true,
            "maxOperations": bulk.max_operations,
            "maxPayloadSize": bulk.max_payload_bytes,
        },
        "filter": { "supported": true, "maxResults": pages.max_results },
        "changePassword": { "supported": false },
        "sort": { "supported": true },
        "etag": { "supported": true },
        "pagination": {
            "cursor": pages.cursor_timeout_secs > 0,
            "index": true,
            "defaultPaginationMethod": "index",
            "defaultPageSize": pages.max_results,
            "maxPageSize": pages.max_results,
            "cursorTimeout": pages.cursor_timeout_secs,
        },
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "OAuth Bearer Token",
            "description": "A bearer token in the Authorization header",
            "specUri": "https://www.rfc-editor.org/info/rfc6750",
            "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{base_url}/ServiceProviderConfig"),
        },
    })
}

/// Every resource type, as a list: a bare array makes clients fail.
pub fn resource_types(base_url: &str) -> Value {
    let all: Vec<_> = RESOURCE_TYPES.iter().map(|rt| resource_type_json(rt, base_url)).collect();
    list_response(all.len(), 1, all)
}

/// The resource type of this id.
pub fn resource_type(base_url: &str, id: &str) -> Option<Value> {
    RESOURCE_TYPES.iter().find(|rt| rt.id.eq_ignore_ascii_case(id)).map(|rt| resource_type_json(rt, base_url))
}

/// Every schema, as a list. `required` are the attributes that this service needs beside those of the RFC.
pub fn schemas(base_url: &str, required: &[&Path]) -> Value {
    let all: Vec<_> = all_schemas().map(|schema| schema_json(schema, base_url, required)).collect();
    list_response(all.len(), 1, all)
}

/// The schema of this URN.
pub fn schema(base_url: &str, urn: &str, required: &[&Path]) -> Option<Value> {
    all_schemas()
        .find(|schema| schema.id.eq_ignore_ascii_case(urn))
        .map(|schema| schema_json(schema, base_url, required))
}

fn all_schemas() -> impl Iterator<Item = &'static Schema> {
    RESOURCE_TYPES.iter().flat_map(|rt| rt.schemas())
}

/// RFC 7643 section 6.
fn resource_type_json(rt: &ResourceType, base_url: &str) -> Value {
    let extension = |schema: &&Schema| json!({ "schema": schema.id, "required": false });
    let mut shown = json!({
        "schemas": [RESOURCE_TYPE_SCHEMA],
        "id": rt.id,
        "name": rt.name,
        "description": rt.description,
        "endpoint": rt.endpoint,
        "schema": rt.schema.id,
        "schemaExtensions": rt.extensions.iter().map(extension).collect::<Vec<_>>(),
        "meta": { "resourceType": "ResourceType", "location": format!("{base_url}/ResourceTypes/{}", rt.id) },
    });
    if let (true, Some(shown)) = (rt.extensions.is_empty(), shown.as_object_mut()) {
        // An empty list says no more, and validators stumble over it.
        shown.shift_remove("schemaExtensions");
    }
    shown
}

/// RFC 7643 section 7. A core schema lists `externalId`, too, as section 3.1 allows: Entra maps it by
/// default, and Microsoft's validator reports mapped attributes that no schema lists.
fn schema_json(schema: &Schema, base_url: &str, required: &[&Path]) -> Value {
    let is_core = RESOURCE_TYPES.iter().any(|rt| rt.schema.id == schema.id);
    let common = COMMON.iter().filter(|attribute| is_core && attribute.name == "externalId");
    let mut attributes: Vec<_> = common.chain(schema.attributes).map(attribute_json).collect();
    // What is required is so for people.
    let of_people = USER_TYPE.schemas().any(|own| own.id == schema.id);
    let own = |path: &&&Path| of_people && path.schema.as_deref() == (!is_core).then_some(schema.id);
    for path in required.iter().filter(own) {
        require(&mut attributes, &path.attribute, path.sub.as_deref());
    }
    json!({
        "schemas": [SCHEMA_SCHEMA],
        "id": schema.id,
        "name": schema.name,
        "description": schema.description,
        "attributes": attributes,
        "meta": { "resourceType": "Schema", "location": format!("{base_url}/Schemas/{}", schema.id) },
    })
}

/// Marks an attribute, and the part of it that is meant, as required.
fn require(attributes: &mut [Value], name: &str, sub: Option<&str>) {
    for attribute in attributes.iter_mut().filter(|attribute| attribute["name"] == name) {
        attribute["required"] = true.into();
        let parts = attribute.get_mut("subAttributes").and_then(Value::as_array_mut);
        if let (Some(sub), Some(parts)) = (sub, parts) {
            require(parts, sub, None);
        }
    }
}

/// Only what says something about the attribute: no nulls and no empty lists, which Microsoft's validator
/// refuses.
fn attribute_json(attribute: &Attribute) -> Value {
    let mut shown = Map::new();
    let mut put = |name: &str, value: Value| drop(shown.insert(name.to_owned(), value));
    put("name", attribute.name.into());
    put("type", kind(attribute.kind).into());
    put("multiValued", attribute.multi_valued.into());
    put("description", attribute.description.into());
    put("required", attribute.required.into());
    if !attribute.canonical_values.is_empty() {
        put("canonicalValues", attribute.canonical_values.into());
    }
    if matches!(attribute.kind, Kind::String | Kind::Reference | Kind::Binary) {
        put("caseExact", attribute.case_exact.into());
    }
    put("mutability", mutability(attribute.mutability).into());
    put("returned", returned(attribute.returned).into());
    if attribute.kind != Kind::Complex {
        put("uniqueness", uniqueness(attribute.uniqueness).into());
    }
    if !attribute.reference_types.is_empty() {
        put("referenceTypes", attribute.reference_types.into());
    }
    if !attribute.sub_attributes.is_empty() {
        put("subAttributes", attribute.sub_attributes.iter().map(attribute_json).collect());
    }
    Value::Object(shown)
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::String => "string",
        Kind::Boolean => "boolean",
        Kind::Decimal => "decimal",
        Kind::Integer => "integer",
        Kind::DateTime => "dateTime",
        Kind::Binary => "binary",
        Kind::Reference => "reference",
        Kind::Complex => "complex",
    }
}

fn mutability(mutability: Mutability) -> &'static str {
    match mutability {
        Mutability::ReadOnly => "readOnly",
        Mutability::ReadWrite => "readWrite",
        Mutability::Immutable => "immutable",
        Mutability::WriteOnly => "writeOnly",
    }
}

fn returned(returned: Returned) -> &'static str {
    match returned {
        Returned::Always => "always",
        Returned::Never => "never",
        Returned::Default => "default",
        Returned::Request => "request",
    }
}

fn uniqueness(uniqueness: Uniqueness) -> &'static str {
    match uniqueness {
        Uniqueness::None => "none",
        Uniqueness::Server => "server",
        Uniqueness::Global => "global",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "https://scim.example.com/scim/v2";
    const BULK: bulk::Limits = bulk::Limits { max_operations: 50, max_payload_bytes: 4096 };

    fn resources(list: &Value) -> &[Value] {
        assert_eq!(list["schemas"], json!(["urn:ietf:params:scim:api:messages:2.0:ListResponse"]));
        let resources = list["Resources"].as_array().unwrap();
        assert_eq!(
            (&list["totalResults"], &list["itemsPerPage"]),
            (&json!(resources.len()), &json!(resources.len()))
        );
        resources
    }

    /// Nulls and empty lists make Microsoft's validator refuse `/Schemas`.
    fn assert_nothing_empty(value: &Value) {
        match value {
            Value::Array(items) => {
                assert!(!items.is_empty());
                items.iter().for_each(assert_nothing_empty);
            }
            Value::Object(map) => map.values().for_each(assert_nothing_empty),
            plain => assert!(!plain.is_null() && plain != ""),
        }
    }

    #[test]
    fn every_answer_is_full_and_says_where_it_lives() {
        let mut answers =
            vec![service_provider_config(BASE, Pages { max_results: 200, cursor_timeout_secs: 60 }, BULK)];
        answers.extend_from_slice(resources(&resource_types(BASE)));
        answers.extend_from_slice(resources(&schemas(BASE, &[])));
        let locations: Vec<_> =
            answers.iter().map(|answer| answer["meta"]["location"].as_str().unwrap()).collect();
        assert_eq!(
            locations,
            [
                "https://scim.example.com/scim/v2/ServiceProviderConfig",
                "https://scim.example.com/scim/v2/ResourceTypes/User",
                "https://scim.example.com/scim/v2/ResourceTypes/Group",
                "https://scim.example.com/scim/v2/Schemas/urn:ietf:params:scim:schemas:core:2.0:User",
                "https://scim.example.com/scim/v2/Schemas/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
                "https://scim.example.com/scim/v2/Schemas/urn:ietf:params:scim:schemas:core:2.0:Group",
            ]
        );
        answers.iter().for_each(assert_nothing_empty);
    }

    #[test]
    fn features_are_told_as_they_are() {
        let config = service_provider_config(BASE, Pages { max_results: 200, cursor_timeout_secs: 60 }, BULK);
        for (feature, supported) in [
            ("patch", true),
            ("filter", true),
            ("bulk", true),
            ("sort", true),
            ("etag", true),
            ("changePassword", false),
        ] {
            assert_eq!(config[feature]["supported"], json!(supported), "{feature}");
        }
        assert_eq!(config["filter"]["maxResults"], json!(200));
        assert_eq!(config["bulk"]["maxOperations"], json!(50));
        assert_eq!(config["bulk"]["maxPayloadSize"], json!(4096));
        assert_eq!(config["authenticationSchemes"][0]["type"], json!("oauthbearertoken"));
    }

    #[test]
    fn one_is_found_by_id_in_any_case() {
        let user = resource_type(BASE, "user").unwrap();
        assert_eq!(user, resources(&resource_types(BASE))[0]);
        assert_eq!(
            (&user["endpoint"], &user["schema"]),
            (&json!("/Users"), &json!("urn:ietf:params:scim:schemas:core:2.0:User"))
        );
        let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
        assert_eq!(user["schemaExtensions"], json!([{"schema": enterprise, "required": false}]));
        assert_eq!(schema(BASE, &enterprise.to_uppercase(), &[]).unwrap(), resources(&schemas(BASE, &[]))[1]);
        assert_eq!(resources(&schemas(BASE, &[]))[1]["attributes"][0]["name"], json!("employeeNumber"));
        assert_eq!((schema(BASE, "urn:x", &[]), resource_type(BASE, "Device")), (None, None));
    }

    #[test]
    fn attributes_are_written_as_the_rfc_writes_them() {
        let user = schema(BASE, "urn:ietf:params:scim:schemas:core:2.0:User", &[]).unwrap();
        let attribute = |name: &str| {
            user["attributes"].as_array().unwrap().iter().find(|a| a["name"] == name).unwrap().clone()
        };
        assert_eq!(
            attribute("userName"),
            json!({
                "name": "userName", "type": "string", "multiValued": false, "required": true, "caseExact": false,
                "description": "The name the person signs in with; unique here in any letter case.",
                "mutability": "readWrite", "returned": "default", "uniqueness": "server",
            })
        );
        assert_eq!(
            attribute("active"),
            json!({
                "name": "active", "type": "boolean", "multiValued": false, "required": false,
                "description": "Whether the person may use the service.",
                "mutability": "readWrite", "returned": "default", "uniqueness": "none",
            })
        );
        assert_eq!(attribute("externalId")["caseExact"], json!(true));
        assert_eq!(attribute("password")["mutability"], json!("writeOnly"));
        assert_eq!(attribute("profileUrl")["referenceTypes"], json!(["external"]));
        assert_eq!(attribute("x509Certificates")["subAttributes"][0]["type"], json!("binary"));
        let emails = attribute("emails");
        assert_eq!((&emails["type"], &emails["multiValued"]), (&json!("complex"), &json!(true)));
        assert_eq!(emails["subAttributes"][2]["canonicalValues"], json!(["work", "home", "other"]));
    }

    #[test]
    fn what_the_mapping_needs_is_required() {
        let path = |text| Path::parse(text, &USER_TYPE).unwrap();
        let needed = [path("name.givenName"), path("employeeNumber")];
        let needed: Vec<_> = needed.iter().collect();
        let find = |schema: &Value, name: &str| {
            schema["attributes"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone()
        };
        let user = schema(BASE, USER_TYPE.schema.id, &needed).unwrap();
        let name = find(&user, "name");
        let part = |part: &str| {
            name["subAttributes"].as_array().unwrap().iter().find(|one| one["name"] == part).unwrap()["required"].clone()
        };
        assert_eq!(
            (&name["required"], part("givenName"), part("familyName")),
            (&json!(true), json!(true), json!(false))
        );
        assert_eq!(find(&user, "title")["required"], false);
        let enterprise = schema(BASE, USER_TYPE.extensions[0].id, &needed).unwrap();
        assert_eq!(find(&enterprise, "employeeNumber")["required"], true);
    }
}
