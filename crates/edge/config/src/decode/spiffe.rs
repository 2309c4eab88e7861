//! Workloads: trust domains, and the cluster that is asked about its tokens.

use super::{Decoder, taken};
use crate::model::{BundleSource, Spiffe, TokenReview};
use crate::read::{At, Fault, Table};
use crate::schema;

impl Decoder<'_, '_> {
    pub(super) fn spiffe(&mut self, mut t: Table<'_>) -> Option<Spiffe> {
        let trust_domain = t.text(self.sink, "trust_domain");
        if let Some(d) = trust_domain.as_ref().filter(|d| !is_trust_domain(&d.value)) {
            let fault = Fault::new(d.span.clone(), d.key.clone(), "this is not the name of a trust domain".to_owned());
            let help = "write example.org for spiffe://example.org/…";
            self.sink.error(fault.expected("a-z, 0-9, dots, dashes and underscores, without spiffe://").help(help));
        }
        let audiences = t.texts(self.sink, "audiences");
        if let Some(a) = audiences.as_ref().filter(|a| a.value.iter().all(String::is_empty)) {
            let fault =
                Fault::new(a.span.clone(), a.key.clone(), "a JWT-SVID for anybody would be accepted".to_owned());
            self.sink.error(fault.expected("at least one audience, such as [\"countersign\"]"));
        }
        let bundle = self.bundle(&mut t);
        let bundle_refresh = taken(t.seconds(self.sink, "bundle_refresh_s"));
        let age = t.seconds(self.sink, "max_bundle_age_s");
        if let Some(a) = age.as_ref().filter(|a| a.value < bundle_refresh) {
            let message = "the bundle would be dropped before it is fetched anew".to_owned();
            self.sink.error(Fault::new(a.span.clone(), a.key.clone(), message).expected("at least `bundle_refresh_s`"));
        }
        let single_use = taken(t.flag(self.sink, "single_use"));
        let require_bound = taken(t.flag(self.sink, "require_bound"));
        let leeway = taken(t.seconds(self.sink, "leeway_s"));
        let token_lifetime_max = taken(t.seconds(self.sink, "max_token_lifetime_s"));
        let name_prefix = t.text(self.sink, "name_prefix").map(|p| p.value);
        let accept_unmapped = t.text(self.sink, "unmapped").map(|u| u.value == "accept");
        let tables = t.tables(self.sink, "mapping", &schema::MAPPING);
        let mappings = tables.into_iter().map(|m| self.mapping(m)).collect();
        t.finish(self.sink);
        let trust_domain = trust_domain?;
        self.places.trust_domains.push(trust_domain.clone());
        Some(Spiffe {
            trust_domain: trust_domain.value,
            audiences: taken(audiences),
            bundle: bundle?,
            bundle_refresh,
            bundle_age_max: taken(age),
            single_use,
            require_bound,
            leeway,
            token_lifetime_max,
            name_prefix,
            accept_unmapped,
            mappings,
        })
    }

    fn bundle(&mut self, t: &mut Table<'_>) -> Option<BundleSource> {
        let (has_file, has_url) = (t.has("bundle_file"), t.has("bundle_url"));
        let file = self.file(t, "bundle_file");
        let url = t.text(self.sink, "bundle_url");
        let ca = self.file(t, "ca");
        if let Some(url) = &url {
            self.plain_http(url, "the trust bundle");
        }
        let fault = |what: &str| Fault::new(t.span.clone(), t.path_of("bundle_file"), what.to_owned());
        match (has_file, has_url) {
            (true, true) => {
                let both = fault("both `bundle_file` and `bundle_url` are given");
                self.sink.error(both.expected("one of them"));
            }
            (false, false) => {
                let none = fault("nothing says where the trust bundle is");
                self.sink.missing(none.expected("`bundle_file` or `bundle_url`"));
            }
            _ => {}
        }
        match (file, url) {
            (Some(path), _) => Some(BundleSource::File(path)),
            (None, url) => url.map(|At { value: url, .. }| BundleSource::Url { url, ca }),
        }
    }

    pub(super) fn token_review(&mut self, mut t: Table<'_>) -> Option<TokenReview> {
        let url = t.text(self.sink, "url");
        if let Some(url) = &url {
            self.plain_http(url, "tokens");
        }
        let ca = self.file(&mut t, "ca");
        let token_file = self.file(&mut t, "token_file");
        let accept_unreachable = t.text(self.sink, "on_unreachable").is_some_and(|w| w.value == "accept");
        t.finish(self.sink);
        Some(TokenReview { url: url?.value, ca, token_file: token_file?, accept_unreachable })
    }
}

/// SPIFFE-ID, 2.1.
fn is_trust_domain(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_'))
}
