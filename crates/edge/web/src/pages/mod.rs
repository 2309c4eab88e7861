//! The pages. Each asks the API, and shows what it answered.

pub(crate) mod applied;
pub(crate) mod difference;
pub(crate) mod factors;
pub(crate) mod first;
pub(crate) mod grants;
pub(crate) mod identities;
pub(crate) mod inbox;
pub(crate) mod locks;
pub(crate) mod new_lock;
pub(crate) mod overview;
pub(crate) mod policies;
pub(crate) mod sessions;
pub(crate) mod settings;
pub(crate) mod sql;
pub(crate) mod targets;
pub(crate) mod timeline;

use serde_json::Value;

use crate::ask::{Ask, Refusal};
use crate::assets;
use crate::facts::Facts;
use crate::guard::Signed;
use crate::shown::Shown;

/// What is around every page.
pub(crate) struct Shell {
    title: Shown,
    /// Which page, in the navigation.
    at: &'static str,
    css: String,
    script: String,
    keys: String,
    live: String,
    name: Shown,
    groups: Shown,
    csrf: String,
    /// Reviews that wait for whoever looks.
    waiting: usize,
    said: &'static str,
}

impl Shell {
    /// The same of everybody who is signed in; asks how much waits for them.
    async fn of(signed: &Signed, at: &'static str, title: &str) -> Self {
        let reviews = signed.ask.get("/v1/reviews").await.unwrap_or_default();
        Self::with(signed, at, title, &reviews)
    }

    /// The same where the reviews are known.
    fn with(signed: &Signed, at: &'static str, title: &str, reviews: &Value) -> Self {
        let who = &signed.entered.identity;
        let groups: Vec<&str> = who.groups.iter().map(String::as_str).collect();
        Self {
            title: Shown::new(title),
            at,
            css: assets::css(),
            script: assets::script(),
            keys: assets::keys(),
            live: assets::live(),
            name: Shown::new(&who.name),
            groups: Shown::new(&groups.join(", ")),
            csrf: signed.csrf.clone(),
            waiting: Facts::of(reviews).at("reviews").list().filter(|r| inbox::waits_for(*r, who)).count(),
            said: said(signed.query.get("did")),
        }
    }

    fn groups(&self) -> &Shown {
        &self.groups
    }

    fn has_no_groups(&self) -> bool {
        self.groups.is_empty()
    }

    fn is(&self, at: &str) -> bool {
        self.at == at
    }
}

/// What whoever looks may ask for, so that no page asks for more and leaves a refusal on the record each time.
pub(crate) struct May(Value);

impl May {
    async fn of(ask: &Ask) -> Self {
        Self(ask.get("/v1/operations").await.unwrap_or_default())
    }

    fn does(&self, operation: &str) -> bool {
        Facts::of(&self.0).at("operations").list().any(|name| name.raw() == operation)
    }

    /// The same of an operation about what is their own, asked about everybody's.
    async fn get_of_everybody(&self, ask: &Ask, operation: &str, path: &str) -> Result<Value, Refusal> {
        let mut names = Facts::of(&self.0).at("everybody").list();
        if names.any(|name| name.raw() == operation) { ask.get(path).await } else { Err(unseen(operation)) }
    }

    /// What an operation answers at this path, if they may ask.
    async fn get(&self, ask: &Ask, operation: &str, path: &str) -> Result<Value, Refusal> {
        if self.does(operation) { ask.get(path).await } else { Err(unseen(operation)) }
    }
}

fn unseen(operation: &str) -> Refusal {
    let why = Shown::new(&format!("No rule lets you see this ({operation})"));
    Refusal { status: 403, why, hint: Shown::new("Ask whoever writes the policies.") }
}

/// What has just been done: a word of the address stands for a sentence of ours.
fn said(did: &str) -> &'static str {
    match did {
        "approve" => "Approved. It goes on when enough people have said yes.",
        "deny" => "Denied. The session goes on without it.",
        "comment" => "Your comment is there for everybody who may see this.",
        "withdraw" => "Withdrawn.",
        "locked" => "Locked. Live sessions that it matches end now, on every gateway.",
        "lifted" => "Lifted. New sessions may begin; what was cut off does not come back.",
        "cut" => "The session is cut off.",
        "asked" => "Asked. It begins when enough people have said yes.",
        "revoked" => "Ended. The sessions that lived by it end now.",
        "key-revoked" => "Revoked, at every gateway.",
        "applied" => "Applied. It is in force here; the other gateways have it within seconds.",
        "factor-added" => "Added. Show it when an approval asks for a second factor.",
        "factor-removed" => "Removed.",
        _ => "",
    }
}

/// A refusal in a part of a page, as one text.
fn because(no: &Refusal) -> Shown {
    let hint = if no.hint.is_empty() { String::new() } else { format!(" {}", no.hint) };
    Shown::new(&format!("{}.{hint}", no.why.as_str().trim_end_matches('.')))
}

/// True for what may stand in a path: the ids that this gateway makes.
pub(crate) fn is_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= 64 && text.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// `2 statements`, `1 statement`.
fn count(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
