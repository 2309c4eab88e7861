//! SPIFFE IDs (SPIFFE-ID, 2): `spiffe://TRUST-DOMAIN/PATH`, in the one form that they may have.
//!
//! Nothing is decoded, lowered or repaired: two texts are one ID only when they are the same bytes.

use serde_json::{Map, Value};

/// How every SPIFFE ID begins.
pub(crate) const SCHEME: &str = "spiffe://";
/// The longest SPIFFE ID, in bytes (SPIFFE-ID, 2.3).
pub(crate) const SPIFFE_ID_BYTES_MAX: usize = 2048;
/// The longest name of a trust domain, in bytes (SPIFFE-ID, 2.1: what a host name may have).
const TRUST_DOMAIN_BYTES_MAX: usize = 255;

/// Why a text is no SPIFFE ID of a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IdFault {
    Scheme,
    TooLong,
    TrustDomain,
    NoPath,
    Segment,
    Character,
}

impl IdFault {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Scheme => "is no SPIFFE ID: it does not begin with spiffe://",
            Self::TooLong => "is longer than a SPIFFE ID may be",
            Self::TrustDomain => "has a trust domain that is not 1 to 255 of a-z, 0-9, dot, dash and underscore",
            Self::NoPath => "names a trust domain and no workload of it",
            Self::Segment => "has a path with an empty, a dot or a dot-dot segment, or a slash at its end",
            Self::Character => "has a path with something besides letters, digits, dot, dash and underscore",
        }
    }
}

/// A workload's SPIFFE ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpiffeId<'a> {
    trust_domain_id: &'a str,
    path: &'a str,
}

impl<'a> SpiffeId<'a> {
    /// Reads one; it must have a path, because a trust domain is nobody.
    pub(crate) fn parse(text: &'a str) -> Result<Self, IdFault> {
        if text.len() > SPIFFE_ID_BYTES_MAX {
            return Err(IdFault::TooLong);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(IdFault::Scheme)?;
        let (domain, path) = match rest.find('/') {
            Some(at) => rest.split_at_checked(at).ok_or(IdFault::TrustDomain)?,
            None => (rest, ""),
        };
        if !is_trust_domain(domain) {
            return Err(IdFault::TrustDomain);
        }
        let segments = path.strip_prefix('/').ok_or(IdFault::NoPath)?;
        for segment in segments.split('/') {
            if matches!(segment, "" | "." | "..") {
                return Err(IdFault::Segment);
            }
            if !segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')) {
                return Err(IdFault::Character);
            }
        }
        let trust_domain_id = text.strip_suffix(path).ok_or(IdFault::TrustDomain)?;
        Ok(Self { trust_domain_id, path })
    }

    /// `spiffe://TRUST-DOMAIN`.
    pub(crate) const fn trust_domain_id(&self) -> &'a str {
        self.trust_domain_id
    }

    /// The trust domain's name.
    pub(crate) fn trust_domain(&self) -> &'a str {
        self.trust_domain_id.strip_prefix(SCHEME).unwrap_or_default()
    }

    /// The path, with its slash.
    pub(crate) const fn path(&self) -> &'a str {
        self.path
    }
}

