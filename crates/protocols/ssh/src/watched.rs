//! Actions that run only while somebody watches. Nothing goes either way while nobody does; it must never go on by itself.

use std::sync::Arc;
use std::time::Duration;

use countersign_enforce::SessionEvent;
use countersign_model::{ClientText, Culprit, Denial, DenialCode, WatchSpec};
use russh::ChannelId;
use russh::server::Handle;
use tokio::time::Instant;

use crate::pump::STDERR;
use crate::visit::Visit;

/// One action, and who has to watch it.
pub(crate) struct Watch<'a> {
    visit: &'a Visit,
    handle: &'a Handle,
    channel: ChannelId,
    seq: u64,
    spec: Arc<WatchSpec>,
    /// Whether it may go on; at first nothing is known, which is no.
    free: bool,
    /// When it ends unless somebody watches.
    ends: Instant,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(
        visit: &'a Visit,
        (handle, channel): (&'a Handle, ChannelId),
        seq: u64,
        spec: Arc<WatchSpec>,
    ) -> Self {
        let ends = Instant::now() + Duration::from_secs(spec.wait_s);
        Self { visit, handle, channel, seq, spec, free: false, ends }
    }

    /// The same of one that began already.
    pub(crate) fn begun(self) -> Self {
        Self { free: true, ..self }
    }

    /// Whether it may go on, as far as was looked.
    pub(crate) fn is_free(&self) -> bool {
        self.free
    }

    /// Waits until it may begin.
    pub(crate) async fn begins(&mut self) -> Result<(), Denial> {
        if !self.visit.host.is_watched(&self.spec) {
            self.says_held();
        }
        while !self.free {
            self.turn().await?;
        }
        Ok(())
    }

    /// Waits until somebody who has to watch comes or goes.
    ///
    /// # Errors
    /// When nobody has come for as long as it waits, or it cannot be recorded.
    pub(crate) async fn turn(&mut self) -> Result<(), Denial> {
        let host = &*self.visit.host;
        loop {
            // Ahead of the look: what changes after it is heard of.
            let changed = host.watchers_changed();
            let watched = host.is_watched(&self.spec);
            if watched != self.free {
                self.free = watched;
                self.ends = Instant::now() + Duration::from_secs(self.spec.wait_s);
                host.event(&SessionEvent::Watched { seq: self.seq, on: watched, by: &host.watchers() })?;
                if !watched {
                    self.says_held();
                }
                return Ok(());
            }
            if watched {
                changed.await;
            } else if tokio::time::timeout_at(self.ends, changed).await.is_err() {
                return Err(nobody(&self.spec));
            }
        }
    }

    fn says_held(&self) {
        let (handle, channel, spec) = (self.handle.clone(), self.channel, &self.spec);
        let text = format!(
            "\r\ncountersign: this goes on only while somebody of {spec} watches it; it waits for {} s\r\n",
            spec.wait_s
        );
        // Not waited for: a client that does not read must not keep it from ending.
        tokio::spawn(async move { handle.extended_data(channel, STDERR, text).await.is_ok() });
    }
}

fn nobody(spec: &WatchSpec) -> Denial {
    let text = ClientText::new("nobody of ").name(&spec.to_string()).and(" watched this for ").number(spec.wait_s);
    Denial::new(Culprit::Policy, DenialCode::Forbidden, text.and(" seconds"))
        .hint(ClientText::new("Ask one of them to watch: countersign sessions watch, with the session's id."))
}
