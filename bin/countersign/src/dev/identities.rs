//! The demo's identities: three people of the local issuer, and a CI job whose token is shaped like GitHub Actions'.

use std::path::Path;
use std::sync::Arc;

use countersign_identity::local::{GithubJob, LocalIssuer, LocalIssuerConfig, MintRequest, NewAccount};
use countersign_model::{IdentityKind, Secret, Timestamp};

use crate::adapters::SealedKeys;
use crate::clock;
use crate::failed::Failed;
use crate::house::Cellar;

/// The issuer that stands for GitHub's, under a name of its own.
const CI_URL: &str = "https://ci.countersign.test";

/// Tokens live as long as a working session, no longer.
const LIFETIME_S: u64 = 3600;

/// What the configuration says of that issuer.
pub(super) const CI_ISSUER: &str = r#"
# Stands for a CI system: its tokens have the claims of GitHub Actions'. The mapping pins what a renamed repository cannot take along.
[[issuer]]
label = "ci"
url = "https://ci.countersign.test"
audiences = ["countersign"]
algorithms = ["ES256"]
jwks_file = "ci-jwks.json"
types = ["JWT"]
kind = "machine"

[[issuer.mapping]]
when = { repository_id = "482911734", job_workflow_ref = "acme/shop/.github/workflows/deploy.yml@refs/heads/main" }
name = "ci-deploy"
groups = ["ci-deployers"]
kind = "machine"
"#;

/// The local accounts, each with its group.
const PEOPLE: [(&str, &str); 3] = [("ana", "analysts"), ("dora", "dbas"), ("otto", "dbas")];

/// Random bytes from the system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Failed> {
    use std::io::Read as _;
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The CI system's issuer.
pub(super) async fn ci_issuer(cellar: &Cellar) -> Result<LocalIssuer, Failed> {
    let vault = cellar.vault.clone().ok_or_else(|| Failed::invalid("the demo's configuration has lost its [vault]"))?;
    let config = LocalIssuerConfig {
        label: "ci".to_owned(),
        issuer: CI_URL.to_owned(),
        audience: "countersign".to_owned(),
        token_lifetime_s: LIFETIME_S,
    };
    let keys = SealedKeys { store: cellar.store.clone(), vault };
    LocalIssuer::open(config, Arc::new(keys), None, clock::now()).await.map_err(Failed::new)
}

/// Makes the accounts and publishes the CI issuer's keys where the configuration looks for them.
pub(super) async fn prepare(cellar: &Cellar, dir: &Path) -> Result<(), Failed> {
    let issuer =
        cellar.issuer.as_ref().ok_or_else(|| Failed::invalid("the demo's configuration has no [local_issuer]"))?;
    for (name, group) in PEOPLE {
        let secret = password(cellar, name).await?;
        match cellar.store.find_account_by_name(name).await.map_err(Failed::new)? {
            None => {
                let groups = [group.to_owned()].into();
                let (name, secret) = (name.to_owned(), Some(secret));
                let new = NewAccount { name, kind: IdentityKind::Human, groups, secret };
                issuer.create_account(new, clock::now()).await.map_err(Failed::new)?;
            }
            // Made by an earlier version, without one.
            Some(account) if account.secret_hash.is_none() => {
                issuer.set_secret(name, secret).await.map_err(Failed::new)?;
            }
            Some(_) => {}
        }
    }
    let ci = ci_issuer(cellar).await?;
    Ok(std::fs::write(dir.join("ci-jwks.json"), ci.jwks().body)?)
}

/// What one of the people types in a browser: made once, kept in the vault alone.
pub(super) async fn password(cellar: &Cellar, name: &str) -> Result<Secret, Failed> {
    let vault =
        cellar.vault.as_ref().ok_or_else(|| Failed::invalid("the demo's configuration has lost its [vault]"))?;
    let entry = format!("sign-in-{name}");
    if !vault.list().await.map_err(Failed::new)?.iter().any(|known| known.name == entry) {
        // Six letters and digits, three times: easy to type, 90 bits.
        const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let letter = |b: &u8| LETTERS.get(usize::from(b % 32)).copied().map_or('a', char::from);
        let parts: Vec<String> = random::<18>()?.chunks(6).map(|c| c.iter().map(letter).collect()).collect();
        vault.put(&entry, &Secret::from(parts.join("-")), clock::now()).await.map_err(Failed::new)?;
    }
    vault.fetch(&entry).await.map_err(Failed::new)
}

/// A token of one of the demo's identities.
pub(super) async fn token(cellar: &Cellar, name: &str, audience: Option<String>) -> Result<Secret, Failed> {
    match name {
        "ci-deploy" => job_token(&ci_issuer(cellar).await?, &GithubJob::example(), audience, LIFETIME_S, clock::now()),
        _ if audience.is_some() => Err(Failed::new("only ci-deploy asks for an audience, as CI jobs may")),
        _ => {
            let issuer = cellar.issuer.as_ref().ok_or_else(|| Failed::not_found("there is no local issuer"))?;
            issuer.mint_for_operator(name, None, clock::now()).await.map_err(Failed::not_found)
        }
    }
}

/// A token for a CI job.
pub(super) async fn ci_token(cellar: &Cellar, job: &GithubJob, lifetime_s: u64) -> Result<Secret, Failed> {
    job_token(&ci_issuer(cellar).await?, job, None, lifetime_s, clock::now())
}

/// A token for a CI job, with the audience that the job asks for.
pub(super) fn job_token(
    issuer: &LocalIssuer,
    job: &GithubJob,
    audience: Option<String>,
    lifetime_s: u64,
    now: Timestamp,
) -> Result<Secret, Failed> {
    let request = MintRequest {
        subject: job.subject(),
        audience,
        lifetime_s: Some(lifetime_s),
        token_type: "JWT",
        claims: job.claims(),
    };
    issuer.mint(request, now).map_err(Failed::new)
}
