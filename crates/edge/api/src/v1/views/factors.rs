//! Second factors as they are told, added and shown. Times are seconds since the Unix epoch; bytes are base64url without padding.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::said;
use crate::v1::table::FACTOR_NAME_CHARS_MAX;

fn name(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string", "minLength": 1, "maxLength": FACTOR_NAME_CHARS_MAX,
        "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$",
    })
}

fn kind(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["webauthn", "totp"] })
}

/// A code of an authenticator app. It cannot be printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodeText(pub String);

impl fmt::Debug for CodeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl JsonSchema for CodeText {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CodeText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "A code of an authenticator app: six digits. It is not recorded." })
    }
}

/// What a key signed, as browsers give it (WebAuthn, 5.1.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AssertionBody {
    /// The key's name, as it chose it.
    pub credential: String,
    /// What the browser says that it asked the key for.
    pub client_data: String,
    /// What the key says of itself.
    pub authenticator_data: String,
    /// Its signature over both.
    pub signature: String,
}

/// What is shown beside a login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FactorBody {
    /// A code.
    Code(CodeText),
    /// What a key signed.
    Assertion(AssertionBody),
}

/// What a key is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FactorUse {
    /// To be registered: the new key itself.
    Register,
    /// To add another factor.
    Add,
    /// To remove one.
    Remove,
}

/// What a key is to be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FactorChallengeBody {
    /// What for.
    pub r#use: FactorUse,
    /// Which factor is to be removed, where one is.
    #[serde(default)]
    pub factor: Option<String>,
    /// Where the browser is, such as `https://gw.example:8443`; without it, at the gateway's usual address.
    #[serde(default)]
    pub origin: Option<String>,
}

/// What a key is asked to say yes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewChallengeBody {
    /// The digest of what was looked at: nothing else is asked.
    #[serde(default)]
    pub action: Option<String>,
    /// Where the browser is; without it, at the gateway's usual address.
    #[serde(default)]
    pub origin: Option<String>,
}

/// What a browser asks a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FactorChallengeView {
    /// What it is to sign.
    pub challenge: String,
    /// At whose site (the relying party).
    pub site: String,
    /// Which keys the caller has there.
    pub credentials: Vec<String>,
    /// What the caller is called by a key.
    pub user: String,
    /// Their name.
    pub name: String,
    /// The ways of signing that are accepted (COSE), the liked first.
    pub algorithms: Vec<i64>,
    /// Until when.
    pub expires_at: i64,
}

/// A key that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddKeyBody {
    /// What its owner calls it.
    #[schemars(schema_with = "name")]
    pub name: String,
    /// What the browser says that it asked the key for.
    pub client_data: String,
    /// What the key says (attestation object).
    pub attestation: String,
    /// Another factor, of whoever has one.
    #[serde(default)]
    pub factor: Option<FactorBody>,
}

/// A secret of codes is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddCodesBody {
    /// What its owner calls it.
    #[schemars(schema_with = "name")]
    pub name: String,
    /// Another factor, of whoever has one.
    #[serde(default)]
    pub factor: Option<FactorBody>,
}

/// A first code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CodeBody {
    /// The code.
    pub code: CodeText,
}

/// A factor is to be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveFactorBody {
    /// A factor of theirs: this one or another.
    #[serde(default)]
    pub factor: Option<FactorBody>,
}

/// Somebody lost what they had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetFactorsBody {
    /// Who: a name, or `ISSUER#SUBJECT`.
    pub person: String,
    /// Why.
    #[schemars(schema_with = "said")]
    pub reason: String,
}

/// A factor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FactorView {
    /// Its id.
    pub id: String,
    /// Its sort: `webauthn` for a key, `totp` for codes.
    #[schemars(schema_with = "kind")]
    pub kind: String,
    /// What its owner calls it.
    pub name: String,
    /// When it was added.
    pub created_at: i64,
    /// When it was shown last.
    pub used_at: Option<i64>,
    /// The site of a key.
    pub site: Option<String>,
    /// How often a key has signed, by its own count.
    pub sign_count: Option<u32>,
}

/// What somebody has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FactorPage {
    /// The factors, oldest first.
    pub factors: Vec<FactorView>,
    /// The sorts that can be had at this gateway.
    pub available: Vec<String>,
}

/// A new secret of codes. It is answered once, and never again.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CodesView {
    /// Its id: it is a factor once its first code is confirmed.
    pub id: String,
    /// The secret, as people type it.
    pub secret: String,
    /// The same for apps.
    pub uri: String,
    /// Until when its first code is waited for.
    pub expires_at: i64,
}

impl fmt::Debug for CodesView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CodesView({}, [secret])", self.id)
    }
}

/// What was taken from somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResetFactorsView {
    /// How many factors they had.
    pub removed: usize,
}
