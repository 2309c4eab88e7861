//! Text to [`Analysis`], without a cache.

use countersign_model::{Access, Disclosure, Shape};

use crate::analysis::{Analysis, Statement, SyntaxError, UndefinedKind};
use crate::catalog::Catalog;
use crate::lineage::{Reason, StatementLineage};
use crate::normal::Normal;
use crate::parse::{self, ParseError};
use crate::settings::Settings;
use crate::uses::Uses;
use crate::walk::Walk;

/// What `text` does in a session with these settings on a database with this catalog. Total: what cannot be read is unreadable.
pub fn analyse(text: &[u8], catalog: &Catalog, settings: &Settings) -> Analysis {
    let mut normal = Normal::default();
    normal.read(text.get(..parse::TEXT_BYTES_MAX + 1).unwrap_or(text));
    analyse_normal(text, &normal, catalog, settings)
}

/// The same, for a caller that has the normal form already.
pub(crate) fn analyse_normal(text: &[u8], normal: &Normal, catalog: &Catalog, settings: &Settings) -> Analysis {
    let fingerprint = normal.fingerprint(text);
    let unreadable = |why: &str, syntax_error: Option<SyntaxError>| Analysis {
        shape: Shape::unreadable(why, fingerprint),
        own: Uses::default(),
        own_disclosure: Disclosure::default(),
        statements: Vec::new(),
        undefined: None,
        syntax_error,
        constants_matter: true,
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return unreadable("the text is not valid UTF-8", None);
    };
    if let Err(limit) = parse::check_limits(text, &normal.measure) {
        return unreadable(&limit.to_string(), None);
    }
    if let Some(position) = normal.broken {
        let (at, message) = parse::complaint(text).unwrap_or_else(|| (position, "syntax error".to_owned()));
        return unreadable(&format!("syntax error near byte {at}"), Some(syntax_error(text, at, message)));
    }
    let found = parse::with_tree(text, &normal.measure, false, |tree| {
        let mut walk = Walk::new(catalog, settings, 0, fingerprint);
        walk.text(tree);
        walk.finish()
    });
    let mut found = match found {
        Ok(found) => found,
        Err(ParseError::Syntax(at, message)) => {
            return unreadable(&format!("syntax error near byte {at}"), Some(syntax_error(text, at, message)));
        }
        Err(other) => return unreadable(&other.to_string(), None),
    };
    if let Some(why) = found.refused {
        // A later look at the catalog may find it readable.
        let undefined = found.undefined.filter(|u| u.what == UndefinedKind::Altered);
        return Analysis { undefined, ..unreadable(&why, None) };
    }
    if found.statements.is_empty() {
        // An empty text: PostgreSQL answers it with EmptyQueryResponse.
        found.uses.part(Access::Connect);
        found.uses.state("empty");
        found.own = found.uses.clone();
    }
    let mut kinds: Vec<&str> = found.statements.iter().map(|s| s.kind).collect();
    kinds.dedup();
    let kind = if kinds.is_empty() { "empty".to_owned() } else { kinds.join("+") };
    Analysis {
        shape: Shape::disclosing(&kind, found.uses.into_uses(), fingerprint, found.disclosure),
        own: found.own,
        own_disclosure: found.own_disclosure,
        constants_matter: found.constants_matter || normal.unicode_escapes,
        statements: found.statements,
        undefined: found.undefined,
        syntax_error: None,
    }
}

/// The lineage of each statement of `text`, for people: what every output column is computed from, and why tagged data is matched,
/// chosen by or copied. `Err` says why the text could not be read. A catalog without tags knows of no outputs.
pub fn explain(text: &str, catalog: &Catalog, settings: &Settings) -> Result<Vec<StatementLineage>, String> {
    let analysis = analyse(text.as_bytes(), catalog, settings);
    if let Some(why) = analysis.shape.why_unreadable() {
        return Err(why.to_owned());
    }
    let mut normal = Normal::default();
    normal.read(text.as_bytes());
    let found = parse::with_tree(text, &normal.measure, false, |tree| {
        let mut walk = Walk::new(catalog, settings, 0, normal.fingerprint(text.as_bytes()));
        walk.text(tree);
        walk.finish()
    });
    let found = found.map_err(|e| e.to_string())?;
    let of = |(statement, (reasons, disclosure)): (Statement, (Vec<Reason>, Disclosure))| StatementLineage {
        kind: statement.kind,
        outputs: statement.outputs,
        disclosure,
        reasons,
    };
    Ok(found.statements.into_iter().zip(found.reasons).map(of).collect())
}

fn syntax_error(text: &str, at: usize, message: String) -> SyntaxError {
    SyntaxError { position: text.get(..at).unwrap_or(text).chars().count() + 1, message }
}
