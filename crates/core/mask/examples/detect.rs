//! Reads texts as JSON strings, one a line, and writes for each what the detectors find: `[[start, end, "name", "confidence"], ...]`, in
//! bytes. `tests/detectors/run` measures precision and recall with it.
//!
//! It must never judge: what is right is for the corpus to say.

use std::io::{BufRead as _, Write as _};

use countersign_mask::detect::{Confidence, Wanted, scan};

fn main() -> std::io::Result<()> {
    let (mut hits, mut out) = (Vec::new(), std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        let text: String = serde_json::from_str(&line?)?;
        scan(text.as_bytes(), b"", Wanted::ALL, &mut hits);
        let found: Vec<_> = hits
            .iter()
            .map(|h| {
                let confidence = match h.confidence {
                    Confidence::Possible => "possible",
                    Confidence::Likely => "likely",
                    Confidence::Certain => "certain",
                };
                (h.range.start, h.range.end, h.detector.name(), confidence)
            })
            .collect();
        serde_json::to_writer(&mut out, &found)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
