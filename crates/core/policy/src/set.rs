//! A checked set of rules, and how it judges.
//!
//! Default deny. Every use of the action must be allowed, to the identity and to everybody who acts for it. Any evaluation error is a deny, also where Cedar would skip the rule. It must
//! never judge on facts outside the key that it keeps the verdict under.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use cedar_policy::{Authorizer, Entities, EntityUid, PolicySet as CedarSet, Request as CedarRequest};
use countersign_model::{
    Access, Decision, Effects, IdentityParts, Limits, Policy, Request, ReviewSpec, RuleId, Target, Use, Verdict,
    WatchSpec,
};

use crate::annotation::{RuleEffect, RuleInfo};
use crate::cache::Cache;
use crate::facts::{self, Question, TypeNames};
use crate::key::Key;
use crate::language::Language;
use crate::load::{self, PolicyFile, Rule};
use crate::principal::{ACTORS_MAX, Principal, Role, principals};
use crate::problem::PolicyProblem;
use crate::reads::Reads;
use crate::schema::{JUDGED, PROBE, UNMASK};
use crate::shelf::Shelf;
use crate::tags::{self, TagBenches};

/// The most uses in one action; more are denied.
pub const USES_MAX: usize = 1024;

/// How many evaluation errors a reason quotes.
const ERRORS_QUOTED_MAX: usize = 3;

/// The rules that can apply to one access, and the facts that they read.
struct Bench {
    access: Access,
    action: EntityUid,
    policies: Shelf,
    /// The same without the forbids that have a `@review`; `None` when there are none of these.
    lifted: Option<Shelf>,
    reads: Reads,
}

/// A set of rules, checked and ready.
pub struct PolicySet {
    epoch: u64,
    language: Arc<Language>,
    names: TypeNames,
    authorizer: Authorizer,
    rules: Vec<Rule>,
    index: HashMap<Arc<str>, usize>,
    benches: Vec<Bench>,
    of_tags: TagBenches,
    warnings: Vec<PolicyProblem>,
    has_grants: bool,
    cache: Cache,
}

impl std::fmt::Debug for PolicySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicySet")
            .field("epoch", &self.epoch)
            .field("rules", &self.rules.len())
            .finish_non_exhaustive()
    }
}

/// What Cedar said of one use.
pub(crate) struct Ruling {
    pub(crate) allowed: bool,
    /// The rules that decided it: the permits of an allow, the forbids of a deny.
    pub(crate) rules: Vec<RuleId>,
    /// The forbids that only ask for a review; without them it is as `allowed` says.
    pub(crate) holds: Vec<RuleId>,
    /// Rules that could not be evaluated, or why nothing could be.
    pub(crate) errors: Vec<String>,
}

impl PolicySet {
    /// Reads and checks policy files. No file at all is a set that denies everything.
    ///
    /// # Errors
    /// Every problem of every file.
    pub fn load(files: &[PolicyFile], language: &Arc<Language>, epoch: u64) -> Result<Arc<Self>, Vec<PolicyProblem>> {
        let (rules, warnings) = load::load(files, language)?;
        let whole = |message: String| vec![PolicyProblem::whole("(policies)", message, None)];
        let names = TypeNames::new().ok_or_else(|| whole("the entity types are not names".to_owned()))?;
        let mut benches = Vec::with_capacity(JUDGED.len());
        for access in JUDGED {
            let mut reads = Reads::default();
            let of_access = || rules.iter().filter(|r| r.head.has_action(access));
            let mut policies = Shelf::default();
            for rule in of_access() {
                reads.add_rule(language, &rule.tree);
                policies.add(&rule.head, &rule.policy).map_err(whole)?;
            }
            let mut lifted = None;
            if of_access().any(|r| only_asks(&r.info)) {
                let shelf = lifted.insert(Shelf::default());
                for rule in of_access().filter(|r| !only_asks(&r.info)) {
                    shelf.add(&rule.head, &rule.policy).map_err(whole)?;
                }
            }
            benches.push(Bench { access, action: names.action(access.as_str()), policies, lifted, reads });
        }
        let of_tags = TagBenches::new(&names, language, &rules).map_err(whole)?;
        let index = rules.iter().enumerate().map(|(i, r)| (Arc::from(r.info.id.as_str()), i)).collect();
        let has_grants = rules.iter().any(|r| r.info.grant.is_some());
        Ok(Arc::new(Self {
            epoch,
            has_grants,
            language: Arc::clone(language),
            names,
            authorizer: Authorizer::new(),
            rules,
            index,
            benches,
            of_tags,
            warnings,
            cache: Cache::new(),
        }))
    }

