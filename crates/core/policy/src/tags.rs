//! What the rules say of the tags that an action touches: lifted, masked and how, compared so many times, or withheld.
//!
//! Masked is what nobody lifted: a tag is shown as it is only when the identity and everybody who acts for it may see it so, and an
//! error lifts nothing. It must never lift a tag by a rule that does not name the action, nor for a fact outside the verdict's key.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{EntityUid, PolicySet as CedarSet, Request as CedarRequest};
use countersign_model::{
    Access, Decision, Effects, Exposure, Mask, Probe, Rate, RuleId, Tag, Transform, Use, Verdict, Withheld,
};

use crate::facts::{self, Question, TypeNames};
use crate::language::Language;
use crate::load::Rule;
use crate::principal::{Principal, Role, principals};
use crate::reads::Reads;
use crate::schema::{PROBE, UNMASK};
use crate::set::{PolicySet, reason};

/// The most tags of one action, those that are looked for in its results included; with more it is denied.
pub(crate) const TAGS_MAX: usize = 256;

/// The most questions to the rules about the tags of one action: tags, times whoever must be allowed, times the uses where rules tell
/// these apart. What would take more stays masked.
const QUESTIONS_MAX: usize = 8_192;

/// The rules about one action on tags, and the facts that they read.
pub(crate) struct TagBench {
    action: EntityUid,
    policies: CedarSet,
    pub(crate) reads: Reads,
}

/// The rules about tags.
pub(crate) struct TagBenches {
    pub(crate) unmask: TagBench,
    pub(crate) probe: TagBench,
}

impl TagBench {
    fn new(names: &TypeNames, language: &Language, rules: &[Rule], action: &str) -> Result<Self, String> {
        let mut reads = Reads::default();
        let mut policies = CedarSet::new();
        for rule in rules.iter().filter(|r| r.head.names_action(action)) {
            reads.add_rule(language, &rule.tree);
            policies.add(rule.policy.clone()).map_err(|e| e.to_string())?;
        }
        Ok(Self { action: names.action(action), policies, reads })
    }
}

impl TagBenches {
    pub(crate) fn new(names: &TypeNames, language: &Language, rules: &[Rule]) -> Result<Self, String> {
        let bench = |action| TagBench::new(names, language, rules, action);
        Ok(Self { unmask: bench(UNMASK)?, probe: bench(PROBE)? })
    }

    /// The same, given every fact.
    #[cfg(test)]
    pub(crate) fn plainly(names: &TypeNames, language: &Language, rules: &[Rule]) -> Result<Self, String> {
        let mut all = Self::new(names, language, rules)?;
        all.unmask.reads = Reads::everything(language);
        all.probe.reads = Reads::everything(language);
        Ok(all)
    }

    pub(crate) fn each(&self) -> [&TagBench; 2] {
        [&self.unmask, &self.probe]
    }
}

/// The tags that are looked for in what the action returns.
pub(crate) fn detected<'a>(q: &Question<'a>) -> &'a [Tag] {
    let detect = q.target.tagging.detect.as_slice();
    if detect.is_empty() || q.shape.access() < Access::Read { &[] } else { detect }
}

/// True when the rules about tags have anything to say of the action.
pub(crate) fn is_tagged(q: &Question<'_>) -> bool {
    !q.shape.disclosure().is_empty() || !detected(q).is_empty()
}

/// Every tag to ask about, once and sorted.
pub(crate) fn asked<'a>(q: &Question<'a>) -> Vec<&'a Tag> {
    let mut tags = q.shape.disclosure().tags();
    tags.extend(detected(q));
    tags.sort();
    tags.dedup();
    tags
}

/// What the rules say of one action on some tags.
#[derive(Default)]
struct Permitted<'a> {
    /// The tags that everybody may, each with the permits.
    tags: BTreeMap<&'a Tag, BTreeSet<RuleId>>,
    /// The tags that somebody may not, with the forbids and whom it is not permitted to.
    refused: BTreeMap<&'a Tag, (BTreeSet<RuleId>, Vec<String>)>,
    errors: BTreeSet<String>,
}

impl<'a> Permitted<'a> {
    fn refuse(&mut self, tag: &'a Tag, who: &Principal<'_>, forbids: Vec<RuleId>) {
        self.tags.remove(tag);
        let (rules, whom) = self.refused.entry(tag).or_default();
        rules.extend(forbids);
        if who.role != Role::Fewer || whom.is_empty() {
            whom.push(who.full_label());
        }
    }
}

