//! One method for each form of value.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use countersign_mask::detect::Detector;
use countersign_model::Tag;
use toml::de::{DeInteger, DeValue};

use super::{At, Misfit, Sink, Table};
use crate::model::ClaimValue;
use crate::schema::Form;
use crate::{suggest, units};

/// The most items in a list of texts, or entries in a table of labels or claims.
const ITEMS_MAX: usize = 500;
/// What is in too much data that is no secret to be looked for unasked.
const NOT_BY_DEFAULT: [&str; 3] = ["pii.birth_date", "pii.ip", "pii.mac"];
/// The longest label, label value, or claim value, in characters.
const LABEL_CHARS_MAX: usize = 500;

impl Table<'_> {
    /// Text: [`Form::Text`], [`Form::Word`], [`Form::Name`], [`Form::Path`] and [`Form::Url`].
    pub(crate) fn text(&mut self, sink: &mut Sink<'_>, name: &'static str) -> Option<At<String>> {
        self.value(sink, name, |key, v| text(&key.form, v))
    }

    /// The name of a protocol.
    pub(crate) fn protocol(
        &mut self,
        sink: &mut Sink<'_>,
        name: &'static str,
        known: &[&'static str],
    ) -> Option<At<&'static str>> {
        self.value(sink, name, |_, v| {
            let quoted = known.iter().map(|k| format!("\"{k}\"")).collect::<Vec<_>>().join(" or ");
            let written = v.as_str();
            known.iter().find(|k| Some(**k) == written).copied().ok_or_else(|| Misfit {
                expected: Some(format!("a protocol that this build speaks: {quoted}")),
                suggestion: mean(written, known),
            })
        })
    }

    /// [`Form::Flag`].
    pub(crate) fn flag(&mut self, sink: &mut Sink<'_>, name: &'static str) -> Option<At<bool>> {
        self.value(sink, name, |_, v| match v {
            DeValue::Boolean(b) => Ok(*b),
            DeValue::String(s) if **s == *"true" || **s == *"false" => {
                Err(Misfit { expected: None, suggestion: Some(format!("write {s} without quotes")) })
            }
            _ => Err(Misfit::default()),
        })
    }

    /// [`Form::Count`].
    pub(crate) fn count(&mut self, sink: &mut Sink<'_>, name: &'static str) -> Option<At<u64>> {
        self.value(sink, name, |key, v| {
            let Form::Count(min, max) = key.form else { return Err(Misfit::default()) };
            let n = v.as_integer().and_then(integer).filter(|n| (min..=max).contains(n));
            n.and_then(|n| u64::try_from(n).ok()).ok_or_else(Misfit::default)
        })
    }

    /// [`Form::Seconds`].
    pub(crate) fn seconds(&mut self, sink: &mut Sink<'_>, name: &'static str) -> Option<At<Duration>> {
        self.value(sink, name, |key, v| {
            let Form::Seconds(min, max) = key.form else { return Err(Misfit::default()) };
            let d = match v {
                DeValue::Integer(i) => integer(i).and_then(|n| u64::try_from(n).ok()).map(Duration::from_secs),
                DeValue::String(s) => units::seconds(s),
                _ => None,
            };
            d.filter(|d| (min..=max).contains(&d.as_secs())).ok_or_else(Misfit::default)
        })
    }

    /// [`Form::Size`].
    pub(crate) fn size(&mut self, sink: &mut Sink<'_>, name: &'static str) -> Option<At<u64>> {
        self.value(sink, name, |key, v| {
            let Form::Size(min, max) = key.form else { return Err(Misfit::default()) };
            let n = match v {
                DeValue::Integer(i) => integer(i).and_then(|n| u64::try_from(n).ok()),
                DeValue::String(s) => units::size(s),
                _ => None,
            };
            n.filter(|n| (min..=max).contains(n)).ok_or_else(Misfit::default)
        })
    }

    /// [`Form::Address`].
    pub(crate) fn address(&mut self, sink: &mut Sink<'_>, name: &'static str) -> Option<At<SocketAddr>> {
        self.value(sink, name, |_, v| match v {
            DeValue::String(s) => s.parse().map_err(|_| Misfit { expected: None, suggestion: address_hint(s) }),
            _ => Err(Misfit::default()),
        })
    }

    /// [`Form::Texts`] and [`Form::Words`].
    pub(crate) fn texts(&mut self, sink: &mut Sink<'_>, name: &'static str) -> Option<At<Vec<String>>> {
        self.value(sink, name, |key, v| {
            let form = match key.form {
                Form::Words(words) => Form::Word(words),
                Form::Texts(most) => Form::Text(most),
                _ => return Err(Misfit::default()),
            };
            match v {
                DeValue::Array(items) if items.len() <= ITEMS_MAX => {
                    items.iter().map(|i| text(&form, i.get_ref()).map_err(|m| Misfit { expected: None, ..m })).collect()
                }
                DeValue::Array(_) => {
                    Err(Misfit { expected: Some(format!("at most {ITEMS_MAX} items")), suggestion: None })
                }
                DeValue::String(s) => {
                    Err(Misfit { expected: None, suggestion: Some(format!("write [\"{}\"]", super::cut(s))) })
                }
                _ => Err(Misfit::default()),
            }
        })
    }

    /// [`Form::Tag`].
    pub(crate) fn tag(&mut self, sink: &mut Sink<'_>, name: &'static str) -> Option<At<Tag>> {
        self.value(sink, name, |_, v| v.as_str().and_then(Tag::parse).ok_or_else(Misfit::default))
    }

    /// [`Form::Sought`]: the tags of all that is found, sorted.
    pub(crate) fn sought(&mut self, sink: &mut Sink<'_>, name: &'static str) -> Option<At<Vec<Tag>>> {
        self.value(sink, name, |key, v| {
            let Form::Sought(words) = key.form else { return Err(Misfit::default()) };
            let found: BTreeSet<Tag> = Detector::ALL.iter().filter_map(|d| Tag::parse(d.tag())).collect();
            let mut sought: BTreeSet<Tag> = BTreeSet::new();
            match v {
                DeValue::String(s) if **s == *"none" => {}
                DeValue::String(s) if **s == *"default" => {
                    sought.extend(found.into_iter().filter(|t| !NOT_BY_DEFAULT.contains(&t.as_str())));
                }
                DeValue::String(s) => return Err(Misfit { expected: None, suggestion: mean(Some(s), words) }),
                DeValue::Array(items) if items.len() <= ITEMS_MAX => {
                    for item in items {
                        let tag = item.get_ref().as_str().and_then(Tag::parse).ok_or_else(Misfit::default)?;
                        let before = sought.len();
                        sought.extend(found.iter().filter(|f| tag.covers(f)).cloned());
                        if sought.len() == before && !found.iter().any(|f| tag.covers(f)) {
                            let names: Vec<&str> = found.iter().map(Tag::as_str).collect();
                            return Err(Misfit {
                                expected: Some(format!("tags that can be found in content: {}", names.join(", "))),
                                suggestion: mean(Some(tag.as_str()), &names),
                            });
                        }
                    }
                }
                _ => return Err(Misfit::default()),
            }
            Ok(sought.into_iter().collect())
        })
    }

    /// [`Form::Labels`].
    pub(crate) fn labels(&mut self, sink: &mut Sink<'_>, name: &'static str) -> Option<At<BTreeMap<String, String>>> {
        self.value(sink, name, |_, v| {
            let Some(t) = v.as_table().filter(|t| t.len() <= ITEMS_MAX) else { return Err(Misfit::default()) };
            t.iter()
                .map(|(k, v)| match v.get_ref() {
                    DeValue::String(s) if short(k.get_ref()) && short(s) => {
                        Ok((k.get_ref().to_string(), s.to_string()))
                    }
                    _ => Err(Misfit::default()),
                })
                .collect()
        })
    }

    /// [`Form::Claims`].
    pub(crate) fn claims(
        &mut self,
        sink: &mut Sink<'_>,
        name: &'static str,
    ) -> Option<At<BTreeMap<String, ClaimValue>>> {
        self.value(sink, name, |_, v| {
            let Some(t) = v.as_table().filter(|t| t.len() <= ITEMS_MAX) else { return Err(Misfit::default()) };
            t.iter()
                .map(|(k, v)| {
                    let name = Some(k.get_ref().to_string()).filter(|k| short(k));
                    name.zip(claim(v.get_ref())).ok_or_else(Misfit::default)
                })
                .collect()
        })
    }

    /// The word of a [`Form::WordOr`]; `None` when something else is written, which `table` then reads.
    pub(crate) fn word_instead(&self, name: &str) -> Option<String> {
        self.entry(name).and_then(|v| v.get_ref().as_str()).map(str::to_owned)
    }
}

