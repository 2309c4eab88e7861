//! Settings of the recorder, with their limits.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use countersign_model::TargetName;

use crate::RecordingError;
use crate::journal::REFUSED;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// Limits of [`RecordingConfig::segment_bytes`].
const SEGMENT_BYTES: RangeInclusive<u64> = 256 * KIB..=GIB;
/// Limits of [`RecordingConfig::sync_interval`], in milliseconds.
const SYNC_INTERVAL_MS: RangeInclusive<u64> = 1..=60_000;
/// Limits of [`RecordingConfig::shards`].
const SHARDS: RangeInclusive<u64> = 1..=64;
/// Limits of [`RecordingConfig::segment_age`], in seconds.
const SEGMENT_AGE_S: RangeInclusive<u64> = 1..=7 * 24 * 3600;
/// Limits of [`Retention::days`].
const RETENTION_DAYS: RangeInclusive<u64> = 1..=36_500;

/// What is kept of one target. Both may be given; whichever is passed first removes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Sealed segments whose newest entry is older than this many days are removed; `None` keeps them. 1 to 36,500.
    pub days: Option<u32>,
    /// When the target's segments take more bytes than this, the oldest sealed ones are removed; `None` is unlimited. At least
    /// one segment. Open segments are never removed, so a budget may be passed by what is being written.
    pub budget_bytes: Option<u64>,
}

/// Settings of the recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingConfig {
    /// The folder of the recording. It is created with mode 0700.
    pub dir: PathBuf,
    /// The size at which a segment is sealed, in bytes: 256 KiB to 1 GiB. Space is taken in smaller steps.
    pub segment_bytes: u64,
    /// How often written entries are forced to the disk when nobody waits for it: 1 ms to 60 s. A power failure loses at most
    /// this much of what was not asked to be durable; a crash of the gateway loses nothing.
    pub sync_interval: Duration,
    /// The age at which a segment that has entries is sealed even when it is small: 1 s to 7 days.
    pub segment_age: Duration,
    /// How many segments of one target are written side by side, so that sessions seldom wait for each other: 1 to 64.
    pub shards: usize,
    /// What is kept of targets that are not in `targets`.
    pub retention: Retention,
    /// What is kept of refused connections, which anybody who reaches a listener can cause.
    pub refused: Retention,
    /// What is kept of a target.
    pub targets: BTreeMap<TargetName, Retention>,
}

impl RecordingConfig {
    /// The defaults for a folder: segments of 64 MiB or an hour, a sync every 200 ms, four shards, everything kept.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            segment_bytes: 64 * MIB,
            sync_interval: Duration::from_millis(200),
            segment_age: Duration::from_secs(3600),
            shards: 4,
            retention: Retention::default(),
            refused: Retention::default(),
            targets: BTreeMap::new(),
        }
    }

    /// Checks every setting against its limits.
    ///
    /// # Errors
    /// Names the first setting that is outside them.
    pub fn check(&self) -> Result<(), RecordingError> {
        within("segment_bytes", self.segment_bytes, &SEGMENT_BYTES)?;
        within(
            "sync_interval_ms",
            u64::try_from(self.sync_interval.as_millis()).unwrap_or(u64::MAX),
            &SYNC_INTERVAL_MS,
        )?;
        within("segment_age_s", self.segment_age.as_secs(), &SEGMENT_AGE_S)?;
        within("shards", self.shards as u64, &SHARDS)?;
        check_retention(&self.retention, self.segment_bytes)?;
        check_retention(&self.refused, self.segment_bytes)?;
        self.targets.values().try_for_each(|r| check_retention(r, self.segment_bytes))
    }

    /// What is kept of a journal.
    pub(crate) fn retention_of(&self, journal: &str) -> Retention {
        if journal == REFUSED {
            return self.refused;
        }
        self.targets.iter().find(|(t, _)| t.as_str() == journal).map_or(self.retention, |(_, r)| *r)
    }
}

fn check_retention(retention: &Retention, segment_bytes: u64) -> Result<(), RecordingError> {
    if let Some(days) = retention.days {
        within("retention_days", u64::from(days), &RETENTION_DAYS)?;
    }
    if let Some(budget) = retention.budget_bytes {
        within("budget_bytes", budget, &(segment_bytes..=u64::MAX))?;
    }
    Ok(())
}

fn within(setting: &'static str, given: u64, limits: &RangeInclusive<u64>) -> Result<(), RecordingError> {
    if limits.contains(&given) {
        return Ok(());
    }
    Err(RecordingError::Setting {
        setting,
        given: given.to_string(),
        must: format!("from {} to {}", limits.start(), limits.end()),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{RecordingConfig, Retention};

    #[test]
    fn settings_outside_their_limits_are_named() {
        let check = |change: &dyn Fn(&mut RecordingConfig), setting: Option<&str>| {
            let mut c = RecordingConfig::new("/x");
            change(&mut c);
            let error = c.check().err().map(|e| e.to_string());
            match setting {
                None => assert_eq!(error, None),
                Some(s) => assert!(error.as_deref().is_some_and(|e| e.contains(s)), "{s}: {error:?}"),
            }
        };
        check(&|_| {}, None);
        check(&|c| c.segment_bytes = 256 << 10, None);
        check(&|c| c.segment_bytes = (256 << 10) - 1, Some("segment_bytes"));
        check(&|c| c.segment_bytes = 1 << 30, None);
        check(&|c| c.segment_bytes = (1 << 30) + 1, Some("segment_bytes"));
        check(&|c| c.sync_interval = Duration::from_micros(999), Some("sync_interval_ms"));
        check(&|c| c.sync_interval = Duration::from_secs(61), Some("sync_interval_ms"));
        check(&|c| c.segment_age = Duration::ZERO, Some("segment_age_s"));
        check(&|c| c.shards = 0, Some("shards"));
        check(&|c| c.shards = 65, Some("shards"));
        check(&|c| c.retention.days = Some(0), Some("retention_days"));
        check(&|c| c.retention.budget_bytes = Some(1), Some("budget_bytes"));
        check(&|c| c.retention = Retention { days: Some(1), budget_bytes: Some(c.segment_bytes) }, None);
    }
}
