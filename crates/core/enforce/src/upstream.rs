//! The only ways for bytes to get towards a target.

use std::io::IoSlice;

use bytes::Bytes;
use countersign_model::SessionId;

use crate::{Cleared, Outbound, Permit};

/// Leave to dial a target: made by [`crate::Gate::open`] once the connect action was allowed and recorded.
#[must_use]
#[derive(Debug)]
pub struct Passage {
    pub(crate) session: SessionId,
}

/// A connection to a target that is still logging in: the machine's login bytes go through, no client's command can.
#[derive(Debug)]
pub struct Dialling {
    session: SessionId,
    out: Outbound,
}

impl Dialling {
    /// Begins a login.
    pub fn new(passage: Passage) -> Self {
        Self { session: passage.session, out: Outbound::new() }
    }

    /// For a connection that only carries a cancel order for `upstream`'s running work.
    pub fn to_cancel(session: SessionId) -> Self {
        Self { session, out: Outbound::new() }
    }

    /// Adds login bytes.
    pub fn login(&mut self, b: Bytes) {
        self.out.push(b);
    }

    /// Bytes to write.
    pub fn outbound(&mut self) -> Pending<'_> {
        Pending(&mut self.out)
    }

    /// The target let us in: from here on only cleared bytes pass.
    pub fn established(self) -> Upstream {
        Upstream { session: self.session, out: self.out }
    }
}

/// A logged-in connection to a target, as a queue. The runtime writes what is queued and can add nothing by itself.
#[derive(Debug)]
pub struct Upstream {
    session: SessionId,
    out: Outbound,
}

impl Upstream {
    /// Queues an admitted action. A clearance of another session is refused and `false` is returned: the caller must end the
    /// session, because that is a defect.
    #[must_use]
    pub fn send(&mut self, cleared: Cleared) -> bool {
        let ours = cleared.session == self.session;
        if ours {
            self.out.push(cleared.frame);
        }
        ours
    }

    /// Queues bytes that belong to an action admitted in this session; `false` as in [`Upstream::send`].
    #[must_use]
    pub fn follow(&mut self, permit: &Permit, b: Bytes) -> bool {
        let ours = permit.session == self.session;
        if ours {
            self.out.push(b);
        }
        ours
    }

    /// Queues a literal that carries no client's command: a sync, a flush, a farewell, a transaction bracket. Being `'static`
    /// it cannot hold anything a client said.
    pub fn control(&mut self, frame: &'static [u8]) {
        self.out.push_slice(frame);
    }

    /// Bytes to write.
    pub fn outbound(&mut self) -> Pending<'_> {
        Pending(&mut self.out)
    }
}

/// A view of queued bytes that can be written and dropped, but not added to.
#[derive(Debug)]
pub struct Pending<'a>(&'a mut Outbound);

impl Pending<'_> {
    /// Bytes waiting.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next run of bytes to write.
    pub fn chunk(&self) -> &[u8] {
        self.0.chunk()
    }

    /// Fills `slices` for a vectored write and says how many were filled.
    pub fn chunks<'s>(&'s self, slices: &mut [IoSlice<'s>]) -> usize {
        self.0.chunks(slices)
    }

    /// The first `n` bytes were written.
    pub fn advance(&mut self, n: usize) {
        self.0.advance(n);
    }

    /// Gives the buffers back when nothing waits.
    pub fn release(&mut self) {
        self.0.release();
    }
}
