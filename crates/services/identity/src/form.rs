//! Forms and queries, read strictly: bounded, no field twice. The one reader of all that is posted here.

/// The most fields of a form.
const FIELDS_MAX: usize = 16;

/// The fields of a form or query.
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a form's body of at most so many bytes.
    pub(crate) fn of_body(content_type: Option<&str>, body: &[u8], bytes_max: usize) -> Result<Self, &'static str> {
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err("the body must be application/x-www-form-urlencoded");
        }
        Self::parse(body, bytes_max)
    }

    /// Reads a query or a form of at most so many bytes.
    pub(crate) fn parse(encoded: &[u8], bytes_max: usize) -> Result<Self, &'static str> {
        if encoded.len() > bytes_max {
            return Err("the body is too long");
        }
        let mut fields: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(encoded) {
            if fields.len() >= FIELDS_MAX {
                return Err("the form has too many fields");
            }
            if fields.iter().any(|(k, _)| *k == name) {
                return Err("a field is there twice");
            }
            fields.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(fields))
    }

    /// The field of that name. An empty one is as one that is not there (RFC 6749, 3.1).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.raw(name).filter(|v| !v.is_empty())
    }

    /// The same, empty or not.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::EXCHANGE_FORM_BYTES_MAX;

    #[test]
    fn forms_have_limits_and_one_meaning() {
        let form = Some("application/x-www-form-urlencoded; charset=utf-8");
        let fields = |n: usize| (0..n).map(|i| format!("f{i}=x")).collect::<Vec<_>>().join("&");
        let padded = |n: usize| format!("a={}", "x".repeat(n - 2));
        for (content_type, body, fine) in [
            (form, "a=b+c%26&d=".to_owned(), true),
            (form, String::new(), true),
            (form, fields(FIELDS_MAX), true),
            (form, fields(FIELDS_MAX + 1), false),
            (form, padded(EXCHANGE_FORM_BYTES_MAX), true),
            (form, padded(EXCHANGE_FORM_BYTES_MAX + 1), false),
            (form, "a=1&b=2&a=1".to_owned(), false),
            (form, "a=1&%61=2".to_owned(), false),
            (Some("application/json"), "a=1".to_owned(), false),
            (None, "a=1".to_owned(), false),
        ] {
            let read = Form::of_body(content_type, body.as_bytes(), EXCHANGE_FORM_BYTES_MAX);
            assert_eq!(read.is_ok(), fine, "{}", body.chars().take(40).collect::<String>());
        }
        let read = Form::of_body(form, b"a=b+c%26&d=", EXCHANGE_FORM_BYTES_MAX).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!((read.get("a"), read.get("d"), read.get("e")), (Some("b c&"), None, None));
    }
}
