//! `countersign sessions replay`: a session at the pace that it had.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use countersign_model::{Decision, Timestamp};
use countersign_recording::{
    IntentRecord, OutcomeRecord, Parameters, Record, RecordEntry, RecordFilter, SessionHeader,
};

use crate::failed::Failed;

use super::super::paper::Paper;
use super::super::text::{count, inert, inert_lines, moment, time_of_day, wrap};
use super::postgres::Results;
use super::terminal::Streams;
use super::{Chosen, Damaged, Recordings, recording_failed, words};

/// Statements whose results are put together at one time.
const OPEN_STATEMENTS_MAX: usize = 256;
const INDENT: usize = 4;

/// `countersign sessions replay`.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    recordings: Recordings,
    /// The session's id, or "latest".
    #[arg(value_name = "SESSION", value_parser = Chosen::parse)]
    session: Chosen,
    /// How many times faster than it was; 0 does not wait at all.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0, value_parser = parse_speed)]
    speed: f64,
    /// The longest pause, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    max_pause: u16,
    /// The most rows of each result.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    rows: u32,
}

/// What is put together while a statement runs.
enum Answer {
    Rows(Box<Results>),
    /// What a program over SSH said, shown as it came.
    Streams(Box<Streams>),
    /// Of a protocol that this binary cannot read, or one too many.
    Bytes(u64),
}

struct Player<'a> {
    args: &'a Replay,
    paper: &'a mut Paper,
    answers: BTreeMap<u64, Answer>,
    /// When what was played last had happened.
    last: Option<Timestamp>,
}

fn parse_speed(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|s| (0.0..=1_000_000.0).contains(s))
        .ok_or_else(|| "it is a number from 0 to 1000000".to_owned())
}

/// Runs it.
pub(super) async fn run(args: &Replay, paper: &mut Paper) -> Result<(), Failed> {
    let reader = args.recordings.reader()?;
    let id = args.session.find(&reader)?;
    let filter = RecordFilter { session: Some(id), ..RecordFilter::default() };
    let mut damaged = Damaged::default();
    let mut player = Player { args, paper, answers: BTreeMap::new(), last: None };
    for record in reader.records(&filter).map_err(recording_failed)? {
        match record {
            Ok(record) => player.play(record).await?,
            Err(e) => damaged.say(&e),
        }
        if player.paper.gone() {
            return Ok(());
        }
    }
    player.paper.done()?;
    damaged.end()
}

