//! Targets and tags behind their HTTP doors. It must never tell somebody of a target that no rule lets them connect to or ask for.

use std::collections::HashSet;
use std::sync::Arc;

use countersign_api::{
    TagPage, TagRuleView, TargetAccessView, TargetDoors, TargetPage, TargetQuery, TargetTagsView, TargetView,
};
use countersign_config::Config;
use countersign_model::{
    Access, Attributes, Decision, Fingerprint, GATEWAY_TARGET, Identity, Policy as _, Request, Shape, Target, Use,
};
use countersign_policy::{PolicySet, RuleEffect};
use countersign_runtime::SessionRegistry;

use crate::house::House;

/// What is asked of a target, in the order of its gravity.
const ACCESSES: [Access; 5] = [Access::Connect, Access::Read, Access::Write, Access::Execute, Access::Admin];

/// The service behind the doors.
pub(crate) struct TargetCounter {
    pub(crate) house: Arc<House>,
    pub(crate) sessions: Arc<SessionRegistry>,
}

/// What the rules say that do not look at the action itself.
fn access(set: &PolicySet, who: &Identity, target: &Target, access: Access) -> TargetAccessView {
    let (mut permits, mut forbids, mut grants) = (Vec::new(), Vec::new(), Vec::new());
    for rule in set.fitting(who, target, access) {
        let list = match (rule.effect, &rule.grant) {
            (RuleEffect::Forbid, _) => &mut forbids,
            (RuleEffect::Permit, None) => &mut permits,
            (RuleEffect::Permit, Some(_)) => &mut grants,
        };
        list.push(rule.id.as_str().to_owned());
    }
    TargetAccessView { access: access.as_str().to_owned(), permits, forbids, grants }
}

fn is_own(config: &Config, target: &Target) -> bool {
    config.targets.iter().any(|t| t.name == target.name)
}

impl TargetCounter {
    /// Whether policy would let the caller connect, or offers them something there.
    fn is_theirs(&self, query: &TargetQuery, set: &PolicySet, target: &Target, connect: &Shape) -> bool {
        let (identity, session, now) = (&query.caller, &query.session, query.now);
        let asked = Request { identity, target, session, shape: connect, now };
        let offered = || ACCESSES.iter().any(|a| !set.grantable(identity, target, *a).is_empty());
        self.house.policy.evaluate(&asked).decision == Decision::Allow || offered()
    }
}

impl TargetDoors for TargetCounter {
    fn list(&self, query: &TargetQuery) -> TargetPage {
        let set = self.house.policy.current();
        let connect =
            Shape::new("connect", vec![Use { access: Access::Connect, attributes: Attributes::new() }], Fingerprint(0));
        let own = self.house.own.load();
        let sessions = self.sessions.sessions();
        let mut targets = Vec::new();
        let mut next = None;
        for route in self.house.routes() {
            let target = &route.target;
            let name = target.name.as_str();
            if query.after.as_ref().is_some_and(|after| name <= after.as_str()) || name == GATEWAY_TARGET {
                continue;
            }
            if !query.everybody && !self.is_theirs(query, &set, target, &connect) {
                continue;
            }
            if targets.len() == query.limit {
                next = targets.last().map(|t: &TargetView| t.name.clone());
                break;
            }
            let is_seen = |who: &Identity| {
                query.everybody || (who.issuer == query.caller.issuer && who.subject == query.caller.subject)
            };
            let live = sessions.iter().filter(|s| s.target.name == target.name && is_seen(&s.identity)).count();
            let listeners = self.house.config.listeners.iter().filter(|l| l.protocol.as_str() == &*target.protocol);
            targets.push(TargetView {
                name: name.to_owned(),
                protocol: target.protocol.to_string(),
                labels: target.labels.clone(),
                applied: !is_own(&own.config, target),
                listeners: listeners.map(|l| l.address.to_string()).collect(),
                sessions: live as u64,
                accesses: ACCESSES.map(|a| access(&set, &query.caller, target, a)).into(),
            });
        }
        TargetPage { targets, next }
    }

    fn tags(&self) -> TagPage {
        let own = self.house.own.load();
        let idle = self.house.idle_tags.lock();
        let mut targets = Vec::new();
        for route in self.house.routes() {
            let target = &route.target;
            let tagging = &target.tagging;
            if tagging.rules.is_empty() && tagging.detect.is_empty() {
                continue;
            }
            let configured = own.config.targets.iter().find(|t| t.name == target.name);
            let configured: HashSet<_> = configured.iter().flat_map(|t| &t.tagging.rules).collect();
            let idle = idle.get(route.label());
            let rules = tagging.rules.iter().map(|rule| TagRuleView {
                column: rule.column.clone(),
                data_type: rule.data_type.clone(),
                tag: rule.tag.to_string(),
                applied: !configured.contains(rule),
                idle_in: idle.filter(|i| i.rules.contains(rule)).map(|i| i.databases.clone()).unwrap_or_default(),
            });
            targets.push(TargetTagsView {
                target: target.name.as_str().to_owned(),
                rules: rules.collect(),
                comments: tagging.comments,
                detect: tagging.detect.iter().map(ToString::to_string).collect(),
            });
        }
        TagPage { targets }
    }
}
