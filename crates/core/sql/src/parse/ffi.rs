//! The call into C. The only unsafe code of this crate; it must stay this small.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int};

// Makes the linker take libpg_query in, which `shim.c` calls.
use pg_query as _;

#[repr(C)]
struct RawParse {
    data: *mut c_char,
    len: usize,
    message: *mut c_char,
    position: c_int,
}

unsafe extern "C" {
    fn countersign_parse(text: *const c_char) -> RawParse;
    fn countersign_parse_free(parse: RawParse);
}

pub(super) enum Error {
    Nul,
    Depth,
    Syntax(usize, String),
}

/// The tree in protobuf form.
pub(super) struct Encoded(RawParse);

impl Encoded {
    pub(super) fn as_slice(&self) -> &[u8] {
        // SAFETY: `data` is not null (checked in `parse`), has `len` bytes, and lives until the drop.
        unsafe { std::slice::from_raw_parts(self.0.data.cast::<u8>(), self.0.len) }
    }
}

impl Drop for Encoded {
    fn drop(&mut self) {
        let raw = std::mem::replace(
            &mut self.0,
            RawParse { data: std::ptr::null_mut(), len: 0, message: std::ptr::null_mut(), position: 0 },
        );
        // SAFETY: the pointers came from `countersign_parse`, and are given back once.
        unsafe { countersign_parse_free(raw) };
    }
}

/// Parses; on an error the position is a byte offset into the text.
pub(super) fn parse(text: &str) -> Result<Encoded, Error> {
    let input = CString::new(text).map_err(|_| Error::Nul)?;
    // SAFETY: `input` is a C string and outlives the call; the parser keeps its state per thread.
    let raw = unsafe { countersign_parse(input.as_ptr()) };
    let encoded = Encoded(raw);
    if !encoded.0.data.is_null() {
        return Ok(encoded);
    }
    let mut said = String::new();
    if !encoded.0.message.is_null() {
        // SAFETY: `message` is a C string made by strdup and lives until `encoded` drops.
        let message = unsafe { CStr::from_ptr(encoded.0.message) }.to_bytes();
        said = String::from_utf8_lossy(message).into_owned();
        let is_depth = [b"stack depth".as_slice(), b"nested too deeply", b"memory exhausted"]
            .iter()
            .any(|needle| message.windows(needle.len()).any(|w| w == *needle));
        if is_depth {
            return Err(Error::Depth);
        }
    }
    // The parser counts characters from 1; 0 says that it does not know.
    let characters = usize::try_from(encoded.0.position).unwrap_or(0).saturating_sub(1);
    Err(Error::Syntax(text.char_indices().nth(characters).map_or(text.len(), |(i, _)| i), said))
}