fn short(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= LABEL_CHARS_MAX
}

/// What a claim must be equal to.
fn claim(value: &DeValue<'_>) -> Option<ClaimValue> {
    let text = |v: &DeValue<'_>| v.as_str().filter(|s| short(s)).map(str::to_owned);
    match value {
        DeValue::String(_) => text(value).map(ClaimValue::Text),
        DeValue::Integer(i) => integer(i).map(ClaimValue::Integer),
        DeValue::Boolean(b) => Some(ClaimValue::Bool(*b)),
        DeValue::Array(items) if !items.is_empty() && items.len() <= ITEMS_MAX => {
            items.iter().map(|i| text(i.get_ref())).collect::<Option<_>>().map(ClaimValue::AnyOf)
        }
        _ => None,
    }
}

fn integer(i: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(i.as_str(), i.radix()).ok()
}

fn text(form: &Form, v: &DeValue<'_>) -> Result<String, Misfit> {
    /// Longest path that any system takes.
    const PATH_BYTES_MAX: usize = 4_096;
    const URL_CHARS_MAX: usize = 2_000;
    let Some(s) = v.as_str() else { return Err(Misfit::default()) };
    let fits = match form {
        Form::Text(most) => s.chars().count() <= *most && !s.contains('\0'),
        Form::Name => countersign_model::TargetName::parse(s).is_some(),
        Form::Path => !s.is_empty() && s.len() <= PATH_BYTES_MAX && !s.contains('\0'),
        Form::Word(words) => {
            if !words.contains(&s) {
                return Err(Misfit { expected: None, suggestion: mean(Some(s), words) });
            }
            true
        }
        Form::Url(schemes) => s.chars().count() <= URL_CHARS_MAX && is_url(s, schemes),
        _ => false,
    };
    if fits { Ok(s.to_owned()) } else { Err(Misfit::default()) }
}

