//! Directories of identity providers.

use super::{Decoder, taken};
use crate::model::Scim;
use crate::read::Table;
use crate::schema;

impl Decoder<'_, '_> {
    pub(super) fn scim(&mut self, mut t: Table<'_>) -> Option<Scim> {
        let issuer = t.text(self.sink, "issuer");
        let token = t.table(self.sink, "token", &schema::SECRET).and_then(|s| self.secret(s));
        let by_name = t.text(self.sink, "user_key").is_some_and(|k| k.value == "userName");
        let claim = taken(t.text(self.sink, "claim"));
        t.finish(self.sink);
        let issuer = issuer?;
        self.places.scim.push(issuer.clone());
        Some(Scim { issuer: issuer.value, token: token?, by_name, claim })
    }
}
