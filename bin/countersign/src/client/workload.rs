//! Where a workload's token comes from: the CI system, a variable, a file.
//!
//! The key is made first, so that an issuer that lets a job choose its audience (GitHub's) can be asked for a token that is good with this
//! key alone. A token is read when it is needed and never kept.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use countersign_model::Secret;
use serde::{Deserialize, Serialize};

use super::gateway::words;
use super::http::{Http, Trust, check_url};
use crate::commands::text::inert;
use crate::failed::Failed;

/// The longest token, in bytes; the gateway takes none that is longer.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// A variable that is looked at when nothing is named.
const TOKEN_ENV: &str = "COUNTERSIGN_ID_TOKEN";
/// Where a projected service account token is looked for. Not the pod's own token: that one is for the cluster's API, and whoever it is
/// shown to could use it there.
const KUBERNETES_FILE: &str = "/var/run/secrets/countersign/token";
const GITHUB_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const GITHUB_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

/// Which token, on the command line.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Options {
    /// The environment variable that holds the token (GitLab's `id_tokens`, and others).
    #[arg(long, value_name = "NAME", requires = "workload", conflicts_with = "token_file")]
    token_env: Option<String>,
    /// The file that holds the token (Kubernetes, SPIFFE JWT-SVID); `-` for standard input.
    #[arg(long, value_name = "FILE", requires = "workload")]
    token_file: Option<PathBuf>,
    /// The audience to ask for; without it, the one that the gateway names.
    #[arg(long, value_name = "AUDIENCE", requires = "workload")]
    pub(crate) audience: Option<String>,
}

/// Where a token comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// GitHub Actions: asked for, with an audience that carries the key's thumbprint.
    Github,
    /// An environment variable.
    Env(String),
    /// A file that its owner keeps fresh.
    File(PathBuf),
    /// Standard input, once.
    Stdin,
}

impl Source {
    /// As the options say, else as the surroundings look.
    pub(crate) fn choose(options: &Options) -> Result<Self, Failed> {
        Self::among(options, |name| std::env::var_os(name).is_some_and(|v| !v.is_empty()), Path::exists)
    }

    fn among(options: &Options, set: impl Fn(&str) -> bool, exists: impl Fn(&Path) -> bool) -> Result<Self, Failed> {
        if let Some(name) = &options.token_env {
            return Ok(Self::Env(name.clone()));
        }
        match &options.token_file {
            Some(file) if file.as_os_str() == "-" => return Ok(Self::Stdin),
            Some(file) => return Ok(Self::File(std::path::absolute(file)?)),
            None => {}
        }
        let kubernetes = Path::new(KUBERNETES_FILE);
        if set(TOKEN_ENV) {
            Ok(Self::Env(TOKEN_ENV.to_owned()))
        } else if set(GITHUB_URL) {
            Ok(Self::Github)
        } else if exists(kubernetes) {
            Ok(Self::File(kubernetes.to_owned()))
        } else {
            Err(Failed::new(format!(
                "no token was found. Looked at: ${TOKEN_ENV}; ${GITHUB_URL} (GitHub Actions: the job needs \
                 `permissions: id-token: write`); {KUBERNETES_FILE}. Name one with --token-env or --token-file"
            )))
        }
    }

    /// True when it may give another token later.
    pub(crate) fn lasts(&self) -> bool {
        *self != Self::Stdin
    }

    /// Reads the token. `audience` is what the gateway's tokens are for, `thumbprint` that of the key that it will be used with.
    pub(crate) async fn token(&self, audience: &str, thumbprint: &str, trust: &Trust) -> Result<Secret, Failed> {
        match self {
            Self::Github => github(audience, thumbprint, trust).await,
            Self::Env(name) => {
                let value = std::env::var_os(name)
                    .ok_or_else(|| Failed::new(format!("the environment variable {} is not set", inert(name))))?;
                trimmed(value.into_encoded_bytes(), &format!("${}", inert(name)))
            }
            Self::File(path) => {
                let shown = path.display().to_string();
                let file = File::open(path).map_err(|e| Failed::new(format!("the token's file {shown}: {e}")))?;
                trimmed(read(file)?, &shown)
            }
            Self::Stdin => trimmed(read(std::io::stdin().lock())?, "standard input"),
        }
    }
}

