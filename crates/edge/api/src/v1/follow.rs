//! Whether the record of one session grew, for streams that are about a session.
//!
//! It must never tell what was recorded: that is `recordings.show`'s, which is judged and recorded each time.

use std::sync::Arc;

use countersign_model::SessionId;
use countersign_recording::{Reader, RecordFilter, Tail, TailFrom};

use super::problem::Problem;
use super::recordings::blocking;

/// The most records that one look reads; what is beyond is for the next.
const RECORDS_MAX: usize = 256;

/// A session whose record is followed.
pub(crate) struct Followed {
    id: SessionId,
    /// `None` once it cannot be read on.
    tail: Option<Tail>,
}

impl Followed {
    /// Follows a recorded session from now on.
    pub(crate) async fn begin(recordings: &Arc<Reader>, id: SessionId) -> Result<Self, Problem> {
        let reader = recordings.clone();
        let tail = blocking(move || {
            let target = Some(reader.session(id)?.target);
            reader.tail(&RecordFilter { session: Some(id), target, ..RecordFilter::default() }, TailFrom::Now)
        });
        Ok(Self { id, tail: Some(tail.await?) })
    }

    /// Which one.
    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    /// Whether something was recorded since it was asked last.
    pub(crate) async fn grew(&mut self) -> bool {
        let Some(mut tail) = self.tail.take() else { return false };
        let looked = blocking(move || {
            let found = tail.poll(RECORDS_MAX)?;
            Ok((tail, !found.is_empty()))
        });
        match looked.await {
            Ok((tail, grew)) => {
                self.tail = Some(tail);
                grew
            }
            // Whoever watches looks once more, and is told what is wrong with it.
            Err(_) => true,
        }
    }
}
