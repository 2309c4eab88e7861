//! Whether the identities of live sessions still stand: asked again and again, beside the sessions, once for all sessions of an identity.
//! A session ends when its identity no longer stands, or when nobody could tell for too long.
//!
//! It must never run on a worker, nor let a service that answers slowly be asked more than a few questions at once.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use countersign_enforce::{Authenticator, Standing};
use countersign_model::{ClientText, Culprit, Denial, DenialCode, Identity};
use metrics::{Counter, counter};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::Metric;
use crate::registry::{Seat, SessionRegistry};
use crate::session::wall_clock;

/// How often each identity is asked about. They come at different times, and so do the questions.
const PERIOD: Duration = Duration::from_secs(5);
/// How often it is looked who is here and whose turn it is.
const LOOK: Duration = Duration::from_secs(1);
/// Sessions live on for so long while nobody can tell whether their identity stands.
const UNKNOWN_LEASE: Duration = Duration::from_secs(60);
/// Questions under way at once.
const ASKED_MAX: usize = 16;
/// An answer that takes longer is none.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// An identity as the answer depends on it: on all of it.
#[derive(Clone)]
struct Subject(Arc<Identity>);

impl PartialEq for Subject {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || *self.0 == *other.0
    }
}

impl Eq for Subject {}

impl Hash for Subject {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let i = &self.0;
        (&i.issuer, &i.subject, &i.login, &i.token_id, &i.key, i.expires_at.unix_us()).hash(state);
    }
}

/// What is known of an identity that has live sessions.
struct Known {
    /// It was known to stand at this time.
    stood: Instant,
    /// It is to be asked about then.
    due: Instant,
    seats: Vec<Arc<Seat>>,
}

struct Watch {
    registry: Arc<SessionRegistry>,
    authenticator: Arc<dyn Authenticator>,
    known: HashMap<Subject, Known>,
    questions: JoinSet<(Subject, Instant, Standing)>,
    answers: [Counter; 3],
    cut: [Counter; 2],
}

/// Watches for as long as it is polled.
pub(crate) async fn watch_standing(registry: Arc<SessionRegistry>, authenticator: Arc<dyn Authenticator>) {
    let mut watch = Watch::new(registry, authenticator);
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = look.tick() => watch.look_around(),
            Some(answer) = watch.questions.join_next() => {
                // A question that panicked stays without an answer.
                if let Ok((subject, asked, standing)) = answer {
                    watch.answered(&subject, asked, standing);
                }
            }
        }
        watch.ask();
    }
}

impl Watch {
    fn new(registry: Arc<SessionRegistry>, authenticator: Arc<dyn Authenticator>) -> Self {
        let answers = ["stands", "ended", "unknown"].map(|a| counter!(Metric::Standings.name(), "answer" => a));
        let cut = ["ended", "unknown"].map(|why| counter!(Metric::SessionsCut.name(), "why" => why));
        Self { registry, authenticator, known: HashMap::new(), questions: JoinSet::new(), answers, cut }
    }

    /// Who is here now, and who has been unknown for too long. An identity that is new here was verified just now.
    fn look_around(&mut self) {
        let now = Instant::now();
        for known in self.known.values_mut() {
            known.seats.clear();
        }
        for (seat, identity) in self.registry.identities() {
            let new = || Known { stood: now, due: now + PERIOD, seats: Vec::new() };
            self.known.entry(Subject(identity)).or_insert_with(new).seats.push(seat);
        }
        self.known.retain(|_, known| !known.seats.is_empty());
        let [_, unknown] = &self.cut;
        for known in self.known.values().filter(|k| now.duration_since(k.stood) > UNKNOWN_LEASE) {
            end(&known.seats, &nobody_can_tell(), unknown);
        }
    }

