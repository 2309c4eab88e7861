//! What the service says of itself (RFC 7643, 5 to 7): the same for everybody.

use countersign_store::DIRECTORY_PAGE_MAX;
use serde_json::{Value, json};

use crate::resource::{GROUP, USER};

const CONFIG: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
const TYPE: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";

pub(crate) fn config(base: &str) -> Value {
    json!({
        "schemas": [CONFIG],
        "patch": {"supported": true},
        "bulk": {"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
        "filter": {"supported": true, "maxResults": DIRECTORY_PAGE_MAX},
        "changePassword": {"supported": false},
        "sort": {"supported": false},
        "etag": {"supported": false},
        "authenticationSchemes": [{
            "type": "oauthbearertoken", "name": "Bearer token", "description": "The token of the directory", "primary": true,
        }],
        "meta": {"resourceType": "ServiceProviderConfig", "location": format!("{base}/ServiceProviderConfig")},
    })
}

pub(crate) fn types(base: &str) -> Vec<Value> {
    [("User", "/Users", USER), ("Group", "/Groups", GROUP)]
        .into_iter()
        .map(|(name, endpoint, schema)| {
            json!({
                "schemas": [TYPE], "id": name, "name": name, "endpoint": endpoint, "schema": schema,
                "meta": {"resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/{name}")},
            })
        })
        .collect()
}

pub(crate) fn schemas(base: &str) -> Vec<Value> {
    let attribute = |name: &str, kind: &str, required: bool, unique: bool, changes: bool| {
        json!({
            "name": name, "type": kind, "multiValued": false, "required": required, "caseExact": name == "externalId",
            "mutability": if changes { "readWrite" } else { "readOnly" }, "returned": "default",
            "uniqueness": if unique { "server" } else { "none" },
        })
    };
    let list = |name: &str, changes: bool| {
        let mut list = attribute(name, "complex", false, false, changes);
        if let Some(list) = list.as_object_mut() {
            list.insert("multiValued".to_owned(), json!(true));
            let sub = [
                attribute("value", "string", false, false, changes),
                attribute("display", "string", false, false, false),
            ];
            list.insert("subAttributes".to_owned(), json!(sub));
        }
        list
    };
    let user = vec![
        attribute("userName", "string", true, true, true),
        attribute("externalId", "string", false, true, true),
        attribute("active", "boolean", false, false, true),
        list("groups", false),
    ];
    let group = vec![
        attribute("displayName", "string", true, true, true),
        attribute("externalId", "string", false, true, true),
        list("members", true),
    ];
    [("User", USER, user), ("Group", GROUP, group)]
        .into_iter()
        .map(|(name, id, attributes)| {
            json!({
                "schemas": [SCHEMA], "id": id, "name": name, "attributes": attributes,
                "meta": {"resourceType": "Schema", "location": format!("{base}/Schemas/{id}")},
            })
        })
        .collect()
}
