//! What a resource may hold: the User of RFC 7643 section 4.1, the Group of section 4.2 and the Enterprise User of
//! section 4.3, as one table that parsing, checking, comparing, projecting and discovery all read. It promises the
//! characteristics of section 2.2 for every attribute; it enforces none of them itself.

/// The data types of RFC 7643 section 2.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    String,
    Boolean,
    Decimal,
    Integer,
    DateTime,
    Binary,
    Reference,
    Complex,
}

/// Who may change an attribute, and when (RFC 7643 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutability {
    ReadOnly,
    ReadWrite,
    Immutable,
    WriteOnly,
}

/// When an attribute is shown (RFC 7643 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    Always,
    Never,
    Default,
    Request,
}

/// How far no two resources may share a value (RFC 7643 section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uniqueness {
    None,
    Server,
    Global,
}

/// An attribute or sub-attribute with its characteristics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    pub name: &'static str,
    pub kind: Kind,
    pub multi_valued: bool,
    pub description: &'static str,
    pub required: bool,
    pub canonical_values: &'static [&'static str],
    pub case_exact: bool,
    pub mutability: Mutability,
    pub returned: Returned,
    pub uniqueness: Uniqueness,
    pub reference_types: &'static [&'static str],
    pub sub_attributes: &'static [Self],
}

/// A named set of attributes.
#[derive(Debug)]
pub struct Schema {
    pub id: &'static str,
    pub name: &'static str,
    pub description: &'static str,
    pub attributes: &'static [Attribute],
}

/// What lives under one endpoint: a core schema and its extensions.
#[derive(Debug)]
pub struct ResourceType {
    pub id: &'static str,
    pub name: &'static str,
    pub description: &'static str,
    pub endpoint: &'static str,
    pub schema: &'static Schema,
    pub extensions: &'static [&'static Schema],
}

impl Attribute {
    /// The sub-attribute of this name, in any letter case (RFC 7643 section 2.1).
    pub fn sub(&self, name: &str) -> Option<&'static Self> {
        find(self.sub_attributes, name)
    }

    /// Whether clients may not set it.
    pub fn is_read_only(&self) -> bool {
        self.mutability == Mutability::ReadOnly
    }

    /// Whether the attribute points at another resource and so carries `$ref` beside `value`.
    pub fn is_reference_object(&self) -> bool {
        self.sub("$ref").is_some()
    }
}

impl Schema {
    /// The attribute of this name, in any letter case.
    pub fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        find(self.attributes, name)
    }
}

impl ResourceType {
    /// The core schema and then the extensions.
    pub fn schemas(&self) -> impl Iterator<Item = &'static Schema> + use<> {
        std::iter::once(self.schema).chain(self.extensions.iter().copied())
    }

    /// The core or extension schema of this URN, in any letter case (RFC 8141 leaves Entra no better choice).
    pub fn schema_of(&self, urn: &str) -> Option<&'static Schema> {
        self.schemas().find(|schema| schema.id.eq_ignore_ascii_case(urn))
    }

    /// A common attribute, or one of the core schema.
    pub fn core_attribute(&self, name: &str) -> Option<&'static Attribute> {
        find(COMMON, name).or_else(|| self.schema.attribute(name))
    }
}

fn find(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes.iter().find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

/// Attributes that every resource has and that no schema lists (RFC 7643 section 3.1).
pub const COMMON: &[Attribute] = &[
    text("schemas", "URNs of the schemas that the resource uses.").many().exact().returned(Returned::Always),
    text("id", "The identifier that this service gave the resource.")
        .exact()
        .read_only()
        .returned(Returned::Always)
        .unique(Uniqueness::Server),
    text("externalId", "The identifier that the client uses for the resource.").exact(),
    complex("meta", "Where the resource lives and when it changed.", META).read_only(),
];

const META: &[Attribute] = &[
    text("resourceType", "The name of the resource type.").exact().read_only(),
    of(Kind::DateTime, "created", "When the resource was added here.").read_only(),
    of(Kind::DateTime, "lastModified", "When the resource was last changed here.").read_only(),
    of(Kind::Reference, "location", "The address of the resource.").exact().read_only().refers_to(&["uri"]),
    text("version", "The version of the resource.").exact().read_only(),
];

/// The core User (RFC 7643 section 4.1).
pub static USER: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:core:2.0:User",
    name: "User",
    description: "User account",
    attributes: USER_ATTRIBUTES,
};

