//! From options to a matcher.

use clap::Args;
use countersign_locks::{Matcher, Network};
use countersign_model::{SessionId, TargetName};

use super::super::sessions::parse_session;

/// Characters of a SHA-256 thumbprint in base64url.
const THUMBPRINT_CHARS: usize = 43;

/// What a lock is to match. All that is named must fit.
#[derive(Clone, Debug, Args)]
pub(super) struct Which {
    /// An identity: its name, or ISSUER#SUBJECT. An agent's lock ends what it does for others, too.
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// Members of a group.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Everybody whom this issuer vouches for.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// A workflow file (job_workflow_ref); without @REF at any ref.
    #[arg(long, value_name = "PATH[@REF]")]
    workflow: Option<String>,
    /// A repository, by name or by number.
    #[arg(long, value_name = "OWNER/NAME")]
    repository: Option<String>,
    /// Any claim; a * at the end stands for anything. May be given several times.
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = parse_claim)]
    claims: Vec<(String, String)>,
    /// A login, with every certificate of it.
    #[arg(long, value_name = "ID")]
    login: Option<String>,
    /// A certificate, by its serial number in hexadecimal, or by the thumbprint of its key.
    #[arg(long, value_name = "SERIAL")]
    certificate: Option<String>,
    /// A token, by its id (jti).
    #[arg(long, value_name = "ID", conflicts_with = "certificate")]
    token_id: Option<String>,
    /// An address or a network that sessions come from.
    #[arg(long, value_name = "CIDR")]
    source: Option<Network>,
    /// A target.
    #[arg(long, value_name = "TARGET", value_parser = parse_target)]
    target: Option<TargetName>,
    /// One session.
    #[arg(long, value_name = "ID", value_parser = parse_session)]
    session: Option<SessionId>,
}

fn parse_claim(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn parse_target(text: &str) -> Result<TargetName, String> {
    TargetName::parse(text).ok_or_else(|| "it is not a target name".to_owned())
}

impl Which {
    /// The matcher.
    pub(super) fn matcher(self) -> Matcher {
        let mut matcher = Matcher {
            group: self.group,
            issuer: self.issuer,
            claims: self.claims.into_iter().collect(),
            login: self.login,
            token_id: self.token_id,
            source: self.source,
            target: self.target,
            session: self.session,
            ..Matcher::default()
        };
        match self.identity.as_deref().map(|i| i.split_once('#').filter(|(issuer, _)| issuer.contains("://"))) {
            Some(Some((issuer, subject))) => {
                matcher.issuer = Some(issuer.to_owned());
                matcher.subject = Some(subject.to_owned());
            }
            Some(None) => matcher.name = self.identity,
            None => {}
        }
        if let Some(workflow) = self.workflow {
            let whole =
                if workflow.contains('@') || workflow.ends_with('*') { workflow } else { format!("{workflow}@*") };
            matcher.claims.insert("job_workflow_ref".to_owned(), whole);
        }
        if let Some(repository) = self.repository {
            let number = !repository.is_empty() && repository.bytes().all(|b| b.is_ascii_digit());
            let claim = if number { "repository_id" } else { "repository" };
            matcher.claims.insert(claim.to_owned(), repository);
        }
        if let Some(certificate) = self.certificate {
            let hex: String = certificate.chars().filter(|c| *c != ':').collect();
            let serial = !hex.is_empty() && hex.bytes().all(|b| b.is_ascii_hexdigit());
            if serial && certificate.len() != THUMBPRINT_CHARS {
                matcher.token_id = Some(hex.to_ascii_lowercase());
            } else {
                matcher.key = Some(certificate);
            }
        }
        matcher
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::Parser;

    use super::Which;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        which: Which,
    }

    #[test]
    fn options_become_a_matcher() {
        let thumbprint = "A".repeat(43);
        for (line, shown) in [
            (&["--identity", "ci"][..], "identity=ci"),
            (&["--identity", "https://i/#repo:a"], "subject=repo:a issuer=https://i/"),
            (&["--identity", "a#b"], "identity=a#b"),
            (&["--workflow", "a/b/.github/workflows/x.yml"], "job_workflow_ref=a/b/.github/workflows/x.yml@*"),
            (&["--workflow", "x.yml@refs/heads/main"], "job_workflow_ref=x.yml@refs/heads/main"),
            (&["--repository", "a/b", "--group", "g"], "group=g repository=a/b"),
            (&["--repository", "42"], "repository_id=42"),
            (&["--claim", "environment=prod", "--claim", "ref=x"], "environment=prod ref=x"),
            (&["--certificate", "0A:FF"], "token_id=0aff"),
            (&["--certificate", &thumbprint], &format!("key={thumbprint}")),
            (&["--source", "10.1.2.3/8"], "source=10.0.0.0/8"),
            (&["--target", "shop", "--token-id", "j"], "token_id=j target=shop"),
        ] {
            let line = std::iter::once(&"x").chain(line);
            assert_eq!(Line::try_parse_from(line).unwrap().which.matcher().to_string(), shown);
        }
    }
}