    /// What a rule says of itself.
    pub fn rule(&self, id: &RuleId) -> Option<&RuleInfo> {
        self.index.get(id.as_str()).and_then(|i| self.rules.get(*i)).map(|r| &r.info)
    }

    /// A rule as JSON of Cedar's: two rules of one name that have the same do the same.
    pub fn tree(&self, id: &RuleId) -> Option<&serde_json::Value> {
        self.index.get(id.as_str()).and_then(|i| self.rules.get(*i)).map(|r| &r.tree)
    }

    /// Every rule, in the order of the files.
    pub fn rules(&self) -> impl Iterator<Item = &RuleInfo> {
        self.rules.iter().map(|r| &r.info)
    }

    /// What is odd but no reason to refuse the set.
    pub fn warnings(&self) -> &[PolicyProblem] {
        &self.warnings
    }

    /// What the rules may talk about.
    pub fn language(&self) -> &Arc<Language> {
        &self.language
    }

    /// True when some rule applies only to those who hold a grant of it.
    pub fn has_grants(&self) -> bool {
        self.has_grants
    }

    /// The rules whose heads fit: for this identity, this access, on this target. Their conditions are asked of each action.
    pub fn fitting(&self, identity: &IdentityParts, target: &Target, access: Access) -> Vec<&RuleInfo> {
        let who = Principal::subject(identity);
        let fits = |r: &&Rule| r.head.has_action(access) && r.head.has_target(target) && r.head.has_principal(&who);
        self.rules.iter().filter(fits).map(|r| &r.info).collect()
    }

    /// The rules of which this identity may ask for a grant, for this access on this target. Their conditions are asked when it is used.
    pub fn grantable(&self, identity: &IdentityParts, target: &Target, access: Access) -> Vec<&RuleInfo> {
        let who = Principal::subject(identity);
        let offers = |r: &&Rule| {
            r.info.grant.is_some()
                && r.head.has_action(access)
                && r.head.has_target(target)
                && r.head.has_principal(&who)
        };
        self.rules.iter().filter(offers).map(|r| &r.info).collect()
    }

    /// How a person who is denied may ask for access: the `@ask` of a rule that forbade it, or else of a permit for such an action on
    /// such a target that the person is not covered by.
    pub fn ask(&self, q: &Question<'_>, verdict: &Verdict) -> Option<Arc<str>> {
        if verdict.decision == Decision::Allow {
            return None;
        }
        if !verdict.rules.is_empty() {
            return verdict.rules.iter().find_map(|id| self.rule(id)?.ask.clone());
        }
        if !verdict.effects.withheld.is_empty() {
            let permits = self.rules.iter().filter(|r| r.info.effect == RuleEffect::Permit);
            let lifts = |r: &&Rule| {
                let named = r.head.names_action(UNMASK) || r.head.names_action(PROBE);
                named && verdict.effects.withheld.iter().any(|w| r.head.has_tag(q, &w.tag))
            };
            return permits.filter(lifts).find_map(|r| r.info.ask.clone());
        }
        let permits = || self.rules.iter().filter(|r| r.info.effect == RuleEffect::Permit && r.head.has_resource(q));
        let uses = || q.shape.uses().iter().take(USES_MAX);
        self.ask_for_grant(q).or_else(|| {
            uses()
                .find_map(|used| permits().filter(|r| r.head.has_action(used.access)).find_map(|r| r.info.ask.clone()))
        })
    }