/// Whether a text can be a trust domain's name (SPIFFE-ID, 2.1).
pub(crate) fn is_trust_domain(name: &str) -> bool {
    (1..=TRUST_DOMAIN_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'))
}

/// The SPIFFE ID that the claims' `sub` is.
pub(crate) fn subject_of(claims: &Map<String, Value>) -> Option<SpiffeId<'_>> {
    SpiffeId::parse(claims.get("sub")?.as_str()?).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn adv_083_only_the_one_form_is_a_spiffe_id() {
        let domain = "d".repeat(TRUST_DOMAIN_BYTES_MAX);
        let long = |n: usize| format!("spiffe://td/{}", "x".repeat(n - 12));
        for (text, want) in [
            ("spiffe://td/a", Ok(("td", "/a"))),
            ("spiffe://td.example.org/ns/prod/sa/Web_1.x-y", Ok(("td.example.org", "/ns/prod/sa/Web_1.x-y"))),
            ("spiffe://1.2.3.4/a", Ok(("1.2.3.4", "/a"))),
            ("spiffe://td/...", Ok(("td", "/..."))),
            (&long(SPIFFE_ID_BYTES_MAX), Ok(("td", &long(SPIFFE_ID_BYTES_MAX)[11..]))),
            (&long(SPIFFE_ID_BYTES_MAX + 1), Err(IdFault::TooLong)),
            (&format!("spiffe://{domain}/a"), Ok((domain.as_str(), "/a"))),
            (&format!("spiffe://{domain}d/a"), Err(IdFault::TrustDomain)),
            ("", Err(IdFault::Scheme)),
            ("td/a", Err(IdFault::Scheme)),
            ("https://td/a", Err(IdFault::Scheme)),
            ("SPIFFE://td/a", Err(IdFault::Scheme)),
            ("spiffe:/td/a", Err(IdFault::Scheme)),
            (" spiffe://td/a", Err(IdFault::Scheme)),
            ("spiffe://", Err(IdFault::TrustDomain)),
            ("spiffe:///a", Err(IdFault::TrustDomain)),
            ("spiffe://TD/a", Err(IdFault::TrustDomain)),
            ("spiffe://td:443/a", Err(IdFault::TrustDomain)),
            ("spiffe://user@td/a", Err(IdFault::TrustDomain)),
            ("spiffe://td%2e/a", Err(IdFault::TrustDomain)),
            ("spiffe://[::1]/a", Err(IdFault::TrustDomain)),
            ("spiffe://td?x/a", Err(IdFault::TrustDomain)),
            ("spiffe://t\u{0441}d/a", Err(IdFault::TrustDomain)),
            ("spiffe://td", Err(IdFault::NoPath)),
            ("spiffe://td/", Err(IdFault::Segment)),
            ("spiffe://td//a", Err(IdFault::Segment)),
            ("spiffe://td/a/", Err(IdFault::Segment)),
            ("spiffe://td/./a", Err(IdFault::Segment)),
            ("spiffe://td/a/../b", Err(IdFault::Segment)),
            ("spiffe://td/a%2fb", Err(IdFault::Character)),
            ("spiffe://td/a?b", Err(IdFault::Character)),
            ("spiffe://td/a#b", Err(IdFault::Character)),
            ("spiffe://td/a b", Err(IdFault::Character)),
            ("spiffe://td/a\\b", Err(IdFault::Character)),
            ("spiffe://td/a@b", Err(IdFault::Character)),
            ("spiffe://td/a\0", Err(IdFault::Character)),
            ("spiffe://td/\u{0430}", Err(IdFault::Character)),
        ] {
            let got = SpiffeId::parse(text).map(|id| (id.trust_domain(), id.path()));
            assert_eq!(got, want, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_the_text_again_and_nothing_else_is_near(text in "(spiffe://)?[a-zA-Z0-9._/%:@?# -]{0,40}") {
            if let Ok(id) = SpiffeId::parse(&text) {
                prop_assert_eq!(format!("spiffe://{}{}", id.trust_domain(), id.path()), text.clone());
                prop_assert!(is_trust_domain(id.trust_domain()) && id.path().len() > 1);
                prop_assert!(!id.path().contains("//") && !id.path().ends_with('/') && !text.contains(['%', '@', '?', '#', ' ']));
                for more in ["/", "//x", "/..", "%41", "#", "?", " ", "\u{200b}"] {
                    let (after, before) = (format!("{text}{more}"), format!("{more}{text}"));
                    prop_assert!(SpiffeId::parse(&after).is_err() && SpiffeId::parse(&before).is_err());
                }
            }
        }

        #[test]
        fn every_well_formed_id_is_read(domain in "[a-z0-9._-]{1,60}", path in "(/[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,20}){1,5}") {
            let text = format!("spiffe://{domain}{path}");
            let id = SpiffeId::parse(&text).unwrap();
            prop_assert_eq!((id.trust_domain(), id.path()), (domain.as_str(), path.as_str()));
        }

        #[test]
        fn no_text_makes_it_fail(text in "\\PC{0,200}") {
            let _ = SpiffeId::parse(&text);
            let _ = SpiffeId::parse(&format!("spiffe://{text}"));
        }
    }
}
