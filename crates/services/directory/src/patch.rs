//! Changes in part (RFC 7644, 3.5.2), also as identity providers really send them: operations in capitals, values without a path, names with
//! dots instead of objects, truth as text, and members to be removed as a value.

use serde_json::{Map, Value};

use crate::scim::No;

/// The most operations of one request.
pub const OPERATIONS_MAX: usize = 1_000;
/// The longest path, in bytes.
const PATH_BYTES_MAX: usize = 512;
/// The most values of one attribute.
const VALUES_MAX: usize = 1_000;

/// How something is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Add,
    Replace,
    Remove,
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Operation {
    pub(crate) op: Op,
    pub(crate) path: Option<Path>,
    pub(crate) value: Option<Value>,
}

/// What is changed: `attribute`, `attribute.sub`, `attribute[filter]`, `attribute[filter].sub`, in an extension or not.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Path {
    extension: Option<String>,
    pub(crate) attribute: String,
    pub(crate) filter: Option<(String, Value)>,
    sub: Option<String>,
}

fn wrong_path() -> No {
    No::bad("invalidPath", "a path is not ATTRIBUTE, ATTRIBUTE.SUB or ATTRIBUTE[NAME eq VALUE].SUB")
}

fn is_name(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '$');
    begins && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$'))
}

impl Path {
    pub(crate) fn read(text: &str) -> Result<Self, No> {
        if text.len() > PATH_BYTES_MAX {
            return Err(wrong_path());
        }
        // A value in a filter may have any sign in it, so that the filter is looked for first.
        let head = text.split('[').next().unwrap_or_default();
        let (extension, rest) =
            match head.rfind(':').filter(|_| head.get(..4).is_some_and(|u| u.eq_ignore_ascii_case("urn:"))) {
                None => (None, text),
                Some(at) => {
                    // A version has a dot, too: `…:2.0:User:department`.
                    let (urn, rest) = text.split_at(at);
                    let core = urn.to_ascii_lowercase().starts_with("urn:ietf:params:scim:schemas:core:2.0:");
                    ((!core).then(|| urn.to_owned()), rest.strip_prefix(':').unwrap_or(rest))
                }
            };
        let (attribute, filter, sub) = match rest.split_once('[') {
            None => match rest.split_once('.') {
                Some((attribute, sub)) => (attribute, None, Some(sub)),
                None => (rest, None, None),
            },
            Some((attribute, rest)) => {
                let (filter, rest) = rest.rsplit_once(']').ok_or_else(wrong_path)?;
                let sub = match rest {
                    "" => None,
                    rest => Some(rest.strip_prefix('.').ok_or_else(wrong_path)?),
                };
                (attribute, Some(equal(filter).ok_or_else(wrong_path)?), sub)
            }
        };
        if !is_name(attribute) || sub.is_some_and(|s| !is_name(s)) {
            return Err(wrong_path());
        }
        Ok(Self { extension, attribute: attribute.to_owned(), filter, sub: sub.map(str::to_owned) })
    }

    /// Whether it is this attribute of the core schema.
    pub(crate) fn is(&self, attribute: &str) -> bool {
        self.extension.is_none() && self.attribute.eq_ignore_ascii_case(attribute)
    }
}

/// `name eq value`, the one filter that is known (RFC 7644, 3.4.2.2).
pub(crate) fn equal(text: &str) -> Option<(String, Value)> {
    let (name, rest) = text.trim().split_once(' ')?;
    let (operator, value) = rest.trim_start().split_once(' ')?;
    let value = serde_json::from_str::<Value>(value.trim()).ok()?;
    let plain = matches!(value, Value::String(_) | Value::Bool(_));
    let known = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '_' | '-'));
    (operator.eq_ignore_ascii_case("eq") && plain && known && !name.is_empty()).then(|| (name.to_owned(), value))
}

/// The operations of a request.
pub(crate) fn operations(body: &Map<String, Value>) -> Result<Vec<Operation>, No> {
    let list = crate::resource::attribute(body, "Operations");
    let Some(Value::Array(list)) = list else { return Err(No::bad("invalidSyntax", "there are no Operations")) };
    if list.is_empty() || list.len() > OPERATIONS_MAX {
        return Err(No::bad("tooMany", format!("there are not 1 to {OPERATIONS_MAX} operations")));
    }
    list.iter().map(operation).collect()
}

fn operation(value: &Value) -> Result<Operation, No> {
    let syntax = |why: &str| No::bad("invalidSyntax", why);
    let map = value.as_object().ok_or_else(|| syntax("an operation is no object"))?;
    let get = |name: &str| crate::resource::attribute(map, name);
    let op = get("op").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let op = match op.as_str() {
        "add" => Op::Add,
        "replace" => Op::Replace,
        "remove" => Op::Remove,
        _ => return Err(syntax("an op is not add, replace or remove")),
    };
    let path = match get("path") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(Value::String(text)) => Some(Path::read(text)?),
        Some(_) => return Err(wrong_path()),
    };
    let value = get("value").cloned();
    match (op, &path, &value) {
        (Op::Remove, None, _) => Err(No::bad("noTarget", "remove needs a path")),
        (Op::Add | Op::Replace, _, None) => Err(syntax("add and replace need a value")),
        (Op::Add | Op::Replace, None, Some(value)) if !value.is_object() => {
            Err(syntax("without a path, the value is an object of attributes"))
        }
        _ => Ok(Operation { op, path, value }),
    }
}

