//! What is applied over the API: checked, kept in the store as a revision, and put in force at every gateway of it.
//!
//! It must never put a set in force that was not kept, nor leave one out quietly: a gateway that cannot enforce the latest keeps the one
//! before and says so; one that starts without knowing any lets nobody through to a target.

pub(crate) mod build;
mod diff;
mod lines;

use std::sync::Arc;
use std::time::Duration;

use countersign_api::{
    AppliedFile, AppliedView, Apply, ConfigurationDoors, DiffView, FileProblemView, MayApply, Problem,
    RevisionDetailView, RevisionPage, RevisionView, Wanted,
};
use countersign_enforce::BoxFuture;
use countersign_policy::{Language, PolicyStore};
use countersign_store::{AppliedRecord, Store, StoreError};
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use crate::failed::Failed;
use crate::house::House;
use build::{Built, Own, build, build_shut, told};

/// How often the store is asked for a new revision.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// The most problems that are told where a log line or one sentence has to do.
const TOLD_MAX: usize = 5;

/// What this gateway has in force of what was applied.
#[derive(Clone, Debug, Default)]
pub(crate) struct InForce {
    /// The revision; 0 for none.
    pub(crate) revision: u64,
    /// Its files.
    pub(crate) files: Arc<Vec<AppliedFile>>,
    /// The latest that was looked at.
    pub(crate) seen: u64,
    /// Why that is not the one in force.
    pub(crate) problem: Option<String>,
    /// Nobody is let through, because none could be put in force since this process started.
    pub(crate) is_shut: bool,
}

impl InForce {
    /// Whether the latest revision is in force.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.problem.as_ref().map_or(Ok(()), |why| {
            let instead = if self.is_shut {
                "every target is shut".to_owned()
            } else {
                format!("revision {} stays in force", self.revision)
            };
            Err(format!("revision {} cannot be put in force here, {instead}: {why}", self.seen))
        })
    }

    /// What is enforced with it.
    pub(crate) fn build(
        &self,
        own: &Own,
        started: &countersign_config::Config,
        language: &Arc<Language>,
    ) -> Result<Built, Vec<FileProblemView>> {
        if self.is_shut { build_shut(own, started, language) } else { build(own, started, &self.files, language) }
    }
}

/// Some problems in a few lines.
fn summary(problems: &[FileProblemView]) -> String {
    let mut lines: Vec<String> = problems.iter().take(TOLD_MAX).map(told).collect();
    if problems.len() > TOLD_MAX {
        lines.push(format!("and {} more", problems.len() - TOLD_MAX));
    }
    lines.join("\n")
}

/// What is in force when a gateway starts.
pub(crate) async fn at_start(own: &Own, store: &Store, language: &Arc<Language>) -> Result<(InForce, Built), Failed> {
    let latest = store.latest_applied().await.map_err(Failed::new)?;
    let files = match latest {
        0 => Ok(Vec::new()),
        latest => files_of(store, latest).await.map_err(|e| Failed::new(e.to_string()))?,
    };
    let built = match &files {
        Ok(files) => build(own, &own.config, files, language).map_err(|problems| summary(&problems)),
        Err(why) => Err(why.clone()),
    };
    match built {
        Ok(built) => {
            let files = Arc::new(files.unwrap_or_default());
            Ok((InForce { revision: latest, files, seen: latest, ..InForce::default() }, built))
        }
        Err(why) => {
            let shut = InForce { seen: latest, problem: Some(why), is_shut: true, ..InForce::default() };
            // What is wrong with the gateway's own configuration is wrong without anything applied, too.
            let built = shut.build(own, &own.config, language).map_err(|problems| build::failed(&problems))?;
            if let Err(why) = shut.check() {
                tracing::error!("{why}");
            }
            Ok((shut, built))
        }
    }
}

/// The files of a revision, or why there are none.
async fn files_of(store: &Store, revision: u64) -> Result<Result<Vec<AppliedFile>, String>, StoreError> {
    Ok(match store.applied(revision).await? {
        None => Err(format!("there is no revision {revision}")),
        Some((_, None)) => Err(format!("the files of revision {revision} are not kept any more")),
        Some((_, Some(files))) => serde_json::from_str(&files)
            .map_err(|e| format!("revision {revision} was written by another version and cannot be read: {e}")),
    })
}

