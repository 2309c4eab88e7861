//! What the gate says of tagged data: that an action which must be masked can be, that what no mask hides is refused, and that probes
//! are counted before they are made.
//!
//! It must never let an action through whose masks nobody would carry out.

use std::borrow::Cow;

use countersign_model::{ClientText, Decision, Exposure, Policy, ProbeRefusal, Request, Tag, Verdict};

/// Tags that a refusal names, at most.
const TAGS_NAMED_MAX: usize = 3;

const NEVER: &str = "Countersign cannot mask what this kind of statement returns";

/// How far the machine can mask what an action returns. Not at all, unless it says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Masking {
    /// It rewrites the values that depend on tagged columns.
    pub(crate) tagged: bool,
    /// Why it could not look for tagged values in the content; `None` when it can.
    pub(crate) no_search: Option<&'static str>,
}

/// Why an action that the rules allow is refused for its tags all the same. Counts the probes of one that is not, unless it only puts
/// in place what is judged again when it runs.
pub(crate) fn refusal(
    masking: Masking,
    prepares: bool,
    policy: &dyn Policy,
    request: &Request<'_>,
    verdict: &Verdict,
) -> Option<ClientText> {
    let effects = &verdict.effects;
    if verdict.decision == Decision::Deny || (effects.masks.is_empty() && effects.probes.is_empty()) {
        return None;
    }
    let shown = &request.shape.disclosure().shown;
    let sought: Vec<&Tag> = effects.masks.iter().map(|m| &m.tag).filter(|tag| !shown.contains(tag)).collect();
    let why = match masking.no_search {
        _ if effects.masks.is_empty() => None,
        _ if !masking.tagged => Some((NEVER, effects.masks.iter().map(|m| &m.tag).collect())),
        Some(why) if !sought.is_empty() => Some((why, sought)),
        _ => None,
    };
    if let Some((why, tags)) = why {
        let text = ClientText::new("the statement may show ");
        return Some(named(text, &tags).and(", which is masked for you, and ").and(why));
    }
    if prepares || effects.probes.is_empty() {
        return None;
    }
    match policy.spend(request, &effects.probes) {
        Ok(()) => None,
        Err(ProbeRefusal::Spent(probe, seconds)) => Some(
            ClientText::new("the statement compares \"")
                .name(probe.tag.as_str())
                .and("\", which is masked for you: you may do so ")
                .number(probe.rate.count.into())
                .and(" times in ")
                .name(probe.rate.to_string().split_once('/').map_or("", |(_, window)| window))
                .and(", and the next time in ")
                .number(seconds)
                .and(" s"),
        ),
        Err(ProbeRefusal::TooMany(probe, guesses)) => Some(
            ClientText::new("the statement compares \"")
                .name(probe.tag.as_str())
                .and("\", which is masked for you, with ")
                .number(guesses.into())
                .and(" constants, and you may only do so with ")
                .number(probe.rate.count.into())
                .and(" in ")
                .name(probe.rate.to_string().split_once('/').map_or("", |(_, window)| window)),
        ),
        Err(ProbeRefusal::Uncounted) => Some(ClientText::new(
            "the statement compares masked data, and how often that is done cannot be counted now",
        )),
    }
}

/// What a client reads of a deny for tags; `None` when it is for something else.
pub(crate) fn withheld(verdict: &Verdict) -> Option<ClientText> {
    let first = verdict.effects.withheld.first()?;
    let by = |by| verdict.effects.withheld.iter().filter(move |w| w.by == by).map(|w| &w.tag).collect::<Vec<_>>();
    let (verb, way_out) = match first.by {
        Exposure::Chosen => (
            "the statement chooses or orders rows by ",
            ", which is masked for you: what comes back would tell of it. Leave it out of WHERE, JOIN, GROUP BY, ORDER BY and \
             CASE, or only select it",
        ),
        Exposure::Matched => (
            "the statement compares ",
            " with a constant, and it is masked for you: what comes back would tell of it. Look the rows up by something else",
        ),
        Exposure::Copied => (
            "the statement copies ",
            ", which is masked for you, to where it would not be: leave it out of what is stored",
        ),
    };
    Some(named(ClientText::new(verb), &by(first.by)).and(way_out))
}

