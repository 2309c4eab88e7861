//! What an operator writes about an identity provider, as the rest of this crate reads it: an issuer whose keys are in its metadata.

use std::path::PathBuf;

use super::metadata::{Terms, key_of};
use crate::check::check_rule;
use crate::config::{IssuerConfig, KEYS_AGE_S_MAX, KEYS_REFRESH_S_MIN, LEEWAY_S_MAX, MappingRule, Unmapped};
use crate::{FindingLevel, fetch, names};

/// Where an identity provider's metadata is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataSource {
    /// In a file, which may change.
    File(PathBuf),
    /// At an address.
    Url {
        /// The address.
        url: String,
        /// The only certificate authorities (PEM) to trust for it, instead of the system's.
        ca_file: Option<PathBuf>,
    },
}

/// An identity provider that speaks SAML 2.0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SamlConfig {
    /// A short word of your own for it; the default prefix of its groups.
    pub label: String,
    /// Its entity id.
    pub entity_id: String,
    /// What this gateway is called there.
    pub sp_entity_id: String,
    /// Where its metadata is.
    pub metadata: MetadataSource,
    /// The certificate (DER) one of whose keys must have signed its metadata; `None` where the way that it comes by is trusted.
    pub metadata_signed_by: Option<Vec<u8>>,
    /// How old the metadata may be before it is fetched anew, in seconds.
    pub metadata_refresh_s: u64,
    /// How long cached metadata lives on while it cannot be fetched, in seconds; at most [`KEYS_AGE_S_MAX`].
    pub max_metadata_age_s: u64,
    /// The attribute that is the subject; `None` is the NameID.
    pub subject_attribute: Option<String>,
    /// The attribute that is the name; `None` is the NameID.
    pub name_attribute: Option<String>,
    /// Put before the name, where no mapping gives one.
    pub name_prefix: String,
    /// The attribute that is the mail address, which policies see as the claim `email`.
    pub email_attribute: Option<String>,
    /// The attribute that lists groups.
    pub groups_attribute: Option<String>,
    /// Put before groups; the label and a colon unless it is set.
    pub groups_prefix: Option<String>,
    /// Which format of NameID is asked for; `None` leaves it to the identity provider.
    pub name_id_format: Option<String>,
    /// Whether requests are signed; they are, too, where the metadata wants it.
    pub sign_requests: bool,
    /// Whether an assertion must be encrypted.
    pub require_encrypted: bool,
    /// Whether an assertion without a signature of its own is taken where the response around it has one.
    pub accept_response_signature: bool,
    /// How much clock difference to forgive, in seconds; at most [`LEEWAY_S_MAX`].
    pub leeway_s: u64,
    /// What becomes of a person that no mapping fits; `refuse` where there are mappings, else `accept`.
    pub unmapped: Option<Unmapped>,
    /// Rules from attributes to name, groups and kind; `name_id` is the NameID.
    pub mapping: Vec<MappingRule>,
}

/// Under which claim the attributes are: none of them can be taken for a claim that means something.
pub(super) const ATTRIBUTES: &str = "attributes";

/// Where an attribute is in the claims, as a JSON pointer.
fn pointer(attribute: &str) -> String {
    format!("/{ATTRIBUTES}/{}", attribute.replace('~', "~0").replace('/', "~1"))
}

impl SamlConfig {
    /// An identity provider with every default.
    pub fn new(label: &str, entity_id: &str, sp_entity_id: &str, metadata: MetadataSource) -> Self {
        Self {
            label: label.to_owned(),
            entity_id: entity_id.to_owned(),
            sp_entity_id: sp_entity_id.to_owned(),
            metadata,
            metadata_signed_by: None,
            metadata_refresh_s: 3600,
            max_metadata_age_s: 86_400,
            subject_attribute: None,
            name_attribute: None,
            name_prefix: String::new(),
            email_attribute: None,
            groups_attribute: None,
            groups_prefix: None,
            name_id_format: None,
            sign_requests: true,
            require_encrypted: false,
            accept_response_signature: false,
            leeway_s: 30,
            unmapped: None,
            mapping: Vec::new(),
        }
    }

    /// The same as an issuer. It has no tokens, so that nothing about them is in force.
    pub(crate) fn issuer(&self) -> IssuerConfig {
        let mut c = IssuerConfig::new(&self.label, &self.entity_id, &[]);
        c.leeway_s = self.leeway_s;
        c.keys_refresh_s = self.metadata_refresh_s;
        c.max_keys_age_s = self.max_metadata_age_s;
        c.name_claim = self.name_attribute.as_deref().map_or_else(|| "sub".to_owned(), pointer);
        c.name_prefix.clone_from(&self.name_prefix);
        c.groups_claim = self.groups_attribute.as_deref().map(pointer);
        c.groups_prefix.clone_from(&self.groups_prefix);
        c.unmapped = self.unmapped;
        c.mapping = self.mapping.iter().map(of_attributes).collect();
        c
    }

    pub(crate) fn terms(&self) -> Result<Terms, String> {
        let signers = self.metadata_signed_by.iter().map(|der| key_of(der)).collect::<Result<Vec<_>, _>>()?;
        Ok(Terms { entity_id: self.entity_id.clone(), signers })
    }

    /// What is wrong with it: the level, the field and what to do.
    pub fn findings(&self) -> Vec<(FindingLevel, String, String)> {
        use FindingLevel::Error;
        let mut found = Vec::new();
        let mut say = |level: FindingLevel, field: &str, message: String| {
            found.push((level, field.to_owned(), message));
        };
        for (field, id) in [("entity_id", &self.entity_id), ("sp_entity_id", &self.sp_entity_id)] {
            if names::check_identifier(id, names::SUBJECT_BYTES_MAX).is_err() {
                say(Error, field, "must be 1 to 1024 bytes of text, as in the metadata".to_owned());
            }
        }
        if let MetadataSource::Url { url, .. } = &self.metadata
            && let Err(why) = fetch::check_url(url)
        {
            say(Error, "metadata_url", why);
        }
        if let Err(why) = self.terms() {
            say(Error, "metadata_signed_by", why);
        }
        for (field, value, low, high) in [
            ("leeway_s", self.leeway_s, 0, LEEWAY_S_MAX),
            ("metadata_refresh_s", self.metadata_refresh_s, KEYS_REFRESH_S_MIN, self.max_metadata_age_s),
            ("max_metadata_age_s", self.max_metadata_age_s, KEYS_REFRESH_S_MIN, KEYS_AGE_S_MAX),
        ] {
            if !(low..=high).contains(&value) {
                say(Error, field, format!("is {value}; it must be between {low} and {high}"));
            }
        }
        let groups_prefix = self.groups_prefix.clone().unwrap_or_else(|| format!("{}:", self.label));
        for (field, prefix) in [("name_prefix", &self.name_prefix), ("groups_prefix", &groups_prefix)] {
            if !prefix.is_empty() && names::check_name(&format!("{prefix}x")).is_err() {
                say(Error, field, "has characters that a name cannot have".to_owned());
            }
        }
        for (n, rule) in self.mapping.iter().enumerate() {
            check_rule(n, rule, &mut say);
        }
        found
    }
}

/// A rule that names attributes, as one that names claims.
fn of_attributes(rule: &MappingRule) -> MappingRule {
    let claim = |name: &String| if name == "name_id" { "sub".to_owned() } else { pointer(name) };
    let when = rule.when.iter().map(|(name, want)| (claim(name), want.clone())).collect();
    MappingRule { when, ..rule.clone() }
}