    /// Asks about those whose turn it is, the longest waiting first.
    fn ask(&mut self) {
        let now = Instant::now();
        let room = ASKED_MAX.saturating_sub(self.questions.len());
        if room == 0 {
            return;
        }
        let mut due: Vec<(Instant, Subject)> =
            self.known.iter().filter(|(_, k)| k.due <= now).map(|(s, k)| (k.due, s.clone())).collect();
        due.sort_by_key(|(due, _)| *due);
        for (_, subject) in due.into_iter().take(room) {
            if let Some(known) = self.known.get_mut(&subject) {
                known.due = now + PERIOD.max(ANSWER_TIMEOUT);
            }
            let authenticator = self.authenticator.clone();
            self.questions.spawn(async move {
                let answer = timeout(ANSWER_TIMEOUT, authenticator.standing(&subject.0, wall_clock())).await;
                (subject, now, answer.unwrap_or(Standing::Unknown))
            });
        }
    }

    fn answered(&mut self, subject: &Subject, asked: Instant, standing: Standing) {
        if matches!(standing, Standing::Ended(_)) {
            // Those that came since it was last looked are told, too.
            self.look_around();
        }
        let [stands, ended, unknown] = &self.answers;
        match standing {
            Standing::Stands => {
                stands.increment(1);
                if let Some(known) = self.known.get_mut(subject) {
                    known.stood = known.stood.max(asked);
                }
            }
            Standing::Ended(denial) => {
                ended.increment(1);
                let [cut, _] = &self.cut;
                if let Some(known) = self.known.get(subject) {
                    end(&known.seats, &denial, cut);
                }
            }
            Standing::Unknown => unknown.increment(1),
        }
    }
}

fn end(seats: &[Arc<Seat>], denial: &Denial, cut: &Counter) {
    for seat in seats.iter().filter(|s| s.ended().is_none()) {
        cut.increment(1);
        seat.end(denial.clone());
    }
}

