//! Detectors: where in a text there is personal data or a secret.
//!
//! One pass for all of them ([`scan`]): it stops only at bytes that something can begin or hang on (digits and a few signs), and what
//! stands there is checked by form, checksum and the words before it. Every look back or ahead has a limit, so the pass is linear, and a
//! stream has the same hits wherever it is cut.
//!
//! It must never copy what it finds into anything that lives longer than the call.

mod address;
mod card;
mod checksum;
mod context;
mod date;
mod key;
mod letters;
mod national;
mod number;
mod phone;
mod scan;
mod secret;
mod stream;
mod url;
mod view;

use std::ops::Range;

use countersign_model::Tag;

pub use scan::scan;
pub use stream::{CARRY_BYTES_MAX, Piece, StreamScanner};

/// How sure a detector is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// The form fits, as it does for many other things: worth counting over a column, not worth masking.
    Possible,
    /// The form and a checksum, or the words before it.
    Likely,
    /// Nothing else looks like it.
    Certain,
}

macro_rules! detectors {
    ($($(#[$doc:meta])* $variant:ident $name:literal $tag:literal,)+) => {
        /// What is looked for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum Detector { $($(#[$doc])* $variant,)+ }

        impl Detector {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// Its name, such as `es_nif`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The tag of what it finds, such as `pii.national_id`.
            pub const fn tag(self) -> &'static str {
                match self { $(Self::$variant => $tag),+ }
            }
        }
    };
}

detectors! {
    /// E-mail addresses (RFC 5321, with letters beyond ASCII).
    Email "email" "pii.email",
    /// Telephone numbers: E.164, and the usual national forms.
    Phone "phone" "pii.phone",
    /// Payment cards: issuer ranges, lengths, Luhn.
    Card "card" "pii.card",
    /// IBANs (ISO 13616): length of the country, mod 97.
    Iban "iban" "pii.iban",
    /// US social security numbers.
    UsSsn "us_ssn" "pii.ssn",
    /// Spanish DNI and NIF.
    EsNif "es_nif" "pii.national_id",
    /// Spanish NIE.
    EsNie "es_nie" "pii.national_id",
    /// French NIR (social security).
    FrNir "fr_nir" "pii.national_id",
    /// German tax number of persons (Steuer-ID).
    DeSteuerId "de_steuer_id" "pii.national_id",
    /// Italian codice fiscale.
    ItCodiceFiscale "it_codice_fiscale" "pii.national_id",
    /// Dutch BSN.
    NlBsn "nl_bsn" "pii.national_id",
    /// NHS number of England, Wales and the Isle of Man.
    UkNhs "uk_nhs" "pii.national_id",
    /// UK national insurance number.
    UkNino "uk_nino" "pii.national_id",
    /// Polish PESEL.
    PlPesel "pl_pesel" "pii.national_id",
    /// Belgian national number.
    BeNational "be_national" "pii.national_id",
    /// Swedish personnummer.
    SePersonnummer "se_personnummer" "pii.national_id",
    /// Finnish personal identity code (HETU).
    FiHetu "fi_hetu" "pii.national_id",
    /// Brazilian CPF.
    BrCpf "br_cpf" "pii.national_id",
    /// Brazilian CNPJ.
    BrCnpj "br_cnpj" "pii.national_id",
    /// Indian Aadhaar.
    InAadhaar "in_aadhaar" "pii.national_id",
    /// Canadian SIN.
    CaSin "ca_sin" "pii.national_id",
    /// Australian tax file number.
    AuTfn "au_tfn" "pii.national_id",
    /// Swiss AHV/AVS number.
    ChAhv "ch_ahv" "pii.national_id",
    /// IPv4 and IPv6 addresses, but not loopback, unspecified and netmasks.
    Ip "ip" "pii.ip",
    /// MAC addresses.
    Mac "mac" "pii.mac",
    /// Dates with words of birth before them.
    BirthDate "birth_date" "pii.birth_date",
    /// JSON Web Tokens (RFC 7519, compact).
    Jwt "jwt" "secret.jwt",
    /// AWS access key ids.
    AwsKey "aws_key" "secret.key",
    /// Google API keys and OAuth secrets.
    GcpKey "gcp_key" "secret.key",
    /// GitHub tokens.
    GithubToken "github_token" "secret.key",
    /// GitLab tokens.
    GitlabToken "gitlab_token" "secret.key",
    /// Slack tokens.
    SlackToken "slack_token" "secret.key",
    /// Stripe secret and restricted keys.
    StripeKey "stripe_key" "secret.key",
    /// npm tokens.
    NpmToken "npm_token" "secret.key",
    /// PyPI tokens.
    PypiToken "pypi_token" "secret.key",
    /// Keys of Anthropic, OpenAI, Hugging Face.
    AiKey "ai_key" "secret.key",
    /// Keys of clouds and services, known by the name that they are assigned to.
    NamedKey "named_key" "secret.key",
    /// PEM, OpenSSH and PGP private keys, from begin to end.
    PrivateKey "private_key" "secret.private_key",
    /// Passwords in URLs and connection strings.
    Connection "connection" "secret.connection",
    /// Passwords, tokens and secrets, known by the name that they are assigned to.
    Generic "generic" "secret.generic",
}

impl Detector {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    const fn bit(self) -> u64 {
        1 << (self as u8)
    }
}

/// Which detectors are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Wanted(u64);

impl Wanted {
    /// All of them.
    pub const ALL: Self = Self(u64::MAX >> (64 - Detector::COUNT));
    /// None.
    pub const NONE: Self = Self(0);

    /// Those whose tag is covered by one of these.
    pub fn covered_by<'a>(tags: impl IntoIterator<Item = &'a Tag> + Clone) -> Self {
        let covered =
            |d: &&Detector| Tag::parse(d.tag()).is_some_and(|tag| tags.clone().into_iter().any(|t| t.covers(&tag)));
        Detector::ALL.iter().filter(covered).fold(Self::NONE, |w, d| w.with(*d))
    }

    /// This one, too.
    #[must_use]
    pub const fn with(self, d: Detector) -> Self {
        Self(self.0 | d.bit())
    }

    /// True when it is asked for.
    pub const fn has(self, d: Detector) -> bool {
        self.0 & d.bit() != 0
    }

    /// True when nothing is asked for.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

/// Something that was found. Hits of a scan are in order and do not overlap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The bytes of the text that it is; never empty, and at UTF-8 boundaries where the text is UTF-8.
    pub range: Range<usize>,
    /// What it is.
    pub detector: Detector,
    /// How sure that is.
    pub confidence: Confidence,
}

#[cfg(test)]
mod tests;
