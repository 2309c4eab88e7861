//! Rewriting of texts and JSON.
#![allow(clippy::unwrap_used)]

use countersign_model::{Mask, Secret, Tag, Transform};

use super::*;
use crate::transform::KEY_BYTES_MIN;

fn masker() -> Masker {
    Masker::new(&Secret::new(vec![7; KEY_BYTES_MIN])).unwrap()
}

fn plan(masks: &[(&str, Transform)]) -> ContentPlan {
    let mask = |(tag, transform): &(&str, Transform)| Mask { tag: Tag::parse(tag).unwrap(), transform: *transform };
    ContentPlan::new(&masks.iter().map(mask).collect::<Vec<_>>())
}

fn text(plan: &ContentPlan, name: &str, text: &str) -> Option<String> {
    let (mut out, mut counts) = (b"> ".to_vec(), Counts::default());
    let changed =
        masker().mask_text(plan, text.as_bytes(), name.as_bytes(), &mut Scratch::default(), &mut out, &mut counts);
    assert_eq!(changed, counts.total() > 0);
    assert_eq!(changed, out.len() > 2);
    changed.then(|| String::from_utf8(out).unwrap().split_off(2))
}

fn json(plan: &ContentPlan, text: &str) -> Option<String> {
    let (mut out, mut counts) = (b"> ".to_vec(), Counts::default());
    let changed = masker().mask_json(plan, text.as_bytes(), b"", &mut Scratch::default(), &mut out, &mut counts);
    assert_eq!(changed, counts.total() > 0);
    assert_eq!(changed, out.len() > 2);
    changed.then(|| String::from_utf8(out).unwrap().split_off(2))
}

#[test]
fn each_tag_has_its_transform() {
    let plan = plan(&[("pii.email", Transform::Redact), ("pii.card", Transform::Last(4))]);
    let masked = text(&plan, "", "ana@example.com paid with 4111 1111 1111 1111 from 203.0.113.9");
    assert_eq!(masked.as_deref(), Some("[redacted] paid with **** **** **** 1111 from 203.0.113.9"));
    assert_eq!(text(&plan, "", "nothing here"), None);
    assert!(ContentPlan::new(&[]).is_empty());
}

#[test]
fn a_tag_above_covers_and_the_strictest_wins() {
    let plan = plan(&[("pii", Transform::Redact), ("pii.card", Transform::Last(4))]);
    assert_eq!(text(&plan, "", "4111 1111 1111 1111").as_deref(), Some("[redacted]"));
}

#[test]
fn a_name_counts() {
    let all = ContentPlan::all(Transform::Redact);
    assert_eq!(text(&all, "", "2125550142"), None);
    assert_eq!(text(&all, "mobile_phone", "2125550142").as_deref(), Some("[redacted]"));
    assert_eq!(text(&all, "password", "correct horse").as_deref(), Some("[redacted]"));
    assert_eq!(text(&all, "password", "[redacted]"), None);
}

#[test]
fn json_leaves_are_masked_and_nothing_else_moves() {
    let all = ContentPlan::all(Transform::Redact);
    for (from, expected) in [
        (r#" { "a" : [1, "ana@example.com" ] , "b":null} "#, Some(r#" { "a" : [1, "[redacted]" ] , "b":null} "#)),
        (r#"{"mail":"x ana\u0040example.com\n"}"#, Some(r#"{"mail":"x [redacted]\n"}"#)),
        (r#"{"card":4111111111111111,"n":12}"#, Some(r#"{"card":null,"n":12}"#)),
        (r#"{"ana@example.com":1}"#, Some(r#"{"[redacted]":1}"#)),
        (r#"{"password":"hunter2"}"#, Some(r#"{"password":"[redacted]"}"#)),
        (r#"{"phone":["2125550142"]}"#, Some(r#"{"phone":["[redacted]"]}"#)),
        (r#"{"a":"\"ana@example.com\""}"#, Some(r#"{"a":"\"[redacted]\""}"#)),
        (r#"{"a":1.5e3,"b":[true,false,{}],"c":"é\u00e9"}"#, None),
        // Not JSON: as text.
        (r#"{"a":"ana@example.com""#, Some(r#"{"a":"[redacted]""#)),
        (r#"{"a":"ana@example.com\x"}"#, Some(r#"{"a":"[redacted]\x"}"#)),
    ] {
        assert_eq!(json(&all, from).as_deref(), expected, "{from}");
    }
}

#[test]
fn json_may_be_of_any_depth() {
    let all = ContentPlan::all(Transform::Redact);
    let depth = 200_000;
    let nested = format!("{}\"ana\\u0040example.com\"{}", "[".repeat(depth), "]".repeat(depth));
    let masked = json(&all, &nested).unwrap();
    assert!(masked.contains("[\"[redacted]\"]") && masked.len() < nested.len());
}
