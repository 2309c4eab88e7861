//! What identity providers send, answered over a real store: made, found, changed in their ways, switched off, removed; and what thieves send.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign_directory::*;
use countersign_enforce::BoxFuture;
use countersign_model::{Secret, Timestamp};
use countersign_store::{DIRECTORY_PAGE_MAX, Store, StoreConfig};
use serde_json::{Value, json};

const TOKEN: &str = "corp-token-of-more-than-32-bytes-length";
const OTHER: &str = "other-token-of-more-than-32-bytes-length";

#[derive(Default)]
struct Gone(Mutex<Vec<String>>);

impl Departures for Gone {
    fn gone<'a>(&'a self, realm: &'a Realm, known_by: &'a str, _: Timestamp) -> BoxFuture<'a, ()> {
        self.0.lock().unwrap().push(format!("{} {known_by}", realm.label));
        Box::pin(async {})
    }
}

struct World {
    directory: Directory,
    gone: Arc<Gone>,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.db");
        let store = Store::open(&StoreConfig::Sqlite { path, timeout: Duration::from_secs(5) }).await.unwrap();
        let realm = |label: &str, key, token: &str| {
            Realm::new(label, "https://i", key, "sub", &Secret::from(token.to_owned())).unwrap()
        };
        let realms = vec![realm("corp", Key::ExternalId, TOKEN), realm("other", Key::UserName, OTHER)];
        let gone = Arc::new(Gone::default());
        let directory = Directory::new(store, realms, gone.clone(), "https://gw.example/scim/v2".to_owned());
        Self { directory, gone, _dir: dir }
    }

    async fn raw(&self, token: &str, method: &str, path: &str, body: &[u8]) -> ScimReply {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let authorization = format!("Bearer {token}");
        let request = ScimRequest { method, path, query, authorization: Some(&authorization), body };
        self.directory.answer(&request, Timestamp::from_unix_s(1_795_379_041)).await
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let reply = self.raw(TOKEN, method, path, body.to_string().as_bytes()).await;
        (reply.status, serde_json::from_str(&reply.body).unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    async fn user(&self, name: &str, external: &str) -> String {
        let (status, user) = self.ask("POST", "/Users", json!({"userName": name, "externalId": external})).await;
        assert_eq!(status, 201, "{user}");
        user["id"].as_str().unwrap().to_owned()
    }

    async fn patch(&self, path: &str, operations: Value) -> (u16, Value) {
        let schema = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
        self.ask("PATCH", path, json!({"schemas": [schema], "Operations": operations})).await
    }

    async fn person(&self, value: &str) -> Option<Vec<String>> {
        let realm = self.directory.realm("corp").unwrap();
        self.directory.person(realm, value).await.unwrap().map(|p| p.groups)
    }

    fn gone(&self) -> Vec<String> {
        std::mem::take(&mut *self.gone.0.lock().unwrap())
    }
}

#[tokio::test]
async fn users_are_made_found_changed_and_removed() {
    let w = World::new().await;
    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    let sent = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", enterprise], "userName": "Mia@corp.example", "externalId": "x1",
        "password": "secret", "active": true, "name": {"givenName": "Mia"}, "emails": [{"type": "work", "value": "m@x", "primary": true}],
        (enterprise): {"department": "ops"}, "id": "mine", "meta": {"x": 1}, "groups": [{"value": "forged"}],
    });
    let reply = w.raw(TOKEN, "POST", "/Users", sent.to_string().as_bytes()).await;
    let user: Value = serde_json::from_str(&reply.body).unwrap();
    let id = user["id"].as_str().unwrap().to_owned();
    assert_eq!((reply.status, reply.location.unwrap()), (201, format!("https://gw.example/scim/v2/Users/{id}")));
    assert_ne!(id, "mine");
    assert!(!reply.body.contains("secret") && !reply.body.contains("forged"), "{}", reply.body);
    assert_eq!(user["name"]["givenName"], "Mia");
    assert_eq!((&user["meta"]["resourceType"], &user["meta"]["version"]), (&json!("User"), &json!("W/\"1\"")));
    assert!(user["schemas"].as_array().unwrap().contains(&json!(enterprise)));
    let path = format!("/Users/{id}");
    assert_eq!(w.get(&path).await, user);
    for (filter, found) in [
        ("userName eq \"mia@CORP.example\"", 1),
        ("username EQ \"Mia@corp.example\"", 1),
        ("externalId eq \"x1\"", 1),
        ("externalId eq \"X1\"", 0),
        ("id eq \"nobody\"", 0),
        ("userName eq \"x\\\" or userName eq \\\"\"", 0),
    ] {
        let query = form_urlencoded::byte_serialize(filter.as_bytes()).collect::<String>();
        assert_eq!(w.get(&format!("/Users?filter={query}")).await["totalResults"], found, "{filter}");
    }
    let (status, put) = w.ask("PUT", &path, json!({"userName": "mia", "externalId": "x1", "title": "t"})).await;
    assert_eq!((status, &put["userName"], &put["title"], put.get("name")), (200, &json!("mia"), &json!("t"), None));
    assert_eq!(w.raw(TOKEN, "DELETE", &path, b"").await.status, 204);
    assert_eq!(w.gone(), ["corp x1"]);
    assert_eq!(w.ask("GET", &path, Value::Null).await.0, 404);
    assert_eq!(w.ask("DELETE", &path, Value::Null).await.0, 404);
}