    /// Where rules offer this identity what the action does: how to ask for it.
    fn ask_for_grant(&self, q: &Question<'_>) -> Option<Arc<str>> {
        if !self.has_grants {
            return None;
        }
        let accesses: BTreeSet<Access> = q.shape.uses().iter().take(USES_MAX).map(|u| u.access).collect();
        let offers: Vec<&RuleInfo> =
            accesses.iter().filter_map(|a| self.grantable(q.identity, q.target, *a).into_iter().next()).collect();
        let first = offers.first().filter(|_| offers.len() == accesses.len())?;
        if first.ask.is_some() {
            return first.ask.clone();
        }
        let actions: Vec<&str> = accesses.iter().map(|a| a.as_str()).collect();
        let (target, actions) = (&q.target.name, actions.join(","));
        Some(format!("To ask for it: \"countersign request {target} --actions {actions} --reason WHY\".").into())
    }

    /// Judges, or gives the verdict that is kept.
    pub fn answer(&self, q: &Question<'_>) -> Arc<Verdict> {
        let Some(key) = self.key(q) else { return Arc::new(self.judge(q)) };
        let Some(bytes) = key.finish() else { return Arc::new(self.judge(q)) };
        if let Some(verdict) = self.cache.find(bytes) {
            return verdict;
        }
        let verdict = Arc::new(self.judge(q));
        self.cache.insert(bytes, &verdict);
        verdict
    }

    /// Judges without keeping the verdict.
    pub fn judge(&self, q: &Question<'_>) -> Verdict {
        let verdict = self.combine(q, &mut |who, used, bench, parties| {
            let lifted = bench.lifted.as_ref().map(|shelf| shelf.of(who));
            self.rule_on(q, who, used, bench, (&bench.policies.of(who), lifted.as_deref()), &bench.reads, parties)
        });
        self.with_tags(q, verdict, &self.of_tags)
    }

    /// Judges on every fact and every rule: slow, and what [`PolicySet::judge`] must agree with.
    #[cfg(test)]
    pub(crate) fn judge_plainly(&self, q: &Question<'_>) -> Verdict {
        let everything = Reads::everything(&self.language);
        let without = self.rules.iter().filter(|r| !only_asks(&r.info)).map(|r| r.policy.clone());
        let (Ok(all), Ok(lifted)) =
            (CedarSet::from_policies(self.rules.iter().map(|r| r.policy.clone())), CedarSet::from_policies(without))
        else {
            return self.denied("no set".to_owned());
        };
        let Ok(of_tags) = TagBenches::plainly(&self.names, &self.language, &self.rules) else {
            return self.denied("no set".to_owned());
        };
        let (all, lifted) = ([&all], [&lifted]);
        let sets = (all.as_slice(), Some(lifted.as_slice()));
        let verdict =
            self.combine(q, &mut |who, used, bench, _| self.rule_on(q, who, used, bench, sets, &everything, &mut None));
        self.with_tags(q, verdict, &of_tags)
    }

    pub(crate) fn loaded(&self) -> &[Rule] {
        &self.rules
    }

    pub(crate) fn names(&self) -> &TypeNames {
        &self.names
    }

    fn bench(&self, access: Access) -> Option<&Bench> {
        self.benches.iter().find(|b| b.access == access)
    }

    /// What some rules, given every fact, say of one use by one principal.
    pub(crate) fn rule_with(&self, q: &Question<'_>, who: &Principal<'_>, used: &Use, policies: &CedarSet) -> Ruling {
        let Some(bench) = self.bench(used.access) else { return refused("the action could not be read".to_owned()) };
        self.rule_on(q, who, used, bench, (&[policies], None), &Reads::everything(&self.language), &mut None)
    }