/// Operations without a path as those with one: each attribute of their value is a path.
pub(crate) fn spread(all: Vec<Operation>) -> Result<Vec<Operation>, No> {
    let mut out = Vec::new();
    for operation in all {
        match (&operation.path, operation.value) {
            (None, Some(Value::Object(attributes))) => {
                for (name, value) in attributes {
                    // An extension as an object of its attributes is kept whole.
                    let path = match name.get(..4).is_some_and(|u| u.eq_ignore_ascii_case("urn:")) && value.is_object()
                    {
                        true => Path { extension: None, attribute: name, filter: None, sub: None },
                        false => Path::read(&name)?,
                    };
                    out.push(Operation { op: operation.op, path: Some(path), value: Some(value) });
                }
            }
            (_, value) => out.push(Operation { value, ..operation }),
        }
        if out.len() > OPERATIONS_MAX {
            return Err(No::bad("tooMany", format!("there are more than {OPERATIONS_MAX} changes")));
        }
    }
    Ok(out)
}

/// The key under which an attribute is, whatever its case.
fn key(map: &Map<String, Value>, name: &str) -> String {
    map.keys().find(|k| k.eq_ignore_ascii_case(name)).cloned().unwrap_or_else(|| name.to_owned())
}

/// Makes one change.
pub(crate) fn apply(resource: &mut Map<String, Value>, operation: &Operation) -> Result<(), No> {
    let Some(path) = &operation.path else { return Err(wrong_path()) };
    let map = match &path.extension {
        None => resource,
        Some(urn) => {
            let name = key(resource, urn);
            let entry = resource.entry(name).or_insert_with(|| Value::Object(Map::new()));
            entry.as_object_mut().ok_or_else(wrong_path)?
        }
    };
    let name = key(map, &path.attribute);
    match (&path.filter, operation.op) {
        (Some((by, want)), op) => {
            let list = map.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            let list = list.as_array_mut().ok_or_else(wrong_path)?;
            filtered(list, (by, want), path.sub.as_deref(), op, operation.value.as_ref())
        }
        (None, Op::Remove) => {
            match (&path.sub, map.get_mut(&name)) {
                (Some(sub), Some(Value::Object(inner))) => {
                    let sub = key(inner, sub);
                    inner.remove(&sub);
                }
                _ => {
                    map.remove(&name);
                }
            }
            Ok(())
        }
        (None, op) => {
            let value = operation.value.clone().unwrap_or_default();
            let Some(sub) = &path.sub else { return set(map, name, value, op) };
            let inner = map.entry(name).or_insert_with(|| Value::Object(Map::new()));
            let inner = inner.as_object_mut().ok_or_else(wrong_path)?;
            let sub = key(inner, sub);
            set(inner, sub, value, op)
        }
    }
}

fn set(map: &mut Map<String, Value>, name: String, value: Value, op: Op) -> Result<(), No> {
    match (op, map.get_mut(&name), value) {
        (Op::Add, Some(Value::Array(list)), value) => {
            let more = match value {
                Value::Array(more) => more,
                one => vec![one],
            };
            for value in more {
                if !list.contains(&value) {
                    list.push(value);
                }
            }
            if list.len() > VALUES_MAX {
                return Err(No::bad("tooMany", format!("an attribute has more than {VALUES_MAX} values")));
            }
        }
        (_, Some(Value::Object(inner)), Value::Object(more)) => {
            for (sub, value) in more {
                let sub = key(inner, &sub);
                inner.insert(sub, value);
            }
        }
        (_, _, value) => {
            map.insert(name, value);
        }
    }
    Ok(())
}

fn filtered(
    list: &mut Vec<Value>,
    (by, want): (&String, &Value),
    sub: Option<&str>,
    op: Op,
    value: Option<&Value>,
) -> Result<(), No> {
    let fits = |entry: &Value| {
        let found = entry.as_object().and_then(|e| crate::resource::attribute(e, by));
        found == Some(want)
            || found.and_then(crate::resource::truth).is_some_and(|t| Some(t) == crate::resource::truth(want))
    };
    if op == Op::Remove && sub.is_none() {
        list.retain(|entry| !fits(entry));
        return Ok(());
    }
    let mut met = false;
    for entry in list.iter_mut().filter(|entry| fits(entry)) {
        met = true;
        let Some(inner) = entry.as_object_mut() else { continue };
        match (op, sub, value) {
            (Op::Remove, Some(sub), _) => {
                let sub = key(inner, sub);
                inner.remove(&sub);
            }
            (_, Some(sub), Some(value)) => {
                let sub = key(inner, sub);
                inner.insert(sub, value.clone());
            }
            (_, None, Some(Value::Object(more))) => inner.extend(more.clone()),
            _ => return Err(wrong_path()),
        }
    }
    // What is not there yet is made: identity providers add `emails[type eq "work"].value`.
    if let (false, Some(sub), Some(value), Op::Add | Op::Replace) = (met, sub, value, op) {
        if list.len() >= VALUES_MAX {
            return Err(No::bad("tooMany", format!("an attribute has more than {VALUES_MAX} values")));
        }
        let entry = [(by.clone(), want.clone()), (sub.to_owned(), value.clone())].into_iter().collect();
        list.push(Value::Object(entry));
    }
    Ok(())
}
