//! Transforms stay in their kind, whatever the value.
#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

fn masker() -> Masker {
    Masker::new(&Secret::new(vec![7; KEY_BYTES_MIN])).unwrap()
}

fn transforms() -> impl Strategy<Value = Transform> {
    prop_oneof![
        Just(Transform::Generalise),
        (1..=8_u8).prop_map(Transform::Last),
        Just(Transform::Format),
        Just(Transform::Hash),
        Just(Transform::Redact),
        Just(Transform::Null),
    ]
}

fn integers() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        any::<i16>().prop_map(|v| Value::Integer { value: v.into(), width: Width::W16 }),
        any::<i32>().prop_map(|v| Value::Integer { value: v.into(), width: Width::W32 }),
        any::<i64>().prop_map(|value| Value::Integer { value, width: Width::W64 }),
        (-9..999_999_i64).prop_map(|value| Value::Integer { value, width: Width::W64 }),
    ]
}

fn values() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        Just(Value::Null),
        (".{0,80}", proptest::option::of(0..30_u32))
            .prop_map(|(t, chars_max)| Value::Text { text: t.into(), chars_max }),
        "[0-9 .()+-]{0,40}".prop_map(Value::text),
        integers(),
        ("-?[0-9]{1,30}(\\.[0-9]{1,8})?", proptest::option::of((1..38_u16, 0..9_u16)))
            .prop_map(|(t, digits)| Value::Decimal { text: t.into(), digits }),
        Just(Value::Decimal { text: "NaN".into(), digits: None }),
        any::<f64>().prop_map(|value| Value::Float { value, single: false }),
        any::<f32>().prop_map(|value| Value::Float { value: value.into(), single: true }),
        any::<bool>().prop_map(Value::Bool),
        (-2_451_545..3_000_000_i32).prop_map(Value::Date),
        any::<i32>().prop_map(Value::Date),
        any::<i64>().prop_map(Value::Timestamp),
        (0..=calendar::DAY_US).prop_map(Value::Time),
        any::<[u8; 16]>().prop_map(Value::Uuid),
        (any::<[u8; 4]>(), 0..=32_u8).prop_map(|(a, prefix)| Value::Address { address: IpAddr::from(a), prefix }),
        (any::<[u8; 16]>(), 0..=128_u8).prop_map(|(a, prefix)| Value::Address { address: IpAddr::from(a), prefix }),
        any::<[u8; 6]>().prop_map(|m| Value::Mac(m.to_vec().into())),
        any::<[u8; 8]>().prop_map(|m| Value::Mac(m.to_vec().into())),
        any::<Vec<u8>>().prop_map(|b| Value::Bytes(b.into())),
        ".{0,40}".prop_map(|t| Value::Json(t.into())),
        Just(Value::Opaque),
    ]
}

/// True when a result may stand where a value of `from`'s type is expected.
fn is_in_type(from: &Value<'_>, to: &Value<'_>) -> bool {
    match (from, to) {
        (_, Value::Null) => true,
        (Value::Text { chars_max, .. }, Value::Text { text, chars_max: kept }) => {
            chars_max == kept && chars_max.is_none_or(|n| text.chars().count() <= n as usize)
        }
        (Value::Integer { width, .. }, Value::Integer { value, width: kept }) => {
            width == kept && (-width.greatest() - 1..=width.greatest()).contains(value)
        }
        (Value::Decimal { digits, text }, Value::Decimal { text: new, digits: kept }) => {
            let whole = new.trim_start_matches('-').split('.').next().unwrap().trim_start_matches('0').len();
            let before = text.trim_start_matches('-').split('.').next().unwrap().len();
            // A value may be longer than the property's declared digits, a real one is not.
            digits == kept
                && digits.is_none_or(|(all, after)| whole <= before.max(usize::from(all.saturating_sub(after))))
        }
        (Value::Float { single, .. }, Value::Float { value, single: kept }) => {
            single == kept
                && value.is_finite()
                && (!single || f64::from(*value as f32) == *value || from_is_coarse(value))
        }
        (Value::Time(_), Value::Time(us)) => (0..=calendar::DAY_US).contains(us),
        (Value::Uuid(_), Value::Uuid(u)) => u[6] >> 4 == 8 && u[8] >> 6 == 2,
        (Value::Address { address: a, .. }, Value::Address { address: b, prefix }) => {
            a.is_ipv4() == b.is_ipv4() && *prefix <= if b.is_ipv4() { 32 } else { 128 }
        }
        (Value::Mac(a), Value::Mac(b)) => a.len() == b.len() && b[0] & 3 == 2,
        (Value::Json(_), Value::Json(t)) => serde_json::from_str::<serde_json::Value>(t).is_ok(),
        _ => std::mem::discriminant(from) == std::mem::discriminant(to),
    }
}