impl PolicySet {
    /// Adds what the rules say of tags to a verdict on the action. An action without tags on a target where none is looked for stays as
    /// it is.
    pub(crate) fn with_tags(&self, q: &Question<'_>, verdict: Verdict, benches: &TagBenches) -> Verdict {
        if verdict.decision == Decision::Deny || !is_tagged(q) {
            return verdict;
        }
        let tags = asked(q);
        if tags.len() > TAGS_MAX {
            return self.denied(format!("the action touches {} tags; {TAGS_MAX} can be judged", tags.len()));
        }
        let lifted = self.permitted(q, &tags, &benches.unmask);
        let touched = q.shape.disclosure();
        let masked = |tag: &&Tag| !lifted.tags.contains_key(*tag);
        let matched: Vec<&Tag> = touched.matched.iter().filter(masked).collect();
        let probed = self.permitted(q, &matched, &benches.probe);
        let probes: Vec<Probe> = probed.tags.iter().filter_map(|(tag, rules)| self.probe(tag, rules)).collect();

        let unprobed = matched.iter().copied().filter(|tag| probes.iter().all(|p| p.tag != **tag));
        let by = |by| move |tag: &Tag| Withheld { tag: tag.clone(), by };
        let chosen = touched.chosen.iter().filter(masked).map(by(Exposure::Chosen));
        let copied = touched.copied.iter().filter(masked).map(by(Exposure::Copied));
        let mut withheld: Vec<Withheld> = unprobed.map(by(Exposure::Matched)).chain(chosen).chain(copied).collect();
        withheld.sort();
        let errors: BTreeSet<String> = lifted.errors.iter().chain(&probed.errors).cloned().collect();
        if !withheld.is_empty() {
            return self.withhold(q, withheld, &lifted, &errors);
        }

        let shown = touched.shown.iter().chain(detected(q)).filter(masked).collect::<BTreeSet<_>>().into_iter();
        let masks =
            shown.map(|tag| Mask { tag: tag.clone(), transform: self.transform(tag, &verdict.rules) }).collect();
        let unmasked = touched.shown.iter().filter(|tag| lifted.tags.contains_key(tag)).cloned().collect();
        let touches = touched.tags();
        let lifting = lifted.tags.iter().filter(|(tag, _)| touches.contains(tag)).flat_map(|(_, rules)| rules);
        let used: BTreeSet<RuleId> = lifting.chain(probed.tags.values().flatten()).cloned().collect();
        let mut effects = Effects { masks, unmasked, probes: probes.into(), ..verdict.effects };
        for info in used.iter().filter_map(|id| self.rule(id)) {
            effects.limits = effects.limits.strictest(info.limits);
            effects.alert = effects.alert.max(info.alert);
        }
        let rules = verdict.rules.into_iter().chain(used).collect::<BTreeSet<_>>().into_iter().collect();
        Verdict { effects, rules, reason: verdict.reason.or_else(|| reason(&errors)), ..verdict }
    }

    /// The deny for what no mask hides.
    fn withhold(
        &self,
        q: &Question<'_>,
        withheld: Vec<Withheld>,
        lifted: &Permitted<'_>,
        errors: &BTreeSet<String>,
    ) -> Verdict {
        let refused = || withheld.iter().filter_map(|w| lifted.refused.get(&w.tag));
        let forbids: BTreeSet<RuleId> = refused().flat_map(|(rules, _)| rules.iter().cloned()).collect();
        let mut denied_for: Vec<String> = Vec::new();
        for whom in refused().flat_map(|(_, whom)| whom).filter(|_| !q.identity.delegation.is_empty()) {
            if !denied_for.contains(whom) {
                denied_for.push(whom.clone());
            }
        }
        let alert = forbids.iter().filter_map(|id| self.rule(id)).filter_map(|info| info.alert).max();
        let why = withheld.iter().map(|w| match w.by {
            Exposure::Chosen => format!("rows are chosen by \"{}\", which is masked", w.tag),
            Exposure::Matched => format!("\"{}\", which is masked, is compared with a constant", w.tag),
            Exposure::Copied => format!("\"{}\", which is masked, is copied", w.tag),
        });
        let why: BTreeSet<String> = why.chain(errors.iter().cloned()).collect();
        Verdict {
            effects: Effects { withheld: withheld.into(), alert, ..Effects::default() },
            rules: forbids.into_iter().collect(),
            denied_for,
            ..self.denied(reason(&why).unwrap_or_default())
        }
    }

