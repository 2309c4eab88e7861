//! Claims shaped like those that CI systems put in their tokens, for trying things out without one.
//!
//! Must never be accepted as the real issuer's: a local issuer signs them under its own name.

use serde_json::{Map, Value, json};

/// A job of GitHub Actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GithubJob {
    /// Owner and name, such as `acme/shop`.
    pub repository: String,
    /// The repository's lasting id.
    pub repository_id: u64,
    /// The owner's lasting id.
    pub repository_owner_id: u64,
    /// Such as `refs/heads/main`.
    pub git_ref: String,
    /// The commit.
    pub sha: String,
    /// The workflow's file, such as `.github/workflows/deploy.yml`.
    pub workflow_file: String,
    /// The deployment environment, where the job has one.
    pub environment: Option<String>,
    /// The run.
    pub run_id: u64,
    /// Which try of the run.
    pub run_attempt: u32,
    /// Who started it.
    pub actor: String,
    /// The actor's lasting id.
    pub actor_id: u64,
    /// Such as `push`.
    pub event_name: String,
}

impl GithubJob {
    /// A push to the main branch of `acme/shop` that deploys to production.
    pub fn example() -> Self {
        Self {
            repository: "acme/shop".to_owned(),
            repository_id: 482_911_734,
            repository_owner_id: 61_520_377,
            git_ref: "refs/heads/main".to_owned(),
            sha: "9f2c4e1b7a60d3588c1f0e6ab94d2757ce83f1a0".to_owned(),
            workflow_file: ".github/workflows/deploy.yml".to_owned(),
            environment: None,
            run_id: 11_846_203_977,
            run_attempt: 1,
            actor: "ana".to_owned(),
            actor_id: 7_203_114,
            event_name: "push".to_owned(),
        }
    }

    /// `sub`: by environment where the job has one, else by ref, as GitHub does.
    pub fn subject(&self) -> String {
        match &self.environment {
            Some(environment) => format!("repo:{}:environment:{environment}", self.repository),
            None => format!("repo:{}:ref:{}", self.repository, self.git_ref),
        }
    }

    /// The further claims; ids are strings, as GitHub writes them.
    pub fn claims(&self) -> Map<String, Value> {
        let owner = self.repository.split('/').next().unwrap_or_default();
        let workflow = format!("{}/{}@{}", self.repository, self.workflow_file, self.git_ref);
        let mut claims = Map::new();
        for (name, value) in [
            ("repository", json!(self.repository)),
            ("repository_id", json!(self.repository_id.to_string())),
            ("repository_owner", json!(owner)),
            ("repository_owner_id", json!(self.repository_owner_id.to_string())),
            ("repository_visibility", json!("private")),
            ("ref", json!(self.git_ref)),
            ("ref_type", json!("branch")),
            ("ref_protected", json!("true")),
            ("head_ref", json!("")),
            ("base_ref", json!("")),
            ("sha", json!(self.sha)),
            ("workflow", json!("deploy")),
            ("workflow_ref", json!(workflow)),
            ("workflow_sha", json!(self.sha)),
            ("job_workflow_ref", json!(workflow)),
            ("job_workflow_sha", json!(self.sha)),
            ("run_id", json!(self.run_id.to_string())),
            ("run_number", json!("318")),
            ("run_attempt", json!(self.run_attempt.to_string())),
            ("runner_environment", json!("github-hosted")),
            ("actor", json!(self.actor)),
            ("actor_id", json!(self.actor_id.to_string())),
            ("event_name", json!(self.event_name)),
        ] {
            claims.insert(name.to_owned(), value);
        }
        if let Some(environment) = &self.environment {
            claims.insert("environment".to_owned(), json!(environment));
        }
        claims
    }
}
