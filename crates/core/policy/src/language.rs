//! What policies may talk about: attributes of the action, of the session, of the identity and its claims.
//!
//! It must never hold a value: it names attributes and types only.

use std::collections::BTreeMap;
use std::fmt;

use countersign_model::{AttributeKind, AttributeSpec, Vocabulary};
use serde::{Deserialize, Serialize};

/// The most claims that a configuration may declare besides the well-known ones.
pub const CLAIMS_MAX: usize = 256;

/// How a claim is seen by policies. Claims come from outside in any JSON form; a claim has one type in policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaimKind {
    /// Text. Numbers and truth values become text (`true`, `42`), a list of one becomes its item. Anything else, and an absent claim,
    /// is the empty text.
    String,
    /// A set of texts. One text becomes a set of one; an absent claim is the empty set.
    Set,
}

/// A claim that policies may read as `principal.claims.NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimSpec {
    /// The claim's name in the token.
    pub name: String,
    /// Its type in policies.
    pub kind: ClaimKind,
    /// One sentence for the published schema.
    #[serde(default)]
    pub doc: String,
}

/// What policies read the tags as that an action has to do with: `context.tags`.
pub(crate) const TAGS: &str = "tags";

/// What holds the rules that were granted. Only the condition of a `@grant` reads it: it is not in the schema.
pub(crate) const GRANTS: &str = "grants";

/// A fact of the session that policies may read as `context.NAME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SessionAttribute {
    SourceIp,
    Encrypted,
    Application,
    Part,
    Now,
    HourUtc,
    Weekday,
    TokenAge,
}

impl SessionAttribute {
    pub(crate) const ALL: [(Self, &'static str, &'static str, &'static str); 8] = [
        (
            Self::SourceIp,
            "source_ip",
            "ipaddr",
            "Where the client's connection comes from. IPv4 inside IPv6 is seen as IPv4.",
        ),
        (Self::Encrypted, "encrypted", "Bool", "True when the client's connection is encrypted."),
        (
            Self::Application,
            "application",
            "String",
            "What the client says it is. Shown, never to be trusted with a permit.",
        ),
        (
            Self::Part,
            "part",
            "String",
            "Which part of the target, such as a database name; empty where the protocol has no such thing.",
        ),
        (
            Self::Now,
            "now",
            "datetime",
            "When the action is judged, in whole seconds. Reading it turns the verdict cache off for its actions.",
        ),
        (Self::HourUtc, "hour_utc", "Long", "The hour of the day in UTC, 0 to 23."),
        (Self::Weekday, "weekday", "String", "The day of the week in UTC: mon, tue, wed, thu, fri, sat, sun."),
        (
            Self::TokenAge,
            "token_age_s",
            "Long",
            "Seconds since the credential was issued. Reading it turns the verdict cache off for its actions.",
        ),
    ];

    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|a| a.1 == name).map(|a| a.0)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|a| a.0 == self).map_or("", |a| a.1)
    }

    /// True when the value changes while a session lasts.
    pub(crate) fn passes(self) -> bool {
        self.never_kept() || matches!(self, Self::HourUtc | Self::Weekday)
    }

    /// True when the value changes with every second, so that a verdict on it cannot be kept.
    pub(crate) fn never_kept(self) -> bool {
        matches!(self, Self::Now | Self::TokenAge)
    }
}

/// A fact of the identity that policies may read as `principal.NAME`; claims are apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PrincipalField {
    Name,
    Subject,
    Issuer,
    Kind,
    Credential,
    Groups,
    Actors,
}

impl PrincipalField {
    pub(crate) const ALL: [(Self, &'static str, &'static str, &'static str); 7] = [
        (Self::Name, "name", "String", "The short name that people read. Two issuers may use the same one."),
        (Self::Subject, "subject", "String", "The issuer's stable identifier (sub)."),
        (Self::Issuer, "issuer", "String", "Who vouches (iss)."),
        (Self::Kind, "kind", "String", "human, machine or agent."),
        (
            Self::Credential,
            "credential",
            "String",
            "How the credential is tied to its holder: bearer, bound or hardware.",
        ),
        (Self::Groups, "groups", "Set<String>", "The names of the groups. Prefer: principal in Group::\"NAME\"."),
        (
            Self::Actors,
            "actors",
            "Set<String>",
            "Who acts for the identity, each as ISSUER#SUBJECT; empty when nobody does.",
        ),
    ];

    pub(crate) fn find(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|a| a.1 == name).map(|a| a.0)
    }

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|a| a.0 == self).map_or("", |a| a.1)
    }
}

