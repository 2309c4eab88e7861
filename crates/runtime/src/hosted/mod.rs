//! Hosting protocols that bring their own server and client: one task a connection, in which the protocol's future is driven beside the
//! calls from outside and the login's deadline. It must never leave a connection open once its session is over, whatever the protocol
//! still holds: both of its wires are severed here.

mod host;
mod wire;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use countersign_enforce::{Arrival, BoxFuture, Call, CloseReason, End, Hosted};
use countersign_model::{ClientText, Culprit, Denial, DenialCode};

use crate::listener::{Reception, Shared, Stay};
use crate::registry::call;
use crate::socket::Socket;
use host::Room;
use wire::SeverableWire;

/// The longest that a protocol may take to say goodbye once it was told to end; then its wires are severed.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(3);
/// The same for a session that a lock cut off.
const CUT_GOODBYE_TIMEOUT: Duration = Duration::from_millis(300);
/// How long a deadline is that does not matter any more.
const FAR: Duration = Duration::from_secs(30 * 24 * 3600);

/// A protocol that is hosted here.
pub(crate) struct Guest<H>(pub(crate) H);

impl<H: Hosted> Reception for Guest<H> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    async fn receive(arrival: Arrival, client: Socket, shared: Arc<Shared<Self>>, stay: Stay) {
        let room = Arc::new(Room::new(&shared, arrival.source, stay.seated.seat.clone()));
        let wire = SeverableWire::new(client, room.cut.clone(), room.telemetry_of_client());
        let serving = shared.protocol.0.serve(Box::new(wire), arrival, room.clone());
        Visit::new(serving, room, shared.config.login_timeout, stay).await;
    }

    fn words_for(&self, _arrival: Arrival, denial: &Denial) -> Vec<Bytes> {
        vec![self.0.turn_away(denial)]
    }
}

/// One connection of a guest.
struct Visit {
    serving: BoxFuture<'static, End>,
    room: Arc<Room>,
    deadline: std::pin::Pin<Box<tokio::time::Sleep>>,
    login_timeout: Duration,
    /// The deadline is the goodbye's, and this is why it ends.
    told: Option<End>,
    login_over: bool,
    listening: bool,
    stay: Stay,
}

impl Visit {
    fn new(serving: BoxFuture<'static, End>, room: Arc<Room>, login_timeout: Duration, stay: Stay) -> Self {
        let deadline = Box::pin(tokio::time::sleep(login_timeout));
        Self { serving, room, deadline, login_timeout, told: None, login_over: false, listening: false, stay }
    }

    /// Tells the guest to end, once.
    fn tell(&mut self, reason: CloseReason, denial: Denial) {
        if self.told.is_none() {
            self.told = Some(End { reason, denial: Some(denial.clone()) });
            let patience = if denial.code == DenialCode::Locked { CUT_GOODBYE_TIMEOUT } else { GOODBYE_TIMEOUT };
            self.deadline.as_mut().reset(tokio::time::Instant::now() + patience);
            self.room.call(Call::End(denial));
        }
    }

    /// Heeds what came from outside, and what went wrong inside.
    fn heed(&mut self, cx: &Context<'_>) {
        let calls = if self.listening {
            self.stay.seated.seat.take_calls()
        } else {
            self.listening = true;
            self.stay.seated.seat.listen(cx)
        };
        if calls & call::ENDED != 0
            && let Some(denial) = self.stay.seated.seat.ended().cloned()
        {
            self.tell(CloseReason::Denied, denial);
        }
        if calls & call::DRAIN != 0 && self.told.is_none() {
            self.room.call(Call::Drain);
        }
        if calls & call::END != 0 {
            let text = ClientText::new("the gateway is shutting down and its patience is over");
            self.tell(CloseReason::Drained, Denial::new(Culprit::Us, DenialCode::Draining, text));
        }
        self.room.wake_by(cx);
        if let Some(denial) = self.room.take_failure() {
            self.tell(CloseReason::Failed, denial);
        }
        if let Some(seconds) = self.room.take_patience_s().filter(|_| !self.login_over && self.told.is_none()) {
            // A person signs in: what is left of the login begins when they have.
            self.login_timeout += Duration::from_secs(seconds);
            self.deadline.as_mut().reset(tokio::time::Instant::now() + self.login_timeout);
        }
        if !self.login_over && self.told.is_none() && self.room.is_established() {
            self.login_over = true;
            self.deadline.as_mut().reset(tokio::time::Instant::now() + FAR);
        }
    }
}

impl std::future::Future for Visit {
    type Output = ();

    fn poll(mut self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.heed(cx);
        if let Poll::Ready(end) = this.serving.as_mut().poll(cx) {
            // Why it was told to end says more than how it did.
            let end = this.told.take().unwrap_or(end);
            this.room.close(end);
            return Poll::Ready(());
        }
        this.heed(cx);
        while this.deadline.as_mut().poll(cx).is_ready() {
            if let Some(end) = this.told.take() {
                this.room.close(end);
                return Poll::Ready(());
            }
            if this.login_over {
                this.deadline.as_mut().reset(tokio::time::Instant::now() + FAR);
                continue;
            }
            let seconds = this.login_timeout.as_secs();
            let text = ClientText::new("the login took longer than ").number(seconds).and(" seconds");
            this.tell(CloseReason::Denied, Denial::new(Culprit::Client, DenialCode::Timeout, text));
        }
        Poll::Pending
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.room.cut.sever();
        self.room.leave();
    }
}