/// A bucket of a float is rounded again when it is written with 32 bits.
fn from_is_coarse(value: &f64) -> bool {
    value.abs() < f64::from(f32::MAX)
}

proptest! {
    #[test]
    fn results_stay_in_type_and_repeat(t in transforms(), v in values()) {
        let masked = masker().apply(t, &v);
        prop_assert!(is_in_type(&v, &masked), "{t} of {v:?} is {masked:?}");
        prop_assert!(masked == masker().apply(t, &v));
        prop_assert!(t != Transform::Null || masked == Value::Null);
    }

    #[test]
    fn integers_have_pseudonyms_of_their_own(a in any::<i32>(), b in any::<i32>()) {
        let hash = |v: i32, width| masker().apply(Transform::Hash, &Value::Integer { value: v.into(), width });
        prop_assert_eq!(a == b, hash(a, Width::W32) == hash(b, Width::W32));
        // A key joins with a wider one.
        match (hash(a, Width::W32), hash(a, Width::W64)) {
            (Value::Integer { value: x, .. }, Value::Integer { value: y, .. }) => prop_assert_eq!(x, y),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn a_masked_text_does_not_hold_the_text(text in "[a-zA-Z0-9]{9,40}") {
        for t in [Transform::Last(4), Transform::Format, Transform::Hash, Transform::Redact] {
            let masked = masker().apply(t, &Value::text(text.as_str()));
            if let Value::Text { text: new, .. } = masked {
                prop_assert!(!new.contains(&text));
            }
        }
    }
}

#[track_caller]
fn check(t: Transform, text: &str, expected: Option<&str>) {
    let masked = masker().apply(t, &Value::text(text));
    assert!(masked == expected.map_or(Value::Null, Value::text), "{t} {text}");
}

#[test]
fn texts() {
    check(Transform::Redact, "ana@example.com", Some(REDACTED));
    check(Transform::Last(4), "4111 1111 1111 1111", Some("**** **** **** 1111"));
    check(Transform::Last(4), "1234567", Some(REDACTED));
    check(Transform::Format, "Ana", Some(REDACTED));
    check(Transform::Generalise, "1984-07-09", Some("1984-01-01"));
    check(Transform::Generalise, "Ana", None);
    check(Transform::Null, "Ana", None);
}

#[test]
fn pseudonyms_depend_on_the_key_and_the_kind() {
    let other = Masker::new(&Secret::new(vec![8; KEY_BYTES_MIN])).unwrap();
    for v in [Value::text("ana"), Value::Uuid([1; 16]), Value::Date(1), Value::Integer { value: 5, width: Width::W32 }]
    {
        assert!(masker().apply(Transform::Hash, &v) != other.apply(Transform::Hash, &v), "{v:?}");
    }
    assert!(Masker::new(&Secret::new(vec![7; KEY_BYTES_MIN - 1])).is_err());
}

#[test]
fn an_address_becomes_an_address() {
    let Value::Text { text, .. } = masker().apply(Transform::Hash, &Value::text("ana@example.com")) else {
        panic!("not a text");
    };
    let (name, domain) = text.split_once('@').unwrap();
    assert_eq!((name.len(), domain), (26, "masked.invalid"));
}

#[test]
fn pseudonyms_never_change_between_versions() {
    // Stored exports are joined with later ones: a change here breaks them.
    let hash = |v: &Value<'_>| match masker().apply(Transform::Hash, v) {
        Value::Text { text, .. } => text.into_owned(),
        Value::Integer { value, .. } => value.to_string(),
        other => other.kind().to_owned(),
    };
    assert_eq!(hash(&Value::text("ana")), "bvx6njl2z6pmmifa7jcj6pvpeb");
    assert_eq!(hash(&Value::Integer { value: 42, width: Width::W32 }), "1432869841");
}
