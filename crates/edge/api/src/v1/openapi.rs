//! The OpenAPI 3.1 document, made from the table of operations and the types that they take and answer.
//!
//! It must never say more or less than what is routed: routes are made from the same table.

use std::sync::LazyLock;

use countersign_model::Access;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::once::KEY_BYTES_MAX;
use super::operation::{Content, Operation, Place, Who, schema_of};
use super::problem::Problem;
use super::table::OPERATIONS;
use super::views::OauthError;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| document().to_string());

/// The document, as `GET /v1/openapi.json` answers it.
pub fn openapi() -> &'static str {
    &DOCUMENT
}

fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let problem = schema_of::<Problem>(&mut generator);
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let described = describe(operation, &mut generator);
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = path {
            methods.insert(operation.method.to_ascii_lowercase(), described);
        }
    }
    let mut nouns: Vec<&str> = OPERATIONS.iter().map(noun).collect();
    nouns.dedup();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Countersign",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "What is asked of a gateway itself.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": nouns.iter().map(|n| json!({ "name": n })).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": generator.take_definitions(true),
            "responses": {
                "Problem": {
                    "description": "Why it was not done (RFC 9457).",
                    "content": { "application/problem+json": { "schema": problem } },
                },
                "Unidentified": {
                    "description": "There is no credential that is good.",
                    "headers": { "WWW-Authenticate": {
                        "description": "What is accepted (RFC 9110, 11.6.1).", "required": true, "schema": { "type": "string" },
                    } },
                    "content": { "application/problem+json": { "schema": problem } },
                },
            },
            "securitySchemes": {
                "certificate": { "type": "mutualTLS", "description": "The certificate of a login." },
                "token": { "type": "http", "scheme": "bearer", "description": "A token of an issuer that the gateway trusts." },
                "key": {
                    "type": "http", "scheme": "bearer", "bearerFormat": "csk_...",
                    "description": "An API key, of whose scope the operation is.",
                },
                "dpop": {
                    "type": "http", "scheme": "dpop",
                    "description": "A token that is bound to a key, with a proof in the header DPoP (RFC 9449).",
                },
            },
        },
    })
}

fn noun(operation: &Operation) -> &'static str {
    operation.name.split('.').next().unwrap_or(operation.name)
}

fn describe(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let security = match operation.who {
        Who::Anyone => json!([]),
        _ if operation.by_key => json!([{ "certificate": [] }, { "token": [] }, { "dpop": [] }, { "key": [] }]),
        Who::Known | Who::Console | Who::Own(_) | Who::Policy(_) => {
            json!([{ "certificate": [] }, { "token": [] }, { "dpop": [] }])
        }
    };
    let who = match operation.who {
        Who::Anyone => "anyone",
        Who::Known => "known",
        Who::Console => "console",
        Who::Own(Access::Read) => "own-or-read",
        Who::Own(_) => "own-or-admin",
        Who::Policy(Access::Read) => "read",
        Who::Policy(_) => "admin",
    };
    let mut described = json!({
        "operationId": operation.name,
        "summary": operation.summary,
        "tags": [noun(operation)],
        "security": security,
        "responses": responses(operation, generator),
        "x-countersign-who": who,
        "x-countersign-changes": operation.changes,
        "x-countersign-api-keys": operation.by_key,
    });
    let parameters = parameters(operation, generator);
    if let Value::Object(members) = &mut described {
        if !parameters.is_empty() {
            members.insert("parameters".to_owned(), Value::Array(parameters));
        }
        if let Some((required, content)) = content(operation.body, generator) {
            members.insert("requestBody".to_owned(), json!({ "required": required, "content": content }));
        }
    }
    described
}

fn parameters(operation: &Operation, generator: &mut SchemaGenerator) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    for p in operation.parameters {
        let place = match p.place {
            Place::Path => "path",
            Place::Query => "query",
            Place::Header => "header",
        };
        let schema = (p.schema)(generator);
        all.push(json!({
            "name": p.name, "in": place, "required": p.required, "description": p.doc, "schema": schema,
        }));
    }
    if operation.takes_key() {
        all.push(json!({
            "name": "Idempotency-Key", "in": "header", "required": false,
            "description": "For a day, a second request of the same caller with the same key gets the answer of the first.",
            "schema": { "type": "string", "minLength": 1, "maxLength": KEY_BYTES_MAX, "pattern": "^[!-~]+$" },
        }));
    }
    all
}

/// Whether it must be there, and its types.
fn content(content: Content, generator: &mut SchemaGenerator) -> Option<(bool, Value)> {
    Some(match content {
        Content::Nothing => return None,
        Content::Json(schema) => (true, json!({ "application/json": { "schema": schema(generator) } })),
        Content::MaybeJson(schema) => (false, json!({ "application/json": { "schema": schema(generator) } })),
        Content::Form(schema) => {
            (true, json!({ "application/x-www-form-urlencoded": { "schema": schema(generator) } }))
        }
        Content::Events => (true, json!({ "text/event-stream": { "schema": { "type": "string" } } })),
        Content::OpenApi => (true, json!({ "application/json": { "schema": { "type": "object" } } })),
    })
}

fn responses(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let mut all = Map::new();
    let mut fine = json!({ "description": "It is done." });
    if let (Some((_, content)), Value::Object(members)) = (content(operation.answer, generator), &mut fine) {
        members.insert("content".to_owned(), content);
    }
    all.insert(operation.status.to_string(), fine);
    for status in problems(operation) {
        let name = if status == 401 { "Unidentified" } else { "Problem" };
        all.insert(status.to_string(), json!({ "$ref": format!("#/components/responses/{name}") }));
    }
    if operation.oauth {
        let error = schema_of::<OauthError>(generator);
        let problem = schema_of::<Problem>(generator);
        for status in [400, 503] {
            all.insert(
                status.to_string(),
                json!({
                    "description": "Why it was not done (RFC 6749, 5.2), or why the request was not even looked at (RFC 9457).",
                    "content": { "application/json": { "schema": error }, "application/problem+json": { "schema": problem } },
                }),
            );
        }
    }
    Value::Object(all)
}

/// The statuses of what may go wrong.
fn problems(operation: &Operation) -> Vec<u16> {
    // A request may always take too long.
    let mut all = vec![408];
    if matches!(operation.name, "openapi.show" | "login.show") {
        return all;
    }
    all.extend([400, 403, 413, 500, 503]);
    if operation.who != Who::Anyone {
        all.push(401);
        if operation.name != "whoami.show" {
            all.extend([414, 415]);
        }
    }
    // A request names its target in the body.
    let in_body = matches!(operation.name, "grants.request" | "factors.reset" | "notices.test" | "sql.open");
    if operation.parameters.iter().any(|p| p.place == Place::Path) || in_body {
        all.push(404);
    }
    // What a challenge is asked for may not be any more what was looked at.
    if operation.changes || operation.name.ends_with(".challenge") {
        all.push(409);
    }
    if operation.takes_key() {
        all.push(422);
    }
    all
}
