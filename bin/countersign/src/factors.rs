//! Which rules ask for a second factor that this gateway cannot take. It must never let one in.

use countersign_policy::{PolicyProblem, PolicySet};

/// The rules that ask for a factor: nobody could show one, because there is no place yet where people register theirs.
pub(crate) fn missing(set: &PolicySet) -> Vec<PolicyProblem> {
    let asks = |rule: &&countersign_policy::RuleInfo| {
        rule.review.as_ref().is_some_and(|r| r.factor.is_some())
            || rule.grant.as_ref().is_some_and(|g| g.review.factor.is_some())
    };
    let problem = |rule: &countersign_policy::RuleInfo| PolicyProblem {
        file: rule.file.to_string(),
        line: rule.line,
        column: 1,
        message: format!("{}: it asks for a second factor, which nobody could show to this gateway", rule.id.as_str()),
        help: Some("leave `factor` out".to_owned()),
    };
    set.rules().filter(asks).map(problem).collect()
}