impl Player<'_> {
    async fn play(&mut self, record: Record) -> Result<(), Failed> {
        let Record { at, header: Some(header), entry } = record else { return Ok(()) };
        if matches!(entry, RecordEntry::Continued) {
            return Ok(());
        }
        self.wait(at).await?;
        match entry {
            RecordEntry::Opened => self.opened(at, &header),
            RecordEntry::Intent(intent) => self.intent(at, &header, &intent),
            RecordEntry::Output { seq, bytes } => {
                match self.answers.get_mut(&seq) {
                    Some(Answer::Rows(results)) => results.take(&bytes),
                    Some(Answer::Streams(streams)) => {
                        let lines = streams.take(&bytes);
                        return lines.iter().try_for_each(|l| self.wrapped(l));
                    }
                    Some(Answer::Bytes(n)) => *n += bytes.len() as u64,
                    None => {}
                }
                Ok(())
            }
            RecordEntry::Outcome(outcome) => self.outcome(&outcome),
            RecordEntry::Event(event) => self.say(at, &words::event(&event)),
            RecordEntry::Closed(closed) => self.say(at, &format!("closed: {}", words::closed(&closed))),
            RecordEntry::Abandoned => self.say(at, "its recording was dropped without an end"),
            _ => Ok(()),
        }
    }

    /// Waits as long as the session did, by the speed and up to the longest pause.
    async fn wait(&mut self, at: Timestamp) -> Result<(), Failed> {
        let passed = self.last.map_or(0, |last| at.since_us(last));
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        if let Some(pause) = pause(passed, self.args.speed, self.args.max_pause) {
            self.paper.done()?;
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    fn opened(&mut self, at: Timestamp, h: &SessionHeader) -> Result<(), Failed> {
        let part = if h.part.is_empty() { String::new() } else { format!("/{}", h.part) };
        let what = format!("{} on {}{part} from {}, {} UTC", h.identity.name, h.target, h.source, moment(at));
        self.say(at, &what)
    }

    fn say(&mut self, at: Timestamp, what: &str) -> Result<(), Failed> {
        let label = time_of_day(at);
        let room = self.paper.width().saturating_sub(label.len() + 1);
        for (n, line) in wrap(&inert(what), room).iter().enumerate() {
            let blank = " ".repeat(label.len());
            self.paper.line(&format!("{} {line}", if n == 0 { &label } else { &blank }))?;
        }
        Ok(())
    }

    fn wrapped(&mut self, line: &str) -> Result<(), Failed> {
        let room = self.paper.width().saturating_sub(INDENT);
        wrap(line, room).iter().try_for_each(|l| self.indented(l))
    }

    fn indented(&mut self, line: &str) -> Result<(), Failed> {
        self.paper.line(&format!("{:INDENT$}{line}", ""))
    }

    fn intent(&mut self, at: Timestamp, h: &SessionHeader, intent: &IntentRecord) -> Result<(), Failed> {
        let verdict = &intent.definition.verdict;
        let what = format!(
            "#{} {} {} ({})",
            intent.seq,
            words::decision(verdict),
            words::what(intent),
            words::because(intent)
        );
        self.say(at, &what)?;
        let room = self.paper.width().saturating_sub(INDENT);
        for line in inert_lines(&intent.text).iter().flat_map(|l| wrap(l, room)) {
            self.indented(&line)?;
        }
        for parameter in words::parameters(&h.protocol, &intent.parameters).iter().flat_map(|p| wrap(p, room)) {
            self.indented(&parameter)?;
        }
        if verdict.decision != Decision::Deny && self.answers.len() < OPEN_STATEMENTS_MAX {
            let parameters = match &intent.parameters {
                Parameters::Kept(bytes) => bytes.as_slice(),
                Parameters::Digest { .. } => &[],
            };
            let answer = if h.protocol == "postgres" {
                Answer::Rows(Box::new(Results::new(parameters, self.args.rows as usize)))
            } else if h.protocol == "ssh" {
                Answer::Streams(Box::default())
            } else {
                Answer::Bytes(0)
            };
            self.answers.insert(intent.seq, answer);
        }
        Ok(())
    }

    fn outcome(&mut self, outcome: &OutcomeRecord) -> Result<(), Failed> {
        let room = self.paper.width().saturating_sub(INDENT);
        match self.answers.remove(&outcome.seq) {
            Some(Answer::Rows(results)) => results.lines(room).iter().try_for_each(|l| self.indented(l))?,
            Some(Answer::Streams(mut streams)) => {
                if let Some(rest) = streams.rest() {
                    self.wrapped(&rest)?;
                }
            }
            Some(Answer::Bytes(n)) if n > 0 => self.indented(&format!("({} of results)", count(n, "byte")))?,
            _ => {}
        }
        self.indented(&format!("→ #{} {}", outcome.seq, words::outcome(outcome)))
    }
}

/// How long to wait for what took so many microseconds; `None` when not at all.
fn pause(passed_us: u64, speed: f64, max_s: u16) -> Option<Duration> {
    if speed <= 0.0 || passed_us == 0 {
        return None;
    }
    let max = Duration::from_secs(u64::from(max_s));
    Some(Duration::try_from_secs_f64(Duration::from_micros(passed_us).as_secs_f64() / speed).unwrap_or(max).min(max))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{parse_speed, pause};

    #[test]
    fn pauses_follow_the_speed_up_to_the_longest() {
        for (us, speed, max_s, expected_ms) in [
            (1_000_000, 1.0, 3, Some(1000)),
            (1_000_000, 2.0, 3, Some(500)),
            (1_000_000, 0.5, 3, Some(2000)),
            (60_000_000, 1.0, 3, Some(3000)),
            (u64::MAX, 0.001, 3, Some(3000)),
            (1_000_000, 0.0, 3, None),
            (0, 1.0, 3, None),
        ] {
            assert_eq!(pause(us, speed, max_s), expected_ms.map(Duration::from_millis), "{us} at {speed}");
        }
        for (text, fine) in
            [("1", true), ("0", true), ("0.5", true), ("-1", false), ("NaN", false), ("inf", false), ("x", false)]
        {
            assert_eq!(parse_speed(text).is_ok(), fine, "{text}");
        }
    }
}
