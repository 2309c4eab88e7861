//! SFTP through the gate: every request by path is an action, and what is done with an open file belongs to the action that opened it.
//! Requests that are refused are answered here, between the server's packets. Whatever cannot be read ends the transfer.

mod packet;

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use countersign_enforce::{HoldFacts, Host, Outcome, OutcomeStatus, Proposal};
use countersign_model::{Action, ClientText, Culprit, Denial, DenialCode};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use crate::pump::lost;
use crate::shape;
use crate::target::Sending;
use packet::{Act, Answer, Broken, Meaning, Step};

/// Requests whose answers are owed, and files that are open, at one time.
const RUNNING_MAX: usize = 4096;
const OPEN_MAX: usize = 1024;

/// A file that was opened.
struct Open {
    seq: u64,
    writes: bool,
    bytes: u64,
    /// The content as long as it comes in order.
    digest: Option<Sha256>,
}

/// What an answer is owed for.
enum Running {
    Act { seq: u64, opens: bool, writes: bool },
    Read { handle: Bytes, offset: u64 },
    Close(Bytes),
    Other,
}

#[derive(Default)]
struct State {
    running: HashMap<u32, Running>,
    open: HashMap<Bytes, Open>,
    /// Answers of ours that wait for their place.
    answers: VecDeque<Bytes>,
}

/// The transfers of one channel.
pub(crate) struct Transfers {
    host: Arc<dyn Host>,
    state: Mutex<State>,
    /// There are answers of ours.
    pub(crate) answered: Notify,
}

/// Why a transfer ends.
pub(crate) struct Over;

impl Transfers {
    pub(crate) fn new(host: Arc<dyn Host>) -> Self {
        Self { host, state: Mutex::default(), answered: Notify::new() }
    }

    /// Takes what a client sent, and lets on what may go.
    pub(crate) async fn client_sent(&self, buf: &mut BytesMut, sending: &Sending) -> Result<(), Over> {
        while let Some(frame) = packet::split(buf).map_err(|e| self.broken(e))? {
            match packet::read(&frame).map_err(|e| self.broken(e))? {
                Meaning::Hello | Meaning::Ask => sending.data(frame).await.map_err(|_| Over)?,
                Meaning::Refuse { id, why } => {
                    let denial = Denial::new(Culprit::Client, DenialCode::Unsupported, ClientText::new(why));
                    self.host.rejected(&denial);
                    self.answer(packet::denied(id, why))?;
                }
                Meaning::Act(act) => self.act(frame, act, sending).await?,
                Meaning::Follow { id, handle, step } => match self.follow(id, handle, step, &frame)? {
                    Ok(()) => sending.data(frame).await.map_err(|_| Over)?,
                    Err(why) => self.answer(packet::denied(id, why))?,
                },
            }
        }
        Ok(())
    }

    async fn act(&self, frame: Bytes, act: Act, sending: &Sending) -> Result<(), Over> {
        let Act { id, kind, access, paths, opens } = act;
        let shape = shape::file(kind, access, &paths);
        // What people read of it is its path, which lies within the packet.
        let (path, others) = paths.split_first().ok_or(Over)?;
        let at = frame.windows(path.len().max(1)).position(|w| w == path.as_bytes()).unwrap_or(0);
        let text = frame.slice(at..at + path.len());
        let action = Action { shape, text, parameters: Bytes::from(others.join("\n")) };
        let proposal = Proposal::new(frame, action).map_err(|_| Over)?;
        let proposal = proposal.cannot_limit("a limit on rows or bytes cannot be kept on files");
        // What is asked for by path is the same in every session.
        let facts = HoldFacts { settings: Bytes::from_static(b"sftp"), in_transaction: false, cannot: None };
        match self.host.admit(proposal, facts, &|_| ()).await {
            Ok((cleared, plan)) => {
                let seq = plan.permit.seq();
                let writes = access > countersign_model::Access::Read;
                self.owe(id, Running::Act { seq, opens, writes })?;
                sending.cleared(cleared).await.map_err(|_| Over)
            }
            Err(denial) if denial.culprit == Culprit::Us => Err(Over),
            Err(denial) => self.answer(packet::denied(id, denial.message.as_str())),
        }
    }

    fn owe(&self, id: u32, what: Running) -> Result<(), Over> {
        let mut state = self.state.lock();
        if state.running.len() >= RUNNING_MAX || state.running.contains_key(&id) {
            drop(state);
            return Err(self.broken(Broken("too many requests of SFTP are under way, or two with one number")));
        }
        state.running.insert(id, what);
        Ok(())
    }

