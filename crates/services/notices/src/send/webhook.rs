//! Generic webhooks: a JSON document with a schema number, signed as Standard Webhooks has it.

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::signature::sign;
use super::{Failure, Http, Message, line, secret};
use crate::receiver::Webhook;
use crate::teller::severity;

/// The number of the document's schema; it grows when a reader of the old one would be wrong.
const SCHEMA: u32 = 1;

pub(super) async fn send(http: &mut Http, to: &Webhook, message: &Message<'_>) -> Result<String, Failure> {
    let url = line("the URL", &to.url).await?;
    let mut secrets = vec![secret("the secret", &to.secret).await?];
    if let Some(previous) = &to.previous_secret {
        secrets.push(secret("the previous secret", previous).await?);
    }
    let body = document(message).to_string();
    let at_s = message.now.unix_s();
    let signature = sign(&secrets, message.id, at_s, &body).map_err(Failure::new)?;
    let mut headers = HeaderMap::new();
    for (name, value) in
        [("webhook-id", message.id), ("webhook-timestamp", &at_s.to_string()), ("webhook-signature", &signature)]
    {
        let value = HeaderValue::from_str(value).map_err(|_| Failure::new("a header cannot be written"))?;
        headers.insert(HeaderName::from_static(name), value);
    }
    http.post(&url, headers, body).await?;
    Ok(String::new())
}

fn document(message: &Message<'_>) -> Value {
    let n = message.notice;
    let link = message.words().link;
    let text = |t: &str| if t.is_empty() { Value::Null } else { t.into() };
    let merged: serde_json::Map<String, Value> = message.merged.iter().map(|(k, n)| (k.clone(), (*n).into())).collect();
    json!({
        "schema": SCHEMA,
        "id": message.id,
        "type": n.kind.as_str(),
        "timestamp": n.at.rfc3339(),
        "data": {
            "severity": severity(n.severity),
            "thread": text(&n.thread),
            "identity": text(&n.identity),
            "issuer": text(&n.issuer),
            "target": text(&n.target),
            "what": text(&n.what),
            "text": text(&n.text),
            "rules": n.rules,
            "reviewers": text(&n.reviewers),
            "session": text(&n.session),
            "expires_at": n.expires_at.map(|t| t.rfc3339()),
            "ended": n.ended.as_ref().map(|e| json!({ "status": e.status, "by": e.by })),
            "link": text(&link),
            "more": message.more,
            "merged": merged,
        },
    })
}
