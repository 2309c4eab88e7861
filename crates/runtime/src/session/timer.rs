//! The one timer of a session. It costs nothing while it is not armed, and a look at a flag while it is.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// How often a session that holds buffers or owes its client bytes looks whether it rests.
pub(super) const TICK: Duration = Duration::from_secs(1);

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The whole login is over time.
    Login,
    /// A look around.
    Tick,
    /// The client left, and what it had asked for is not done.
    Left,
    /// The end has taken long enough.
    End,
}

/// A timer for one purpose at a time.
pub(super) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    purpose: Purpose,
    polled: bool,
}

impl Timer {
    pub(super) fn new(purpose: Purpose, after: Duration) -> Self {
        let mut timer = Self { sleep: None, purpose, polled: false };
        timer.arm(purpose, after);
        timer
    }

    /// Arms it, whatever it was armed for before.
    pub(super) fn arm(&mut self, purpose: Purpose, after: Duration) {
        // Far enough for "never", and no overflow.
        const FAR: Duration = Duration::from_secs(30 * 24 * 3600);
        let deadline = Instant::now() + after.min(FAR);
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(deadline),
            None => self.sleep = Some(Box::pin(sleep_until(deadline))),
        }
        self.purpose = purpose;
        self.polled = false;
    }

    pub(super) fn disarm(&mut self) {
        self.sleep = None;
    }

    pub(super) fn is_armed(&self) -> bool {
        self.sleep.is_some()
    }

    /// The purpose, once the time has come; the timer is disarmed by that.
    pub(super) fn fired(&mut self) -> Option<Purpose> {
        if self.sleep.as_ref()?.is_elapsed() {
            self.sleep = None;
            return Some(self.purpose);
        }
        None
    }

    /// Makes sure that the task is woken when the time comes.
    pub(super) fn park(&mut self, cx: &mut Context<'_>) {
        if let Some(sleep) = &mut self.sleep
            && !self.polled
        {
            if sleep.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
            self.polled = true;
        }
    }
}