    #[allow(clippy::too_many_arguments, reason = "each is a part of one question")]
    fn rule_on(
        &self,
        q: &Question<'_>,
        who: &Principal<'_>,
        used: &Use,
        bench: &Bench,
        (policies, lifted): (&[&CedarSet], Option<&[&CedarSet]>),
        reads: &Reads,
        parties: &mut Option<facts::Parties>,
    ) -> Ruling {
        let made = match parties.take() {
            Some(p) => Ok(p),
            None => facts::parties(&self.names, q, who, reads),
        };
        let (made, context) = match (made, facts::context(q, used, reads)) {
            (Ok(p), Ok(c)) => (p, c),
            (Err(e), _) | (_, Err(e)) => return refused(e),
        };
        // The rules were checked against the schema, and the facts are made to fit it; a second check each time would be the slowest part.
        let request =
            CedarRequest::new(made.principal.clone(), bench.action.clone(), made.resource.clone(), context, None);
        let ruling = match request {
            Ok(request) => {
                let ruling = self.authorize(&request, policies, &made.entities);
                match lifted.filter(|_| self.is_held(&ruling)) {
                    Some(lifted) => self.authorize(&request, lifted, &made.entities).held_by(ruling),
                    None => ruling,
                }
            }
            Err(e) => refused(e.to_string()),
        };
        *parties = Some(made);
        ruling
    }

