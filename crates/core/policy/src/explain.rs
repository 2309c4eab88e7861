//! Why a verdict is what it is: every rule that mattered.
//!
//! It must never be shown to the client of a session: it tells what would have been allowed to whom.

use std::collections::BTreeMap;
use std::fmt;

use cedar_policy::PolicySet as CedarSet;
use countersign_model::{Access, Attribute, Decision, Limits, RuleId, Tag, Use, Verdict};
use serde::Serialize;
use serde_json::Value;

use crate::annotation::{RuleEffect, RuleInfo};
use crate::facts::Question;
use crate::load::Rule;
use crate::principal::{ACTORS_MAX, Principal, Role, principals};
use crate::schema::{PROBE, UNMASK};
use crate::set::{PolicySet, USES_MAX};
use crate::tags;

/// Why a verdict is what it is.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The verdict.
    pub verdict: Verdict,
    /// Each use of the action by the identity itself, in its order.
    pub uses: Vec<UseExplanation>,
    /// Each tag that the action touches or that is looked for in its results, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<TagExplanation>,
    /// The same for whom else it must be allowed to, when somebody acts for the identity: its actors, nearest first, and the identity
    /// with fewer of them where that makes a difference.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parties: Vec<PartyExplanation>,
}

/// One for whom an action must be allowed too, because the identity acts through it.
#[derive(Clone, Debug, Serialize)]
pub struct PartyExplanation {
    /// `NAME (ISSUER#SUBJECT)`, and with how many actors when it is the identity again.
    pub who: String,
    /// Allow, hold or deny, for this party alone.
    pub decision: Decision,
    /// Each use of the action, in its order.
    pub uses: Vec<UseExplanation>,
}

/// One use of an action, and the rules that mattered to it.
#[derive(Clone, Debug, Serialize)]
pub struct UseExplanation {
    /// Which access.
    pub access: Access,
    /// What the action says of itself.
    pub attributes: BTreeMap<String, Value>,
    /// Allow, hold or deny, for this use alone.
    pub decision: Decision,
    /// The rules that applied, failed or nearly applied, in the order of the files.
    pub rules: Vec<RuleExplanation>,
}

/// One tag of an action, and the rules about it for the identity itself.
#[derive(Clone, Debug, Serialize)]
pub struct TagExplanation {
    /// The tag.
    pub tag: Tag,
    /// What the action does with it: `shown`, `matched`, `chosen`, `copied`; `sought` when it is looked for in the results.
    pub touched: Vec<&'static str>,
    /// What became of it, in words: `unmasked`, `masked by redact`, `compared, 20/1h`, `withheld`.
    pub outcome: String,
    /// The rules about unmask, and about probe where it is compared.
    pub rules: Vec<RuleExplanation>,
}

/// What became of one rule.
#[derive(Clone, Debug, Serialize)]
pub struct RuleExplanation {
    /// The rule.
    pub rule: RuleId,
    /// Permit or forbid.
    pub effect: RuleEffect,
    /// What became of it.
    pub outcome: RuleOutcome,
    /// Its `@description`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The file it is in.
    pub file: String,
    /// The line it starts on.
    pub line: u32,
}

/// What became of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "is", content = "why")]
pub enum RuleOutcome {
    /// It applied.
    Satisfied,
    /// It could not be evaluated, so the action is denied.
    Failed(String),
    /// A permit whose head fits, and whose condition does not.
    ConditionFalse,
    /// A permit for such an action on such a target, but for other identities.
    OtherPrincipal,
}