/// Puts the latest revision in force if it is another than the one that was looked at last.
pub(crate) async fn refresh(house: &Arc<House>) -> Result<(), StoreError> {
    let _one = house.refreshing.lock().await;
    let store = &house.cellar.store;
    let latest = store.latest_applied().await?;
    if latest == house.applied.load().seen {
        return Ok(());
    }
    let files = files_of(store, latest).await?;
    let taking = house.clone();
    let done = tokio::task::spawn_blocking(move || match files {
        Ok(files) => taking.take_applied(latest, files),
        Err(why) => Err(why),
    });
    let done = done.await.unwrap_or_else(|e| Err(format!("internal error: {e}")));
    match done {
        Ok(()) => tracing::info!(revision = latest, "what was applied is in force"),
        Err(why) => {
            let kept = InForce { seen: latest, problem: Some(why), ..InForce::clone(&house.applied.load()) };
            if let Err(why) = kept.check() {
                tracing::error!("{why}");
            }
            house.applied.store(Arc::new(kept));
        }
    }
    Ok(())
}

/// Keeps up with what other gateways of the store apply.
pub(crate) async fn watch(house: Arc<House>) {
    let mut well = true;
    loop {
        tokio::time::sleep(POLL_INTERVAL).await;
        match refresh(&house).await {
            Ok(()) => well = true,
            Err(e) if well => {
                tracing::warn!(error = %e, "it cannot be told whether something was applied");
                well = false;
            }
            Err(_) => {}
        }
    }
}

/// The service behind the doors.
pub(crate) struct Applying {
    house: Arc<House>,
    /// Checking takes a core and memory: one set at a time.
    checking: Arc<Semaphore>,
}

fn unavailable(e: &StoreError) -> Problem {
    if let StoreError::Limit(why) = e {
        return Problem::with_status(413, why.clone());
    }
    tracing::warn!(error = %e, "the store could not be asked about what is applied");
    Problem::with_status(503, "the store cannot do it now: try again")
}

fn view(r: AppliedRecord) -> RevisionView {
    RevisionView {
        revision: r.revision,
        digest: r.digest,
        by: r.by,
        at: r.at.rfc3339(),
        message: r.message,
        has_files: r.has_files,
    }
}

/// SHA-256 of the files in the order of their paths; lengths keep two of them from being taken for one.
fn digest(files: &[AppliedFile]) -> String {
    let mut sum = Sha256::new();
    for file in files {
        for text in [&file.path, &file.text] {
            sum.update((text.len() as u64).to_be_bytes());
            sum.update(text.as_bytes());
        }
    }
    sum.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// What was found of a set: what may be put in force, or what is wrong.
struct Checked {
    problems: Vec<FileProblemView>,
    warnings: Vec<FileProblemView>,
    locks_out: bool,
}

impl Applying {
    pub(crate) fn new(house: Arc<House>) -> Self {
        Self { house, checking: Arc::new(Semaphore::new(1)) }
    }

    fn store(&self) -> &Store {
        &self.house.cellar.store
    }

    /// The files, in the order of their paths.
    async fn wanted(&self, wanted: Wanted) -> Result<Vec<AppliedFile>, Problem> {
        match wanted {
            Wanted::Files(mut files) => {
                files.sort_by(|a, b| a.path.cmp(&b.path));
                Ok(files)
            }
            Wanted::Revision(revision) => {
                let files = files_of(self.store(), revision).await.map_err(|e| unavailable(&e))?;
                files.map_err(|why| Problem::with_status(404, why))
            }
        }
    }

    /// The latest revision and its files. A revision whose files cannot be read has none.
    async fn latest(&self) -> Result<(u64, Vec<AppliedFile>), Problem> {
        let latest = self.store().latest_applied().await.map_err(|e| unavailable(&e))?;
        if latest == 0 {
            return Ok((0, Vec::new()));
        }
        let files = files_of(self.store(), latest).await.map_err(|e| unavailable(&e))?;
        Ok((latest, files.unwrap_or_default()))
    }

    /// The names of the vault's secrets; `None` where they cannot be listed.
    async fn secrets(&self) -> Option<Vec<String>> {
        let listed = self.house.cellar.vault.as_ref()?.list().await.ok()?;
        Some(listed.into_iter().map(|s| s.name).collect())
    }

    async fn check(&self, files: Arc<Vec<AppliedFile>>, may: MayApply) -> Result<Checked, Problem> {
        let known = self.secrets().await;
        let house = self.house.clone();
        let check = move || {
            let own = house.own.load();
            match build(&own, &house.config, &files, &house.language) {
                Err(problems) => Checked { problems, warnings: Vec::new(), locks_out: false },
                Ok(built) => {
                    let next = PolicyStore::new(built.set).granting(Arc::new(house.grants.clone()));
                    let mut warnings = built.warnings;
                    let is_there = |name: &String| known.as_ref().is_none_or(|all| all.contains(name));
                    warnings.extend(built.secrets.into_iter().filter(|(n, _)| !is_there(n)).map(|(_, w)| w));
                    Checked { problems: Vec::new(), warnings, locks_out: may(&*house.policy) && !may(&next) }
                }
            }
        };
        self.blocking(check).await
    }

    /// Does something that takes a while, one at a time.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let internal = |_| Problem::with_status(500, "internal error: it could not be checked");
        let one = self.checking.clone().acquire_owned().await;
        let one = one.map_err(|_| Problem::with_status(503, "the gateway stops"))?;
        let work = move || {
            // Held until it is done, even when nobody waits for the answer any more.
            let _one = one;
            work()
        };
        tokio::task::spawn_blocking(work).await.map_err(internal)
    }
}

