//! `countersign whoami`: the identity as the gateway sees it, not as this machine remembers it.

use clap::Args;
use countersign_model::Timestamp;
use serde_json::Value;

use super::gateway::Gateway;
use super::session::{At, fresh};
use super::sheet::Sheet;
use crate::cli::Format;
use crate::commands::paper::Paper;
use crate::commands::text::moment;
use crate::failed::Failed;

/// Claims that say which pipeline, job and commit it is: shown first, the others after them.
const PIPELINE: [&str; 8] =
    ["repository", "job_workflow_ref", "workflow_ref", "ref", "sha", "run_id", "environment", "runner_environment"];
/// The most claims that are shown; `--output json` shows them all.
const CLAIMS_MAX: usize = 40;

/// `countersign whoami`.
#[derive(Debug, Args)]
pub(crate) struct Whoami {
    #[command(flatten)]
    at: At,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Runs it.
pub(super) async fn run(args: &Whoami) -> Result<(), Failed> {
    let login = fresh(&args.at.state()?).await?;
    let gateway = Gateway::new(&login.facts.url()?, &login.trust(), Some(&login.credential))?;
    let seen = gateway.whoami().await?;
    let mut paper = Paper::new();
    match args.output {
        Format::Json => paper.json(&seen)?,
        Format::Text => sheet(&seen, &login.facts.gateway).print(&mut paper)?,
    }
    paper.done()
}

fn sheet(seen: &Value, gateway: &str) -> Sheet {
    let mut sheet = Sheet::default();
    let at = |name: &str| seen.get(name).map(shown).unwrap_or_default();
    for name in ["name", "kind", "groups", "subject", "issuer", "credential", "key", "login"] {
        sheet.add(name, &at(name));
    }
    for (name, member) in [("certificate ends", "certificate_expires_at"), ("login ends", "login_expires_at")] {
        if let Some(s) = seen.get(member).and_then(Value::as_i64) {
            let at = moment(Timestamp::from_unix_s(s));
            sheet.add(name, &format!("{at} UTC"));
        }
    }
    for actor in seen.get("acting").and_then(Value::as_array).into_iter().flatten() {
        let part = |name: &str| actor.get(name).map(shown).unwrap_or_default();
        sheet.add("acting", &format!("{} ({}) of {}", part("name"), part("kind"), part("issuer")));
    }
    if let Some(claims) = seen.get("claims").and_then(Value::as_object) {
        let first = PIPELINE.iter().filter_map(|name| claims.get_key_value(*name));
        let rest = claims.iter().filter(|(name, _)| !PIPELINE.contains(&name.as_str()));
        for (name, value) in first.chain(rest).take(CLAIMS_MAX) {
            sheet.add(name, &shown(value));
        }
    }
    sheet.add("gateway", gateway);
    sheet
}

/// Texts as they are, lists with commas, everything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(all) if all.iter().all(|v| !v.is_object() && !v.is_array()) => {
            all.iter().map(shown).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Value, sheet};

    #[test]
    fn what_the_gateway_sees_is_shown_in_order_and_inert() {
        let seen: Value = serde_json::json!({
            "name": "ci-deploy", "kind": "machine", "groups": ["ci", "deploy"], "subject": "repo:x", "issuer": "https://ci",
            "credential": "bound", "key": "thumb", "login": "01J", "login_expires_at": 1_767_614_400,
            "acting": [{ "name": "helper", "kind": "agent", "issuer": "https://ai" }],
            "claims": { "aud": "countersign", "sha": "abc\u{1b}[2J", "repository": "acme/shop", "run_id": 7, "empty": null },
        });
        let lines = sheet(&seen, "https://gw").lines(80);
        let names: Vec<&str> = lines.iter().filter_map(|l| l.split("  ").next()).collect();
        let expected = [
            "name",
            "kind",
            "groups",
            "subject",
            "issuer",
            "credential",
            "key",
            "login",
            "login ends",
            "acting",
            "repository",
            "sha",
            "run_id",
            "aud",
            "gateway",
        ];
        assert_eq!(names, expected, "{lines:#?}");
        let whole = lines.join("\n");
        assert!(whole.contains("abc\\u{1b}[2J") && whole.contains("helper (agent) of https://ai"), "{whole}");
        assert!(whole.contains("2026-01-05 12:00:00 UTC"), "{whole}");
        assert!(sheet(&Value::Null, "https://gw").lines(80).len() == 1);
    }
}
