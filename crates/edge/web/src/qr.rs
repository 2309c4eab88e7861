//! A text as a QR code (ISO/IEC 18004) that a page can hold. It must never be asked for what is not shown as text beside it.

use std::fmt::Write as _;

use qrcode::{Color, EcLevel, QrCode};

/// The blank modules around a code that the standard demands.
const QUIET: usize = 4;

/// A code, ready to be drawn. It may hold a secret, so it cannot be printed.
pub(crate) struct Drawing {
    /// Modules on each side, with the blank ones.
    pub(crate) side: usize,
    /// The dark modules, as the path of an SVG: a rectangle for each run in a row.
    pub(crate) path: String,
}

/// The code of a text, if it fits one (2,331 bytes).
pub(crate) fn draw(text: &str) -> Option<Drawing> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let width = code.width();
    let mut path = String::new();
    for (y, row) in code.to_colors().chunks(width).enumerate() {
        let mut x = 0;
        for run in row.chunk_by(|a, b| a == b) {
            if run.first() == Some(&Color::Dark) {
                let length = run.len();
                // Writing to a text cannot fail.
                let _ = write!(path, "M{} {}h{length}v1h-{length}z", x + QUIET, y + QUIET);
            }
            x += run.len();
        }
    }
    Some(Drawing { side: width + 2 * QUIET, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// That what is drawn can be read is tested in the browser, by another implementation.
    #[test]
    fn a_text_is_drawn_as_long_as_it_fits() {
        let drawn = draw(&"x".repeat(2331)).map(|d| d.side);
        assert_eq!(drawn, Some(177 + 2 * QUIET));
        assert!(draw(&"x".repeat(2332)).is_none());
        let finder = draw("x").map(|d| d.path.starts_with("M4 4h7v1h-7z"));
        assert_eq!(finder, Some(true), "a corner's pattern is drawn in its place");
    }
}
