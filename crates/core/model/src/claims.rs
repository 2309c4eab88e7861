//! Which claims are names that somebody else can take over, and which stay: for whoever warns of rules that match by name alone.
//!
//! It must never decide anything: a warning is all that comes of it.

/// Claims that whoever owns the thing can change or free for others, and the claims that stay, the best of them first.
const MUTABLE: [(&str, &[&str]); 11] = [
    ("repository", &["repository_id"]),
    ("repository_owner", &["repository_owner_id", "repository_id"]),
    ("job_workflow_ref", &["repository_id", "repository_owner_id", "job_workflow_sha"]),
    ("workflow_ref", &["repository_id", "repository_owner_id", "workflow_sha"]),
    ("workflow", &["repository_id", "repository_owner_id"]),
    ("actor", &["actor_id", "repository_id"]),
    ("project_path", &["project_id"]),
    ("namespace_path", &["namespace_id", "project_id"]),
    ("user_login", &["user_id", "project_id"]),
    ("email", &["sub"]),
    ("preferred_username", &["sub"]),
];

/// What pins a `sub` that is made of names.
const PINS_OF_SUBJECT: &[&str] = &["repository_id", "repository_owner_id", "project_id"];

/// How a `sub` begins that is made of names: GitHub Actions, GitLab CI.
const SUBJECTS_OF_NAMES: [&str; 2] = ["repo:", "project_path:"];

/// The claims of which one must be matched too when this one is, because what it names can be renamed, freed and taken by somebody else;
/// the best of them first. `None` for a claim that stays. `value` is what the claim is compared with, as far as that is known.
pub fn lasting_claims(claim: &str, value: &str) -> Option<&'static [&'static str]> {
    if claim == "sub" {
        return SUBJECTS_OF_NAMES.iter().any(|s| value.starts_with(s)).then_some(PINS_OF_SUBJECT);
    }
    MUTABLE.iter().find(|(name, _)| *name == claim).map(|(_, lasting)| *lasting)
}

#[cfg(test)]
mod tests {
    use super::lasting_claims;

    #[test]
    fn names_are_told_from_what_stays() {
        for (claim, value, best) in [
            ("repository", "acme/orders", Some("repository_id")),
            ("email", "", Some("sub")),
            ("repository_id", "74", None),
            ("sub", "repo:acme/orders:ref:refs/heads/main", Some("repository_id")),
            ("sub", "project_path:acme/orders:ref_type:branch", Some("repository_id")),
            ("sub", "248289761001", None),
            ("environment", "prod", None),
        ] {
            assert_eq!(lasting_claims(claim, value).and_then(|l| l.first().copied()), best, "{claim} {value}");
        }
    }
}
