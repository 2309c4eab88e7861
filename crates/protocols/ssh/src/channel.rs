//! One session channel of a client: what it asks for is judged, and then carried until it ends.

use std::sync::Arc;

use bytes::Bytes;
use countersign_enforce::{HoldFacts, Outcome, OutcomeStatus, ReviewNotice, propose};
use countersign_model::{ClientText, Culprit, Denial, DenialCode};
use russh::server::{Handle, Msg};
use russh::{Channel, ChannelId, ChannelMsg, ChannelReadHalf};

use crate::pump::{self, Streams};
use crate::sftp::Transfers;
use crate::shape;
use crate::target::{Request, Terminal};
use crate::visit::{Place, Visit};
use crate::watched::Watch;

/// What a shell says of a command that may not be run.
const EXIT_REFUSED: u32 = 126;
/// The longest name of a terminal or a subsystem.
const NAME_BYTES_MAX: usize = 64;
/// Requests of one channel before it must have started something.
const REQUESTS_MAX: usize = 256;

/// Serves a channel until it ends.
pub(crate) async fn serve(channel: Channel<Msg>, handle: Handle, visit: Arc<Visit>, place: Place) {
    let id = channel.id();
    let (mut reading, writing) = channel.split();
    let mut ending = visit.ending.subscribe();
    let started = tokio::select! {
        started = Box::pin(begin(&mut reading, &handle, id, &visit)) => started,
        _ = ending.wait_for(Option::is_some) => None,
    };
    if let Some(streams) = started {
        Box::pin(pump::run(streams, reading, &writing, &handle, &visit)).await;
    }
    // The client may be gone.
    let _ = handle.close(id).await;
    drop(place);
}

/// Listens to what a client asks for until something runs, or the channel is over.
async fn begin(reading: &mut ChannelReadHalf, handle: &Handle, id: ChannelId, visit: &Arc<Visit>) -> Option<Streams> {
    let mut terminal: Option<Terminal> = None;
    for _ in 0..REQUESTS_MAX {
        let (what, text) = match reading.wait().await? {
            ChannelMsg::RequestPty { term, col_width, row_height, pix_width, pix_height, terminal_modes, .. } => {
                let ok = term.len() <= NAME_BYTES_MAX && term.bytes().all(|b| b.is_ascii_graphic());
                if ok {
                    terminal = Some(Terminal {
                        name: term,
                        columns: col_width,
                        rows: row_height,
                        width: pix_width,
                        height: pix_height,
                        modes: terminal_modes,
                    });
                }
                answer(handle, id, ok).await?;
                continue;
            }
            // Left out, as servers do that do not accept a variable: every client goes on. The language is sent by most, so that it is
            // no news.
            ChannelMsg::SetEnv { variable_name, .. } => {
                if variable_name != "LANG" && !variable_name.starts_with("LC_") {
                    let text = ClientText::new("the variable ").name(&variable_name).and(" does not pass this gateway");
                    visit.host.rejected(&Denial::new(Culprit::Policy, DenialCode::Unsupported, text));
                }
                // Clients ask for no answer, and would take one for that of their next request.
                continue;
            }
            ChannelMsg::RequestX11 { want_reply, .. } => {
                refuse_quietly(visit, "X11 forwarding");
                if want_reply {
                    answer(handle, id, false).await?;
                }
                continue;
            }
            // Answered where the client's requests come in.
            ChannelMsg::AgentForward { .. } => continue,
            ChannelMsg::Exec { command, .. } => (Request::Exec, Bytes::from(command)),
            ChannelMsg::RequestShell { .. } => (Request::Shell, Bytes::new()),
            ChannelMsg::RequestSubsystem { name, .. } => (Request::Subsystem, Bytes::from(name)),
            ChannelMsg::Close => return None,
            _ => continue,
        };
        answer(handle, id, true).await?;
        return match run(visit, (handle, id), what, text, terminal).await {
            Ok(streams) => Some(streams),
            Err(denial) => {
                tell(handle, id, &denial).await?;
                None
            }
        };
    }
    None
}

async fn run(
    visit: &Arc<Visit>,
    (handle, id): (&Handle, ChannelId),
    what: Request,
    text: Bytes,
    terminal: Option<Terminal>,
) -> Result<Streams, Denial> {
    let target = visit.target().await?;
    let pty = terminal.is_some();
    let shape = match what {
        Request::Exec => shape::exec(&text, pty),
        Request::Shell => shape::shell(pty),
        Request::Subsystem => {
            if text.len() > NAME_BYTES_MAX || !text.iter().all(u8::is_ascii_graphic) {
                return Err(Denial::new(
                    Culprit::Client,
                    DenialCode::Unreadable,
                    ClientText::new("the name of the subsystem cannot be read"),
                ));
            }
            if &*text == b"sftp" {
                shape::sftp()
            } else {
                shape::subsystem(std::str::from_utf8(&text).unwrap_or_default())
            }
        }
    };
    let files = (what == Request::Subsystem && &*text == b"sftp").then(|| Transfers::new(visit.host.clone()));
    let mut proposal =
        propose(text, shape, Bytes::new())?.cannot_limit("a limit on rows or bytes cannot be kept on what runs by SSH");
    // Files that move are not to be seen in a terminal.
    if files.is_none() {
        proposal = proposal.watchable();
    }
    let facts = HoldFacts { settings: Bytes::from(format!("{what:?} {pty}")), in_transaction: false, cannot: None };
    let held = |notice: &ReviewNotice| waits(handle.clone(), id, notice);
    let (cleared, plan) = visit.host.admit(proposal, facts, &held).await?;
    let record = plan.record_rows || plan.watch.is_some() || pty || what == Request::Shell;
    let seq = plan.permit.seq();
    if let Some(spec) = &plan.watch {
        let mut watch = Watch::new(visit, (handle, id), seq, spec.clone());
        if let Err(denial) = watch.begins().await {
            visit.host.outcome(seq, &Outcome::of(OutcomeStatus::Withheld))?;
            return Err(denial);
        }
    }
    match target.ask(what, cleared, plan.permit, terminal.as_ref()).await {
        Ok((sending, receiving)) => {
            let record = record && files.is_none();
            Ok(Streams { sending, receiving, terminal, record, files, watch: plan.watch })
        }
        Err(denial) => {
            visit.host.outcome(seq, &pump::lost())?;
            Err(denial)
        }
    }
}

/// Says on the standard error that people were asked.
fn waits(handle: Handle, id: ChannelId, notice: &ReviewNotice) {
    let text = format!(
        "countersign: this waits for review {} by {}, for {} s at most\r\n",
        notice.id, notice.reviewers, notice.left_s
    );
    // Not waited for: who judges must not wait for a client that does not read.
    tokio::spawn(async move { handle.extended_data(id, pump::STDERR, text).await.is_ok() });
}

fn refuse_quietly(visit: &Visit, what: &'static str) {
    let text = ClientText::new("").and(what).and(" is not allowed through this gateway");
    visit.host.rejected(&Denial::new(Culprit::Policy, DenialCode::Unsupported, text));
}

async fn answer(handle: &Handle, id: ChannelId, yes: bool) -> Option<()> {
    if yes { handle.channel_success(id).await.ok() } else { handle.channel_failure(id).await.ok() }
}

/// Why not, on the standard error, with the exit status that shells have for it.
async fn tell(handle: &Handle, id: ChannelId, denial: &Denial) -> Option<()> {
    pump::words(handle, id, denial).await?;
    handle.exit_status_request(id, EXIT_REFUSED).await.ok()?;
    handle.eof(id).await.ok()
}
