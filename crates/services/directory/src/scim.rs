//! The operations (RFC 7644, 3): who asks, what they ask for, what comes of it.
//!
//! Must never say anything to whoever has no token of a realm, nor anything of another realm to one who has.

use countersign_model::Timestamp;
use countersign_store::{
    DIRECTORY_PAGE_MAX, DirectoryChange, DirectoryFilter, DirectoryKind, DirectoryRecord, StoreError,
};
use serde_json::{Map, Value, json};

use crate::patch::{Op, Operation, apply, equal, operations, spread};
use crate::resource::{Sent, attribute, name_of, shown, whole};
use crate::{Directory, Key, Realm, fixed};

/// The longest body of a request, in bytes.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// The most members that one request adds or removes.
const MEMBERS_MAX: usize = 5_000;
/// How often a change is made anew when somebody else was first.
const TRIES: usize = 5;
/// How many entries a page has where nobody says.
const PAGE_DEFAULT: u32 = 100;

const ERROR: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
const LIST: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";

/// A request below `/scim/v2`.
#[derive(Clone, Copy)]
pub struct ScimRequest<'r> {
    /// The method.
    pub method: &'r str,
    /// The path behind `/scim/v2`, such as `/Users/1`.
    pub path: &'r str,
    /// The query.
    pub query: &'r str,
    /// The `Authorization` header.
    pub authorization: Option<&'r str>,
    /// The body, at most [`BODY_BYTES_MAX`].
    pub body: &'r [u8],
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScimReply {
    /// The status code.
    pub status: u16,
    /// Where a new resource is.
    pub location: Option<String>,
    /// JSON; empty for 204.
    pub body: String,
}

/// Why something is not done (RFC 7644, 3.12).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct No {
    status: u16,
    kind: Option<&'static str>,
    why: String,
}

impl No {
    pub(crate) fn bad(kind: &'static str, why: impl Into<String>) -> Self {
        Self { status: 400, kind: Some(kind), why: why.into() }
    }

    pub(crate) fn too_large(why: String) -> Self {
        Self { status: 413, kind: None, why }
    }

    fn of(status: u16, why: &str) -> Self {
        Self { status, kind: None, why: why.to_owned() }
    }

    fn reply(self) -> ScimReply {
        let mut body = json!({"schemas": [ERROR], "status": self.status.to_string(), "detail": self.why});
        if let (Some(kind), Some(body)) = (self.kind, body.as_object_mut()) {
            body.insert("scimType".to_owned(), json!(kind));
        }
        ScimReply { status: self.status, location: None, body: body.to_string() }
    }
}

impl From<StoreError> for No {
    fn from(error: StoreError) -> Self {
        if let StoreError::Limit(why) = error {
            return Self::too_large(why);
        }
        tracing::warn!(%error, "a directory could not be kept");
        Self::of(503, "the gateway cannot keep this now: try again")
    }
}

fn made(change: DirectoryChange) -> Result<(), No> {
    match change {
        DirectoryChange::Made => Ok(()),
        DirectoryChange::Taken => {
            Err(No { status: 409, kind: Some("uniqueness"), why: "the name or the externalId is taken".to_owned() })
        }
        DirectoryChange::Full => Err(No::of(507, "there are as many as may be")),
        DirectoryChange::Stale => Err(No::of(409, "it was changed by somebody else at the same time: try again")),
    }
}

fn object(body: &[u8]) -> Result<Map<String, Value>, No> {
    if body.len() > BODY_BYTES_MAX {
        return Err(No::too_large(format!("the body has more than {BODY_BYTES_MAX} bytes")));
    }
    match serde_json::from_slice(body) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(No::bad("invalidSyntax", "the body is no JSON object")),
    }
}

/// What changes of the members of a group.
#[derive(Debug, Default, PartialEq)]
struct Members {
    add: Vec<String>,
    remove: Vec<String>,
    only: bool,
}

fn values(value: Option<&Value>) -> Result<Vec<String>, No> {
    let wrong = || No::bad("invalidValue", "a member has no value");
    let one = |v: &Value| match v {
        Value::String(id) => Ok(id.clone()),
        Value::Object(map) => attribute(map, "value").and_then(Value::as_str).map(str::to_owned).ok_or_else(wrong),
        _ => Err(wrong()),
    };
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => list.iter().map(one).collect(),
        Some(other) => Ok(vec![one(other)?]),
    }
}