/// Well-known claims: OpenID Connect, GitHub Actions, GitLab CI, and what is derived for Kubernetes and SPIFFE.
const WELL_KNOWN: [(&str, ClaimKind, &str); 51] = [
    ("acr", ClaimKind::String, "OIDC: how strongly the person was authenticated."),
    ("actor", ClaimKind::String, "GitHub: who started the run."),
    ("actor_id", ClaimKind::String, "GitHub: the id of who started the run."),
    ("amr", ClaimKind::Set, "OIDC: the methods of authentication."),
    ("aud", ClaimKind::Set, "Whom the token was made for."),
    ("azp", ClaimKind::String, "OIDC: the client that the token was issued to."),
    ("base_ref", ClaimKind::String, "GitHub: the branch that a pull request goes into."),
    ("client_id", ClaimKind::String, "OAuth: the client that asked for the token."),
    ("email", ClaimKind::String, "OIDC: the e-mail address."),
    ("email_verified", ClaimKind::String, "OIDC: \"true\" when the issuer checked the address."),
    ("environment", ClaimKind::String, "GitHub, GitLab: the deployment environment."),
    ("environment_protected", ClaimKind::String, "GitLab: \"true\" when the environment is protected."),
    ("event_name", ClaimKind::String, "GitHub: what started the run."),
    ("head_ref", ClaimKind::String, "GitHub: the branch that a pull request comes from."),
    ("job_workflow_ref", ClaimKind::String, "GitHub: the workflow file and its ref."),
    ("job_workflow_sha", ClaimKind::String, "GitHub: the commit of the workflow file."),
    ("kubernetes_namespace", ClaimKind::String, "Kubernetes: the namespace of the service account."),
    ("kubernetes_node", ClaimKind::String, "Kubernetes: the node that the pod runs on."),
    ("kubernetes_pod", ClaimKind::String, "Kubernetes: the pod."),
    ("kubernetes_pod_uid", ClaimKind::String, "Kubernetes: the uid of the pod."),
    ("kubernetes_serviceaccount", ClaimKind::String, "Kubernetes: the name of the service account."),
    (
        "kubernetes_serviceaccount_uid",
        ClaimKind::String,
        "Kubernetes: the uid of the service account, which a new one of the same name does not have.",
    ),
    ("namespace_id", ClaimKind::String, "GitLab: the id of the group or user."),
    ("namespace_path", ClaimKind::String, "GitLab: the path of the group or user."),
    ("pipeline_id", ClaimKind::String, "GitLab: the pipeline."),
    ("pipeline_source", ClaimKind::String, "GitLab: what started the pipeline."),
    ("preferred_username", ClaimKind::String, "OIDC: the name that the person goes by."),
    ("project_id", ClaimKind::String, "GitLab: the id of the project."),
    ("project_path", ClaimKind::String, "GitLab: the path of the project."),
    ("ref", ClaimKind::String, "GitHub, GitLab: the branch or tag."),
    ("ref_path", ClaimKind::String, "GitLab: the full ref, such as refs/heads/main."),
    ("ref_protected", ClaimKind::String, "GitHub, GitLab: \"true\" when the ref is protected."),
    ("ref_type", ClaimKind::String, "GitHub, GitLab: branch or tag."),
    ("repository", ClaimKind::String, "GitHub: owner/name."),
    ("repository_id", ClaimKind::String, "GitHub: the id of the repository, which survives renames."),
    ("repository_owner", ClaimKind::String, "GitHub: the organisation or user."),
    ("repository_owner_id", ClaimKind::String, "GitHub: the id of the organisation or user."),
    ("repository_visibility", ClaimKind::String, "GitHub: public, private or internal."),
    ("run_attempt", ClaimKind::String, "GitHub: which attempt of the run."),
    ("run_id", ClaimKind::String, "GitHub: the run."),
    ("runner_environment", ClaimKind::String, "GitHub, GitLab: github-hosted, gitlab-hosted or self-hosted."),
    ("scope", ClaimKind::String, "OAuth: the scopes, separated by spaces."),
    ("sha", ClaimKind::String, "GitHub, GitLab: the commit."),
    ("spiffe_path", ClaimKind::String, "SPIFFE: the path of the workload's ID."),
    ("spiffe_trust_domain", ClaimKind::String, "SPIFFE: the trust domain of the workload's ID."),
    ("sub", ClaimKind::String, "The issuer's stable identifier."),
    ("user_email", ClaimKind::String, "GitLab: the e-mail address of who started the job."),
    ("user_login", ClaimKind::String, "GitLab: who started the job."),
    ("workflow", ClaimKind::String, "GitHub: the name of the workflow."),
    ("workflow_ref", ClaimKind::String, "GitHub: the calling workflow file and its ref."),
    ("workflow_sha", ClaimKind::String, "GitHub: the commit of the calling workflow file."),
];

/// Everything that policies may talk about.
#[derive(Clone, Debug)]
pub struct Language {
    attributes: BTreeMap<&'static str, AttributeSpec>,
    claims: BTreeMap<String, ClaimSpec>,
}

/// Why the parts of a language do not fit together; one sentence each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanguageError(Vec<String>);

impl fmt::Display for LanguageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for LanguageError {}

