//! Identity providers that speak SAML 2.0.

use super::{Decoder, taken};
use crate::model::{MetadataSource, NameIdFormat, Saml};
use crate::read::{Fault, Table};
use crate::schema;

impl Decoder<'_, '_> {
    pub(super) fn saml(&mut self, mut t: Table<'_>) -> Option<Saml> {
        let label = t.text(self.sink, "label");
        let entity_id = t.text(self.sink, "entity_id");
        let sp_entity_id = t.text(self.sink, "sp_entity_id").map(|s| s.value);
        let metadata = self.metadata(&mut t);
        let metadata_signed_by = self.file(&mut t, "metadata_signed_by");
        let metadata_refresh = taken(t.seconds(self.sink, "metadata_refresh_s"));
        let age = t.seconds(self.sink, "max_metadata_age_s");
        if let Some(a) = age.as_ref().filter(|a| a.value < metadata_refresh) {
            let message = "the metadata would be dropped before it is fetched anew".to_owned();
            let fault = Fault::new(a.span.clone(), a.key.clone(), message);
            self.sink.error(fault.expected("at least `metadata_refresh_s`"));
        }
        let mut optional = |name: &'static str| t.text(self.sink, name).map(|v| v.value);
        let subject_attribute = optional("subject_attribute");
        let name_attribute = optional("name_attribute");
        let name_prefix = optional("name_prefix").unwrap_or_default();
        let email_attribute = optional("email_attribute");
        let groups_attribute = optional("groups_attribute");
        let groups_prefix = optional("groups_prefix");
        let name_id_format = optional("name_id_format").map(|f| match f.as_str() {
            "email" => NameIdFormat::Email,
            _ => NameIdFormat::Persistent,
        });
        let accept_unmapped = optional("unmapped").map(|u| u == "accept");
        let sign_requests = taken(t.flag(self.sink, "sign_requests"));
        let require_encrypted = taken(t.flag(self.sink, "require_encrypted"));
        let accept_response_signature = taken(t.flag(self.sink, "accept_response_signature"));
        let leeway = taken(t.seconds(self.sink, "leeway_s"));
        let tables = t.tables(self.sink, "mapping", &schema::MAPPING);
        let mappings = tables.into_iter().map(|m| self.mapping(m)).collect();
        t.finish(self.sink);
        let (label, entity_id) = (label?, entity_id?);
        self.places.issuers.push(entity_id.clone());
        self.places.issuer_labels.push(label.clone());
        self.places.saml.push(label.clone());
        Some(Saml {
            label: label.value,
            entity_id: entity_id.value,
            sp_entity_id,
            metadata: metadata?,
            metadata_signed_by,
            metadata_refresh,
            metadata_age_max: taken(age),
            subject_attribute,
            name_attribute,
            name_prefix,
            email_attribute,
            groups_attribute,
            groups_prefix,
            name_id_format,
            sign_requests,
            require_encrypted,
            accept_response_signature,
            leeway,
            accept_unmapped,
            mappings,
        })
    }

    fn metadata(&mut self, t: &mut Table<'_>) -> Option<MetadataSource> {
        let (has_file, has_url) = (t.has("metadata_file"), t.has("metadata_url"));
        let file = self.file(t, "metadata_file");
        let url = t.text(self.sink, "metadata_url");
        let ca = self.file(t, "ca");
        if let Some(url) = &url {
            self.plain_http(url, "the keys of the identity provider");
        }
        let fault = |what: &str| Fault::new(t.span.clone(), t.path_of("metadata_file"), what.to_owned());
        match (has_file, has_url) {
            (true, true) => {
                let both = fault("both `metadata_file` and `metadata_url` are given");
                self.sink.error(both.expected("one of them"));
            }
            (false, false) => {
                let none = fault("nothing says where the metadata is");
                self.sink.missing(none.expected("`metadata_file` or `metadata_url`"));
            }
            _ => {}
        }
        match (file, url) {
            (Some(path), _) => Some(MetadataSource::File(path)),
            (None, url) => url.map(|url| MetadataSource::Url { url: url.value, ca }),
        }
    }
}
