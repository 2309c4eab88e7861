//! The connection to the target. The client half of SSH is private to this module: a request gets there only as a cleared action,
//! released by the courier, and a channel carries only bytes of the action that opened it.

use std::sync::Arc;

use bytes::Bytes;
use countersign_enforce::{Cleared, Connected, Courier, Linked, Permit};
use countersign_model::{ClientText, Culprit, Denial, DenialCode, Secret, Timestamp};
use russh::client::{self, Handle, Msg};
use russh::keys::{Certificate, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{ChannelReadHalf, ChannelWriteHalf, Pty, Sig};

use crate::algorithms;
use crate::known::Known;
use crate::wire::Adapted;

/// Asks whether the target is the one that is meant.
struct Checker(Arc<Known>);

impl client::Handler for Checker {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(self.0.is(shown))
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _channel: russh::Channel<Msg>,
        _connected_address: &str,
        _connected_port: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: client::ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        reply.reject(russh::ChannelOpenFailure::AdministrativelyProhibited).await;
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _channel: russh::Channel<Msg>,
        _socket_path: &str,
        reply: client::ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        reply.reject(russh::ChannelOpenFailure::AdministrativelyProhibited).await;
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _channel: russh::Channel<Msg>,
        reply: client::ChannelOpenHandle,
        _session: &mut client::Session,
    ) -> Result<(), Self::Error> {
        reply.reject(russh::ChannelOpenFailure::AdministrativelyProhibited).await;
        Ok(())
    }
}

/// A terminal as a client asked for it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Terminal {
    pub(crate) name: String,
    pub(crate) columns: u32,
    pub(crate) rows: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) modes: Vec<(Pty, u32)>,
}

/// What a cleared action asks of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Exec,
    Shell,
    Subsystem,
}

/// A logged-in connection.
pub(crate) struct Target {
    handle: Handle<Checker>,
    courier: Arc<Courier>,
    label: Arc<str>,
}

fn unavailable(label: &str, why: &'static str) -> Denial {
    let text = ClientText::new("target \"").name(label).and("\" cannot be used: ").and(why);
    Denial::new(Culprit::Target, DenialCode::TargetUnavailable, text)
}

fn defect(what: &'static str) -> Denial {
    Denial::new(Culprit::Us, DenialCode::Internal, ClientText::new("internal error: ").and(what))
}

impl Target {
    /// Agrees on keys with the target, makes sure that it is the right one, and logs in.
    pub(crate) async fn reach(linked: Linked, name: &str, now: Timestamp) -> Result<Self, Denial> {
        let Linked { target, courier, connected } = linked;
        let Connected { credential, host_keys, .. } = connected;
        let label: Arc<str> = Arc::from(name);
        let known = Arc::new(Known::new(&host_keys, now));
        let config = Arc::new(algorithms::client(known.has_authority()));
        let connecting = Box::pin(client::connect_stream(config, Adapted(target), Checker(known.clone())));
        let mut handle = connecting.await.map_err(|e| match e {
            russh::Error::UnknownKey => {
                unavailable(&label, "it does not have the host key that the gateway knows of it")
                    .hint(ClientText::new(
                        "Do not try again: tell the owner of the gateway, somebody may be posing as the target.",
                    ))
                    .detail(known.why())
                    .alarming(countersign_model::Severity::High)
            }
            other => unavailable(&label, "the SSH handshake failed").detail(other),
        })?;
        let user = credential.user.clone();
        let answer = match (&credential.key, &credential.password) {
            (Some(key), _) => {
                let unread = |e| unavailable(&label, "its account's key cannot be read").detail(e);
                let key = Arc::new(PrivateKey::from_openssh(key.expose()).map_err(unread)?);
                match credential.certificate.as_deref().map(Certificate::from_openssh).transpose().map_err(unread)? {
                    Some(certificate) => handle.authenticate_openssh_cert(user, key, certificate).await,
                    None => handle.authenticate_publickey(user, PrivateKeyWithHashAlg::new(key, None)).await,
                }
            }
            (None, Some(password)) => handle.authenticate_password(user, plain(password, &label)?).await,
            (None, None) => handle.authenticate_none(user).await,
        };
        match answer {
            Ok(answer) if answer.success() => Ok(Self { handle, courier: Arc::new(courier), label }),
            Ok(_) => Err(unavailable(&label, "it does not accept the gateway's account")),
            Err(e) => Err(unavailable(&label, "the login at it failed").detail(e)),
        }
    }

    /// Opens a channel and asks for what was cleared: the very bytes that were judged.
    pub(crate) async fn ask(
        &self,
        what: Request,
        cleared: Cleared,
        permit: Permit,
        terminal: Option<&Terminal>,
    ) -> Result<(Sending, ChannelReadHalf), Denial> {
        let frame = self.courier.release(cleared).ok_or_else(|| defect("an action was cleared for another session"))?;
        if !self.courier.carries(&permit) {
            return Err(defect("a permit was given for another session"));
        }
        let broken = |e: russh::Error| unavailable(&self.label, "it did not take the request").detail(e);
        let channel = self.handle.channel_open_session().await.map_err(broken)?;
        if let Some(t) = terminal {
            channel.request_pty(true, &t.name, t.columns, t.rows, t.width, t.height, &t.modes).await.map_err(broken)?;
        }
        match what {
            Request::Exec => channel.exec(true, frame.to_vec()).await,
            Request::Shell => channel.request_shell(true).await,
            Request::Subsystem => {
                let name = String::from_utf8(frame.to_vec()).map_err(|_| defect("a subsystem's name is not UTF-8"))?;
                channel.request_subsystem(true, name).await
            }
        }
        .map_err(broken)?;
        let (reading, writing) = channel.split();
        Ok((Sending { writing, permit, courier: self.courier.clone() }, reading))
    }

    /// Says goodbye.
    pub(crate) async fn leave(&self) {
        // It may be gone already.
        let _ = self.handle.disconnect(russh::Disconnect::ByApplication, "", "").await;
    }
}

fn plain(password: &Secret, label: &str) -> Result<String, Denial> {
    let text = password.expose_str().ok_or_else(|| unavailable(label, "its account's password is not UTF-8"))?;
    Ok(text.to_owned())
}

/// The way for the bytes of one admitted action.
pub(crate) struct Sending {
    writing: ChannelWriteHalf<Msg>,
    permit: Permit,
    courier: Arc<Courier>,
}

impl Sending {
    /// Sends an action of its own on this channel: the very bytes that were judged.
    pub(crate) async fn cleared(&self, cleared: Cleared) -> Result<(), russh::Error> {
        // One of another session cannot come here; if it did, the channel would end.
        let frame = self.courier.release(cleared).ok_or(russh::Error::Inconsistent)?;
        self.writing.data_bytes(frame).await
    }

    /// The action's number in the recording.
    pub(crate) fn seq(&self) -> u64 {
        self.permit.seq()
    }

    pub(crate) async fn data(&self, b: Bytes) -> Result<(), russh::Error> {
        self.writing.data_bytes(b).await
    }

    pub(crate) async fn end(&self) -> Result<(), russh::Error> {
        self.writing.eof().await
    }

    pub(crate) async fn signal(&self, signal: Sig) -> Result<(), russh::Error> {
        self.writing.signal(signal).await
    }

    pub(crate) async fn resize(&self, t: &Terminal) -> Result<(), russh::Error> {
        self.writing.window_change(t.columns, t.rows, t.width, t.height).await
    }

    pub(crate) async fn close(&self) -> Result<(), russh::Error> {
        self.writing.close().await
    }
}
