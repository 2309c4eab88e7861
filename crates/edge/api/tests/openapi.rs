//! The OpenAPI document is what is served, whole, and what the file in docs says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use countersign_api::{
    Answer, Api, DoorRequest, IdentityDoor, IdentityDoors, OPERATIONS, Place, ServeOptions, Who, openapi,
};
use countersign_enforce::BoxFuture;
use serde_json::Value;

mod support;

use support::{Server, status};

fn document() -> Value {
    serde_json::from_str(openapi()).unwrap()
}

#[test]
fn the_document_in_docs_is_the_one_that_is_served() {
    let path = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../../docs/openapi.json");
    if std::env::var_os("COUNTERSIGN_BLESS").is_some() {
        std::fs::write(&path, format!("{}\n", serde_json::to_string_pretty(&document()).unwrap())).unwrap();
    }
    // As values: the order of members is none of the document's.
    let want: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    let old = "docs/openapi.json is old: COUNTERSIGN_BLESS=1 cargo test -p countersign-api --test openapi";
    assert!(document() == want, "{old}");
}

#[test]
fn every_operation_is_described_once_and_every_reference_leads_somewhere() {
    let document = document();
    let mut names = BTreeSet::new();
    for operation in OPERATIONS {
        let described = &document["paths"][operation.path][operation.method.to_ascii_lowercase()];
        assert_eq!(described["operationId"], operation.name);
        assert!(names.insert(operation.name), "{} is there twice", operation.name);
        assert!(!operation.summary.is_empty(), "{} says nothing", operation.name);
        assert_eq!(described["security"].as_array().unwrap().is_empty(), operation.who == Who::Anyone);
        let in_path = operation.parameters.iter().filter(|p| p.place == Place::Path).count();
        assert_eq!(in_path, operation.path.matches('{').count(), "{}", operation.path);
        assert!(operation.method != "GET" || !operation.changes, "{}", operation.name);
    }
    let text = openapi();
    for reference in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document.pointer(reference).is_some(), "{reference} leads nowhere");
    }
}

struct Doors;

fn answered() -> BoxFuture<'static, Answer> {
    let body = r#"{"error":"invalid_token","error_description":"it is over"}"#.to_owned();
    let headers = vec![("www-authenticate", "Bearer realm=\"countersign\"".to_owned())];
    Box::pin(std::future::ready(Answer { status: 401, headers, body }))
}

impl IdentityDoors for Doors {
    fn exchange(&self, _: DoorRequest) -> BoxFuture<'_, Answer> {
        answered()
    }

    fn renew(&self, _: DoorRequest) -> BoxFuture<'_, Answer> {
        answered()
    }

    fn logout(&self, _: DoorRequest) -> BoxFuture<'_, Answer> {
        answered()
    }

    fn whoami(&self, _: DoorRequest) -> BoxFuture<'_, Answer> {
        answered()
    }

    fn login_facts(&self) -> Answer {
        Answer { status: 200, headers: Vec::new(), body: "{}".to_owned() }
    }
}

#[tokio::test]
async fn errors_are_problems_wherever_a_request_goes_wrong() {
    let api = Api { identity: Some(IdentityDoor(Arc::new(Doors))), ..Api::default() };
    let server = Server::start(api, ServeOptions::default()).await;
    assert!(server.get("/v1/openapi.json").await.ends_with(openapi()));
    for (request, want) in [
        ("GET /v1/nothing", "404"),
        ("GET /v1/openapi.json/", "404"),
        ("PUT /v1/whoami", "405"),
        ("TRACE /v1/login", "405"),
        ("GET /v1/whoami", "401"),
    ] {
        let answer = server
            .send(format!("{request} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").as_bytes())
            .await;
        assert_eq!(status(&answer), want, "{request}: {answer}");
        assert!(answer.contains("content-type: application/problem+json"), "{request}: {answer}");
        assert_eq!(answer.contains("\r\nallow: GET"), want == "405", "{request}: {answer}");
        assert_eq!(answer.contains("\r\nwww-authenticate: "), want == "401", "{request}: {answer}");
    }
    assert!(server.get("/v1/whoami").await.contains(r#""detail":"it is over""#));
    // What is another protocol's keeps its words (RFC 6749, 5.2).
    assert!(server.post("/v1/exchange", "", "").await.contains(r#""error":"invalid_token""#));
}