    /// For which of the tags the rules permit the action to the identity and to everybody who acts for it.
    fn permitted<'a>(&self, q: &Question<'_>, tags: &[&'a Tag], bench: &TagBench) -> Permitted<'a> {
        let mut permitted = Permitted::default();
        permitted.tags.extend(tags.iter().map(|tag| (*tag, BTreeSet::new())));
        let uses = told_apart(q, &bench.reads);
        let mut questions = 0_usize;
        for who in principals(q.identity).take_while(|_| !tags.is_empty()) {
            let parties = facts::parties_with_tags(self.names(), q, &who, &bench.reads, tags);
            for tag in tags {
                questions += uses.len();
                let ruling = match &parties {
                    _ if questions > QUESTIONS_MAX => Err("too many tags and uses to ask the rules about".to_owned()),
                    Ok(parties) => self.permits(q, tag, parties, uses, bench),
                    Err(e) => Err(e.clone()),
                };
                match ruling {
                    Ok((true, rules)) => permitted.tags.get_mut(tag).into_iter().for_each(|r| r.extend(rules.clone())),
                    Ok((false, forbids)) => permitted.refuse(tag, &who, forbids),
                    Err(e) => {
                        permitted.refuse(tag, &who, Vec::new());
                        permitted.errors.insert(e);
                    }
                }
            }
        }
        permitted
    }

    /// Whether one principal may do it with one tag, in every use; and the rules that said so.
    fn permits(
        &self,
        q: &Question<'_>,
        tag: &Tag,
        parties: &facts::Parties,
        uses: &[Use],
        bench: &TagBench,
    ) -> Result<(bool, Vec<RuleId>), String> {
        let mut permits = Vec::new();
        for used in uses {
            let context = facts::context(q, used, &bench.reads)?;
            let (principal, resource) = (parties.principal.clone(), self.names().tag(tag.as_str()));
            let request = CedarRequest::new(principal, bench.action.clone(), resource, context, None);
            let ruling = self.authorize(&request.map_err(|e| e.to_string())?, &[&bench.policies], &parties.entities);
            if !ruling.errors.is_empty() {
                return Err(ruling.errors.join("; "));
            }
            if !ruling.allowed {
                return Ok((false, ruling.rules));
            }
            permits.extend(ruling.rules);
        }
        Ok((!uses.is_empty(), permits))
    }

    /// How a tag that stays masked is shown: as the permits of the action say, the strictest of them, or else by default.
    pub(crate) fn transform(&self, tag: &Tag, permits: &[RuleId]) -> Transform {
        let chosen = permits.iter().filter_map(|id| nearest(&self.rule(id)?.masks, tag));
        chosen.reduce(Transform::stricter).unwrap_or(Transform::DEFAULT)
    }

    fn probe(&self, tag: &Tag, rules: &BTreeSet<RuleId>) -> Option<Probe> {
        let rate = rules.iter().filter_map(|id| self.rule(id)?.probes).reduce(Rate::strictest)?;
        Some(Probe { tag: tag.clone(), rate })
    }

    /// What one rule about tags, given every fact, says of one tag and one principal: applied, or why it failed.
    pub(crate) fn applies_to_tag(
        &self,
        q: &Question<'_>,
        who: &Principal<'_>,
        tag: &Tag,
        action: &str,
        rule: &Rule,
    ) -> Result<bool, String> {
        let alone = CedarSet::from_policies([rule.policy.clone()]).map_err(|e| e.to_string())?;
        let reads = Reads::everything(self.language());
        let parties = facts::parties_with_tags(self.names(), q, who, &reads, &[tag])?;
        let bench = TagBench { action: self.names().action(action), policies: alone, reads };
        let mut applied = false;
        for used in q.shape.uses().iter().take(crate::set::USES_MAX) {
            let (_, rules) = self.permits(q, tag, &parties, std::slice::from_ref(used), &bench)?;
            applied |= !rules.is_empty();
        }
        Ok(applied)
    }
}

/// The uses that rules could tell apart: all of them where rules read what an action says of itself, else any one.
fn told_apart<'a>(q: &Question<'a>, reads: &Reads) -> &'a [Use] {
    let uses = q.shape.uses();
    if reads.attributes.is_empty() { uses.get(..1).unwrap_or(uses) } else { uses }
}

/// What the entry says that is about the tag itself, or else about the nearest of those that stand for it.
fn nearest(masks: &[Mask], tag: &Tag) -> Option<Transform> {
    let about = masks.iter().filter(|m| m.tag.covers(tag));
    about.max_by_key(|m| m.tag.as_str().len()).map(|m| m.transform)
}