/// The Enterprise User extension (RFC 7643 section 4.3).
pub static ENTERPRISE_USER: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
    name: "EnterpriseUser",
    description: "Enterprise user account",
    attributes: ENTERPRISE_ATTRIBUTES,
};

/// The resource type User.
pub static USER_TYPE: ResourceType = ResourceType {
    id: "User",
    name: "User",
    description: "User account",
    endpoint: "/Users",
    schema: &USER,
    extensions: &[&ENTERPRISE_USER],
};

/// The core Group (RFC 7643 section 4.2).
pub static GROUP: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:core:2.0:Group",
    name: "Group",
    description: "Group",
    attributes: GROUP_ATTRIBUTES,
};

/// The resource type Group.
pub static GROUP_TYPE: ResourceType = ResourceType {
    id: "Group",
    name: "Group",
    description: "Group",
    endpoint: "/Groups",
    schema: &GROUP,
    extensions: &[],
};

const GROUP_ATTRIBUTES: &[Attribute] = &[
    text("displayName", "The name of the group; unique here in any letter case.")
        .required()
        .unique(Uniqueness::Server),
    complex("members", "The people who belong to the group.", MEMBERS).many(),
];

const MEMBERS: &[Attribute] = &[
    text("value", "The id of the person.").exact().mutability(Mutability::Immutable),
    reference("$ref", "The address of the person.", &["User"]).mutability(Mutability::Immutable),
    text("type", "What the member is.").canonical(&["User"]).mutability(Mutability::Immutable),
    text("display", "A name of the person, for people.").read_only(),
];

const USER_ATTRIBUTES: &[Attribute] = &[
    text("userName", "The name the person signs in with; unique here in any letter case.")
        .required()
        .unique(Uniqueness::Server),
    complex("name", "The parts of the person's name.", NAME),
    text("displayName", "The name to show for the person."),
    text("nickName", "The casual name of the person."),
    reference("profileUrl", "The address of the person's profile page.", &["external"]),
    text("title", "The job title, such as \"Vice President\"."),
    text("userType", "The relation to the organization, such as \"Contractor\"."),
    text("preferredLanguage", "The language the person prefers, as in Accept-Language (RFC 9110)."),
    text("locale", "The locale for dates, numbers and currency (RFC 5646)."),
    text("timezone", "The time zone, as in the IANA database: \"America/Los_Angeles\"."),
    of(Kind::Boolean, "active", "Whether the person may use the service."),
    text("password", "A password to set; accepted and dropped.")
        .exact()
        .mutability(Mutability::WriteOnly)
        .returned(Returned::Never),
    complex("emails", "E-mail addresses.", EMAILS).many(),
    complex("phoneNumbers", "Phone numbers.", PHONE_NUMBERS).many(),
    complex("ims", "Instant messaging addresses.", IMS).many(),
    complex("photos", "Addresses of photos.", PHOTOS).many(),
    complex("addresses", "Postal addresses.", ADDRESSES).many(),
    complex("groups", "Groups the person belongs to, directly or through another group.", GROUPS)
        .many()
        .read_only(),
    complex("entitlements", "Things the person is entitled to.", LABELLED_VALUES).many(),
    complex("roles", "Roles of the person, such as \"Student\".", LABELLED_VALUES).many(),
    complex("x509Certificates", "Certificates of the person.", CERTIFICATES).many(),
];

const NAME: &[Attribute] = &[
    text("formatted", "The whole name, as it is shown."),
    text("familyName", "The family name, or last name."),
    text("givenName", "The given name, or first name."),
    text("middleName", "The middle names."),
    text("honorificPrefix", "The title before the name, such as \"Ms.\"."),
    text("honorificSuffix", "The suffix after the name, such as \"III\"."),
];

