//! Text and JSON with what was found in them masked, everything else byte for byte as it was.
//!
//! It must never give out a hit's bytes because they could not be rewritten: then the fixed text stands there.

mod json;

use countersign_model::{Mask, Tag, Transform};

use crate::detect::{Confidence, Detector, Hit, Wanted, scan};
use crate::transform::Masker;

/// What is looked for in content, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentPlan {
    wanted: Wanted,
    /// By detector.
    transforms: [Transform; Detector::COUNT],
    /// What is less sure is left alone.
    least: Confidence,
}

impl ContentPlan {
    /// Looks for what the masks' tags cover. Where several cover the same, the strictest transform counts.
    pub fn new(masks: &[Mask]) -> Self {
        let mut plan =
            Self { wanted: Wanted::NONE, transforms: [Transform::DEFAULT; Detector::COUNT], least: Confidence::Likely };
        for (slot, d) in plan.transforms.iter_mut().zip(Detector::ALL) {
            let tag = Tag::parse(d.tag());
            let covering = masks.iter().filter(|m| tag.as_ref().is_some_and(|t| m.tag.covers(t)));
            if let Some(transform) = covering.map(|m| m.transform).reduce(Transform::stricter) {
                *slot = transform;
                plan.wanted = plan.wanted.with(*d);
            }
        }
        plan
    }

    /// Everything that there is a detector for, with one transform.
    pub fn all(transform: Transform) -> Self {
        Self { wanted: Wanted::ALL, transforms: [transform; Detector::COUNT], least: Confidence::Likely }
    }

    /// Also takes what is only possible: for data that is known to hold such things.
    #[must_use]
    pub fn with_possible(mut self) -> Self {
        self.least = Confidence::Possible;
        self
    }

    /// Which detectors it needs.
    pub const fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// True when it looks for nothing.
    pub const fn is_empty(&self) -> bool {
        self.wanted.is_none()
    }

    fn transform(&self, d: Detector) -> Transform {
        self.transforms.get(d as usize).copied().unwrap_or(Transform::DEFAULT)
    }
}

/// How many hits of each detector were masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts([u64; Detector::COUNT]);

impl Default for Counts {
    fn default() -> Self {
        Self([0; Detector::COUNT])
    }
}

impl Counts {
    /// One more.
    pub fn count(&mut self, d: Detector) {
        if let Some(n) = self.0.get_mut(d as usize) {
            *n = n.saturating_add(1);
        }
    }

    /// Those that are not zero.
    pub fn iter(&self) -> impl Iterator<Item = (Detector, u64)> {
        Detector::ALL.iter().copied().zip(self.0).filter(|(_, n)| *n > 0)
    }

    /// The same by tag, in the tags' order.
    pub fn by_tag(&self) -> Vec<(Tag, u64)> {
        let mut all = std::collections::BTreeMap::new();
        for (d, n) in self.iter() {
            if let Some(tag) = Tag::parse(d.tag()) {
                *all.entry(tag).or_insert(0) += n;
            }
        }
        all.into_iter().collect()
    }

    /// How many in all.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Scratch space of a caller, so that a scan allocates nothing.
#[derive(Default)]
pub struct Scratch {
    hits: Vec<Hit>,
    leaf: Vec<u8>,
}

impl Masker {
    /// Masks what is found in a text. True when something was: then all of the new text was appended to `out`; else nothing was. `name` is
    /// what names the text, such as its column, and counts as words before it.
    pub fn mask_text(
        &self,
        plan: &ContentPlan,
        text: &[u8],
        name: &[u8],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
        counts: &mut Counts,
    ) -> bool {
        scan(text, name, plan.wanted, &mut scratch.hits);
        scratch.hits.retain(|h| h.confidence >= plan.least);
        if scratch.hits.is_empty() {
            return false;
        }
        self.replace(plan, text, &scratch.hits, out, counts);
        true
    }

    /// The same for a JSON text (RFC 8259). Strings and numbers are masked where they stand, names, too; a number becomes null. What is not
    /// JSON is masked as text.
    pub fn mask_json(
        &self,
        plan: &ContentPlan,
        text: &[u8],
        name: &[u8],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
        counts: &mut Counts,
    ) -> bool {
        let (begin, before) = (out.len(), counts.clone());
        match json::mask(self, plan, text, name, scratch, out, counts) {
            Some(changed) => {
                if !changed {
                    out.truncate(begin);
                }
                changed
            }
            None => {
                out.truncate(begin);
                *counts = before;
                self.mask_text(plan, text, name, scratch, out, counts)
            }
        }
    }

    /// Appends the text with the hits replaced.
    fn replace(&self, plan: &ContentPlan, text: &[u8], hits: &[Hit], out: &mut Vec<u8>, counts: &mut Counts) {
        let mut at = 0;
        for h in hits {
            out.extend_from_slice(text.get(at..h.range.start).unwrap_or_default());
            // Detectors end at ASCII, so a hit in UTF-8 is UTF-8; in other bytes it may not be, and is then hidden whole.
            let new = match text.get(h.range.clone()).map(std::str::from_utf8) {
                Some(Ok(found)) => self.apply_within(plan.transform(h.detector), found),
                _ => crate::REDACTED.into(),
            };
            out.extend_from_slice(new.as_bytes());
            counts.count(h.detector);
            at = h.range.end;
        }
        out.extend_from_slice(text.get(at..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests;
