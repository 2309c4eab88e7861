//! What a text means for tagged data, and what the policies say of it, for `countersign explain`.
//!
//! It must never send the text to the target.

use std::net::{Ipv4Addr, SocketAddr};

use countersign_model::{SessionContext, SessionId};
use countersign_policy::Explanation;
use countersign_sql::StatementLineage;

use crate::clock;
use crate::failed::Failed;

use super::Rules;
use super::catalog::fetch;
use super::question::{Asked, Who, is_meant_for};

/// What came of a text.
pub(in crate::commands) struct Judged {
    /// Each statement, or why the text could not be read.
    pub(in crate::commands) lineage: Result<Vec<StatementLineage>, String>,
    /// A name in the text that the target does not have.
    pub(in crate::commands) missing: Option<String>,
    /// Any column of the database carries a tag.
    pub(in crate::commands) has_tags: bool,
    /// What the policies say, where they were asked.
    pub(in crate::commands) explanation: Option<Explanation>,
}

/// Reads a text against the catalog of its target, and judges it for an identity with these groups, if one is given.
pub(in crate::commands) async fn judge_text(
    rules: &Rules,
    target: &str,
    database: Option<&str>,
    who: Option<(&str, &[String])>,
    text: &str,
) -> Result<Judged, Failed> {
    let loaded = rules.load()?;
    let config =
        loaded.config.as_ref().ok_or_else(|| Failed::invalid("there is no configuration: name it with --config"))?;
    let now = clock::now();
    let identity = match who {
        Some((name, groups)) => Some(Who::named(name, groups).describe(Some(config), now).await?),
        None => None,
    };
    let fits = |m: &countersign_credentials::AccountMatch| identity.as_ref().is_none_or(|i| is_meant_for(m, i));
    let snapshot = fetch(config, target, database, &fits).await?;
    let (shape, missing) = snapshot.read(text);
    let lineage = snapshot.lineage(text);
    let has_tags = snapshot.has_tags();
    let explanation = match (identity, loaded.target(target)) {
        (Some(identity), Some(target)) => {
            let part = config.targets.iter().find(|t| t.name == target.name).and_then(|t| t.database.as_deref());
            let session = SessionContext {
                id: SessionId::from_u128(0),
                source: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
                encrypted: true,
                application: String::new(),
                part: database.or(part).unwrap_or_default().to_owned(),
                started_at: now,
            };
            let asked = Asked { identity, target, session, shape, now };
            Some(loaded.set.explain(&asked.question()))
        }
        _ => None,
    };
    Ok(Judged { lineage, missing, has_tags, explanation })
}