impl PolicySet {
    /// Explains a verdict. Slow: every rule is evaluated by itself.
    pub fn explain(&self, q: &Question<'_>) -> Explanation {
        let verdict = self.judge(q);
        let mut parties = principals(q.identity).take(2 * ACTORS_MAX + 1);
        let explain = |who: Principal<'_>| {
            let uses = q.shape.uses().iter().take(USES_MAX);
            uses.map(|used| self.explain_use(q, &who, used)).collect::<Vec<_>>()
        };
        let uses = parties.next().map(explain).unwrap_or_default();
        let parties = parties.filter_map(|who| {
            let of_party = explain(who);
            let differs = of_party.iter().map(|u| u.decision).ne(uses.iter().map(|u| u.decision));
            let wanted = differs || who.role != Role::Fewer;
            let decision = of_all(&of_party);
            wanted.then(|| PartyExplanation { who: who.full_label(), decision, uses: of_party })
        });
        let parties = parties.collect();
        let tags = tags::asked(q).into_iter().take(tags::TAGS_MAX);
        let tags = tags.map(|tag| self.explain_tag(q, tag, &verdict)).collect();
        Explanation { verdict, uses, tags, parties }
    }

    fn explain_tag(&self, q: &Question<'_>, tag: &Tag, verdict: &Verdict) -> TagExplanation {
        let d = q.shape.disclosure();
        let in_results = tags::detected(q);
        let touched = [
            ("shown", d.shown.as_slice()),
            ("matched", &d.matched),
            ("chosen", &d.chosen),
            ("copied", &d.copied),
            ("sought", in_results),
        ];
        let touched: Vec<&str> = touched.into_iter().filter(|(_, tags)| tags.contains(tag)).map(|(w, _)| w).collect();
        let effects = &verdict.effects;
        let outcome = if let Some(w) = effects.withheld.iter().find(|w| w.tag == *tag) {
            format!("withheld: {}", w.by.as_str())
        } else if verdict.decision == Decision::Deny {
            "not shown: the action is denied".to_owned()
        } else if let Some(m) = effects.masks.iter().find(|m| m.tag == *tag) {
            format!("masked by {}", m.transform)
        } else if let Some(p) = effects.probes.iter().find(|p| p.tag == *tag) {
            format!("compared, {}", p.rate)
        } else {
            "unmasked".to_owned()
        };
        let mut rules = Vec::new();
        for action in [UNMASK, PROBE].into_iter().take(if d.matched.contains(tag) { 2 } else { 1 }) {
            for rule in self.loaded().iter().filter(|r| r.head.names_action(action)) {
                let Some(who) = principals(q.identity).next() else { continue };
                let outcome = match self.applies_to_tag(q, &who, tag, action, rule) {
                    Err(why) => RuleOutcome::Failed(why),
                    Ok(true) => RuleOutcome::Satisfied,
                    Ok(false) => match (rule.info.effect, rule.head.has_tag(q, tag), rule.head.has_principal(&who)) {
                        (RuleEffect::Permit, true, true) => RuleOutcome::ConditionFalse,
                        (RuleEffect::Permit, true, false) => RuleOutcome::OtherPrincipal,
                        _ => continue,
                    },
                };
                rules.push(explained(&rule.info, outcome));
            }
        }
        TagExplanation { tag: tag.clone(), touched, outcome, rules }
    }

    fn explain_use(&self, q: &Question<'_>, who: &Principal<'_>, used: &Use) -> UseExplanation {
        let mut rules = Vec::new();
        let (mut permitted, mut freely, mut held, mut stopped) = (false, false, false, used.access == Access::Opaque);
        for rule in self.loaded().iter().filter(|r| r.head.has_action(used.access)) {
            let Some(outcome) = self.outcome(q, who, used, rule) else { continue };
            match (&outcome, rule.info.effect) {
                (RuleOutcome::Satisfied, RuleEffect::Permit) => {
                    permitted = true;
                    freely |= rule.info.review.is_none();
                }
                (RuleOutcome::Satisfied, RuleEffect::Forbid) if rule.info.review.is_some() => held = true,
                (RuleOutcome::Satisfied, RuleEffect::Forbid) | (RuleOutcome::Failed(_), _) => stopped = true,
                _ => {}
            }
            rules.push(explained(&rule.info, outcome));
        }
        UseExplanation {
            access: used.access,
            attributes: used.attributes.iter().map(|(name, value)| (name.to_owned(), json(value))).collect(),
            decision: match (permitted && !stopped, freely && !held) {
                (true, true) => Decision::Allow,
                (true, false) => Decision::Hold,
                (false, _) => Decision::Deny,
            },
            rules,
        }
    }

    fn outcome(&self, q: &Question<'_>, who: &Principal<'_>, used: &Use, rule: &Rule) -> Option<RuleOutcome> {
        if used.access == Access::Opaque {
            return None;
        }
        let alone = match CedarSet::from_policies([rule.policy.clone()]) {
            Ok(alone) => alone,
            Err(e) => return Some(RuleOutcome::Failed(e.to_string())),
        };
        let ruling = self.rule_with(q, who, used, &alone);
        if !ruling.errors.is_empty() {
            return Some(RuleOutcome::Failed(ruling.errors.join("; ")));
        }
        if !ruling.rules.is_empty() {
            return Some(RuleOutcome::Satisfied);
        }
        match (rule.info.effect, rule.head.has_resource(q), rule.head.has_principal(who)) {
            (RuleEffect::Permit, true, true) => Some(RuleOutcome::ConditionFalse),
            (RuleEffect::Permit, true, false) => Some(RuleOutcome::OtherPrincipal),
            _ => None,
        }
    }
}