// Entra's mapping editor and Microsoft's validator derive names from `type`: with canonical values an
// attribute becomes `emails[type eq "work"].value`, without them `roles[primary eq "True"].value`. So emails,
// phoneNumbers, addresses, ims and photos list theirs, while roles, entitlements and certificates have none.
const TYPE: Attribute = text("type", "What the value is used for.");
const PRIMARY: Attribute =
    of(Kind::Boolean, "primary", "Whether this is the preferred value; true at most once.");
const DISPLAY: Attribute = text("display", "A name of the value, for people.");

const EMAILS: &[Attribute] = &[
    text("value", "The e-mail address (RFC 5321)."),
    DISPLAY,
    TYPE.canonical(&["work", "home", "other"]),
    PRIMARY,
];

const PHONE_NUMBERS: &[Attribute] = &[
    text("value", "The phone number."),
    DISPLAY,
    TYPE.canonical(&["work", "home", "mobile", "fax", "pager", "other"]),
    PRIMARY,
];

const IMS: &[Attribute] = &[
    text("value", "The address."),
    DISPLAY,
    TYPE.canonical(&["aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"]),
    PRIMARY,
];

const PHOTOS: &[Attribute] = &[
    reference("value", "The address of the photo.", &["external"]),
    DISPLAY,
    TYPE.canonical(&["photo", "thumbnail"]),
    PRIMARY,
];

const ADDRESSES: &[Attribute] = &[
    text("formatted", "The whole address, as it is written on a letter."),
    text("streetAddress", "Street, house number and the like."),
    text("locality", "The city."),
    text("region", "The state or region."),
    text("postalCode", "The postal code."),
    text("country", "The country (ISO 3166-1 alpha-2)."),
    TYPE.canonical(&["work", "home", "other"]),
    PRIMARY,
];

const GROUPS: &[Attribute] = &[
    text("value", "The id of the group.").exact().read_only(),
    reference("$ref", "The address of the group.", &["Group"]).read_only(),
    text("display", "The name of the group.").read_only(),
    text("type", "How the person belongs to the group.").canonical(&["direct", "indirect"]).read_only(),
];

const LABELLED_VALUES: &[Attribute] = &[text("value", "The value."), DISPLAY, TYPE, PRIMARY];

const CERTIFICATES: &[Attribute] =
    &[of(Kind::Binary, "value", "The certificate, DER in base64.").exact(), DISPLAY, TYPE, PRIMARY];

const ENTERPRISE_ATTRIBUTES: &[Attribute] = &[
    text("employeeNumber", "The number that the organization gave the person."),
    text("costCenter", "The name of a cost center."),
    text("organization", "The name of an organization."),
    text("division", "The name of a division."),
    text("department", "The name of a department."),
    complex("manager", "The person's manager.", MANAGER),
];

// RFC 7643 section 3.1 makes ids case-exact, so the manager's is, whatever section 8.7.1 prints.
const MANAGER: &[Attribute] = &[
    text("value", "The id of the manager.").exact(),
    reference("$ref", "The address of the manager.", &["User"]),
    text("displayName", "The manager's displayName.").read_only(),
];

/// The defaults of RFC 7643 section 2.2; the methods below say what differs.
const fn of(kind: Kind, name: &'static str, description: &'static str) -> Attribute {
    Attribute {
        name,
        kind,
        multi_valued: false,
        description,
        required: false,
        canonical_values: &[],
        case_exact: false,
        mutability: Mutability::ReadWrite,
        returned: Returned::Default,
        uniqueness: Uniqueness::None,
        reference_types: &[],
        sub_attributes: &[],
    }
}

const fn text(name: &'static str, description: &'static str) -> Attribute {
    of(Kind::String, name, description)
}

/// References are case-exact: RFC 7643 section 2.3.7.
const fn reference(
    name: &'static str,
    description: &'static str,
    types: &'static [&'static str],
) -> Attribute {
    of(Kind::Reference, name, description).exact().refers_to(types)
}

const fn complex(name: &'static str, description: &'static str, subs: &'static [Attribute]) -> Attribute {
    Attribute { sub_attributes: subs, ..of(Kind::Complex, name, description) }
}

impl Attribute {
    const fn many(self) -> Self {
        Self { multi_valued: true, ..self }
    }

    const fn required(self) -> Self {
        Self { required: true, ..self }
    }

    const fn exact(self) -> Self {
        Self { case_exact: true, ..self }
    }

