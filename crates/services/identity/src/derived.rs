//! Claims under names of their own for what issuers nest or hide in a text, so that policies, which see flat claims, can ask for it.
//!
//! What is derived replaces what a token says under the same name, or takes it away. Must never derive from anything but verified claims.

use serde_json::{Map, Value};

use crate::spiffe;

/// From `kubernetes.io`, which service-account tokens carry: the name, and where it is.
const KUBERNETES: [(&str, [&str; 2]); 6] = [
    ("kubernetes_namespace", ["namespace", ""]),
    ("kubernetes_serviceaccount", ["serviceaccount", "name"]),
    ("kubernetes_serviceaccount_uid", ["serviceaccount", "uid"]),
    ("kubernetes_pod", ["pod", "name"]),
    ("kubernetes_pod_uid", ["pod", "uid"]),
    ("kubernetes_node", ["node", "name"]),
];

/// Adds what can be derived.
pub(crate) fn derive(claims: &mut Map<String, Value>) {
    if let Some(nested) = claims.get("kubernetes.io").cloned() {
        for (name, [first, second]) in KUBERNETES {
            let value = nested.get(first).and_then(|v| if second.is_empty() { Some(v) } else { v.get(second) });
            set(claims, name, value.and_then(Value::as_str).map(str::to_owned));
        }
    }
    let id = spiffe::subject_of(claims).map(|id| (id.trust_domain().to_owned(), id.path().to_owned()));
    if let Some((trust_domain, path)) = id {
        set(claims, "spiffe_trust_domain", Some(trust_domain));
        set(claims, "spiffe_path", Some(path));
    }
}

fn set(claims: &mut Map<String, Value>, name: &str, value: Option<String>) {
    match value {
        Some(text) => claims.insert(name.to_owned(), Value::String(text)),
        None => claims.remove(name),
    };
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_nested_has_a_name_and_nothing_can_be_said_instead() {
        let mine = json!({"kubernetes_pod": "forged", "kubernetes_namespace": "forged", "spiffe_path": "/forged"});
        for (claims, want) in [
            (json!({"a": 1}), json!({})),
            (json!({"kubernetes_namespace": "own"}), json!({"kubernetes_namespace": "own"})),
            (
                json!({"kubernetes.io": {"namespace": "n", "serviceaccount": {"name": "s", "uid": "u"},
                    "pod": {"name": "p", "uid": "q"}, "node": {"name": "w", "uid": "x"}, "warnafter": 1}}),
                json!({"kubernetes_namespace": "n", "kubernetes_serviceaccount": "s", "kubernetes_serviceaccount_uid": "u",
                    "kubernetes_pod": "p", "kubernetes_pod_uid": "q", "kubernetes_node": "w"}),
            ),
            (json!({"kubernetes.io": {"namespace": 7, "pod": "p"}, "over": mine}), json!({})),
            (json!({"kubernetes.io": "x", "over": mine}), json!({})),
            (
                json!({"sub": "spiffe://td/a", "over": mine}),
                json!({"spiffe_trust_domain": "td", "spiffe_path": "/a",
                "kubernetes_pod": "forged", "kubernetes_namespace": "forged"}),
            ),
        ] {
            let Value::Object(mut map) = claims.clone() else { panic!("not an object") };
            if let Some(Value::Object(over)) = map.remove("over") {
                map.extend(over);
            }
            derive(&mut map);
            map.retain(|name, _| name.starts_with("kubernetes_") || name.starts_with("spiffe_"));
            map.retain(|name, _| !(name == "spiffe_path" && want.get("spiffe_path").is_none()));
            assert_eq!(Value::Object(map), want, "{claims}");
        }
    }
}