fn named(mut text: ClientText, tags: &[&Tag]) -> ClientText {
    for (n, tag) in tags.iter().take(TAGS_NAMED_MAX).enumerate() {
        text = text.and(if n == 0 { "\"" } else { ", \"" }).name(tag.as_str()).and("\"");
    }
    match tags.len().saturating_sub(TAGS_NAMED_MAX) {
        0 => text,
        more => text.and(" and ").number(more as u64).and(" more"),
    }
}

/// What to ask for: the access, or to see the tags that stand in the way.
pub(crate) fn needed(access: &'static str, verdict: &Verdict) -> Cow<'static, str> {
    match verdict.effects.withheld.first() {
        None => Cow::Borrowed(access),
        Some(w) => Cow::Owned(format!("unmask of {}", w.tag)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Context, Poll, Waker};

    use bytes::Bytes;
    use countersign_model::{
        Access, Action, Attributes, CredentialBinding, Denial, Disclosure, Effects, Fingerprint, Identity,
        IdentityKind, IdentityParts, Mask, Probe, RecordLevel, Requirement, ReviewSpec, SessionContext, SessionId,
        Shape, Target, TargetName, Timestamp, Transform, Use, Withheld,
    };
    use parking_lot::Mutex;

    use super::*;
    use crate::*;

    /// Answers as told, and lets so many probes be made.
    struct Says {
        effects: Effects,
        decision: Decision,
        left: AtomicU32,
    }

    impl Policy for Says {
        fn evaluate(&self, request: &Request<'_>) -> Arc<Verdict> {
            let connecting = request.shape.access() == Access::Connect;
            Arc::new(Verdict {
                decision: if connecting { Decision::Allow } else { self.decision },
                effects: if connecting { Effects::default() } else { self.effects.clone() },
                rules: Vec::new(),
                reason: None,
                denied_for: Vec::new(),
                epoch: 1,
            })
        }

        fn epoch(&self) -> u64 {
            1
        }

        fn spend(&self, _: &Request<'_>, probes: &[Probe]) -> Result<(), ProbeRefusal> {
            let left = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
            left.map(|_| ()).map_err(|_| ProbeRefusal::Spent(probes[0].clone(), 90))
        }
    }

    /// What was recorded: the decision and the reason of each intent.
    type Written = Arc<Mutex<Vec<(Decision, Option<String>)>>>;

    struct Pen(Written);

    impl Recorder for Pen {
        fn open(&self, _: &SessionOpened<'_>) -> Result<Box<dyn SessionRecorder>, Denial> {
            Ok(Box::new(Pen(Arc::clone(&self.0))))
        }

        fn refused(&self, _: &Refused<'_>) -> Result<(), Denial> {
            Ok(())
        }
    }

    impl SessionRecorder for Pen {
        fn intent(&mut self, intent: &Intent<'_>) -> Result<Receipt, Denial> {
            let mut written = self.0.lock();
            written.push((intent.verdict.decision, intent.verdict.reason.clone()));
            Ok(Receipt::new(written.len() as u64))
        }

        fn durable(&self, _: Receipt) -> BoxFuture<'static, Result<(), Denial>> {
            Box::pin(async { Ok(()) })
        }

        fn output(&mut self, _: u64, _: Timestamp, _: &[u8]) -> Result<(), Denial> {
            Ok(())
        }

        fn outcome(&mut self, _: u64, _: Timestamp, _: u64, _: &Outcome) -> Result<(), Denial> {
            Ok(())
        }

        fn event(&mut self, _: Timestamp, _: &SessionEvent<'_>) -> Result<(), Denial> {
            Ok(())
        }

        fn close(&mut self, _: &Closed<'_>) -> Result<(), Denial> {
            Ok(())
        }
    }

    struct NoAlerts;

    impl AlertSink for NoAlerts {
        fn raise(&self, _: Alert) {}
    }

    fn tag(s: &str) -> Tag {
        Tag::parse(s).unwrap()
    }

    const NOW: Timestamp = Timestamp::from_unix_s(1_767_614_400);

    fn used(access: Access) -> Vec<Use> {
        vec![Use { access, attributes: Attributes::new() }]
    }

    /// Nothing is held here.
    fn unheld() -> HoldFacts {
        HoldFacts { settings: Bytes::new(), in_transaction: false, cannot: Some("nobody is asked") }
    }

    fn gate(says: Says) -> (Gate, Written) {
        let written = Written::default();
        let parts = GateParts {
            identity: Arc::new(Identity::mint(IdentityParts {
                subject: "u".to_owned(),
                issuer: "i".to_owned(),
                name: "ana".to_owned(),
                kind: IdentityKind::Human,
                groups: Default::default(),
                claims: Default::default(),
                delegation: Vec::new(),
                credential: CredentialBinding::Bearer,
                token_id: None,
                key: None,
                login: None,
                signer: None,
                issued_at: NOW,
                expires_at: NOW,
            })),
            target: Arc::new(Target {
                name: TargetName::parse("shop").unwrap(),
                protocol: "toy".into(),
                labels: Default::default(),
                record: RecordLevel::default(),
                durable: false,
                tagging: Default::default(),
            }),
            context: SessionContext {
                id: SessionId::from_u128(1),
                source: "127.0.0.1:1".parse().unwrap(),
                encrypted: true,
                application: String::new(),
                part: String::new(),
                started_at: NOW,
            },
            policy: Arc::new(says),
            alerts: Arc::new(NoAlerts),
            reviews: None,
            ask: None,
        };
        let connect = Shape::new("connect", used(Access::Connect), Fingerprint(0));
        let opened = Gate::open(parts, &Pen(Arc::clone(&written)), &connect, NOW).unwrap();
        (opened.gate, written)
    }

    fn proposal() -> Proposal {
        let disclosure = Disclosure { shown: vec![tag("pii.email")], ..Disclosure::default() };
        let text = Bytes::from_static(b"q");
        let shape = Shape::disclosing("select", used(Access::Read), Fingerprint(0), disclosure);
        Proposal::new(text.clone(), Action { shape, text, parameters: Bytes::new() }).unwrap()
    }

    /// The plan's masks, or what the client reads.
    fn admit(gate: &mut Gate, proposal: Proposal) -> Result<Vec<String>, String> {
        match gate.admit(proposal, &unheld, NOW) {
            Admission::Ready(Ok((_cleared, plan))) => Ok(plan.masks.iter().map(|m| m.tag.to_string()).collect()),
            Admission::Ready(Err(denial)) => Err(denial.message.to_string()),
            _ => panic!("nothing to wait for"),
        }
    }

    fn masks(tags: &[&str]) -> Effects {
        let masks = tags.iter().map(|t| Mask { tag: tag(t), transform: Transform::Hash }).collect();
        Effects { masks, ..Effects::default() }
    }

    fn allowing(effects: Effects) -> Says {
        Says { effects, decision: Decision::Allow, left: AtomicU32::new(1) }
    }

    #[test]
    fn what_cannot_be_masked_is_denied_and_recorded_as_denied() {
        let (mut gate, written) = gate(allowing(masks(&["pii.email"])));
        let why = admit(&mut gate, proposal()).unwrap_err();
        assert_eq!(
            why,
            "the statement may show \"pii.email\", which is masked for you, and Countersign cannot mask what this kind of \
             statement returns"
        );
        assert_eq!(written.lock().last(), Some(&(Decision::Deny, Some(why))));
        assert_eq!(admit(&mut gate, proposal().maskable()), Ok(vec!["pii.email".to_owned()]));
        // By its columns it can be masked, and nothing is looked for in the content.
        assert!(admit(&mut gate, proposal().maskable().cannot_search("it is binary")).is_ok());
        assert!(admit(&mut gate, proposal().cannot_search("it is binary")).is_err());
    }

    #[test]
    fn what_is_looked_for_and_cannot_be_found_is_denied() {
        let (mut gate, _) = gate(allowing(masks(&["pii.card", "pii.email", "pii.iban", "pii.phone", "secret"])));
        assert_eq!(
            admit(&mut gate, proposal().maskable().cannot_search("it is binary")).unwrap_err(),
            "the statement may show \"pii.card\", \"pii.iban\", \"pii.phone\" and 1 more, which is masked for you, and it is \
             binary"
        );
        assert_eq!(admit(&mut gate, proposal().maskable()).map(|m| m.len()), Ok(5));
    }

    #[test]
    fn without_masks_nothing_need_be_maskable() {
        let (mut gate, written) = gate(allowing(Effects::default()));
        assert_eq!(admit(&mut gate, proposal()), Ok(Vec::new()));
        assert_eq!(written.lock().last(), Some(&(Decision::Allow, None)));
    }

    #[test]
    fn probes_are_counted_before_they_are_made() {
        let probes = [Probe { tag: tag("pii.email"), rate: "20/1h".parse().unwrap() }].into();
        let (mut gate, written) = gate(allowing(Effects { probes, ..Effects::default() }));
        assert!(admit(&mut gate, proposal()).is_ok());
        assert_eq!(
            admit(&mut gate, proposal()).unwrap_err(),
            "the statement compares \"pii.email\", which is masked for you: you may do so 20 times in 1h, and the next time in 90 s"
        );
        assert_eq!(written.lock().last().map(|w| w.0), Some(Decision::Deny));
        // What only prepares is counted when it runs.
        assert!(admit(&mut gate, proposal().prepares()).is_ok());
        // What is denied for its masks makes no probe.
        let probes = [Probe { tag: tag("pii.email"), rate: "20/1h".parse().unwrap() }].into();
        let (mut gate, _) = super::tests::gate(allowing(Effects { probes, ..masks(&["pii.email"]) }));
        assert!(admit(&mut gate, proposal()).is_err());
        assert!(admit(&mut gate, proposal().maskable()).is_ok(), "the one probe is left");
        assert!(admit(&mut gate, proposal().maskable()).is_err());
    }

    /// Whoever is asked says yes at once.
    struct Yes;

    struct Said(Option<Approval>);

    impl Reviews for Yes {
        fn open(&self, q: ReviewQuestion) -> Box<dyn PendingReview> {
            let expires_at = Timestamp::from_unix_s(NOW.unix_s() + 900);
            let binding = binding(q.action, q.session, expires_at);
            Box::new(Said(Some(Approval { review: "01J".to_owned(), binding, expires_at, by: Vec::new() })))
        }
    }

    impl PendingReview for Said {
        fn poll(&mut self, _: &mut Context<'_>) -> Poll<ReviewEvent> {
            Poll::Ready(ReviewEvent::Approved(self.0.take().unwrap()))
        }

        fn leave(self: Box<Self>, _: Leaving) {}
    }

    #[test]
    fn the_probe_of_what_waited_for_people_is_counted_once() {
        let probes: Arc<[Probe]> = [Probe { tag: tag("pii.email"), rate: "20/1h".parse().unwrap() }].into();
        let review = ReviewSpec {
            requirements: vec![Requirement { group: "dba".to_owned(), people: 1 }],
            expires_s: 900,
            in_transaction: false,
            factor: None,
        };
        let effects = Effects { probes, review: Some(Arc::new(review)), ..Effects::default() };
        let says = Says { effects, decision: Decision::Hold, left: AtomicU32::new(2) };
        let (mut gate, _) = gate(says);
        gate.parts.reviews = Some(Arc::new(Yes));
        let facts = || HoldFacts { settings: Bytes::new(), in_transaction: false, cannot: None };
        let mut held = || match gate.admit(proposal(), &facts, NOW) {
            Admission::Held(mut holding) => {
                let Poll::Ready(ReviewEvent::Approved(yes)) = holding.poll(&mut Context::from_waker(Waker::noop()))
                else {
                    panic!("no answer")
                };
                matches!(gate.release(*holding, &yes, NOW), Admission::Ready(Ok(_)))
            }
            _ => false,
        };
        assert!(held(), "the first of two");
        assert!(held(), "the second of two: the first was not counted again when it was released");
        assert!(!held(), "the rate holds for what is held, too");
    }

    #[test]
    fn a_client_reads_which_tag_stands_in_the_way_and_what_to_do() {
        for (by, part) in [
            (Exposure::Chosen, "chooses or orders rows by \"pii.email\", which is masked for you"),
            (Exposure::Matched, "compares \"pii.email\" with a constant"),
            (Exposure::Copied, "copies \"pii.email\", which is masked for you"),
        ] {
            let withheld = [Withheld { tag: tag("pii.email"), by }].into();
            let effects = Effects { withheld, ..Effects::default() };
            let (mut gate, _) = gate(Says { effects, decision: Decision::Deny, left: AtomicU32::new(0) });
            let Admission::Ready(Err(denial)) = gate.admit(proposal().maskable(), &unheld, NOW) else {
                panic!("admitted")
            };
            assert!(denial.message.as_str().contains(part), "{denial}");
            assert!(denial.hint.unwrap().as_str().contains("need \"unmask of pii.email\""));
        }
    }
}