impl Language {
    /// Joins the vocabularies of all protocols with the claims that the configuration declares. A declared claim replaces a
    /// well-known one of the same name.
    ///
    /// # Errors
    /// Every name that is no identifier, is taken, or has two types.
    pub fn new(vocabularies: &[Vocabulary], claims: &[ClaimSpec]) -> Result<Self, LanguageError> {
        let mut problems = Vec::new();
        let mut attributes: BTreeMap<&'static str, AttributeSpec> = BTreeMap::new();
        for spec in vocabularies.iter().flat_map(|v| v.iter()) {
            if !is_identifier(spec.name) {
                problems.push(format!("the attribute \"{}\" is not an identifier", spec.name));
            }
            if SessionAttribute::find(spec.name).is_some() {
                problems.push(format!("the attribute \"{}\" is already the session's", spec.name));
            }
            if spec.name == GRANTS {
                problems.push(format!("the attribute \"{GRANTS}\" is the policies' own"));
            }
            if spec.name == TAGS {
                problems.push(format!("the attribute \"{TAGS}\" is every action's, whatever its protocol"));
            }
            match attributes.get(spec.name) {
                Some(earlier) if earlier.kind != spec.kind => {
                    problems.push(format!("two protocols give the attribute \"{}\" different types", spec.name));
                }
                Some(_) => {}
                None => {
                    attributes.insert(spec.name, *spec);
                }
            }
        }
        if claims.len() > CLAIMS_MAX {
            problems.push(format!("{} claims are declared; the most is {CLAIMS_MAX}", claims.len()));
        }
        let well_known = WELL_KNOWN.iter().map(|(name, kind, doc)| ClaimSpec {
            name: (*name).to_owned(),
            kind: *kind,
            doc: (*doc).to_owned(),
        });
        let mut all: BTreeMap<String, ClaimSpec> = well_known.map(|c| (c.name.clone(), c)).collect();
        for (i, claim) in claims.iter().enumerate() {
            if claim.name.is_empty() || claim.name.chars().any(char::is_control) {
                problems.push(format!("the claim name {:?} is empty or has control characters", claim.name));
            }
            if claims.iter().take(i).any(|c| c.name == claim.name) {
                problems.push(format!("the claim \"{}\" is declared twice", claim.name));
            }
            all.insert(claim.name.clone(), claim.clone());
        }
        if problems.is_empty() { Ok(Self { attributes, claims: all }) } else { Err(LanguageError(problems)) }
    }

    /// The attributes of actions, by name.
    pub fn attributes(&self) -> impl Iterator<Item = &AttributeSpec> {
        self.attributes.values()
    }

    /// The claims, by name.
    pub fn claims(&self) -> impl Iterator<Item = &ClaimSpec> {
        self.claims.values()
    }

    /// An attribute of actions.
    pub fn attribute(&self, name: &str) -> Option<&AttributeSpec> {
        self.attributes.get(name)
    }

    pub(crate) fn claim(&self, name: &str) -> Option<&ClaimSpec> {
        self.claims.get(name)
    }

    /// The schema in Cedar's own language, with a comment on every attribute.
    pub fn schema_text(&self) -> String {
        crate::schema::text(self, true)
    }

    /// The same without the actions on tags. Rules that name no action are checked against it: they are not about these.
    pub(crate) fn schema_text_without_tags(&self) -> String {
        crate::schema::text(self, false)
    }
}

/// The Cedar type of an attribute.
pub(crate) fn cedar_type(kind: AttributeKind) -> &'static str {
    match kind {
        AttributeKind::Bool => "Bool",
        AttributeKind::Long => "Long",
        AttributeKind::String => "String",
        AttributeKind::Set => "Set<String>",
    }
}

/// Words of Cedar that may not stand after a dot.
const RESERVED: [&str; 10] = ["true", "false", "if", "then", "else", "in", "is", "like", "has", "__cedar"];

/// True for what may stand after a dot in Cedar.
pub(crate) fn is_identifier(name: &str) -> bool {
    !RESERVED.contains(&name)
        && name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use countersign_model::{AttributeKind, AttributeSpec};

    use super::{CLAIMS_MAX, ClaimKind, ClaimSpec, Language};

    const fn spec(name: &'static str, kind: AttributeKind) -> AttributeSpec {
        AttributeSpec { name, kind, doc: "d" }
    }

    fn claim(name: &str) -> ClaimSpec {
        ClaimSpec { name: name.to_owned(), kind: ClaimKind::String, doc: String::new() }
    }

    #[test]
    fn parts_that_do_not_fit_are_all_named() {
        const A: &[AttributeSpec] = &[spec("x", AttributeKind::Bool), spec("now", AttributeKind::Long)];
        const B: &[AttributeSpec] = &[spec("x", AttributeKind::Set), spec("not-one", AttributeKind::Set)];
        let error =
            Language::new(&[A, B], &[claim("a"), claim("a"), claim("\n")]).expect_err("five faults").to_string();
        for part in
            ["\"x\" different types", "\"now\" is already", "\"not-one\" is not", "\"a\" is declared twice", "control"]
        {
            assert!(error.contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn shared_names_of_one_type_are_fine_and_claims_are_limited() {
        const A: &[AttributeSpec] = &[spec("x", AttributeKind::Bool)];
        assert!(Language::new(&[A, A], &[]).is_ok());
        let many: Vec<ClaimSpec> = (0..=CLAIMS_MAX).map(|i| claim(&format!("c{i}"))).collect();
        assert!(Language::new(&[A], many.get(..CLAIMS_MAX).expect("enough")).is_ok());
        assert!(Language::new(&[A], &many).is_err());
    }
}
