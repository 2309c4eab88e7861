//! Text in, tree out: the one door to libpg_query (PostgreSQL's own grammar, version 18).
//!
//! It must never overflow a stack, whatever the text: small and shallow texts are parsed on the caller's stack, others on a thread
//! made for them, and what is too big for that is refused before the parser sees it.

mod ffi;

use parking_lot::{Condvar, Mutex};
use pg_query::protobuf::ParseResult;
use prost::Message;

use crate::lexer::Measure;

/// Longest text that is looked at, in bytes.
pub const TEXT_BYTES_MAX: usize = 16 << 20;
/// Most tokens (comments apart) of a text; a tree costs about 1 KiB a token.
pub const TOKENS_MAX: usize = 300_000;
/// Deepest nesting by the lexer's estimate; the parser gives up near 5,000 levels of tree anyway.
pub const NESTING_MAX: usize = 2_000;
/// Texts up to this size and [`DIRECT_NESTING_MAX`] are parsed on the caller's stack.
pub const DIRECT_BYTES_MAX: usize = 16 << 10;
/// See [`DIRECT_BYTES_MAX`]. A level costs up to 4 KiB of stack where the compiler optimises and 50 KiB where it does not; a worker
/// thread has 2 MiB.
pub const DIRECT_NESTING_MAX: usize = if cfg!(debug_assertions) { 12 } else { 64 };
/// Stack of the thread for the others; only the pages that are touched cost memory.
pub const DEEP_STACK_BYTES: usize = 512 << 20;
/// How many such threads may run at once; others wait.
pub const DEEP_THREADS_MAX: usize = 2;

/// Why a text was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseError {
    /// The grammar says no: where, and in PostgreSQL's words.
    #[error("syntax error near byte {0}")]
    Syntax(usize, String),
    /// Larger, longer or deeper than a limit.
    #[error("{0}")]
    Limit(&'static str),
    /// Something inside failed.
    #[error("the parser failed: {0}")]
    Failed(&'static str),
}

/// Refuses what is over a limit.
pub(crate) fn check_limits(text: &str, measure: &Measure) -> Result<(), ParseError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(ParseError::Limit("the text is longer than 16 MiB"));
    }
    if text.as_bytes().contains(&0) {
        return Err(ParseError::Limit("the text has a NUL byte"));
    }
    if measure.tokens > TOKENS_MAX {
        return Err(ParseError::Limit("the text has more than 300,000 tokens"));
    }
    if measure.nesting > NESTING_MAX {
        return Err(ParseError::Limit("the text is nested more than 2,000 levels deep"));
    }
    Ok(())
}

/// Runs `work` on the parsed tree, on whichever stack is large enough for all of it: parsing, the walk and the drop. `nested` says
/// that the caller is itself such work: it must not wait for a seat that its caller may hold.
pub(crate) fn with_tree<T: Send>(
    text: &str,
    measure: &Measure,
    nested: bool,
    work: impl FnOnce(&ParseResult) -> T + Send,
) -> Result<T, ParseError> {
    check_limits(text, measure)?;
    if text.len() <= DIRECT_BYTES_MAX && measure.nesting <= DIRECT_NESTING_MAX {
        return parse(text).map(|tree| work(&tree));
    }
    let _seat = (!nested).then(Seat::take);
    std::thread::scope(|scope| {
        let run = move || parse(text).map(|tree| work(&tree));
        let thread = std::thread::Builder::new().name("deep-parse".to_owned()).stack_size(DEEP_STACK_BYTES);
        match thread.spawn_scoped(scope, run) {
            Ok(handle) => handle.join().unwrap_or(Err(ParseError::Failed("its thread died"))),
            Err(_) => Err(ParseError::Failed("no memory for its thread")),
        }
    })
}

/// What the grammar says against a text that the lexer gave up on. Its depth is not known, so no tree is made of it in any case.
pub(crate) fn complaint(text: &str) -> Option<(usize, String)> {
    match ffi::parse(text) {
        Err(ffi::Error::Syntax(at, said)) => Some((at, said)),
        _ => None,
    }
}

fn parse(text: &str) -> Result<ParseResult, ParseError> {
    let bytes = ffi::parse(text).map_err(|e| match e {
        ffi::Error::Nul => ParseError::Limit("the text has a NUL byte"),
        ffi::Error::Depth => ParseError::Limit("the text is nested too deeply"),
        ffi::Error::Syntax(position, said) => ParseError::Syntax(position, said),
    })?;
    ParseResult::decode(bytes.as_slice()).map_err(|_| ParseError::Failed("its tree could not be decoded"))
}

static SEATS: Mutex<usize> = Mutex::new(DEEP_THREADS_MAX);
static SEAT_FREED: Condvar = Condvar::new();

/// The right to run one deep thread.
struct Seat;

impl Seat {
    fn take() -> Self {
        let mut free = SEATS.lock();
        SEAT_FREED.wait_while(&mut free, |free| *free == 0);
        *free = free.saturating_sub(1);
        Self
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        *SEATS.lock() += 1;
        SEAT_FREED.notify_one();
    }
}

#[cfg(test)]
mod tests;

/// For tests of other modules.
#[cfg(test)]
pub(crate) mod tests_support {
    /// True when the grammar takes the text.
    pub(crate) fn parses(text: &str) -> bool {
        super::parse(text).is_ok()
    }
}
