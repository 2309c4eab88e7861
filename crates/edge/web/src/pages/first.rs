//! What leads from an empty installation to the first session: which steps are done, and what to write for the next.
//!
//! It must never tell somebody of what they may not see: each step asks the API as whoever looks.

use countersign_model::Identity;
use serde_json::Value;

use super::May;
use super::targets::{is_plain, lines};
use crate::console::Shared;
use crate::facts::{Facts, encoded};
use crate::guard::Signed;
use crate::shown::Shown;

/// A target as it is written, to begin with.
const TARGET: &str = r#"[[target]]
name = "orders"
protocol = "postgres"
host = "db.internal"
labels = { env = "prod" }

[[target.account]]
default = true
user = "countersign"
password = { vault = "orders" }
"#;
/// An issuer as it is written in the gateway's own configuration.
const ISSUER: &str = r#"[[issuer]]
label = "corp"
url = "https://login.example.com"
audiences = ["countersign"]
client_id = "countersign"
accept_id_tokens = true
name_claim = "email"
groups_claim = "groups"
"#;
/// The name that the texts above have.
const EXAMPLE: &str = "orders";

/// One step.
pub(crate) struct Step {
    pub(crate) title: &'static str,
    pub(crate) done: bool,
    /// One can go on without.
    pub(crate) optional: bool,
    /// It is the next.
    pub(crate) next: bool,
    pub(crate) what: Shown,
    /// Texts to paste, each with what it is for.
    pub(crate) paste: Vec<(&'static str, Shown)>,
    pub(crate) then: Shown,
    /// Where it is done in the console, and the word for that.
    pub(crate) button: Option<(String, &'static str)>,
}

/// A rule as it is written, to begin with: for a group of whoever writes it, where they have one that reads as it is.
fn rule(who: &Identity, target: &str) -> String {
    let target = if is_plain(target) { target } else { EXAMPLE };
    let group = who.groups.iter().map(String::as_str).find(|g| is_plain(g)).unwrap_or("analysts");
    format!(
        "@id(\"{group}-read-{target}\")\npermit (\n  principal in Group::\"{group}\",\n  \
         action in [Action::\"connect\", Action::\"read\"],\n  resource == Target::\"{target}\"\n);\n"
    )
}

/// What a new file begins with: its path and text.
pub(crate) fn begun(signed: &Signed) -> Option<(String, String)> {
    match signed.query.get("start") {
        "target" => Some((format!("targets/{EXAMPLE}.toml"), TARGET.to_owned())),
        "rule" => {
            Some(("policies/people.cedar".to_owned(), rule(&signed.entered.identity, signed.query.get("target"))))
        }
        _ => None,
    }
}

/// The targets of an answer.
fn first(page: &Value) -> Option<Facts<'_>> {
    Facts::of(page).at("targets").list().next()
}

/// Whether there is anything that is theirs to use or to ask for.
pub(crate) async fn has_targets(signed: &Signed) -> bool {
    first(&signed.ask.get("/v1/targets?limit=1").await.unwrap_or_default()).is_some()
}

/// The steps to the first session, done or not.
pub(crate) async fn steps(console: &Shared, signed: &Signed, may: &May) -> Vec<Step> {
    let writes = may.does("configuration.apply");
    let own = signed.ask.get("/v1/targets?limit=1").await.unwrap_or_default();
    let all = may.get_of_everybody(&signed.ask, "targets.list", "/v1/targets?everybody=true&limit=1").await;
    let all = all.unwrap_or_default();
    let (own, any) = (first(&own), first(&all));
    let name = own.or(any).map_or(EXAMPLE, |t| t.at("name").raw());
    let base = console.parts.bases.first().map(String::as_str).unwrap_or_default();
    let others = console.parts.people.issuers().iter().any(|i| i.label != "local");
    let facts = signed.ask.get("/v1/login").await.unwrap_or_default();
    let own_ca = Facts::of(&facts).at("gateway_ca_pem").is_there();
    let text = |t: &str| Shown::new(t);
    let gateway = console.parts.gateway();
    let ca = if own_ca { " --ca gateway-ca.pem" } else { "" };
    let mut connect = vec![("Once", Shown::new(&format!("countersign login --gateway {gateway}{ca}")))];
    connect.extend(own.map(|t| lines(t, &signed.entered.identity.name, gateway, own_ca)).unwrap_or_default());
    let mut steps = vec![
        Step {
            title: "Let your people sign in",
            done: others,
            optional: true,
            next: false,
            what: text(
                "People sign in with local accounts now. Your identity provider is added to the gateway's own countersign.toml; check it with countersign config check, then send the gateway SIGHUP.",
            ),
            paste: vec![("An issuer that speaks OpenID Connect", Shown::lines(ISSUER))],
            then: Shown::new(&format!(
                "Register {base}/console/callback there as a redirect URI. To go on without one, add local accounts: countersign accounts add NAME --group=GROUP."
            )),
            button: None,
        },
        Step {
            title: "Add the first target",
            done: own.or(any).is_some(),
            optional: false,
            next: false,
            what: text(
                "Keep the password of its account in the vault, on the gateway's machine; then say where the target is.",
            ),
            paste: vec![
                ("The password, at the gateway", Shown::new(&format!("countersign credentials set {EXAMPLE}"))),
                ("The target: here, or as a file of a repository by countersign apply", Shown::lines(TARGET)),
            ],
            then: Shown::default(),
            button: writes.then(|| ("/console/policies/edit?start=target".to_owned(), "Write the target")),
        },
        Step {
            title: "Let somebody use it",
            done: own.is_some(),
            optional: false,
            next: false,
            what: text(
                "What no rule permits is denied. This one lets a group read; a role as small at the target itself is a good second fence.",
            ),
            paste: vec![("A rule", Shown::lines(&rule(&signed.entered.identity, name)))],
            then: Shown::default(),
            button: writes
                .then(|| (format!("/console/policies/edit?start=rule&target={}", encoded(name)), "Write the rule")),
        },
        Step {
            title: "Connect",
            done: false,
            optional: false,
            next: false,
            what: text(if own_ca {
                "On your own machine, with the authority of this gateway's certificate: gateway-ca.pem in its data folder. The session shows up here while it runs."
            } else {
                "On your own machine. The session shows up here while it runs."
            }),
            paste: connect,
            then: Shown::default(),
            button: None,
        },
    ];
    if let Some(next) = steps.iter_mut().find(|s| !s.done && !s.optional) {
        next.next = true;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_only_what_reads_as_it_is() {
        #[expect(clippy::disallowed_methods, reason = "a test vouches for its own")]
        let who = |groups: &[&str]| {
            Identity::mint(countersign_model::IdentityParts {
                subject: "ana".to_owned(),
                issuer: "https://i".to_owned(),
                name: "ana".to_owned(),
                kind: countersign_model::IdentityKind::Human,
                groups: groups.iter().map(|g| (*g).to_owned()).collect(),
                claims: std::collections::BTreeMap::new(),
                delegation: Vec::new(),
                credential: countersign_model::CredentialBinding::Bearer,
                token_id: None,
                key: None,
                signer: None,
                login: None,
                issued_at: countersign_model::Timestamp::from_unix_s(0),
                expires_at: countersign_model::Timestamp::from_unix_s(0),
            })
        };
        for (groups, target, want) in [
            (&["dbas"][..], "shop", (r#"Group::"dbas""#, r#"Target::"shop""#)),
            (&["a\"b", "dbas"], "shop", (r#"Group::"dbas""#, r#"Target::"shop""#)),
            (&[], "\") permit (", (r#"Group::"analysts""#, r#"Target::"orders""#)),
        ] {
            let text = rule(&who(groups), target);
            assert!(text.contains(want.0) && text.contains(want.1) && text.matches("permit").count() == 1, "{text}");
        }
    }
}
