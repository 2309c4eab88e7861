//! `--watch`: a list again, each time that something in it may have changed, told by the gateway's server-sent events.
//!
//! It must never take what an event says for the thing itself: that is asked for anew.

use std::io::IsTerminal as _;
use std::time::Duration;

use reqwest::Response;

use super::desk::AtGateway;
use crate::failed::Failed;
use crate::output;

/// The longest event that is read.
const EVENT_BYTES_MAX: usize = 64 * 1024;
/// A stream that broke is asked for again after this time, and after twice as long each time that it does not come back.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Changes at a gateway.
pub(crate) struct Changes {
    at: AtGateway,
    stream: Option<Response>,
    read: Vec<u8>,
    last: Option<String>,
}

impl Changes {
    /// Begins to listen, so that what changes after a first look is not missed.
    pub(crate) async fn open(at: &AtGateway) -> Result<Self, Failed> {
        let stream = at.open().await?.events(None).await?;
        Ok(Self { at: at.clone(), stream: Some(stream), read: Vec::new(), last: None })
    }

    /// Waits until something of these nouns changed (`session`, `lock`, `review`, `grant`), or may have.
    pub(crate) async fn wait(&mut self, noun: &str) -> Result<(), Failed> {
        loop {
            let Some(event) = self.event().await? else { continue };
            if event.split('.').next() == Some(noun) || event == "reset" {
                return Ok(());
            }
        }
    }

    /// The name of the next event; `None` when the stream had to be asked for again.
    async fn event(&mut self) -> Result<Option<String>, Failed> {
        loop {
            if let Some(end) = self.read.windows(2).position(|w| w == b"\n\n") {
                let text: Vec<u8> = self.read.drain(..end + 2).collect();
                let text = String::from_utf8_lossy(&text);
                let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
                if let Some(id) = field("id") {
                    self.last = Some(id.to_owned());
                }
                if let Some(event) = field("event") {
                    return Ok(Some(event.to_owned()));
                }
                continue;
            }
            let part = match &mut self.stream {
                Some(stream) => stream.chunk().await.ok().flatten(),
                None => None,
            };
            match part {
                Some(part) if self.read.len() + part.len() <= EVENT_BYTES_MAX => self.read.extend_from_slice(&part),
                _ => {
                    self.again().await?;
                    return Ok(None);
                }
            }
        }
    }

    /// Listens again, after what was heard last. Who still refuses after a minute, or is still not there, has the last word.
    async fn again(&mut self) -> Result<(), Failed> {
        self.stream = None;
        self.read.clear();
        let mut pause = PAUSE;
        loop {
            tokio::time::sleep(pause).await;
            match self.at.open().await?.events(self.last.as_deref()).await {
                Ok(stream) => {
                    self.stream = Some(stream);
                    return Ok(());
                }
                Err(e) if pause == PAUSE_MAX => return Err(e),
                Err(_) => pause = (pause * 2).min(PAUSE_MAX),
            }
        }
    }
}

/// A clean sheet before the next list: on a terminal alone.
pub(crate) fn clear() -> Result<(), Failed> {
    if std::io::stdout().is_terminal() { output::say("\u{1b}[2J\u{1b}[H") } else { Ok(()) }
}
