//! Any bytes as a shell text: read or doubted, and what is read of its own words written back is the same.

use countersign_sh::{Doubt, access_of, quoted, read};

/// Reads a text.
///
/// # Panics
/// When a text of one program is not the same after its words were quoted and read again.
pub fn run(data: &[u8]) {
    let Ok(reading) = read(data) else { return };
    for command in &reading.commands {
        let _ = access_of(command);
    }
    if let Some(words) = reading.simple() {
        let again = read(quoted(words.iter().copied()).as_bytes());
        let same = again.as_ref().map(|r| r.simple().is_some_and(|w| w == words));
        // Quotes make a text longer, and that is the one reason for a doubt.
        assert!(matches!(same, Ok(true) | Err(Doubt("it is longer than 64 KiB"))), "{words:?}");
    }
}