#[tokio::test]
async fn patches_are_taken_as_identity_providers_send_them() {
    let w = World::new().await;
    let id = w.user("mia", "x1").await;
    let path = format!("/Users/{id}");
    let enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
    for (operations, pointer, want) in [
        // Entra ID: capitals, dots, truth as text, values of a type that is not there yet, extensions by path.
        (json!([{"op": "Replace", "path": "active", "value": "False"}]), "/active", json!(false)),
        (json!([{"op": "Replace", "path": "active", "value": "True"}]), "/active", json!(true)),
        (json!([{"op": "Add", "path": "name.givenName", "value": "Mia"}]), "/name/givenName", json!("Mia")),
        (
            json!([{"op": "Add", "path": "emails[type eq \"work\"].value", "value": "m@x"}]),
            "/emails/0/value",
            json!("m@x"),
        ),
        (
            json!([{"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "n@x"}]),
            "/emails/0/value",
            json!("n@x"),
        ),
        (
            json!([{"op": "Add", "path": format!("{enterprise}:department"), "value": "ops"}]),
            "/urn:ietf:params:scim:schemas:extension:enterprise:2.0:User/department",
            json!("ops"),
        ),
        (
            json!([{"op": "Add", "value": {"displayName": "Mia M", "name.familyName": "M"}}]),
            "/name/familyName",
            json!("M"),
        ),
        // Okta: no path.
        (json!([{"op": "replace", "value": {"active": false}}]), "/active", json!(false)),
        (
            json!([{"op": "replace", "value": {"active": true, "name": {"givenName": "Mi"}}}]),
            "/name/givenName",
            json!("Mi"),
        ),
        // RFC 7644.
        (
            json!([{"op": "add", "path": "emails", "value": [{"type": "home", "value": "h@x"}]}]),
            "/emails/1/type",
            json!("home"),
        ),
        (json!([{"op": "remove", "path": "emails[type eq \"work\"]"}]), "/emails/0/type", json!("home")),
        (json!([{"op": "remove", "path": "name.givenName"}]), "/name/familyName", json!("M")),
        (
            json!([{"op": "replace", "path": "urn:ietf:params:scim:schemas:core:2.0:User:userName", "value": "mia2"}]),
            "/userName",
            json!("mia2"),
        ),
        (json!([{"op": "replace", "path": "USERNAME", "value": "mia3"}]), "/userName", json!("mia3")),
    ] {
        let (status, user) = w.patch(&path, operations.clone()).await;
        assert_eq!((status, user.pointer(pointer)), (200, Some(&want)), "{operations}: {user}");
    }
    assert_eq!(w.gone(), ["corp x1", "corp x1"], "switched off two times");
    for operations in [
        json!([]),
        json!([{"op": "move", "path": "x", "value": 1}]),
        json!([{"op": "remove"}]),
        json!([{"op": "add", "value": "x"}]),
        json!([{"op": "add", "path": "a b", "value": "x"}]),
        json!([{"op": "add", "path": "emails[type gt 1]", "value": "x"}]),
        json!([{"op": "add", "path": "emails[type eq \"a\"]x", "value": "x"}]),
        json!([{"op": "replace", "path": "userName", "value": ""}]),
        json!([{"op": "replace", "path": "userName", "value": 7}]),
        json!([{"op": "remove", "path": "userName"}]),
        json!([{"op": "replace", "path": "active", "value": "yes"}]),
        json!([{"op": "replace", "path": "userName", "value": "a\u{0}b"}]),
        json!("x"),
    ] {
        let (status, user) = w.patch(&path, operations.clone()).await;
        assert_eq!(status, 400, "{operations}: {user}");
    }
    assert_eq!(w.get(&path).await["userName"], "mia3", "what was refused changed nothing");
    // What the gateway says itself cannot be said by others.
    let (_, user) = w.patch(&path, json!([{"op": "add", "path": "groups", "value": [{"value": "forged"}]}, {"op": "replace", "path": "id", "value": "x"}])).await;
    assert_eq!((&user["id"], &user["groups"]), (&json!(id), &json!([])));
}

#[tokio::test]
async fn adv_090_groups_and_who_is_switched_off_are_known_at_once() {
    let w = World::new().await;
    let (mia, bo) = (w.user("mia", "x1").await, w.user("bo", "x2").await);
    assert_eq!((w.person("x1").await, w.person("X1").await, w.person("nobody").await), (Some(vec![]), None, None));
    let (status, group) = w.ask("POST", "/Groups", json!({"displayName": "dbas", "members": [{"value": mia}]})).await;
    assert_eq!((status, &group["members"][0]["display"]), (201, &json!("mia")));
    let path = format!("/Groups/{}", group["id"].as_str().unwrap());
    let dbas = Some(vec!["dbas".to_owned()]);
    let none = Some(Vec::new());
    for (operations, mias, bos) in [
        (json!([{"op": "Add", "path": "members", "value": [{"value": bo}]}]), &dbas, &dbas),
        (json!([{"op": "Remove", "path": "members", "value": [{"value": mia}]}]), &none, &dbas),
        (json!([{"op": "remove", "path": format!("members[value eq \"{bo}\"]")}]), &none, &none),
        (json!([{"op": "add", "value": {"members": [{"value": mia}, {"value": bo}]}}]), &dbas, &dbas),
        (json!([{"op": "replace", "path": "members", "value": [{"value": bo}]}]), &none, &dbas),
        (
            json!([{"op": "remove", "path": "members"}, {"op": "add", "path": "members", "value": [{"value": mia}]}]),
            &dbas,
            &none,
        ),
        (
            json!([{"op": "add", "path": "members", "value": [{"value": bo}]}, {"op": "remove", "path": format!("members[value eq \"{bo}\"]")}]),
            &dbas,
            &none,
        ),
        (json!([{"op": "remove", "path": "members"}]), &none, &none),
        (json!([{"op": "add", "path": "members", "value": [{"value": "nobody"}]}]), &none, &none),
    ] {
        let (status, said) = w.patch(&path, operations.clone()).await;
        assert_eq!(status, 200, "{operations}: {said}");
        assert_eq!((&w.person("x1").await, &w.person("x2").await), (mias, bos), "{operations}");
    }
    let (status, _) = w.ask("PUT", &path, json!({"displayName": "admins", "members": [{"value": mia}]})).await;
    assert_eq!((status, w.person("x1").await), (200, Some(vec!["admins".to_owned()])));
    assert_eq!(w.get(&format!("/Users/{mia}")).await["groups"][0]["display"], "admins");
    assert_eq!(w.get(&format!("{path}?excludedAttributes=members")).await.get("members"), None);
    assert!(w.gone().is_empty(), "nobody has gone");
    // Switched off, known by another id, removed.
    let (_, off) =
        w.patch(&format!("/Users/{mia}"), json!([{"op": "Replace", "path": "active", "value": "False"}])).await;
    assert_eq!((&off["active"], w.person("x1").await, w.gone()), (&json!(false), None, vec!["corp x1".to_owned()]));
    w.patch(&format!("/Users/{mia}"), json!([{"op": "replace", "path": "active", "value": true}])).await;
    assert_eq!(w.person("x1").await, Some(vec!["admins".to_owned()]));
    w.patch(&format!("/Users/{mia}"), json!([{"op": "replace", "path": "externalId", "value": "x9"}])).await;
    assert_eq!((w.person("x1").await, w.gone()), (None, vec!["corp x1".to_owned()]));
    assert_eq!(w.raw(TOKEN, "DELETE", &path, b"").await.status, 204);
    assert_eq!(w.person("x9").await, none);
    assert_eq!(w.raw(TOKEN, "DELETE", &format!("/Users/{bo}"), b"").await.status, 204);
    assert_eq!((w.person("x2").await, w.gone()), (None, vec!["corp x2".to_owned()]));
}

#[tokio::test]
async fn adv_090_a_token_opens_its_own_realm_and_nothing_else() {
    let w = World::new().await;
    let id = w.user("mia", "x1").await;
    for (token, method, path, want) in [
        ("", "GET", "/Users", 401),
        ("wrong-token-of-more-than-32-bytes-length", "GET", "/ServiceProviderConfig", 401),
        (OTHER, "GET", &format!("/Users/{id}"), 404),
        (OTHER, "DELETE", &format!("/Users/{id}"), 404),
        (OTHER, "GET", "/Users", 200),
        (TOKEN, "GET", "/Users/../Groups", 404),
        (TOKEN, "GET", "/Me", 404),
        (TOKEN, "POST", "/Bulk", 404),
        (TOKEN, "PUT", "/Users", 405),
        (TOKEN, "GET", "/", 404),
    ] {
        let reply = w.raw(token, method, path, b"{}").await;
        assert_eq!(reply.status, want, "{method} {path}: {}", reply.body);
        assert!(!reply.body.contains("mia"), "{}", reply.body);
    }
    let request = ScimRequest { method: "GET", path: "/Users", query: "", authorization: None, body: b"" };
    assert_eq!(w.directory.answer(&request, Timestamp::from_unix_s(0)).await.status, 401);
    let short = Secret::from("x".repeat(TOKEN_BYTES_MIN - 1));
    assert!(Realm::new("corp", "https://i", Key::UserName, "sub", &short).is_err());
    assert!(Realm::new("corp", "https://i", Key::UserName, "sub", &Secret::from("x".repeat(TOKEN_BYTES_MIN))).is_ok());
}

#[tokio::test]
async fn names_are_there_once_and_limits_hold_at_their_edges() {
    let w = World::new().await;
    w.user("mia", "x1").await;
    for body in [json!({"userName": "MIA"}), json!({"userName": "bo", "externalId": "x1"})] {
        let (status, said) = w.ask("POST", "/Users", body).await;
        assert_eq!((status, &said["scimType"]), (409, &json!("uniqueness")));
    }
    let long = |n: usize| "x".repeat(n);
    let content = |n: usize| json!({"userName": "big", "title": long(n)});
    let fixed = json!({"title": ""}).to_string().len();
    for (body, want) in [
        (json!({"userName": long(NAME_BYTES_MAX)}), 201),
        (json!({"userName": long(NAME_BYTES_MAX + 1)}), 400),
        (json!({"userName": " mia"}), 400),
        (json!({}), 400),
        (json!([]), 400),
        (content(RESOURCE_BYTES_MAX - fixed), 201),
        (json!({"userName": "bigger", "title": long(RESOURCE_BYTES_MAX - fixed + 1)}), 413),
    ] {
        assert_eq!(w.ask("POST", "/Users", body).await.0, want);
    }
    let spaces = |n: usize| format!("{{\"userName\":\"s{n}\"{}}}", " ".repeat(n));
    let empty = spaces(0).len();
    let fit = spaces(BODY_BYTES_MAX - empty - 5);
    assert!(fit.len() <= BODY_BYTES_MAX);
    assert_eq!(w.raw(TOKEN, "POST", "/Users", fit.as_bytes()).await.status, 201);
    assert_eq!(w.raw(TOKEN, "POST", "/Users", " ".repeat(BODY_BYTES_MAX + 1).as_bytes()).await.status, 413);
    let list = w.get("/Users?startIndex=2&count=1").await;
    assert_eq!((&list["startIndex"], &list["itemsPerPage"], &list["totalResults"]), (&json!(2), &json!(1), &json!(4)));
    assert_eq!(w.get("/Users?startIndex=-3&count=-1").await["Resources"], json!([]));
    assert_eq!(w.get(&format!("/Users?count={}", DIRECTORY_PAGE_MAX + 1)).await["itemsPerPage"], 4);
    for path in ["/Users?filter=userName%20co%20%22x%22", "/Users?filter=title%20eq%20%22x%22", "/Users?count=x"] {
        assert_eq!(w.ask("GET", path, Value::Null).await.0, 400, "{path}");
    }
    let id = w.user("patched", "x5").await;
    let many = |n: usize| vec![json!({"op": "replace", "path": "title", "value": "x"}); n];
    assert_eq!(w.patch(&format!("/Users/{id}"), json!(many(OPERATIONS_MAX))).await.0, 200);
    assert_eq!(w.patch(&format!("/Users/{id}"), json!(many(OPERATIONS_MAX + 1))).await.0, 400);
    for path in ["/ServiceProviderConfig", "/ResourceTypes", "/ResourceTypes/User", "/Schemas"] {
        assert!(w.get(path).await.is_object());
    }
    assert_eq!(w.get("/Schemas/urn:ietf:params:scim:schemas:core:2.0:Group").await["name"], "Group");
}