/// One byte more than a token with a line end may have, so that one that is too long shows.
fn read(source: impl std::io::Read) -> Result<Vec<u8>, Failed> {
    let mut bytes = Vec::with_capacity(TOKEN_BYTES_MAX + 8);
    source.take(TOKEN_BYTES_MAX as u64 + 3).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The token without white space around it; it must look like one.
fn trimmed(bytes: Vec<u8>, place: &str) -> Result<Secret, Failed> {
    let bytes = Secret::new(bytes);
    let token = bytes.expose().trim_ascii();
    if token.is_empty() {
        return Err(Failed::new(format!("there is no token in {place}")));
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Failed::new(format!("the token in {place} is longer than {TOKEN_BYTES_MAX} bytes")));
    }
    if !token.iter().all(u8::is_ascii_graphic) {
        return Err(Failed::new(format!("what is in {place} is no token")));
    }
    Ok(Secret::new(token.to_vec()))
}

#[derive(Deserialize)]
struct Github {
    value: String,
}

/// Asks GitHub Actions for a token whose audience carries the key's thumbprint.
async fn github(audience: &str, thumbprint: &str, trust: &Trust) -> Result<Secret, Failed> {
    let missing = |name: &str| {
        Failed::new(format!(
            "{name} is not set: the job needs `permissions: id-token: write`, and so does a reusable workflow"
        ))
    };
    let url = std::env::var(GITHUB_URL).map_err(|_| missing(GITHUB_URL))?;
    let token = Secret::from(std::env::var(GITHUB_TOKEN).map_err(|_| missing(GITHUB_TOKEN))?);
    let mut url = check_url(&url).map_err(|e| Failed::new(format!("{GITHUB_URL}: {e}")))?;
    url.query_pairs_mut().append_pair("audience", &format!("{audience}#{thumbprint}"));
    let reply = Http::new(&url, trust, None)?.get_with(&url, &token).await;
    let reply = reply.map_err(|e| Failed::new(format!("GitHub's token service cannot be reached: {e}")))?;
    if !reply.fine() {
        let said = words(&reply).map(|w| format!(": {w}")).unwrap_or_default();
        return Err(Failed::new(format!("GitHub's token service answered {}{said}", reply.status)));
    }
    let answer: Github = reply.json().map_err(|e| Failed::new(format!("GitHub's token service gave no token: {e}")))?;
    trimmed(answer.value.into_bytes(), "GitHub's answer")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_chosen() {
        let options = |env: Option<&str>, file: Option<&str>| Options {
            token_env: env.map(str::to_owned),
            token_file: file.map(PathBuf::from),
            audience: None,
        };
        for (options, set, file, expected) in [
            (options(Some("X"), None), &[TOKEN_ENV, GITHUB_URL][..], true, Some(Source::Env("X".to_owned()))),
            (options(None, Some("-")), &[TOKEN_ENV], true, Some(Source::Stdin)),
            (options(None, Some("/x/y")), &[], false, Some(Source::File("/x/y".into()))),
            (options(None, None), &[TOKEN_ENV, GITHUB_URL], true, Some(Source::Env(TOKEN_ENV.to_owned()))),
            (options(None, None), &[GITHUB_URL], true, Some(Source::Github)),
            (options(None, None), &[], true, Some(Source::File(KUBERNETES_FILE.into()))),
            (options(None, None), &[], false, None),
        ] {
            let got = Source::among(&options, |name| set.contains(&name), |_| file);
            assert_eq!(got.ok(), expected, "{options:?} {set:?}");
        }
        let relative = Source::among(&options(None, Some("token")), |_| false, |_| false).unwrap();
        assert!(matches!(relative, Source::File(p) if p.is_absolute()), "a later command may run elsewhere");
    }

    #[test]
    fn tokens_are_trimmed_and_must_look_like_one() {
        let longest = "x".repeat(TOKEN_BYTES_MAX);
        for (text, expected) in [
            ("a.b.c", Some("a.b.c")),
            ("  a.b.c\r\n", Some("a.b.c")),
            (longest.as_str(), Some(longest.as_str())),
            (&format!("{longest}x"), None),
            ("", None),
            (" \n", None),
            ("a b", None),
            ("a\nb", None),
            ("a\0", None),
            ("é", None),
        ] {
            let got = read(text.as_bytes()).and_then(|b| trimmed(b, "here")).ok();
            assert_eq!(got.as_ref().and_then(Secret::expose_str), expected);
        }
    }

    #[tokio::test]
    async fn files_are_read_when_needed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let source = Source::File(path.clone());
        let read = async || source.token("a", "t", &Trust::default()).await;
        assert!(read().await.unwrap_err().to_string().contains("token"));
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(read().await.unwrap().expose(), b"one");
        std::fs::write(&path, "two\n").unwrap();
        assert_eq!(read().await.unwrap().expose(), b"two");
    }
}
