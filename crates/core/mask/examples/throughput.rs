//! Measures detection over the files that are named, cell by cell (a line is a cell), on one core: `FILE...`. Writes one JSON object a
//! file: bytes, hits and MB/s of the scan, of scan and rewriting, and of a plain copy and a plain search for a byte. `bench/masking` makes
//! the files and compares.
//!
//! It must never print what it read.

use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

use countersign_mask::detect::{Wanted, scan};
use countersign_mask::{ContentPlan, Counts, KEY_BYTES_MIN, Masker, Scratch};
use countersign_model::{Secret, Transform};

/// Each measurement is repeated for this long.
const MEASURE: Duration = Duration::from_millis(2000);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args_os().skip(1) {
        let text = std::fs::read(&path)?;
        let cells: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
        let (mut hits, mut found) = (Vec::new(), 0);
        let scan_rate = rate(text.len(), || {
            found = 0;
            for cell in &cells {
                scan(black_box(cell), b"", Wanted::ALL, &mut hits);
                found += hits.len();
            }
        });
        let whole_rate = rate(text.len(), || {
            scan(black_box(&text), b"", Wanted::ALL, &mut hits);
        });
        let masker = Masker::new(&Secret::new(vec![7; KEY_BYTES_MIN]))?;
        let plan = ContentPlan::all(Transform::Redact);
        let (mut out, mut scratch, mut counts) =
            (Vec::with_capacity(text.len() * 2), Scratch::default(), Counts::default());
        let mask_rate = rate(text.len(), || {
            out.clear();
            for cell in &cells {
                if !masker.mask_text(&plan, black_box(cell), b"", &mut scratch, &mut out, &mut counts) {
                    out.extend_from_slice(cell);
                }
            }
        });
        let copy_rate = rate(text.len(), || {
            out.clear();
            out.extend_from_slice(black_box(&text));
        });
        let search_rate = rate(text.len(), || {
            black_box(black_box(&text).iter().filter(|b| **b == b'@').count());
        });
        let line = serde_json::json!({
            "bytes": text.len(), "hits": found, "scan_mb_s": scan_rate, "scan_whole_mb_s": whole_rate, "mask_mb_s": mask_rate,
            "copy_mb_s": copy_rate, "search_mb_s": search_rate,
        });
        writeln!(std::io::stdout().lock(), "{line}")?;
    }
    Ok(())
}

/// MB/s of the best round: what else the machine does takes from a round and never adds to it.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(bytes: usize, mut round: impl FnMut()) -> f64 {
    round();
    let (began, mut best) = (Instant::now(), Duration::MAX);
    while began.elapsed() < MEASURE {
        let start = Instant::now();
        round();
        best = best.min(start.elapsed());
    }
    (bytes as f64 / 1e6 / best.as_secs_f64()).round()
}