    /// What several sets say together: as if they were one.
    pub(crate) fn authorize(&self, request: &CedarRequest, sets: &[&CedarSet], entities: &Entities) -> Ruling {
        let (mut permits, mut forbids, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        let (mut permitted, mut forbidden) = (false, false);
        for set in sets {
            let response = self.authorizer.is_authorized(request, set, entities);
            let diagnostics = response.diagnostics();
            errors.extend(diagnostics.errors().map(ToString::to_string));
            let deciding = if response.decision() == cedar_policy::Decision::Allow {
                permitted = true;
                &mut permits
            } else {
                // A deny without a reason is that nothing was permitted here; another set may.
                forbidden |= diagnostics.reason().next().is_some();
                &mut forbids
            };
            let rules = diagnostics.reason().filter_map(|id| self.index.get(AsRef::<str>::as_ref(id)));
            deciding.extend(rules.filter_map(|i| self.rules.get(*i)).map(|r| r.info.id.clone()));
        }
        let allowed = permitted && !forbidden;
        let rules = match allowed {
            // Cedar skipped the rules that failed. The permits did not decide: the failure does.
            true if !errors.is_empty() => Vec::new(),
            true => permits,
            false => forbids,
        };
        Ruling { allowed: allowed && errors.is_empty(), rules, holds: Vec::new(), errors }
    }

    /// True when nothing but forbids with a `@review` stands against it.
    fn is_held(&self, ruling: &Ruling) -> bool {
        !ruling.allowed
            && ruling.errors.is_empty()
            && !ruling.rules.is_empty()
            && ruling.rules.iter().all(|id| self.rule(id).is_some_and(only_asks))
    }

    /// Who must say yes to what these rules allow: everybody that the forbids ask for, and where no permit goes without, everybody that
    /// the permits ask for.
    fn review(&self, ruling: &Ruling) -> Option<ReviewSpec> {
        let asked = |ids: &[RuleId]| {
            let specs = ids.iter().map(|id| self.rule(id)?.review.as_deref());
            specs.collect::<Vec<Option<&ReviewSpec>>>()
        };
        let permits = asked(&ruling.rules);
        let permits = if permits.iter().any(Option::is_none) { Vec::new() } else { permits };
        let all = asked(&ruling.holds).into_iter().chain(permits).flatten();
        all.fold(None, |so_far: Option<ReviewSpec>, spec| {
            Some(so_far.map_or_else(|| spec.clone(), |s| s.strictest(spec)))
        })
    }

    /// The grant that a use is allowed by: none, where a rule allows it that everybody has whom it names.
    fn lives_by(&self, q: &Question<'_>, used: &Use, ruling: &Ruling) -> Option<Arc<str>> {
        if q.grants.is_empty() || !ruling.allowed {
            return None;
        }
        let is_granted = |id: &RuleId| self.rule(id).is_some_and(|r| r.grant.is_some());
        if !ruling.rules.iter().all(is_granted) {
            return None;
        }
        let mut held = q.grants.iter();
        held.find(|g| g.accesses.contains(&used.access) && ruling.rules.contains(&g.rule)).map(|g| g.id.clone())
    }

    pub(crate) fn denied(&self, reason: String) -> Verdict {
        Verdict {
            decision: Decision::Deny,
            effects: Effects::default(),
            rules: Vec::new(),
            reason: Some(reason),
            denied_for: Vec::new(),
            epoch: self.epoch,
        }
    }

    /// All uses of all principals into one verdict: one deny denies, limits to the strictest, alerts to the gravest.
    fn combine(&self, q: &Question<'_>, rule: &mut RuleOn<'_>) -> Verdict {
        let uses = q.shape.uses();
        if let Some(why) = q.shape.why_unreadable() {
            return self.denied(why.to_owned());
        }
        if uses.is_empty() || uses.len() > USES_MAX {
            return self.denied(format!("the action has {} effects to judge; 1 to {USES_MAX} can be", uses.len()));
        }
        let actors = q.identity.delegation.len();
        if actors > ACTORS_MAX {
            return self.denied(format!("{actors} actors act for the identity; the most is {ACTORS_MAX}"));
        }
        let mut tally = Tally::default();
        for who in principals(q.identity) {
            let mut allowed = true;
            let mut of_access: Option<(Access, Option<facts::Parties>)> = None;
            for used in uses {
                let Some(bench) = self.bench(used.access) else {
                    return self.denied("the action could not be read".to_owned());
                };
                // Neighbouring uses of one access share who and what.
                let mut parties = match of_access.take() {
                    Some((access, parties)) if access == used.access => parties,
                    _ => None,
                };
                let ruling = rule(&who, used, bench, &mut parties);
                of_access = Some((used.access, parties));
                allowed &= ruling.allowed;
                if ruling.allowed
                    && let Some(review) = self.review(&ruling)
                {
                    tally.hold(review);
                }
                if let Some(grant) = self.lives_by(q, used, &ruling) {
                    tally.grants.insert(grant);
                }
                tally.take(ruling);
            }
            if !allowed && actors > 0 {
                tally.deny_for(&who);
            }
        }
        let Tally { denied, permits, forbids, errors, denied_for, review, grants, .. } = tally;
        let rules: Vec<RuleId> = if denied { forbids } else { permits }.into_iter().collect();
        let mut effects = Effects::default();
        for info in rules.iter().filter_map(|id| self.rule(id)) {
            let limits = if denied { Limits::NONE } else { info.limits };
            effects.limits = effects.limits.strictest(limits);
            effects.alert = effects.alert.max(info.alert);
            if let Some(watch) = info.watch.as_ref().filter(|_| !denied) {
                let with_others = |others: &Arc<WatchSpec>| Arc::new(others.strictest(watch));
                effects.watch = Some(effects.watch.as_ref().map_or_else(|| Arc::clone(watch), with_others));
            }
        }
        let decision = match (denied, &review) {
            (true, _) => Decision::Deny,
            (false, Some(_)) => Decision::Hold,
            (false, None) => Decision::Allow,
        };
        if decision == Decision::Hold {
            effects.review = review.map(Arc::new);
        }
        if !denied && !grants.is_empty() {
            effects.grants = grants.into_iter().collect();
        }
        Verdict { decision, effects, rules, reason: reason(&errors), denied_for, epoch: self.epoch }
    }

    /// What the rules read that a question is put to.
    fn read_for<'a>(&'a self, q: &'a Question<'_>) -> impl Iterator<Item = &'a Reads> + Clone {
        let uses = q.shape.uses();
        let benches = self.benches.iter().filter(|b| uses.iter().any(|u| u.access == b.access));
        let of_tags = if tags::is_tagged(q) { self.of_tags.each().map(Some) } else { [None; 2] };
        benches.map(|b| &b.reads).chain(of_tags.into_iter().flatten().map(|b| &b.reads))
    }

    /// The key of a question, when its verdict may be kept.
    fn key(&self, q: &Question<'_>) -> Option<Key> {
        let delegated = !q.identity.delegation.is_empty();
        if q.shape.uses().len() > USES_MAX || q.identity.delegation.len() > ACTORS_MAX {
            return None;
        }
        let all = self.read_for(q);
        let reads = || all.clone();
        let mut key = Key::new(q);
        for reads in reads() {
            if !key.add_rest(q, reads) {
                return None;
            }
        }
        // With fewer actors the identity has no facts that it does not have with all.
        for who in principals(q.identity).filter(|who| who.role != Role::Fewer) {
            if delegated {
                key.add_party(&who);
            }
            reads().for_each(|reads| key.add_principal(&who, reads));
        }
        Some(key)
    }

    #[cfg(test)]
    pub(crate) fn is_kept(&self, q: &Question<'_>) -> bool {
        self.key(q).and_then(|k| k.finish().and_then(|k| self.cache.find(k))).is_some()
    }

    /// True when verdicts on this access can be kept at all.
    pub fn is_cacheable(&self, access: Access) -> bool {
        self.bench(access).is_none_or(|b| !b.reads.never_kept())
    }
}

