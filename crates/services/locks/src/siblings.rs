//! Siblings: identities whose credentials come from the same place as those of a compromised one. Whoever stole one from a repository,
//! a runner or a machine may hold the others, too.

use std::net::IpAddr;

use countersign_model::IdentityParts;

/// Claims that name where a pipeline's credential comes from.
const SOURCE_CLAIMS: [&str; 8] = [
    "repository_id",
    "repository",
    "project_id",
    "project_path",
    "runner_name",
    "runner_id",
    "kubernetes.io/serviceaccount/namespace",
    "environment_id",
];

/// What ends the part of a subject that names its source: `repo:acme/shop:ref:refs/heads/main` is of `repo:acme/shop`.
const SUBJECT_PARTS: usize = 2;

/// How the subjects of a cluster's service accounts begin; the namespace follows.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// Where the credential of an identity comes from: `NAME=VALUE`, sorted. Two identities that share one of them are siblings.
pub fn credential_sources(identity: &IdentityParts, addresses: &[IpAddr]) -> Vec<String> {
    let mut all = Vec::new();
    for name in SOURCE_CLAIMS {
        match identity.claims.get(name) {
            Some(serde_json::Value::String(value)) if !value.is_empty() => all.push(format!("{name}={value}")),
            Some(serde_json::Value::Number(value)) => all.push(format!("{name}={value}")),
            _ => {}
        }
    }
    // Numbers and names of repositories are the issuer's own.
    all.iter_mut().for_each(|s| *s = format!("{s} of {}", identity.issuer));
    let parts: Vec<&str> = identity.subject.split(':').collect();
    let named = if identity.subject.starts_with(SERVICE_ACCOUNT) { SUBJECT_PARTS + 1 } else { SUBJECT_PARTS };
    if let Some(beginning) = parts.get(..named)
        && parts.len() > named
    {
        all.push(format!("subject {}: of {}", beginning.join(":"), identity.issuer));
    }
    // From this machine come all kinds: that says nothing.
    let hosts = addresses.iter().map(|a| a.to_canonical()).filter(|a| !a.is_loopback());
    all.extend(hosts.map(|a| format!("host {a}")));
    all.sort();
    all.dedup();
    all
}