    const fn read_only(self) -> Self {
        self.mutability(Mutability::ReadOnly)
    }

    const fn mutability(self, mutability: Mutability) -> Self {
        Self { mutability, ..self }
    }

    const fn returned(self, returned: Returned) -> Self {
        Self { returned, ..self }
    }

    const fn unique(self, uniqueness: Uniqueness) -> Self {
        Self { uniqueness, ..self }
    }

    const fn canonical(self, values: &'static [&'static str]) -> Self {
        Self { canonical_values: values, ..self }
    }

    const fn refers_to(self, types: &'static [&'static str]) -> Self {
        Self { reference_types: types, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every_attribute() -> impl Iterator<Item = &'static Attribute> {
        let listed = COMMON.iter().chain(USER.attributes).chain(ENTERPRISE_USER.attributes);
        listed.flat_map(|attribute| std::iter::once(attribute).chain(attribute.sub_attributes))
    }

    #[test]
    fn the_attributes_are_those_of_the_rfc() {
        let names = |schema: &Schema| schema.attributes.iter().map(|a| a.name).collect::<Vec<_>>().join(" ");
        assert_eq!(
            names(&USER),
            "userName name displayName nickName profileUrl title userType preferredLanguage locale timezone active \
             password emails phoneNumbers ims photos addresses groups entitlements roles x509Certificates"
        );
        assert_eq!(
            names(&ENTERPRISE_USER),
            "employeeNumber costCenter organization division department manager"
        );
    }

    #[test]
    fn exactly_these_differ_from_the_defaults() {
        let names = |test: fn(&Attribute) -> bool| {
            every_attribute().filter(|a| test(a)).map(|a| a.name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(|a| a.required), "userName");
        assert_eq!(names(|a| a.uniqueness != Uniqueness::None), "id userName");
        assert_eq!(names(|a| a.returned == Returned::Always), "schemas id");
        assert_eq!(names(|a| a.returned == Returned::Never), "password");
        assert_eq!(names(|a| a.mutability == Mutability::WriteOnly), "password");
        assert_eq!(
            names(Attribute::is_read_only),
            "id meta resourceType created lastModified location version groups value $ref display type displayName"
        );
        assert_eq!(
            names(|a| a.case_exact),
            "schemas id externalId resourceType location version profileUrl password value value $ref value value $ref"
        );
    }

    #[test]
    fn complex_attributes_alone_have_sub_attributes() {
        for attribute in every_attribute() {
            assert_eq!(
                attribute.kind == Kind::Complex,
                !attribute.sub_attributes.is_empty(),
                "{}",
                attribute.name
            );
            assert_eq!(
                attribute.kind == Kind::Reference,
                !attribute.reference_types.is_empty(),
                "{}",
                attribute.name
            );
        }
    }

    /// Without them Microsoft's validator reports `emails[type eq "work"].value` as missing.
    #[test]
    fn types_have_canonical_values_where_entra_selects_by_them() {
        let table = [
            ("emails", "work home other"),
            ("phoneNumbers", "work home mobile fax pager other"),
            ("addresses", "work home other"),
            ("ims", "aim gtalk icq xmpp msn skype qq yahoo"),
            ("photos", "photo thumbnail"),
            ("roles", ""),
            ("entitlements", ""),
            ("x509Certificates", ""),
        ];
        for (name, values) in table {
            let kind = USER.attribute(name).and_then(|attribute| attribute.sub("type")).unwrap();
            assert_eq!(kind.canonical_values.join(" "), values, "{name}");
        }
    }

    #[test]
    fn names_and_urns_are_found_in_any_case() {
        assert_eq!(USER_TYPE.core_attribute("USERNAME").map(|a| a.name), Some("userName"));
        assert_eq!(USER_TYPE.core_attribute("externalid").map(|a| a.name), Some("externalId"));
        assert!(USER_TYPE.core_attribute("department").is_none());
        let urn = ENTERPRISE_USER.id.to_ascii_uppercase();
        assert_eq!(USER_TYPE.schema_of(&urn).map(|schema| schema.name), Some("EnterpriseUser"));
        assert!(USER_TYPE.schema_of("urn:x").is_none());
    }
}