impl Policy for PolicySet {
    fn evaluate(&self, request: &Request<'_>) -> Arc<Verdict> {
        self.answer(&Question::from(request))
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn is_lasting(&self, request: &Request<'_>, verdict: &Verdict) -> bool {
        let q = Question::from(request);
        verdict.epoch == self.epoch && q.shape.uses().len() <= USES_MAX && !self.read_for(&q).any(Reads::passes)
    }
}

/// Rules on one use by one principal; what is made of the two parties is kept for the next.
type RuleOn<'a> = dyn FnMut(&Principal<'_>, &Use, &Bench, &mut Option<facts::Parties>) -> Ruling + 'a;

/// What came of the uses so far.
#[derive(Default)]
struct Tally {
    denied: bool,
    permits: BTreeSet<RuleId>,
    forbids: BTreeSet<RuleId>,
    errors: BTreeSet<String>,
    denied_for: Vec<String>,
    subject_told: bool,
    review: Option<ReviewSpec>,
    grants: BTreeSet<Arc<str>>,
}

impl Tally {
    fn take(&mut self, ruling: Ruling) {
        if ruling.allowed {
            self.permits.extend(ruling.rules);
            self.permits.extend(ruling.holds);
        } else {
            self.denied = true;
            self.forbids.extend(ruling.rules);
            self.forbids.extend(ruling.holds);
        }
        self.errors.extend(ruling.errors);
    }

    fn hold(&mut self, review: ReviewSpec) {
        self.review = Some(match &self.review {
            Some(so_far) => so_far.strictest(&review),
            None => review,
        });
    }

    /// The identity is told of once, also when it is denied with fewer actors too.
    fn deny_for(&mut self, who: &Principal<'_>) {
        if who.role != Role::Fewer || !self.subject_told {
            self.denied_for.push(who.full_label());
        }
        self.subject_told |= who.role != Role::Actor;
    }
}

fn refused(error: String) -> Ruling {
    Ruling { allowed: false, rules: Vec::new(), holds: Vec::new(), errors: vec![error] }
}

/// True for a forbid that does not refuse but asks people.
fn only_asks(info: &RuleInfo) -> bool {
    info.effect == RuleEffect::Forbid && info.review.is_some()
}

impl Ruling {
    /// What the rules say when those that only ask do not count. Where that allows nothing, these did not decide: the rest did, or nothing.
    fn held_by(self, asking: Self) -> Self {
        Self { holds: asking.rules, ..self }
    }
}

pub(crate) fn reason(errors: &BTreeSet<String>) -> Option<String> {
    if errors.is_empty() {
        return None;
    }
    let mut reason = errors.iter().take(ERRORS_QUOTED_MAX).map(String::as_str).collect::<Vec<_>>().join("; ");
    if errors.len() > ERRORS_QUOTED_MAX {
        reason.push_str(&format!("; and {} more", errors.len() - ERRORS_QUOTED_MAX));
    }
    Some(reason)
}
