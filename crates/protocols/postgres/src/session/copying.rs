//! The client's side of a copy: rows follow the permit of the statement that asked for them.
//!
//! It must never leave the target within a message.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use countersign_enforce::Output;
use countersign_model::Denial;

use super::Session;
use crate::wire::{self, HEADER_BYTES, Head, protocol_fault};

/// A row of a copy up to this length waits until it is whole; a longer one goes on in pieces.
const COPY_HELD_BYTES_MAX: usize = 64 << 10;

impl Session {
    /// Rows to copy in, as many whole ones as are there in one piece. False when more bytes must come first.
    pub(super) fn copy_rows(&mut self, b: &mut BytesMut, head: Head) -> bool {
        let (mut end, mut next) = (0, Some(head));
        while let Some(Head { tag: b'd', frame_bytes }) = next
            && b.len() >= end + frame_bytes
        {
            end += frame_bytes;
            next = b.get(end..).and_then(|rest| wire::head(rest).ok().flatten());
        }
        if end > 0 {
            let rows = b.split_to(end).freeze();
            self.copy_bytes(rows);
            return true;
        }
        if head.frame_bytes <= COPY_HELD_BYTES_MAX {
            return false;
        }
        b.advance(HEADER_BYTES);
        self.client_rest = head.frame_bytes - HEADER_BYTES;
        true
    }

    /// A part of a long row. The target must never be left within a message: if the copy fails before the rest is here, that would
    /// swallow whatever is sent next. So each part is a message of its own; their borders mean nothing in a copy.
    pub(super) fn copy_piece(&mut self, b: &mut BytesMut, n: usize) {
        if self.copy_in.is_some() && n > 0 {
            let mut header = BytesMut::with_capacity(HEADER_BYTES);
            header.put_u8(b'd');
            header.put_i32(i32::try_from(n + 4).unwrap_or(i32::MAX));
            self.copy_bytes(header.freeze());
            let part = b.split_to(n).freeze();
            self.copy_bytes(part);
        } else {
            b.advance(n);
        }
    }

    fn copy_bytes(&mut self, part: Bytes) {
        // Outside a copy such bytes are left over from one that failed.
        if let Some(permit) = &self.copy_in {
            self.out.push_back(Output::Follow(permit.clone(), part));
        }
    }

    pub(super) fn copy_message(&mut self, b: &mut BytesMut, head: Head) -> Result<bool, Denial> {
        match head.tag {
            b'c' | b'f' => {
                let frame = b.split_to(head.frame_bytes).freeze();
                if let Some(permit) = self.copy_in.take() {
                    self.out.push_back(Output::Follow(permit, frame));
                }
            }
            // The target ignores them during a copy.
            b'S' | b'H' => b.advance(head.frame_bytes),
            b'X' => return self.message(b, head),
            _ => return Err(protocol_fault("an unexpected message during a copy")),
        }
        Ok(true)
    }
}
