//! Users and groups as they are sent, kept and shown.
//!
//! What the gateway acts by is taken out; the rest is kept as it came, so that whoever sent it finds it again. A password is dropped.

use countersign_model::Timestamp;
use countersign_store::{DirectoryKind, DirectoryRecord};
use serde_json::{Map, Value, json};

use crate::scim::No;

/// The longest `userName`, `displayName` or `externalId`, in bytes.
pub const NAME_BYTES_MAX: usize = 256;
/// The longest user or group without its members, in bytes of JSON.
pub const RESOURCE_BYTES_MAX: usize = 16 * 1024;

pub(crate) const USER: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
pub(crate) const GROUP: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";

/// What the gateway itself says of a resource, or never keeps: lower case.
const NOT_KEPT: [&str; 7] = ["id", "meta", "schemas", "groups", "members", "password", "active"];

/// What was sent, taken apart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sent {
    pub(crate) name: String,
    pub(crate) external_id: Option<String>,
    pub(crate) active: bool,
    pub(crate) content: String,
}

/// An attribute, whatever the case of its name (RFC 7643, 2.1).
pub(crate) fn attribute<'m>(map: &'m Map<String, Value>, name: &str) -> Option<&'m Value> {
    map.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

pub(crate) const fn name_of(kind: DirectoryKind) -> &'static str {
    match kind {
        DirectoryKind::User => "userName",
        DirectoryKind::Group => "displayName",
    }
}

fn text(map: &Map<String, Value>, name: &str) -> Result<Option<String>, No> {
    let wrong =
        || No::bad("invalidValue", format!("{name} is no text of 1 to {NAME_BYTES_MAX} bytes that can be shown"));
    match attribute(map, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => {
            let fits = !text.is_empty() && text.len() <= NAME_BYTES_MAX && text.trim() == text;
            if fits && !text.chars().any(char::is_control) { Ok(Some(text.clone())) } else { Err(wrong()) }
        }
        Some(_) => Err(wrong()),
    }
}

/// A truth value, also as the text that some send.
pub(crate) fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(*b),
        Value::String(s) if s.eq_ignore_ascii_case("true") => Some(true),
        Value::String(s) if s.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

impl Sent {
    pub(crate) fn read(kind: DirectoryKind, mut map: Map<String, Value>) -> Result<Self, No> {
        let name = name_of(kind);
        let called = text(&map, name)?.ok_or_else(|| No::bad("invalidValue", format!("{name} is missing")))?;
        let external_id = text(&map, "externalId")?;
        let active = match attribute(&map, "active") {
            None | Some(Value::Null) => true,
            Some(value) => truth(value).ok_or_else(|| No::bad("invalidValue", "active is not true or false"))?,
        };
        map.retain(|known, _| {
            let own = known.eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case("externalId");
            !own && !NOT_KEPT.iter().any(|n| known.eq_ignore_ascii_case(n))
        });
        let content = Value::Object(map).to_string();
        if content.len() > RESOURCE_BYTES_MAX {
            return Err(No::too_large(format!("a resource has more than {RESOURCE_BYTES_MAX} bytes")));
        }
        Ok(Self { name: called, external_id, active: active || kind == DirectoryKind::Group, content })
    }
}

impl Sent {
    /// As a first version of nobody's, for the fuzz target.
    pub(crate) fn record(&self) -> DirectoryRecord {
        DirectoryRecord {
            realm: String::new(),
            kind: DirectoryKind::User,
            id: String::new(),
            name: self.name.clone(),
            external_id: self.external_id.clone(),
            active: self.active,
            version: 1,
            content: self.content.clone(),
            created_at: Timestamp::from_unix_us(0),
            changed_at: Timestamp::from_unix_us(0),
        }
    }
}

/// What is kept, as it would be sent.
pub(crate) fn whole(r: &DirectoryRecord) -> Map<String, Value> {
    let mut map = match serde_json::from_str(&r.content) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    };
    map.insert(name_of(r.kind).to_owned(), json!(r.name));
    if let Some(id) = &r.external_id {
        map.insert("externalId".to_owned(), json!(id));
    }
    if r.kind == DirectoryKind::User {
        map.insert("active".to_owned(), json!(r.active));
    }
    map
}

/// The same as it is shown; `related` are the groups of a user, or the members of a group.
pub(crate) fn shown(r: &DirectoryRecord, base: &str, related: Option<Vec<(String, String)>>) -> Value {
    let (schema, kind, place, list) = match r.kind {
        DirectoryKind::User => (USER, "User", "Users", "groups"),
        DirectoryKind::Group => (GROUP, "Group", "Groups", "members"),
    };
    let mut map = whole(r);
    let extensions: Vec<String> = map.keys().filter(|k| k.starts_with("urn:")).cloned().collect();
    let schemas: Vec<String> = std::iter::once(schema.to_owned()).chain(extensions).collect();
    map.insert("schemas".to_owned(), json!(schemas));
    map.insert("id".to_owned(), json!(r.id));
    if let Some(related) = related {
        let other = if r.kind == DirectoryKind::User { "Groups" } else { "Users" };
        let entry = |(id, name): (String, String)| json!({"value": id, "display": name, "$ref": format!("{base}/{other}/{id}")});
        map.insert(list.to_owned(), related.into_iter().map(entry).collect());
    }
    map.insert(
        "meta".to_owned(),
        json!({
            "resourceType": kind, "created": r.created_at.rfc3339(), "lastModified": r.changed_at.rfc3339(),
            "location": format!("{base}/{place}/{}", r.id), "version": format!("W/\"{}\"", r.version),
        }),
    );
    Value::Object(map)
}
