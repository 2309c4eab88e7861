//! `countersign sessions watch`: what a live session's terminal shows, while it runs.
//!
//! On a terminal it is played to an emulator, and the emulator's screen is drawn: so a full-screen program looks as it does for who runs
//! it, and nothing that the target wrote acts on the watcher's terminal. Elsewhere it comes line by line, escape sequences shown as text.

use std::io::IsTerminal as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use countersign_model::SessionId;
use reqwest::Response;
use serde_json::Value;

use super::super::paper::Paper;
use super::super::text::{cut, inert, inert_lines};
use super::screen::Screen;
use super::terminal::Streams;
use super::{is_json, parse_session};
use crate::cli::Format;
use crate::client::desk::AtGateway;
use crate::failed::Failed;
use crate::output;

/// The longest event that is read: a recorded piece, in base64.
const EVENT_BYTES_MAX: usize = 16 << 20;
/// The gateway says something every second; after so long a silence it is asked again.
const SILENCE: Duration = Duration::from_secs(15);
/// A stream that broke is asked for again after this time, so many times in a row.
const PAUSE: Duration = Duration::from_secs(1);
const AGAIN_MAX: usize = 20;
/// `countersign sessions watch`.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    #[command(flatten)]
    at: AtGateway,
    /// The session.
    #[arg(value_name = "SESSION", value_parser = parse_session)]
    id: SessionId,
    /// Line by line, as for a pipe, instead of the screen.
    #[arg(long)]
    lines: bool,
    /// How to print: text, or each event as a line of JSON.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Runs it.
pub(super) async fn run(args: &Watch, paper: &mut Paper) -> Result<(), Failed> {
    let path = format!("/v1/sessions/{}/watch", args.id);
    let mut broke = 0;
    loop {
        let stream = match args.at.open().await?.stream(&path).await {
            Ok(stream) => stream,
            // It may have ended meanwhile, or they may not watch any more: what is said then is the last word.
            Err(e) if broke == 0 || broke >= AGAIN_MAX => return Err(e),
            Err(_) => {
                broke += 1;
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // From the beginning again, so that the screen is whole.
        let mut view = View::new(args);
        let mut events = Events { stream, read: Vec::new() };
        while let Some((kind, data)) = events.next().await {
            broke = 0;
            let over = kind == "closed";
            view.show(&kind, data, paper)?;
            if over || paper.gone() {
                return paper.done();
            }
        }
        broke += 1;
        output::note("the gateway said no more: asking again");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Server-sent events, one after the other.
struct Events {
    stream: Response,
    read: Vec<u8>,
}

impl Events {
    /// The next one with its data; `None` when there are no more.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some(end) = self.read.windows(2).position(|w| w == b"\n\n") {
                let text: Vec<u8> = self.read.drain(..end + 2).collect();
                let text = String::from_utf8_lossy(&text);
                let field = |name: &str| text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(": "));
                if let (Some(kind), Some(data)) = (field("event"), field("data")) {
                    return Some((kind.to_owned(), serde_json::from_str(data).ok()?));
                }
                continue;
            }
            let part = tokio::time::timeout(SILENCE, self.stream.chunk()).await.ok()?.ok()??;
            if self.read.len() + part.len() > EVENT_BYTES_MAX {
                return None;
            }
            self.read.extend_from_slice(&part);
        }
    }
}

/// How it is shown.
enum View {
    Json,
    Lines(Box<Streams>),
    Screen(Box<Drawn>),
}

/// The screen of what began last, and what is said above it.
struct Drawn {
    id: String,
    who: String,
    state: &'static str,
    seq: u64,
    screen: Screen,
}

impl Drawn {
    fn take(&mut self, seq: u64, entry: &[u8]) {
        // Of several at once the youngest is shown.
        if seq > self.seq {
            self.seq = seq;
            self.screen = Screen::default();
        }
        if seq == self.seq {
            self.screen.take(entry);
        }
    }

    /// A clean sheet with all of it: what acts on the watcher's terminal is in this text alone.
    fn text(&self, width: usize) -> String {
        let title = cut(&format!("watching {} ({}, {})", self.id, self.who, self.state), width);
        let lines: Vec<String> = self.screen.lines().iter().map(|l| cut(l, width)).collect();
        format!("\u{1b}[H\u{1b}[2J{title}\n{}\n{}", "-".repeat(width), lines.join("\n").trim_end())
    }
}

impl View {
    fn new(args: &Watch) -> Self {
        if is_json(args.output) {
            Self::Json
        } else if args.lines || !std::io::stdout().is_terminal() {
            Self::Lines(Box::default())
        } else {
            let (who, state) = (String::new(), "live");
            Self::Screen(Box::new(Drawn { id: args.id.to_string(), who, state, seq: 0, screen: Screen::default() }))
        }
    }

    fn show(&mut self, kind: &str, data: Value, paper: &mut Paper) -> Result<(), Failed> {
        let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
        let bytes = || STANDARD.decode(text("bytes_base64")).unwrap_or_default();
        match self {
            Self::Json => {
                let mut line = serde_json::json!({ "event": kind });
                if let (Some(line), Value::Object(data)) = (line.as_object_mut(), data) {
                    line.extend(data);
                }
                paper.line(&line.to_string())?;
            }
            Self::Lines(streams) => match kind {
                "output" => streams.take(&bytes()).iter().try_for_each(|l| paper.line(l))?,
                "action" => {
                    inert_lines(text("text").as_bytes()).iter().try_for_each(|l| paper.line(&format!("$ {l}")))?
                }
                "outcome" | "closed" => streams.rest().iter().try_for_each(|l| paper.line(l))?,
                _ => {}
            },
            Self::Screen(drawn) => {
                match kind {
                    "output" => drawn.take(data.get("seq").and_then(Value::as_u64).unwrap_or_default(), &bytes()),
                    "watching" => drawn.who = format!("{} on {}", inert(text("identity")), inert(text("target"))),
                    "closed" => drawn.state = "it ended",
                    _ => {}
                }
                return output::say(&drawn.text(paper.width()));
            }
        }
        paper.done()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_youngest_program_is_drawn_and_nothing_else_acts() {
        let (id, who) = ("01J".to_owned(), "ana on web-1".to_owned());
        let mut drawn = Drawn { id, who, state: "live", seq: 0, screen: Screen::default() };
        drawn.take(2, b"oolder");
        drawn.take(3, b"o\x1b[2;3Hyoung\x1b]0;title\x07\x1b]52;c;cm0gLXJm\x07");
        drawn.take(2, b"o and late");
        let text = drawn.text(40);
        assert_eq!(text.matches('\u{1b}').count(), 2, "those of ours: {text:?}");
        assert!(text.contains("(ana on web-1, live)") && text.ends_with("\n\n  young"), "{text:?}");
    }
}
