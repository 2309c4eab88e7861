//! JSON read so that two readers cannot disagree: duplicate keys, deep nesting and crowds of values are refused.
//!
//! Everything of a token, a key set or a discovery document comes through here; it must never guess or repair.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// How many arrays and objects may be inside one another.
pub(crate) const DEPTH_MAX: usize = 16;
/// How many values one document may hold, counting every member and element.
pub(crate) const VALUES_MAX: usize = 4096;

/// Reads a whole document that must be an object. The caller bounds its length.
///
/// # Errors
/// Says what is wrong without repeating the document.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let left = Cell::new(VALUES_MAX);
    let value = Strict { depth_left: DEPTH_MAX, values_left: &left }.deserialize(&mut reader).map_err(describe)?;
    reader.end().map_err(describe)?;
    match value {
        Value::Object(map) => Ok(map),
        _ => Err("not a JSON object".to_owned()),
    }
}

/// The reader's own words can quote the document, so only the place and the class are kept, and our own words.
fn describe(e: serde_json::Error) -> String {
    let text = e.to_string();
    let ours = [DUPLICATE, TOO_DEEP, TOO_MANY].into_iter().find(|w| text.starts_with(w));
    let what = ours.unwrap_or(match e.classify() {
        serde_json::error::Category::Eof => "ends too early",
        _ => "is not well-formed",
    });
    format!("JSON {what} at line {} column {}", e.line(), e.column())
}

const DUPLICATE: &str = "has a key twice";
const TOO_DEEP: &str = "is nested too deeply";
const TOO_MANY: &str = "holds too many values";

struct Strict<'a> {
    depth_left: usize,
    values_left: &'a Cell<usize>,
}

impl Strict<'_> {
    fn inside<E: Error>(&self) -> Result<Self, E> {
        let depth_left = self.depth_left.checked_sub(1).ok_or_else(|| E::custom(TOO_DEEP))?;
        Ok(Self { depth_left, values_left: self.values_left })
    }

    fn count<E: Error>(&self) -> Result<(), E> {
        let left = self.values_left.get().checked_sub(1).ok_or_else(|| E::custom(TOO_MANY))?;
        self.values_left.set(left);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        self.count()?;
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<Value, E> {
        Ok(Value::from(v))
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<Value, E> {
        Ok(Value::from(v))
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(v).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_string<E: Error>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.inside()?)? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = members.next_key::<String>()? {
            if map.contains_key(&key) {
                return Err(A::Error::custom(DUPLICATE));
            }
            let value = members.next_value_seed(self.inside()?)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn adv_086_duplicate_keys_are_refused_however_written() {
        for (text, why) in [
            (r#"{"a":1,"a":1}"#, Some(DUPLICATE)),
            (r#"{"a":1,"\u0061":2}"#, Some(DUPLICATE)),
            (r#"{"x":{"a":1,"b":[{"c":1,"c":2}]}}"#, Some(DUPLICATE)),
            (r#"{"a":1,"A":1}"#, None),
            (r#"{"a":{"a":{"a":1}}}"#, None),
            (r#"{"a":"\ud800"}"#, Some("is not well-formed")),
            (r#"{"a":1} x"#, Some("is not well-formed")),
            (r#"{"a":1"#, Some("ends too early")),
            (r#"{"a":1e999}"#, Some("is not well-formed")),
            (r#"{"a":NaN}"#, Some("is not well-formed")),
            (r#"{"a":1,}"#, Some("is not well-formed")),
            ("[1]", Some("not a JSON object")),
            ("\u{feff}{}", Some("is not well-formed")),
            ("", Some("ends too early")),
        ] {
            match (object(text.as_bytes()), why) {
                (Ok(_), None) => {}
                (Err(e), Some(why)) => assert!(e.contains(why), "{text}: {e}"),
                (got, want) => panic!("{text}: {got:?}, wanted {want:?}"),
            }
        }
    }

    #[test]
    fn limits_hold_at_their_edges() {
        let nested = |n: usize| format!("{{\"a\":{}{}}}", "[".repeat(n), "]".repeat(n));
        assert!(object(nested(DEPTH_MAX - 1).as_bytes()).is_ok());
        assert!(object(nested(DEPTH_MAX).as_bytes()).unwrap_err().contains(TOO_DEEP));
        let crowd = |n: usize| format!("{{\"a\":[{}]}}", vec!["1"; n].join(","));
        // The object and the array count, too.
        assert!(object(crowd(VALUES_MAX - 2).as_bytes()).is_ok());
        assert!(object(crowd(VALUES_MAX - 1).as_bytes()).unwrap_err().contains(TOO_MANY));
    }

    #[test]
    fn values_come_out_as_a_plain_reader_reads_them() {
        let text = r#"{"n":null,"b":true,"i":-3,"u":18446744073709551615,"f":1.5,"s":"ä\n","a":[1,{"x":[]}]}"#;
        let plain: Value = serde_json::from_str(text).unwrap();
        assert_eq!(Value::Object(object(text.as_bytes()).unwrap()), plain);
    }

    #[test]
    fn faults_never_quote_the_document() {
        let e = object(br#"{"a": hunter2}"#).unwrap_err();
        assert!(!e.contains("hunter"), "{e}");
    }
}