impl Members {
    /// Takes an operation in; says whether it is about members at all.
    fn take(&mut self, operation: &Operation) -> Result<bool, No> {
        let Some(path) = operation.path.as_ref().filter(|p| p.is("members")) else { return Ok(false) };
        let named = match &path.filter {
            Some((by, Value::String(id))) if by.eq_ignore_ascii_case("value") => Some(id.clone()),
            Some(_) => return Err(No::bad("invalidFilter", "members are found by value alone")),
            None => None,
        };
        match (operation.op, named) {
            (Op::Remove, Some(id)) => self.drop(vec![id]),
            (Op::Remove, None) if operation.value.is_some() => self.drop(values(operation.value.as_ref())?),
            (Op::Remove, None) => *self = Self { only: true, ..Self::default() },
            (_, Some(_)) => return Err(No::bad("invalidPath", "members are added by a list")),
            (Op::Replace, None) => {
                *self = Self { add: values(operation.value.as_ref())?, only: true, ..Self::default() };
            }
            (Op::Add, None) => {
                let more = values(operation.value.as_ref())?;
                self.remove.retain(|id| !more.contains(id));
                self.add.extend(more);
            }
        }
        if self.add.len().saturating_add(self.remove.len()) > MEMBERS_MAX {
            return Err(No::bad("tooMany", format!("more than {MEMBERS_MAX} members are changed at once")));
        }
        Ok(true)
    }