/// What all uses come to.
fn of_all(uses: &[UseExplanation]) -> Decision {
    let any = |decision| uses.iter().any(|u| u.decision == decision);
    if uses.is_empty() || any(Decision::Deny) {
        Decision::Deny
    } else if any(Decision::Hold) {
        Decision::Hold
    } else {
        Decision::Allow
    }
}

fn explained(info: &RuleInfo, outcome: RuleOutcome) -> RuleExplanation {
    RuleExplanation {
        rule: info.id.clone(),
        effect: info.effect,
        outcome,
        description: info.description.as_deref().map(str::to_owned),
        file: info.file.to_string(),
        line: info.line,
    }
}

fn json(value: &Attribute) -> Value {
    match value {
        Attribute::Bool(b) => (*b).into(),
        Attribute::Long(n) => (*n).into(),
        Attribute::String(s) => s.as_ref().into(),
        Attribute::Set(items) => items.iter().map(AsRef::as_ref).collect::<Vec<&str>>().into(),
    }
}

/// `rows=1, bytes=2`, or `none`.
pub(crate) fn limits_words(limits: &Limits) -> String {
    let parts: Vec<String> = [("rows", limits.rows), ("bytes", limits.bytes), ("affected", limits.affected)]
        .into_iter()
        .filter_map(|(name, n)| n.map(|n| format!("{name}={n}")))
        .collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = &self.verdict;
        f.write_str(v.decision.as_str())?;
        if !v.rules.is_empty() {
            write!(f, " by {}", v.rules.iter().map(RuleId::as_str).collect::<Vec<_>>().join(", "))?;
        } else if v.reason.is_none() {
            f.write_str(": no rule allows it")?;
        }
        if !v.effects.limits.is_none() {
            write!(f, "; limits {}", limits_words(&v.effects.limits))?;
        }
        if let Some(alert) = v.effects.alert {
            write!(f, "; alert {}", format!("{alert:?}").to_lowercase())?;
        }
        if !v.effects.masks.is_empty() {
            let masks: Vec<String> = v.effects.masks.iter().map(|m| format!("{}={}", m.tag, m.transform)).collect();
            write!(f, "; masks {}", masks.join(", "))?;
        }
        if let Some(watch) = &v.effects.watch {
            write!(f, "; watched by {watch}")?;
        }
        if let Some(review) = &v.effects.review {
            write!(f, "; review by {review}")?;
        }
        if let Some(reason) = &v.reason {
            write!(f, "; {reason}")?;
        }
        if !v.denied_for.is_empty() {
            write!(f, "; for {}", v.denied_for.join(", "))?;
        }
        writeln!(f)?;
        write_uses(f, &self.uses)?;
        for tag in &self.tags {
            writeln!(f, "  {} ({}): {}", tag.tag, tag.touched.join(", "), tag.outcome)?;
            tag.rules.iter().try_for_each(|r| write_rule(f, r))?;
        }
        for party in &self.parties {
            writeln!(f, "  and for {} ({})", party.who, party.decision.as_str())?;
            write_uses(f, &party.uses)?;
        }
        Ok(())
    }
}

fn write_uses(f: &mut fmt::Formatter<'_>, uses: &[UseExplanation]) -> fmt::Result {
    for used in uses {
        writeln!(f, "  {} ({})", used.access.as_str(), used.decision.as_str())?;
        for (name, value) in &used.attributes {
            writeln!(f, "    context.{name} = {value}")?;
        }
        used.rules.iter().try_for_each(|r| write_rule(f, r))?;
    }
    Ok(())
}

fn write_rule(f: &mut fmt::Formatter<'_>, r: &RuleExplanation) -> fmt::Result {
    let effect = match r.effect {
        RuleEffect::Permit => "permit",
        RuleEffect::Forbid => "forbid",
    };
    let outcome = match &r.outcome {
        RuleOutcome::Satisfied => "applies".to_owned(),
        RuleOutcome::Failed(why) => format!("failed: {why}"),
        RuleOutcome::ConditionFalse => "does not apply: its condition is false".to_owned(),
        RuleOutcome::OtherPrincipal => "does not apply: it is for others".to_owned(),
    };
    writeln!(f, "    {effect} {} ({}:{}) {outcome}", r.rule, r.file, r.line)
}
