//! Teams: an Adaptive Card to a workflow's address. Whatever came from others stands in text runs, which know no Markdown.

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::{Failure, Http, Message, line};
use crate::receiver::SecretOf;
use crate::words::Words;

pub(super) async fn send(http: &mut Http, url: &SecretOf, message: &Message<'_>) -> Result<String, Failure> {
    let url = line("the URL", url).await?;
    http.post(&url, HeaderMap::new(), card(&message.words()).to_string()).await?;
    Ok(String::new())
}

fn card(words: &Words) -> Value {
    let run = |text: String, weight: &str| json!({ "type": "TextRun", "text": text, "weight": weight });
    let rich = |runs: Vec<Value>| json!({ "type": "RichTextBlock", "inlines": runs });
    let title = json!({ "type": "TextBlock", "text": words.title, "weight": "bolder", "size": "medium", "wrap": true });
    let mut body = vec![title];
    for fact in &words.facts {
        body.push(rich(vec![run(format!("{}: ", fact.name), "bolder"), run(fact.value.clone(), "default")]));
    }
    if !words.text.is_empty() {
        let text = json!({ "type": "TextRun", "text": words.text, "fontType": "monospace" });
        body.push(rich(vec![text]));
    }
    let mut actions = Vec::new();
    if !words.link.is_empty() {
        actions.push(json!({ "type": "Action.OpenUrl", "title": words.action, "url": words.link }));
    }
    let card = json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": body,
        "actions": actions,
    });
    json!({
        "type": "message",
        "attachments": [{ "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card }],
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use countersign_model::Timestamp;

    use super::*;
    use crate::words::words;
    use crate::{Kind, Notice};

    #[test]
    fn words_of_others_are_in_runs_without_markdown() {
        let notice = Notice {
            identity: "[ok](http://evil.example) <at>all</at>".to_owned(),
            path: "/console/inbox/1".to_owned(),
            text: "select [a](b)".to_owned(),
            ..Notice::new(Kind::ReviewAsked, "t", Timestamp::from_unix_s(0))
        };
        let card = card(&words(&notice, "https://gw.example", 0));
        let content = &card["attachments"][0]["content"];
        let blocks = content["body"].as_array().unwrap();
        for block in blocks {
            let of_others = block.to_string().contains("[ok]") || block.to_string().contains("[a](b)");
            assert!(!of_others || block["type"] == "RichTextBlock", "{block}");
        }
        assert!(!card.to_string().contains("http://evil"));
        assert_eq!(content["actions"][0]["url"], "https://gw.example/console/inbox/1");
    }
}
