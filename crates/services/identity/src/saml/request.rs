//! What the gateway says: requests to sign somebody in (SAML Core, 3.4) by the binding HTTP-Redirect (SAML Bindings, 3.4), and its own
//! metadata. Must never say anything of whoever signs in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_model::Timestamp;

use super::key::ServiceKey;
use super::{ASSERTION, BINDING_POST, DSIG, MD, PROTOCOL, XENC11};

/// The most bytes that one stored block of DEFLATE holds (RFC 1951, 3.2.4).
const STORED_BYTES_MAX: usize = 0xffff;
const RSA_SHA256: &str = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256";

/// A request.
pub(super) struct SignInRequest<'r> {
    /// Its id.
    pub(super) id: &'r str,
    /// Who asks.
    pub(super) entity_id: &'r str,
    /// Where the answer is to come to.
    pub(super) acs: &'r str,
    /// Where people sign in.
    pub(super) sign_in: &'r str,
    /// Which format of NameID is asked for; `None` leaves it to the identity provider.
    pub(super) name_id_format: Option<&'r str>,
    /// Comes back with the answer.
    pub(super) relay_state: &'r str,
    /// When.
    pub(super) now: Timestamp,
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn seconds(now: Timestamp) -> String {
    Timestamp::from_unix_s(now.unix_s()).rfc3339()
}

impl SignInRequest<'_> {
    fn xml(&self) -> String {
        let Self { id, entity_id, acs, sign_in, now, .. } = self;
        let format = self.name_id_format.map(|f| format!(" Format=\"{}\"", escaped(f))).unwrap_or_default();
        format!(
            "<samlp:AuthnRequest xmlns:samlp=\"{PROTOCOL}\" xmlns:saml=\"{ASSERTION}\" ID=\"{}\" Version=\"2.0\" \
             IssueInstant=\"{}\" Destination=\"{}\" ProtocolBinding=\"{BINDING_POST}\" \
             AssertionConsumerServiceURL=\"{}\"><saml:Issuer>{}</saml:Issuer><samlp:NameIDPolicy{format} \
             AllowCreate=\"true\"/></samlp:AuthnRequest>",
            escaped(id),
            seconds(*now),
            escaped(sign_in),
            escaped(acs),
            escaped(entity_id),
        )
    }

    /// The address that a browser is sent to; with a key, it is signed.
    pub(super) fn url(&self, key: Option<&ServiceKey>) -> Result<String, &'static str> {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("SAMLRequest", &STANDARD.encode(stored(self.xml().as_bytes())?));
        query.append_pair("RelayState", self.relay_state);
        if key.is_some() {
            query.append_pair("SigAlg", RSA_SHA256);
        }
        let mut query = query.finish();
        if let Some(key) = key {
            // What is signed are these very bytes, in this order.
            let signature = key.sign(query.as_bytes())?;
            let signature: String = form_urlencoded::byte_serialize(signature.as_bytes()).collect();
            query = format!("{query}&Signature={signature}");
        }
        let joint = if self.sign_in.contains('?') { '&' } else { '?' };
        Ok(format!("{}{joint}{query}", self.sign_in))
    }
}

/// DEFLATE, as one block that is not compressed: a request has no room to gain.
fn stored(bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    let length = u16::try_from(bytes.len()).map_err(|_| "the request is too long")?;
    debug_assert!(bytes.len() <= STORED_BYTES_MAX);
    let mut out = vec![1];
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(bytes);
    Ok(out)
}

/// The gateway's metadata, for an identity provider to read.
pub(super) fn metadata(entity_id: &str, acs: &str, key: &ServiceKey, signs: bool) -> String {
    let key_for = |usage: &str, methods: &str| {
        format!(
            "<md:KeyDescriptor use=\"{usage}\"><ds:KeyInfo xmlns:ds=\"{DSIG}\"><ds:X509Data><ds:X509Certificate>{}\
             </ds:X509Certificate></ds:X509Data></ds:KeyInfo>{methods}</md:KeyDescriptor>",
            key.certificate
        )
    };
    let methods = format!(
        "<md:EncryptionMethod Algorithm=\"{XENC11}aes256-gcm\"/><md:EncryptionMethod Algorithm=\"{XENC11}aes128-gcm\"/>\
         <md:EncryptionMethod Algorithm=\"{}rsa-oaep-mgf1p\"/>",
        super::XENC
    );
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<md:EntityDescriptor xmlns:md=\"{MD}\" entityID=\"{}\">\
         <md:SPSSODescriptor AuthnRequestsSigned=\"{signs}\" WantAssertionsSigned=\"true\" \
         protocolSupportEnumeration=\"{PROTOCOL}\">{}{}<md:AssertionConsumerService Binding=\"{BINDING_POST}\" \
         Location=\"{}\" index=\"0\" isDefault=\"true\"/></md:SPSSODescriptor></md:EntityDescriptor>\n",
        escaped(entity_id),
        key_for("signing", ""),
        key_for("encryption", &methods),
        escaped(acs),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_block_is_deflate() {
        assert_eq!(stored(b"ab").unwrap(), [1, 2, 0, 0xfd, 0xff, b'a', b'b']);
        assert!(stored(&vec![b'a'; STORED_BYTES_MAX]).is_ok());
        assert!(stored(&vec![b'a'; STORED_BYTES_MAX + 1]).is_err());
    }
}
