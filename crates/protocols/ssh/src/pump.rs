//! The bytes of one admitted action, both ways, until its exit status. What is recorded is recorded before it goes on.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use countersign_enforce::{Outcome, OutcomeStatus};
use countersign_model::{Denial, WatchSpec};
use russh::server::{Handle, Msg};
use russh::{ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};

use crate::sftp::Transfers;
use crate::target::{Sending, Terminal};
use crate::visit::Visit;
use crate::watched::Watch;

/// What extended data is standard error (RFC 4254, 5.2).
pub(crate) const STDERR: u32 = 1;
/// The exit status of what was cut.
const EXIT_CUT: u32 = 137;
/// How long the last words may take.
const WORDS_TIMEOUT: Duration = Duration::from_millis(500);

/// What recorded bytes begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Input = b'i' as isize,
    Output = b'o' as isize,
    Error = b'e' as isize,
    /// `COLUMNSxROWS`.
    Resize = b'r' as isize,
}

/// An action that runs.
pub(crate) struct Streams {
    pub(crate) sending: Sending,
    pub(crate) receiving: ChannelReadHalf,
    pub(crate) terminal: Option<Terminal>,
    pub(crate) record: bool,
    /// Where it is SFTP, which is read.
    pub(crate) files: Option<Transfers>,
    /// Who must be watching while it runs.
    pub(crate) watch: Option<Arc<WatchSpec>>,
}

/// How what ran ended, as far as the target said.
#[derive(Default)]
struct Ended {
    code: Option<Box<str>>,
    failed: bool,
    known: bool,
    bytes: u64,
}

/// The outcome of what never came to run.
pub(crate) fn lost() -> Outcome {
    Outcome::of(OutcomeStatus::Lost)
}

struct Recording<'a> {
    visit: &'a Visit,
    seq: u64,
    on: bool,
}

impl Recording<'_> {
    /// True when the bytes may go on.
    fn keep(&self, stream: Stream, bytes: &[u8]) -> bool {
        if !self.on {
            return true;
        }
        let mut entry = BytesMut::with_capacity(bytes.len() + 1);
        entry.extend_from_slice(&[stream as u8]);
        entry.extend_from_slice(bytes);
        self.visit.host.output(self.seq, &entry).is_ok()
    }
}

/// Runs it to its end.
pub(crate) async fn run(
    streams: Streams,
    mut client_reading: ChannelReadHalf,
    client: &ChannelWriteHalf<Msg>,
    handle: &Handle,
    visit: &Visit,
) {
    let Streams { sending, mut receiving, terminal, record, files, watch } = streams;
    let (seq, id) = (sending.seq(), client.id());
    let recording = Recording { visit, seq, on: record };
    if let Some(t) = &terminal {
        recording.keep(Stream::Resize, size(t).as_bytes());
    }
    let mut ended = Ended::default();
    let mut ending = visit.ending.subscribe();
    let cut = {
        let up = upward(&mut client_reading, &sending, &recording, files.as_ref());
        let down = downward(&mut receiving, (client, handle), &recording, files.as_ref(), &mut ended);
        tokio::pin!(up, down);
        let mut up_over = false;
        let mut watch = watch.map(|spec| Watch::new(visit, (handle, id), seq, spec).begun());
        loop {
            let free = watch.as_ref().is_none_or(Watch::is_free);
            tokio::select! {
                // Ends only when the client is gone or wants no more; its input's end alone is no end.
                gone = &mut up, if free && !up_over => {
                    up_over = true;
                    if gone {
                        break None;
                    }
                }
                () = &mut down, if free => break None,
                told = ending.wait_for(Option::is_some) => break told.ok().and_then(|t| t.clone()),
                turned = turn(&mut watch), if watch.is_some() => {
                    if let Err(denial) = turned {
                        break Some(denial);
                    }
                }
            }
        }
    };
    if let Some(denial) = &cut {
        // Servers that know signals stop it with this one; all others when the connection is severed.
        let stop = async {
            let _ = sending.signal(Sig::KILL).await;
            let _ = sending.close().await;
            words(handle, id, denial).await?;
            handle.exit_status_request(id, EXIT_CUT).await.ok()
        };
        let _ = tokio::time::timeout(WORDS_TIMEOUT, stop).await;
    } else {
        let _ = sending.close().await;
    }
    let status = match (ended.known, ended.failed) {
        (true, false) => OutcomeStatus::Done,
        (true, true) => OutcomeStatus::Failed,
        (false, _) => OutcomeStatus::Lost,
    };
    let outcome = Outcome { status, bytes: ended.bytes, code: ended.code, ..lost() };
    // A failure to record is noted by the host, which ends the session.
    let _ = visit.host.outcome(seq, &outcome);
}

async fn turn(watch: &mut Option<Watch<'_>>) -> Result<(), Denial> {
    match watch {
        Some(watch) => watch.turn().await,
        None => std::future::pending().await,
    }
}

fn size(t: &Terminal) -> String {
    format!("{}x{}", t.columns, t.rows)
}

