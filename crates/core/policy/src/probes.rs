//! How often masked values were compared with a constant: by whom, of which tag, within which time. A statement that compares with
//! several constants makes as many probes.
//!
//! Counted on this gateway, while it runs. It must never let one more through than the rate, whoever acts for whom: a probe counts for the
//! identity and for everybody who acts for it. What cannot be counted is refused.

use std::collections::{BTreeSet, HashMap, VecDeque};

use countersign_model::{Probe, ProbeRefusal, RATE_COUNT_MAX, RATE_WINDOW_MAX_S, Timestamp};
use parking_lot::Mutex;

use crate::facts::{Question, identity_id};
use crate::principal::{Role, principals};

/// The most probes that are remembered, over all identities and tags.
const REMEMBERED_MAX: usize = 1_000_000;

const SECOND_US: i64 = 1_000_000;

#[derive(Debug, Default)]
struct Made {
    /// By party and tag: when, oldest first.
    by: HashMap<(String, String), VecDeque<Timestamp>>,
    total: usize,
}

/// The probes made so far.
#[derive(Debug, Default)]
pub(crate) struct Probes(Mutex<Made>);

impl Probes {
    /// Counts the probes, all or none.
    pub(crate) fn spend(&self, q: &Question<'_>, probes: &[Probe]) -> Result<(), ProbeRefusal> {
        let parties: BTreeSet<String> = principals(q.identity)
            .filter(|who| who.role != Role::Fewer)
            .map(|who| identity_id(who.issuer, who.subject))
            .collect();
        let guesses = q.shape.disclosure().guesses.max(1);
        let more = usize::try_from(guesses).unwrap_or(usize::MAX);
        let mut made = self.0.lock();
        for probe in probes {
            if guesses > probe.rate.count {
                return Err(ProbeRefusal::TooMany(probe.clone(), guesses));
            }
            for party in &parties {
                made.room(&(party.clone(), probe.tag.as_str().to_owned()), probe, more, q.now)?;
            }
        }
        let added = more.saturating_mul(probes.len()).saturating_mul(parties.len());
        if made.total.saturating_add(added) > REMEMBERED_MAX {
            made.forget(q.now);
        }
        if made.total.saturating_add(added) > REMEMBERED_MAX {
            return Err(ProbeRefusal::Uncounted);
        }
        for probe in probes {
            for party in &parties {
                for _ in 0..more {
                    made.add((party.clone(), probe.tag.as_str().to_owned()), q.now);
                }
            }
        }
        Ok(())
    }
}

impl Made {
    /// Remembers one. No rate looks further back than its highest count.
    fn add(&mut self, key: (String, String), now: Timestamp) {
        let times = self.by.entry(key).or_default();
        times.push_back(now);
        self.total += 1;
        if times.len() > RATE_COUNT_MAX as usize {
            times.pop_front();
            self.total -= 1;
        }
    }

    /// Says whether so many more may be made, no more than the rate's count.
    fn room(&self, key: &(String, String), probe: &Probe, more: usize, now: Timestamp) -> Result<(), ProbeRefusal> {
        let Some(times) = self.by.get(key) else { return Ok(()) };
        let window_us = i64::from(probe.rate.window_s) * SECOND_US;
        let counted = times.iter().rev().take_while(|t| now.unix_us().saturating_sub(t.unix_us()) < window_us).count();
        let count = usize::try_from(probe.rate.count).unwrap_or(usize::MAX);
        if counted.saturating_add(more) <= count {
            return Ok(());
        }
        // When the last `count - more` are all that is left in the window, so many more fit.
        let oldest = times.iter().rev().nth(count.saturating_sub(more)).map_or(now, |t| *t);
        let free_us = oldest.unix_us().saturating_add(window_us).saturating_sub(now.unix_us()).max(1);
        let seconds = u64::try_from(free_us).unwrap_or(0).div_ceil(SECOND_US.unsigned_abs());
        Err(ProbeRefusal::Spent(probe.clone(), seconds))
    }

    /// Forgets what no rate can count any more.
    fn forget(&mut self, now: Timestamp) {
        let oldest = now.unix_us().saturating_sub(i64::from(RATE_WINDOW_MAX_S) * SECOND_US);
        self.by.retain(|_, times| {
            while times.front().is_some_and(|t| t.unix_us() < oldest) {
                times.pop_front();
            }
            !times.is_empty()
        });
        self.total = self.by.values().map(VecDeque::len).sum();
    }
}