impl ConfigurationDoors for Applying {
    fn list(&self, before: Option<u64>, limit: usize) -> BoxFuture<'_, Result<RevisionPage, Problem>> {
        Box::pin(async move {
            let latest = self.store().latest_applied().await.map_err(|e| unavailable(&e))?;
            let most = u32::try_from(limit).unwrap_or(u32::MAX);
            let found = self.store().list_applied(before, most).await.map_err(|e| unavailable(&e))?;
            // Numbers have no gaps, and the first is 1.
            let next = found.last().map(|r| r.revision).filter(|last| *last > 1);
            let here = self.house.applied.load();
            Ok(RevisionPage {
                latest,
                in_force: here.revision,
                problem: here.check().err(),
                revisions: found.into_iter().map(view).collect(),
                next,
            })
        })
    }

    fn show(&self, revision: u64) -> BoxFuture<'_, Result<RevisionDetailView, Problem>> {
        Box::pin(async move {
            let found = self.store().applied(revision).await.map_err(|e| unavailable(&e))?;
            let none = || Problem::with_status(404, format!("there is no revision {revision}"));
            let (record, files) = found.ok_or_else(none)?;
            let files = files.and_then(|f| serde_json::from_str(&f).ok()).unwrap_or_default();
            Ok(RevisionDetailView { revision: view(record), files })
        })
    }

    fn diff(&self, wanted: Wanted, from: Option<u64>, may: MayApply) -> BoxFuture<'_, Result<DiffView, Problem>> {
        Box::pin(async move {
            let new = Arc::new(self.wanted(wanted).await?);
            let (base, old) = match from {
                None => self.latest().await?,
                Some(revision) => (revision, self.wanted(Wanted::Revision(revision)).await?),
            };
            let checked = self.check(new.clone(), may).await?;
            let language = self.house.language.clone();
            let compared = new.clone();
            let (changes, files) = self
                .blocking(move || (diff::changes(&old, &compared, &language), diff::files(&old, &compared)))
                .await?;
            Ok(DiffView {
                base,
                digest: digest(&new),
                changes,
                files,
                problems: checked.problems,
                warnings: checked.warnings,
                locks_you_out: checked.locks_out,
            })
        })
    }

    fn apply(&self, order: Apply) -> BoxFuture<'_, Result<AppliedView, Problem>> {
        Box::pin(async move {
            let files = Arc::new(self.wanted(order.wanted).await?);
            let digest = digest(&files);
            let (latest, old) = self.latest().await?;
            if old == *files {
                return Ok(AppliedView { revision: latest, changed: false, digest });
            }
            let raced = || {
                let why = "something else was applied meanwhile: look at the difference again, then apply";
                Problem::with_status(409, why)
            };
            if latest != order.base {
                return Err(raced());
            }
            let checked = self.check(files.clone(), order.may).await?;
            if !checked.problems.is_empty() {
                let why = format!("{} in the files:\n{}", errors(checked.problems.len()), summary(&checked.problems));
                return Err(Problem::with_status(422, why));
            }
            if checked.locks_out && !order.allow_lock_out {
                let why = "after this you could apply nothing any more, nor take it back: set allow_lock_out if that is meant";
                return Err(Problem::with_status(422, why));
            }
            let record = AppliedRecord {
                revision: latest.saturating_add(1),
                digest: digest.clone(),
                by: order.by,
                at: order.now,
                message: order.message,
                has_files: true,
            };
            let text = serde_json::to_string(&*files)
                .map_err(|_| Problem::with_status(500, "internal error: the files cannot be kept"))?;
            if !self.store().add_applied(order.base, &record, &text).await.map_err(|e| unavailable(&e))? {
                return Err(raced());
            }
            tracing::info!(revision = record.revision, by = record.by, "applied");
            // It is kept: should it not be read back just now, the next poll does.
            if let Err(e) = refresh(&self.house).await {
                tracing::warn!(error = %e, "what was applied could not be read back yet");
            }
            Ok(AppliedView { revision: record.revision, changed: true, digest })
        })
    }
}

fn errors(count: usize) -> String {
    if count == 1 { "one error".to_owned() } else { format!("{count} errors") }
}
