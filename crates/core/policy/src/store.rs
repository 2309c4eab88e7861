//! The policy set in force, replaced whole.
//!
//! It must never put a set into force that has a problem, nor leave none in force.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use countersign_model::{
    ClientText, Culprit, Denial, DenialCode, Grants, Policy, Probe, ProbeRefusal, Request, SessionId, Taking,
    Timestamp, Verdict,
};
use parking_lot::Mutex;

use crate::facts::Question;
use crate::language::Language;
use crate::load::PolicyFile;
use crate::probes::Probes;
use crate::problem::PolicyProblem;
use crate::set::PolicySet;

/// Holds the set in force and answers through it.
pub struct PolicyStore {
    current: ArcSwap<PolicySet>,
    reloading: Mutex<()>,
    probes: Probes,
    grants: Option<Arc<dyn Grants>>,
}

impl fmt::Debug for PolicyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PolicyStore").field("current", &self.current).finish_non_exhaustive()
    }
}

impl PolicyStore {
    /// Puts a set into force.
    pub fn new(set: Arc<PolicySet>) -> Self {
        Self { current: ArcSwap::new(set), reloading: Mutex::new(()), probes: Probes::default(), grants: None }
    }

    /// Has grants asked for, where rules depend on them.
    #[must_use]
    pub fn granting(mut self, grants: Arc<dyn Grants>) -> Self {
        self.grants = Some(grants);
        self
    }

    /// The set in force.
    pub fn current(&self) -> Arc<PolicySet> {
        self.current.load_full()
    }

    /// Checks new files and puts them into force under the next epoch. Verdicts of the set before are gone with it.
    ///
    /// # Errors
    /// Every problem of every file; the set before stays in force.
    pub fn reload(&self, files: &[PolicyFile], language: &Arc<Language>) -> Result<Arc<PolicySet>, Vec<PolicyProblem>> {
        let _one_at_a_time = self.reloading.lock();
        let epoch = self.current.load().epoch().saturating_add(1);
        let set = PolicySet::load(files, language, epoch)?;
        self.current.store(Arc::clone(&set));
        Ok(set)
    }
}

impl Policy for PolicyStore {
    fn evaluate(&self, request: &Request<'_>) -> Arc<Verdict> {
        let set = self.current.load();
        match &self.grants {
            Some(grants) if set.has_grants() => {
                let held = grants.held(request.identity, &request.target.name, request.now);
                set.answer(&Question { grants: &held, ..Question::from(request) })
            }
            _ => set.evaluate(request),
        }
    }

    fn epoch(&self) -> u64 {
        self.current.load().epoch()
    }

    fn is_lasting(&self, request: &Request<'_>, verdict: &Verdict) -> bool {
        self.current.load().is_lasting(request, verdict)
    }

    fn ask(&self, request: &Request<'_>, verdict: &Verdict) -> Option<ClientText> {
        let set = self.current.load();
        if set.epoch() != verdict.epoch {
            return None;
        }
        set.ask(&Question::from(request), verdict).map(|ask| ClientText::new("").name(&ask))
    }

    fn spend(&self, request: &Request<'_>, probes: &[Probe]) -> Result<(), ProbeRefusal> {
        self.probes.spend(&Question::from(request), probes)
    }

    fn take(
        &self,
        session: SessionId,
        grants: &[Arc<str>],
        counts: bool,
        now: Timestamp,
    ) -> Result<Option<Taking>, Denial> {
        match &self.grants {
            Some(keeper) => keeper.take(session, grants, counts, now),
            None => {
                let why = ClientText::new("internal error: nobody keeps grants");
                Err(Denial::new(Culprit::Us, DenialCode::Internal, why))
            }
        }
    }

    fn leave(&self, session: SessionId) {
        if let Some(keeper) = &self.grants {
            keeper.leave(session);
        }
    }
}