    fn answer(&self, packet: Bytes) -> Result<(), Over> {
        let mut state = self.state.lock();
        if state.answers.len() >= RUNNING_MAX {
            return Err(Over);
        }
        state.answers.push_back(packet);
        drop(state);
        self.answered.notify_one();
        Ok(())
    }

    fn follow(&self, id: u32, handle: Bytes, step: Step, frame: &[u8]) -> Result<Result<(), &'static str>, Over> {
        let mut state = self.state.lock();
        let Some(open) = state.open.get_mut(&handle) else { return Ok(Err("no such file is open")) };
        let running = match step {
            Step::Set | Step::Write(_) if !open.writes => return Ok(Err("the file was not opened for writing")),
            Step::Write(offset) => {
                open.take(offset, packet::content(frame));
                Running::Other
            }
            Step::Read(offset) => Running::Read { handle, offset },
            Step::Close => Running::Close(handle),
            Step::Look | Step::Set | Step::Sync => Running::Other,
        };
        drop(state);
        self.owe(id, running).map(Ok)
    }

    /// Answers of ours that are due.
    pub(crate) fn take_answers(&self) -> VecDeque<Bytes> {
        std::mem::take(&mut self.state.lock().answers)
    }

    /// Takes what the server sent: whole packets for the client.
    pub(crate) fn server_sent(&self, buf: &mut BytesMut) -> Result<Vec<Bytes>, Over> {
        let mut packets = Vec::new();
        while let Some(frame) = packet::split(buf).map_err(|e| self.broken(e))? {
            let answer = packet::read_answer(&frame).map_err(|e| self.broken(e))?;
            self.note(&answer, &frame)?;
            packets.push(frame);
        }
        Ok(packets)
    }

    fn note(&self, answer: &Answer, frame: &[u8]) -> Result<(), Over> {
        let id = match answer {
            Answer::Hello => return Ok(()),
            Answer::Handle(id, _) | Answer::Status(id, _) | Answer::Data(id) | Answer::Other(id) => *id,
        };
        let mut state = self.state.lock();
        let Some(running) = state.running.remove(&id) else { return Ok(()) };
        let (seq, outcome) = match (running, answer) {
            (Running::Act { seq, opens: true, writes }, Answer::Handle(_, handle)) => {
                if state.open.len() >= OPEN_MAX {
                    drop(state);
                    return Err(self.broken(Broken("too many files are open")));
                }
                state.open.insert(handle.clone(), Open { seq, writes, bytes: 0, digest: Some(Sha256::new()) });
                return Ok(());
            }
            (Running::Act { seq, .. }, Answer::Status(_, code)) => (seq, ended(*code, 0)),
            (Running::Act { seq, .. }, _) => (seq, ended(0, 0)),
            (Running::Read { handle, offset }, Answer::Data(_)) => {
                if let Some(open) = state.open.get_mut(&handle) {
                    open.take(offset, packet::content(frame));
                }
                return Ok(());
            }
            (Running::Close(handle), _) => {
                let Some(open) = state.open.remove(&handle) else { return Ok(()) };
                drop(state);
                if let Some(digest) = open.digest.filter(|_| open.bytes > 0) {
                    let mut entry = String::from("dsha256:");
                    for byte in digest.finalize() {
                        // Writing to a string cannot fail.
                        let _ = write!(entry, "{byte:02x}");
                    }
                    self.host.output(open.seq, entry.as_bytes()).map_err(|_| Over)?;
                }
                return self.host.outcome(open.seq, &ended(0, open.bytes)).map_err(|_| Over);
            }
            (Running::Read { .. } | Running::Other, _) => return Ok(()),
        };
        drop(state);
        self.host.outcome(seq, &outcome).map_err(|_| Over)
    }

    fn broken(&self, e: Broken) -> Over {
        self.host.rejected(&Denial::new(Culprit::Client, DenialCode::Protocol, ClientText::new(e.0)));
        Over
    }
}

impl Open {
    fn take(&mut self, offset: u64, content: &[u8]) {
        match &mut self.digest {
            Some(digest) if offset == self.bytes => digest.update(content),
            digest => *digest = None,
        }
        self.bytes += content.len() as u64;
    }
}

fn ended(code: u32, bytes: u64) -> Outcome {
    let (status, code) = match code {
        0 | 1 => (OutcomeStatus::Done, None),
        n => (OutcomeStatus::Failed, Some(n.to_string().into())),
    };
    Outcome { status, bytes, code, ..lost() }
}