fn mean(written: Option<&str>, known: &[&str]) -> Option<String> {
    suggest::nearest(written?, known.iter().copied()).map(|k| format!("did you mean \"{k}\"?"))
}

/// A scheme of the list, a host, no spaces, no user information.
fn is_url(text: &str, schemes: &[&str]) -> bool {
    let plain = text.chars().all(|c| !c.is_whitespace() && !c.is_control());
    plain && !text.contains('@') && url_host(text, schemes).is_some_and(|h| !h.is_empty())
}

/// The host of a URL with one of the schemes, without its port and brackets.
pub(crate) fn url_host<'u>(text: &'u str, schemes: &[&str]) -> Option<&'u str> {
    let (scheme, rest) = text.split_once("://")?;
    if !schemes.contains(&scheme) {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    if let Some(v6) = authority.strip_prefix('[') {
        return v6.split_once(']').map(|(host, _)| host);
    }
    Some(authority.split_once(':').map_or(authority, |(host, _)| host))
}

fn address_hint(text: &str) -> Option<String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() && text.parse::<std::net::IpAddr>().is_err() => (host, port),
        _ => (text, "PORT"),
    };
    match host {
        "localhost" => Some(format!("write \"127.0.0.1:{port}\"")),
        "" | "*" => {
            Some(format!("write \"127.0.0.1:{port}\" for this machine only, or \"0.0.0.0:{port}\" for every address"))
        }
        h if h.parse::<std::net::Ipv4Addr>().is_ok() => Some(format!("write \"{h}:{port}\"")),
        h if h.parse::<std::net::Ipv6Addr>().is_ok() => Some(format!("write \"[{h}]:{port}\"")),
        _ => None,
    }
}

/// Whether the key is of a form that [`Table::text`] reads; for the test of the schema.
#[cfg(test)]
pub(crate) fn default_fits(key: &crate::schema::Key, literal: &str) -> bool {
    let Ok(tree) = DeValue::parse(literal) else { return false };
    let v = tree.get_ref();
    match key.form {
        Form::Flag => matches!(v, DeValue::Boolean(_)),
        Form::Count(min, max) => v.as_integer().and_then(integer).is_some_and(|n| (min..=max).contains(&n)),
        Form::Seconds(..) => v.as_integer().is_some(),
        Form::Size(..) => v.as_str().and_then(units::size).is_some(),
        Form::Address => v.as_str().is_some_and(|s| s.parse::<SocketAddr>().is_ok()),
        Form::Texts(_) | Form::Words(_) => v.is_array(),
        Form::Labels => v.is_table(),
        Form::Sought(words) => v.as_str().is_some_and(|s| words.contains(&s)),
        Form::WordOr(words, _) => v.as_str().is_some_and(|s| words.contains(&s)),
        _ => text(&key.form, v).is_ok(),
    }
}