/// From the client to what runs; true when the client closed the channel.
async fn upward(
    reading: &mut ChannelReadHalf,
    sending: &Sending,
    recording: &Recording<'_>,
    files: Option<&Transfers>,
) -> bool {
    let mut packets = BytesMut::new();
    while let Some(message) = reading.wait().await {
        let sent = match message {
            ChannelMsg::Data { data } => {
                if let Some(files) = files {
                    packets.extend_from_slice(&data);
                    if files.client_sent(&mut packets, sending).await.is_err() {
                        return true;
                    }
                    continue;
                }
                if !recording.keep(Stream::Input, &data) {
                    return true;
                }
                sending.data(data).await
            }
            ChannelMsg::Eof => sending.end().await,
            ChannelMsg::Signal { signal } => sending.signal(signal).await,
            ChannelMsg::WindowChange { col_width, row_height, pix_width, pix_height } => {
                let t = Terminal {
                    columns: col_width,
                    rows: row_height,
                    width: pix_width,
                    height: pix_height,
                    ..Terminal::default()
                };
                if !recording.keep(Stream::Resize, size(&t).as_bytes()) {
                    return true;
                }
                sending.resize(&t).await
            }
            ChannelMsg::Close => return true,
            _ => Ok(()),
        };
        if sent.is_err() {
            return false;
        }
    }
    true
}

/// From what runs to the client.
async fn downward(
    receiving: &mut ChannelReadHalf,
    (client, handle): (&ChannelWriteHalf<Msg>, &Handle),
    recording: &Recording<'_>,
    files: Option<&Transfers>,
    ended: &mut Ended,
) {
    let id = client.id();
    let mut packets = BytesMut::new();
    loop {
        let message = tokio::select! {
            message = receiving.wait() => message,
            // Between the server's packets: what is not whole is still here.
            () = answered(files) => {
                for answer in files.map(Transfers::take_answers).unwrap_or_default() {
                    if client.data_bytes(answer).await.is_err() {
                        return;
                    }
                }
                continue;
            }
        };
        let Some(message) = message else { return };
        let sent = match message {
            ChannelMsg::Data { data } => {
                ended.bytes += data.len() as u64;
                if let Some(files) = files {
                    packets.extend_from_slice(&data);
                    let Ok(whole) = files.server_sent(&mut packets) else { return };
                    for packet in whole {
                        if client.data_bytes(packet).await.is_err() {
                            return;
                        }
                    }
                    continue;
                }
                if !recording.keep(Stream::Output, &data) {
                    return;
                }
                client.data_bytes(data).await.is_ok()
            }
            ChannelMsg::ExtendedData { data, ext } if ext == STDERR => {
                ended.bytes += data.len() as u64;
                if !recording.keep(Stream::Error, &data) {
                    return;
                }
                client.extended_data_bytes(STDERR, data).await.is_ok()
            }
            ChannelMsg::ExitStatus { exit_status } => {
                ended.known = true;
                ended.failed = exit_status != 0;
                ended.code = ended.failed.then(|| exit_status.to_string().into());
                client.exit_status(exit_status).await.is_ok()
            }
            ChannelMsg::ExitSignal { signal_name, core_dumped, .. } => {
                ended.known = true;
                ended.failed = true;
                ended.code = Some(name_of(&signal_name).into());
                handle.exit_signal_request(id, signal_name, core_dumped, String::new(), String::new()).await.is_ok()
            }
            ChannelMsg::Eof => client.eof().await.is_ok(),
            ChannelMsg::Failure => {
                // The target does not do what was asked.
                ended.known = true;
                ended.failed = true;
                ended.code = Some("refused".into());
                let text = Bytes::from_static(b"countersign: the target refused the request\n");
                let _ = client.extended_data_bytes(STDERR, text).await;
                let _ = client.exit_status(1).await;
                return;
            }
            ChannelMsg::Close => return,
            _ => true,
        };
        if !sent {
            return;
        }
    }
}

async fn answered(files: Option<&Transfers>) {
    match files {
        Some(files) => files.answered.notified().await,
        None => std::future::pending().await,
    }
}

/// A denial as lines of the standard error.
pub(crate) async fn words(handle: &Handle, id: ChannelId, denial: &Denial) -> Option<()> {
    let mut text = format!("countersign: {}\r\n", denial.message.as_str());
    if let Some(hint) = &denial.hint {
        text.push_str("countersign: ");
        text.push_str(hint.as_str());
        text.push_str("\r\n");
    }
    handle.extended_data(id, STDERR, text).await.ok()
}

/// A signal's name as SSH writes it, cleaned: the target may say anything.
fn name_of(signal: &Sig) -> String {
    const NAME_CHARS_MAX: usize = 32;
    let name = match signal {
        Sig::Custom(name) => name.clone(),
        known => format!("{known:?}"),
    };
    name.chars().filter(char::is_ascii_graphic).take(NAME_CHARS_MAX).collect()
}
