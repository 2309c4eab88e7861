//! Slack: by the Web API, where what was asked is updated in place once it is answered, or by an incoming webhook.
//!
//! Whatever came from others stands in code spans, escaped, so that it can neither mention anybody nor be a link. Buttons are links to pages
//! that ask who clicks.

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Failure, Http, Message, line};
use crate::receiver::Slack;
use crate::words::Words;

/// The most fields of a section (Slack's "Section block"); each has 2,000 characters at most.
const FIELDS_MAX: usize = 10;
/// The longest word for an error of Slack's, in characters.
const ERROR_CHARS_MAX: usize = 60;

pub(super) async fn send(http: &mut Http, to: &Slack, message: &Message<'_>) -> Result<String, Failure> {
    let words = message.words();
    match to {
        Slack::Incoming { url } => {
            let url = line("the URL", url).await?;
            http.post(&url, HeaderMap::new(), body(&words).to_string()).await?;
            Ok(String::new())
        }
        Slack::Bot { token, channel, api_url } => {
            let token = line("the token", token).await?;
            let mut bearer = HeaderValue::from_bytes(&[b"Bearer ", token.expose()].concat())
                .map_err(|_| Failure::new("the token cannot be a header"))?;
            bearer.set_sensitive(true);
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, bearer);
            let mut body = body(&words);
            let earlier = message.earlier.as_deref().and_then(|r| r.split_once('/'));
            let (method, where_to) = match earlier {
                Some((channel, ts)) => ("chat.update", json!({ "channel": channel, "ts": ts })),
                None => {
                    ("chat.postMessage", json!({ "channel": channel, "unfurl_links": false, "unfurl_media": false }))
                }
            };
            if let (Value::Object(body), Value::Object(where_to)) = (&mut body, where_to) {
                body.extend(where_to);
            }
            let url = format!("{}/{method}", api_url.trim_end_matches('/')).into();
            let answered = http.post(&url, headers, body.to_string()).await?;
            posted(&answered.body)
        }
    }
}

#[derive(Deserialize)]
struct Posted {
    ok: bool,
    #[serde(default)]
    error: String,
    #[serde(default)]
    channel: String,
    #[serde(default)]
    ts: String,
}

/// Where Slack put it. An error of Slack's is a word of its list; anything else is not repeated.
fn posted(body: &[u8]) -> Result<String, Failure> {
    let said: Posted = serde_json::from_slice(body).map_err(|_| Failure::new("Slack's answer cannot be read"))?;
    if !said.ok {
        let is_word =
            said.error.len() <= ERROR_CHARS_MAX && said.error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        return Err(Failure::new(format!("Slack says {}", if is_word { &said.error } else { "no" })));
    }
    let fine = |t: &str| !t.is_empty() && t.len() <= 64 && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.');
    if fine(&said.channel) && fine(&said.ts) { Ok(format!("{}/{}", said.channel, said.ts)) } else { Ok(String::new()) }
}

/// As Slack wants it (its "Escaping text").
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// In a code span, which no text can leave.
fn code(text: &str) -> String {
    format!("`{}`", escape(&text.replace('`', "'")))
}

fn body(words: &Words) -> Value {
    let plain = |text: &str| json!({ "type": "plain_text", "text": text, "emoji": false });
    let verbatim = |text: String| json!({ "type": "mrkdwn", "text": text, "verbatim": true });
    let mut blocks = vec![json!({ "type": "header", "text": plain(words.title) })];
    let facts: Vec<Value> = words.facts.iter().map(|f| verbatim(format!("*{}* {}", f.name, code(&f.value)))).collect();
    for fields in facts.chunks(FIELDS_MAX) {
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    if !words.text.is_empty() {
        blocks.push(json!({ "type": "section", "text": verbatim(code(&words.text)) }));
    }
    if !words.link.is_empty() {
        let button = json!({ "type": "button", "text": plain(words.action), "url": words.link, "action_id": "open" });
        blocks.push(json!({ "type": "actions", "elements": [button] }));
    }
    // What notifications show: Slack parses it, too.
    json!({ "text": escape(&words.subject), "mrkdwn": false, "parse": "none", "link_names": false, "blocks": blocks })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use countersign_model::Timestamp;

    use super::*;
    use crate::words::words;
    use crate::{Kind, Notice};

    #[test]
    fn nothing_of_others_mentions_or_links() {
        let notice = Notice {
            identity: "<!channel> *b* `<https://evil.example|ok>`".to_owned(),
            target: "<@U1>\r\n&lt;".to_owned(),
            text: "select '<!here>' -- ` <#C1>".to_owned(),
            path: "/console/inbox/1".to_owned(),
            ..Notice::new(Kind::ReviewAsked, "t", Timestamp::from_unix_s(0))
        };
        let body = body(&words(&notice, "https://gw.example", 0));
        let all = body.to_string();
        assert!(!all.contains('<') && !all.contains('>'), "{all}");
        assert!(!all.contains("://evil"), "{all}");
        assert_eq!(all.matches("https://").count(), 1, "the button's alone: {all}");
        let fields = body["blocks"][1]["fields"].as_array().unwrap();
        assert_eq!(fields[0]["text"], "*who* `&lt;!channel&gt; *b* '&lt;https[:]//evil.example|ok&gt;'`");
        for field in fields {
            let text = field["text"].as_str().unwrap();
            assert!(text.matches('`').count() == 2 && field["verbatim"] == true, "each value is one span: {text}");
        }
        assert_eq!(body["blocks"][2]["text"]["text"], "`select '&lt;!here&gt;' -- ' &lt;#C1&gt;`");
        assert_eq!(body["text"].as_str().unwrap().lines().count(), 1);
    }

    #[test]
    fn nobody_can_make_a_message_too_long_for_slack() {
        let long = "&".repeat(10_000);
        let notice = Notice {
            identity: long.clone(),
            issuer: long.clone(),
            target: long.clone(),
            what: long.clone(),
            rules: vec![long.clone(), long.clone()],
            reviewers: long.clone(),
            text: long,
            ..Notice::new(Kind::Alert, "t", Timestamp::from_unix_s(0))
        };
        let body = body(&words(&notice, "https://gw.example", 7));
        for block in body["blocks"].as_array().unwrap() {
            let fields = block["fields"].as_array().cloned().unwrap_or_default();
            assert!(fields.len() <= 10 && fields.iter().all(|f| f["text"].as_str().unwrap().len() <= 2_000));
            assert!(block["text"]["text"].as_str().is_none_or(|t| t.len() <= 3_000));
        }
    }

    #[test]
    fn what_slack_answers_is_read_and_not_repeated() {
        for (body, want) in [
            (r#"{"ok":true,"channel":"C1","ts":"17.5"}"#, Ok("C1/17.5")),
            (r#"{"ok":true}"#, Ok("")),
            (r#"{"ok":true,"channel":"C/1","ts":"17.5"}"#, Ok("")),
            (r#"{"ok":false,"error":"channel_not_found"}"#, Err("Slack says channel_not_found")),
            (r#"{"ok":false,"error":"<b>no</b>"}"#, Err("Slack says no")),
            ("<html>", Err("Slack's answer cannot be read")),
        ] {
            let got = posted(body.as_bytes()).map_err(|f| f.why);
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{body}");
        }
    }
}