fn nobody_can_tell() -> Denial {
    Denial::new(
        Culprit::Us,
        DenialCode::Unauthenticated,
        ClientText::new("for ")
            .number(UNKNOWN_LEASE.as_secs())
            .and(" seconds nobody could tell whether this login still stands"),
    )
    .hint(ClientText::new("Connect again later."))
    .detail("the service behind logins gave no answer; the session was ended rather than left to whoever it may be")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use countersign_enforce::{BoxFuture, Presented};
    use countersign_model::{
        CredentialBinding, IdentityKind, IdentityParts, RecordLevel, SessionId, Target, TargetName, Timestamp,
    };
    use parking_lot::Mutex;

    use super::*;
    use crate::registry::Seated;
    use crate::{SessionInfo, registry::call};

    /// Answers what it is told to, and counts.
    #[derive(Default)]
    struct Answers {
        standing: Mutex<HashMap<String, Standing>>,
        asked: AtomicUsize,
        at_once: AtomicUsize,
        most_at_once: AtomicUsize,
        slow: Duration,
    }

    impl Authenticator for Answers {
        fn authenticate<'a>(
            &'a self,
            _presented: &'a Presented,
            _now: Timestamp,
        ) -> BoxFuture<'a, Result<Arc<Identity>, Denial>> {
            Box::pin(async { Err(nobody_can_tell()) })
        }

        fn recognises(&self, _chain: &[bytes::Bytes]) -> bool {
            false
        }

        fn standing<'a>(&'a self, identity: &'a Identity, _now: Timestamp) -> BoxFuture<'a, Standing> {
            Box::pin(async move {
                self.asked.fetch_add(1, Ordering::SeqCst);
                let at_once = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
                self.most_at_once.fetch_max(at_once, Ordering::SeqCst);
                tokio::time::sleep(self.slow).await;
                self.at_once.fetch_sub(1, Ordering::SeqCst);
                self.standing.lock().get(&identity.name).cloned().unwrap_or(Standing::Stands)
            })
        }
    }

    fn sit(registry: &Arc<SessionRegistry>, name: &str) -> Seated {
        let seated = registry.sit();
        #[expect(clippy::disallowed_methods, reason = "a test vouches for its own")]
        let identity = Identity::mint(IdentityParts {
            subject: name.to_owned(),
            issuer: "test".to_owned(),
            name: name.to_owned(),
            kind: IdentityKind::Human,
            groups: Default::default(),
            claims: Default::default(),
            delegation: Vec::new(),
            credential: CredentialBinding::Bearer,
            token_id: None,
            key: None,
            signer: None,
            login: None,
            issued_at: Timestamp::from_unix_s(0),
            expires_at: Timestamp::from_unix_s(1),
        });
        seated.seat.introduce(SessionInfo {
            id: SessionId::from_u128(1),
            identity: Arc::new(identity),
            target: Arc::new(Target {
                name: TargetName::parse("t").unwrap(),
                protocol: "toy".into(),
                labels: BTreeMap::new(),
                record: RecordLevel::Statements,
                durable: false,
                tagging: Arc::default(),
            }),
            source: ([127, 0, 0, 1], 1).into(),
            since: Timestamp::from_unix_s(0),
        });
        seated
    }

    fn paused() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
    }

    async fn after(seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    #[test]
    fn one_question_for_each_identity_and_ended_ones_leave() {
        paused().block_on(async {
            let (registry, answers) = (Arc::<SessionRegistry>::default(), Arc::<Answers>::default());
            let ana: Vec<_> = (0..100).map(|_| sit(&registry, "ana")).collect();
            let bob = sit(&registry, "bob");
            tokio::spawn(watch_standing(registry.clone(), answers.clone()));
            after(30).await;
            let asked = answers.asked.load(Ordering::SeqCst);
            assert!((8..=12).contains(&asked), "{asked} questions about two in 30 seconds");
            assert!(ana.iter().all(|s| s.seat.ended().is_none()));
            answers.standing.lock().insert("ana".to_owned(), Standing::Ended(nobody_can_tell()));
            let late = sit(&registry, "ana");
            after(7).await;
            assert!(ana.iter().all(|s| s.seat.take_calls() == call::ENDED && s.seat.ended().is_some()));
            assert!(late.seat.ended().is_some());
            assert!(bob.seat.ended().is_none());
        });
    }

    #[test]
    fn who_cannot_be_told_of_for_a_minute_leaves() {
        for slow in [Duration::ZERO, ANSWER_TIMEOUT * 2] {
            paused().block_on(async {
                let registry = Arc::<SessionRegistry>::default();
                let answers = Arc::new(Answers { slow, ..Answers::default() });
                let seated = sit(&registry, "ana");
                tokio::spawn(watch_standing(registry.clone(), answers.clone()));
                answers.standing.lock().insert("ana".to_owned(), Standing::Unknown);
                after(59).await;
                assert!(seated.seat.ended().is_none(), "too early");
                if slow.is_zero() {
                    // It was a short one.
                    answers.standing.lock().clear();
                    after(7).await;
                    answers.standing.lock().insert("ana".to_owned(), Standing::Unknown);
                    after(59 - 6).await;
                    assert!(seated.seat.ended().is_none(), "it stood in between");
                    after(8).await;
                } else {
                    after(3).await;
                }
                assert!(seated.seat.ended().unwrap().to_string().contains("60 seconds"), "{slow:?}");
            });
        }
    }

    #[test]
    fn few_questions_are_asked_at_once() {
        paused().block_on(async {
            let registry = Arc::<SessionRegistry>::default();
            let answers = Arc::new(Answers { slow: Duration::from_millis(100), ..Answers::default() });
            let _all: Vec<_> = (0..500).map(|n| sit(&registry, &n.to_string())).collect();
            tokio::spawn(watch_standing(registry.clone(), answers.clone()));
            after(20).await;
            assert_eq!(answers.most_at_once.load(Ordering::SeqCst), ASKED_MAX);
            assert!(answers.asked.load(Ordering::SeqCst) >= 1000, "{answers:?}", answers = answers.asked);
        });
    }
}
