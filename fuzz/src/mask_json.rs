//! Any bytes as JSON: what was JSON stays JSON, with the same shape.

use std::sync::OnceLock;

use countersign_mask::{ContentPlan, Counts, KEY_BYTES_MIN, Masker, Scratch};
use countersign_model::{Secret, Transform};
use serde_json::Value;

/// Masks the input.
///
/// # Panics
/// When JSON becomes something else, or nothing was found and yet something changed.
pub fn run(data: &[u8]) {
    let (mut out, mut counts) = (Vec::new(), Counts::default());
    let plan = ContentPlan::all(Transform::Redact);
    let changed = masker().mask_json(&plan, data, b"", &mut Scratch::default(), &mut out, &mut counts);
    assert!(changed == (counts.total() > 0), "changes are counted");
    assert!(changed || out.is_empty(), "nothing was changed, and yet something written");
    if changed && let Ok(before) = serde_json::from_slice::<Value>(data) {
        match serde_json::from_slice::<Value>(&out) {
            Ok(after) => assert!(are_alike(&before, &after), "the shape of the JSON changed"),
            Err(e) => refuse(&format!("JSON became something else: {e}")),
        }
    }
}

/// True when only leaves and names differ.
fn are_alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| are_alike(a, b)),
        // Names that were masked may have become one.
        (Value::Object(a), Value::Object(b)) => b.len() <= a.len(),
        (Value::Number(_), Value::Null) | (Value::String(_), Value::String(_)) => true,
        (a, b) => a == b,
    }
}

fn masker() -> &'static Masker {
    static MASKER: OnceLock<Masker> = OnceLock::new();
    MASKER.get_or_init(|| match Masker::new(&Secret::new(vec![7; KEY_BYTES_MIN])) {
        Ok(masker) => masker,
        Err(e) => refuse(&e.to_string()),
    })
}

#[allow(clippy::panic)] // A fuzz target reports by panicking.
fn refuse(why: &str) -> ! {
    panic!("{why}")
}
