//! `countersign sessions watch`: what a live session's terminal shows, while it runs.
//!
//! On a terminal it is played to an emulator, and the emulator's screen is drawn: so a full-screen program looks as it does for who runs
//! it, and nothing that the target wrote acts on the watcher's terminal. Elsewhere it comes line by line, escape sequences shown as text.

use std::io::IsTerminal as _;
use std::time::Duration;

use avt::Terminal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use countersign_model::SessionId;
use reqwest::Response;
use serde_json::Value;

use super::super::paper::Paper;
use super::super::text::{cut, inert, inert_lines};
use super::terminal::{Piece, Streams, Text};
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
/// The largest screen that is drawn, in characters: nobody's terminal is larger, and a session may claim any size.
const COLUMNS_MAX: u32 = 500;
const ROWS_MAX: u32 = 200;

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
    Screen(Box<Screen>),
}

impl View {
    fn new(args: &Watch) -> Self {
        if is_json(args.output) {
            Self::Json
        } else if args.lines || !std::io::stdout().is_terminal() {
            Self::Lines(Box::default())
        } else {
            Self::Screen(Box::new(Screen::new(&args.id.to_string())))
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
            Self::Screen(screen) => {
                match kind {
                    "output" => screen.take(&bytes()),
                    "watching" => screen.who = format!("{} on {}", inert(text("identity")), inert(text("target"))),
                    "closed" => screen.state = "it ended",
                    _ => {}
                }
                return output::say(&screen.drawn(paper.width()));
            }
        }
        paper.done()
    }
}

/// The emulator, and what is said above its screen.
pub(super) struct Screen {
    id: String,
    who: String,
    state: &'static str,
    text: Text,
    terminal: Option<Terminal>,
}

impl Screen {
    pub(super) fn new(id: &str) -> Self {
        Self { id: id.to_owned(), who: String::new(), state: "live", text: Text::default(), terminal: terminal(80, 24) }
    }

    /// Takes a recorded piece.
    pub(super) fn take(&mut self, entry: &[u8]) {
        match Piece::read(entry) {
            Some(Piece::Output(bytes) | Piece::Error(bytes)) => {
                let text = self.text.push(bytes);
                if let Some(terminal) = &mut self.terminal {
                    terminal.feed([text.as_str()]);
                }
            }
            Some(Piece::Resize(columns, rows)) => {
                let (columns, rows) = (columns.min(COLUMNS_MAX), rows.min(ROWS_MAX));
                match &mut self.terminal {
                    Some(terminal) => terminal.resize(columns as usize, rows as usize),
                    none => *none = terminal(columns, rows),
                }
            }
            Some(Piece::Input(_) | Piece::Digest(_)) | None => {}
        }
    }

    /// The lines of the screen, without anything that acts on a terminal.
    pub(super) fn lines(&self) -> Vec<String> {
        let lines = self.terminal.iter().flat_map(|t| t.screen().visible_lines());
        lines.map(|l| inert(&l.text()).trim_end().to_owned()).collect()
    }

    /// A clean sheet with all of it: what acts on the watcher's terminal is in this text alone.
    fn drawn(&self, width: usize) -> String {
        let mut lines = self.lines();
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        let title = cut(&format!("watching {} ({}, {})", self.id, self.who, self.state), width);
        let shown: Vec<String> = lines.iter().map(|l| cut(l, width)).collect();
        format!("\u{1b}[H\u{1b}[2J{title}\n{}\n{}", "-".repeat(width), shown.join("\n"))
    }
}

fn terminal(columns: u32, rows: u32) -> Option<Terminal> {
    // Refused are sizes without an inside, which no piece has.
    Terminal::new(columns as usize, rows as usize).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn adv_058_a_watcher_sees_the_screen_and_nothing_acts() {
        let mut screen = Screen::new("01J");
        screen.take(b"r20x5");
        screen.take(b"oone\r\n\x1b[31mtwo\x1b[0m\x1b[3;5Hthree \xc3");
        screen.take(b"o\xbc\x1b]0;title\x07\x1b]52;c;cm0gLXJm\x07\x1b[6n\x1b[?1000h");
        screen.take(b"inever shown");
        let lines = screen.lines();
        assert_eq!(lines.len(), 5);
        assert_eq!(&lines[..3], ["one", "two", "    three \u{fc}"]);
        let drawn = screen.drawn(40);
        assert_eq!(drawn.matches('\u{1b}').count(), 2, "those of ours: {drawn:?}");
        assert!(!drawn.contains("52;c") && !drawn.contains("title"), "{drawn:?}");
        screen.take("o\x1b[H\x1b[2J\u{202e}evil\u{200b}".as_bytes());
        assert!(screen.lines().concat().chars().all(|c| !c.is_control() && c != '\u{202e}'));
    }

    #[test]
    fn no_screen_is_too_large() {
        let mut screen = Screen::new("01J");
        screen.take(b"r10000x10000");
        assert_eq!(screen.terminal.as_ref().unwrap().size(), (COLUMNS_MAX as usize, ROWS_MAX as usize));
        screen.take(b"r500x200");
        assert_eq!(screen.lines().len(), 200);
        screen.take(b"o\x1b[99999;99999Hx\x1b[1000000000@\x1b[999999999S");
        assert_eq!(screen.lines().len(), 200);
    }
}