    fn drop(&mut self, ids: Vec<String>) {
        self.add.retain(|id| !ids.contains(id));
        self.remove.extend(ids);
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Directory {
    /// Answers a request.
    pub async fn answer(&self, request: &ScimRequest<'_>, now: Timestamp) -> ScimReply {
        let token = request.authorization.and_then(|a| a.split_once(' '));
        let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
        let Some(realm) = token.and_then(|token| self.opened_by(token)) else {
            tracing::info!("a request to a directory had no token that opens one");
            return No::of(401, "there is no token, or none that opens a directory").reply();
        };
        self.answered(realm, request, now).await.unwrap_or_else(No::reply)
    }

    async fn answered(&self, realm: &Realm, r: &ScimRequest<'_>, now: Timestamp) -> Result<ScimReply, No> {
        let ok = |value: Value| Ok(ScimReply { status: 200, location: None, body: value.to_string() });
        let parts: Vec<&str> = r.path.trim_matches('/').split('/').collect();
        let fixed = |all: Vec<Value>, id: Option<&str>| match id {
            None => ok(
                json!({"schemas": [LIST], "totalResults": all.len(), "startIndex": 1, "itemsPerPage": all.len(), "Resources": all}),
            ),
            Some(id) => {
                let found = all.into_iter().find(|v| v.get("id").and_then(Value::as_str) == Some(id));
                ok(found.ok_or_else(|| No::of(404, "there is no such thing"))?)
            }
        };
        match (r.method, parts.as_slice()) {
            ("GET", ["ServiceProviderConfig"]) => return ok(fixed::config(&self.base)),
            ("GET", ["ResourceTypes"]) => return fixed(fixed::types(&self.base), None),
            ("GET", ["ResourceTypes", id]) => return fixed(fixed::types(&self.base), Some(id)),
            ("GET", ["Schemas"]) => return fixed(fixed::schemas(&self.base), None),
            ("GET", ["Schemas", id]) => return fixed(fixed::schemas(&self.base), Some(id)),
            _ => {}
        }
        let (kind, id) = match parts.as_slice() {
            ["Users"] => (DirectoryKind::User, None),
            ["Users", id] => (DirectoryKind::User, Some(*id)),
            ["Groups"] => (DirectoryKind::Group, None),
            ["Groups", id] => (DirectoryKind::Group, Some(*id)),
            _ => return Err(No::of(404, "there is nothing at this path")),
        };
        match (r.method, id) {
            ("GET", None) => self.list(realm, kind, r.query).await,
            ("POST", None) => self.create(realm, kind, object(r.body)?, now).await,
            ("GET", Some(id)) => {
                let entry = self.entry(realm, kind, id).await?;
                ok(self.show(realm, &entry, !without_members(r.query)).await?)
            }
            ("PUT", Some(id)) => {
                let body = object(r.body)?;
                let members = match kind {
                    DirectoryKind::User => Members::default(),
                    DirectoryKind::Group => {
                        Members { add: values(attribute(&body, "members"))?, only: true, ..Members::default() }
                    }
                };
                if members.add.len() > MEMBERS_MAX {
                    return Err(No::bad("tooMany", format!("there are more than {MEMBERS_MAX} members")));
                }
                let sent = Sent::read(kind, body)?;
                self.change(realm, kind, id, members, &|_| Ok(sent.clone()), now).await.and_then(ok)
            }
            ("PATCH", Some(id)) => {
                let mut members = Members::default();
                let mut others = Vec::new();
                for operation in spread(operations(&object(r.body)?)?)? {
                    if kind == DirectoryKind::User || !members.take(&operation)? {
                        others.push(operation);
                    }
                }
                let edit = |entry: &DirectoryRecord| {
                    let mut resource = whole(entry);
                    for operation in &others {
                        apply(&mut resource, operation)?;
                    }
                    Sent::read(kind, resource)
                };
                self.change(realm, kind, id, members, &edit, now).await.and_then(ok)
            }
            ("DELETE", Some(id)) => {
                let entry = self.entry(realm, kind, id).await?;
                self.store.remove_from_directory(&realm.label, kind, id).await?;
                self.tell(realm, &entry, None, now).await;
                tracing::info!(realm = realm.label, name = entry.name, "an entry of a directory was removed");
                Ok(ScimReply { status: 204, location: None, body: String::new() })
            }
            _ => Err(No::of(405, "this path does not take this method")),
        }
    }

    async fn entry(&self, realm: &Realm, kind: DirectoryKind, id: &str) -> Result<DirectoryRecord, No> {
        let found = self.store.directory_entry(&realm.label, kind, id).await?;
        found.ok_or_else(|| No::of(404, "there is no such user or group"))
    }

    async fn show(&self, realm: &Realm, entry: &DirectoryRecord, all: bool) -> Result<Value, No> {
        let related = match entry.kind {
            _ if !all => None,
            DirectoryKind::User => Some(self.store.directory_groups_of(&realm.label, &entry.id).await?),
            DirectoryKind::Group => Some(self.store.directory_members(&realm.label, &entry.id).await?),
        };
        Ok(shown(entry, &self.base, related))
    }

    async fn list(&self, realm: &Realm, kind: DirectoryKind, query: &str) -> Result<ScimReply, No> {
        let get =
            |name: &str| form_urlencoded::parse(query.as_bytes()).find(|(n, _)| n == name).map(|(_, v)| v.into_owned());
        let number = |name: &str| match get(name) {
            None => Ok(None),
            Some(text) => {
                text.parse::<i64>().map(Some).map_err(|_| No::bad("invalidValue", format!("{name} is no number")))
            }
        };
        let start = u32::try_from(number("startIndex")?.unwrap_or(1).max(1)).unwrap_or(u32::MAX);
        let count = number("count")?.unwrap_or(i64::from(PAGE_DEFAULT)).clamp(0, i64::from(DIRECTORY_PAGE_MAX));
        let count = u32::try_from(count).unwrap_or(0);
        let filter = get("filter").map(|f| {
            let found = equal(&f).and_then(|(name, value)| Some((name, value.as_str()?.to_owned())));
            found.ok_or_else(|| No::bad("invalidFilter", "the one filter that is known is NAME eq \"VALUE\""))
        });
        let (found, total) = match filter.transpose()? {
            None => {
                let from = start.saturating_sub(1);
                self.store.directory_page(&realm.label, kind, DirectoryFilter::All, from, count).await?
            }
            Some((name, value)) if name.eq_ignore_ascii_case("id") => {
                let found: Vec<_> = self.store.directory_entry(&realm.label, kind, &value).await?.into_iter().collect();
                let total = u64::try_from(found.len()).unwrap_or(0);
                (found, total)
            }
            Some((name, value)) => {
                let filter = if name.eq_ignore_ascii_case(name_of(kind)) {
                    DirectoryFilter::Name(&value)
                } else if name.eq_ignore_ascii_case("externalId") {
                    DirectoryFilter::ExternalId(&value)
                } else {
                    let why = format!("filters are by id, externalId and {}", name_of(kind));
                    return Err(No::bad("invalidFilter", why));
                };
                self.store.directory_page(&realm.label, kind, filter, start.saturating_sub(1), count).await?
            }
        };
        let all = kind == DirectoryKind::User || !without_members(query);
        let mut resources = Vec::new();
        for entry in &found {
            resources.push(self.show(realm, entry, all).await?);
        }
        let body = json!({
            "schemas": [LIST], "totalResults": total, "startIndex": start, "itemsPerPage": resources.len(), "Resources": resources,
        });
        Ok(ScimReply { status: 200, location: None, body: body.to_string() })
    }

    async fn create(
        &self,
        realm: &Realm,
        kind: DirectoryKind,
        body: Map<String, Value>,
        now: Timestamp,
    ) -> Result<ScimReply, No> {
        let members = if kind == DirectoryKind::Group { values(attribute(&body, "members"))? } else { Vec::new() };
        if members.len() > MEMBERS_MAX {
            return Err(No::bad("tooMany", format!("there are more than {MEMBERS_MAX} members")));
        }
        let sent = Sent::read(kind, body)?;
        let id = ulid::Ulid::from_parts(u64::try_from(now.unix_us() / 1000).unwrap_or(0), rand::random()).to_string();
        let entry = DirectoryRecord {
            realm: realm.label.clone(),
            kind,
            id,
            name: sent.name,
            external_id: sent.external_id,
            active: sent.active,
            version: 1,
            content: sent.content,
            created_at: now,
            changed_at: now,
        };
        made(self.store.add_to_directory(&entry).await?)?;
        if !members.is_empty() {
            made(self.store.change_directory_members(&realm.label, &entry.id, &members, &[], false).await?)?;
        }
        tracing::info!(realm = realm.label, name = entry.name, "an entry of a directory was made");
        let body = self.show(realm, &entry, true).await?;
        let location = body.pointer("/meta/location").and_then(Value::as_str).map(str::to_owned);
        Ok(ScimReply { status: 201, location, body: body.to_string() })
    }

    /// Makes the next version of an entry; once more when somebody else was first.
    async fn change(
        &self,
        realm: &Realm,
        kind: DirectoryKind,
        id: &str,
        members: Members,
        edit: &(dyn Fn(&DirectoryRecord) -> Result<Sent, No> + Sync),
        now: Timestamp,
    ) -> Result<Value, No> {
        for _ in 0..TRIES {
            let before = self.entry(realm, kind, id).await?;
            let sent = edit(&before)?;
            let after = DirectoryRecord {
                name: sent.name,
                external_id: sent.external_id,
                active: sent.active,
                content: sent.content,
                version: before.version.saturating_add(1),
                changed_at: now,
                ..before.clone()
            };
            let change = self.store.replace_in_directory(&after).await?;
            if change == DirectoryChange::Stale {
                continue;
            }
            made(change)?;
            if !members.is_empty() {
                let Members { add, remove, only } = &members;
                made(self.store.change_directory_members(&realm.label, id, add, remove, *only).await?)?;
            }
            self.tell(realm, &before, Some(&after), now).await;
            tracing::info!(
                realm = realm.label,
                name = after.name,
                active = after.active,
                "an entry of a directory was changed"
            );
            return self.show(realm, &after, true).await;
        }
        Err(No::of(409, "it was changed by others at the same time: try again"))
    }

    /// Tells of somebody who is there no more, or is known by something else.
    async fn tell(&self, realm: &Realm, before: &DirectoryRecord, after: Option<&DirectoryRecord>, now: Timestamp) {
        if before.kind != DirectoryKind::User {
            return;
        }
        let known_by = |r: &DirectoryRecord| match realm.key {
            Key::ExternalId => r.external_id.clone(),
            Key::UserName => Some(r.name.clone()),
        };
        let stays = after.filter(|a| a.active).is_some_and(|a| known_by(a) == known_by(before));
        if let (false, Some(value)) = (stays, known_by(before)) {
            self.departures.gone(realm, &value, now).await;
        }
    }
}

fn without_members(query: &str) -> bool {
    let excluded = form_urlencoded::parse(query.as_bytes()).find(|(n, _)| n == "excludedAttributes");
    excluded.is_some_and(|(_, list)| list.split(',').any(|a| a.trim().eq_ignore_ascii_case("members")))
}
