//! The canonical form that signatures are made over: Exclusive XML Canonicalization 1.0, without comments.
//!
//! Must never write anything that is not in the element it was given, nor leave out anything but a signature it was told to.

use std::sync::Arc;

use super::DSIG;
use super::xml::{Attribute, Child, Element, Fault};

/// The longest canonical form, in bytes. Declarations are repeated where siblings use them, so that it may be longer than the document.
pub(crate) const CANONICAL_BYTES_MAX: usize = 1 << 20;

/// How an element is written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Form<'f> {
    /// Prefixes that are declared wherever they are in scope (`InclusiveNamespaces`); the empty one for the default.
    pub(crate) inclusive: &'f [String],
    /// Whether the signatures directly in the element are left out (the transform `enveloped-signature`).
    pub(crate) without_signature: bool,
}

/// The canonical form of an element with all that is in it.
pub(crate) fn canonical(element: &Element, form: Form<'_>) -> Result<Vec<u8>, Fault> {
    let mut writer = Writer { out: String::new(), declared: Vec::new(), inclusive: form.inclusive };
    writer.element(element, form.without_signature)?;
    Ok(writer.out.into_bytes())
}

struct Writer<'f> {
    out: String,
    /// What was declared in the elements that are open, nearest last.
    declared: Vec<(String, Arc<str>)>,
    inclusive: &'f [String],
}

impl Writer<'_> {
    fn element(&mut self, element: &Element, without_signature: bool) -> Result<(), Fault> {
        let open = self.declared.len();
        let name = element.name.qualified();
        self.out.push('<');
        self.out.push_str(&name);
        for (prefix, namespace) in self.needed(element) {
            if prefix.is_empty() {
                self.out.push_str(" xmlns=\"");
            } else {
                self.out.push_str(" xmlns:");
                self.out.push_str(&prefix);
                self.out.push_str("=\"");
            }
            escape(&namespace, true, &mut self.out);
            self.out.push('"');
            self.declared.push((prefix, namespace));
        }
        let mut attributes: Vec<&Attribute> = element.attributes.iter().collect();
        attributes.sort_by(|a, b| (&*a.name.namespace, &a.name.local).cmp(&(&*b.name.namespace, &b.name.local)));
        for attribute in attributes {
            self.out.push(' ');
            self.out.push_str(&attribute.name.qualified());
            self.out.push_str("=\"");
            escape(&attribute.value, true, &mut self.out);
            self.out.push('"');
        }
        self.out.push('>');
        for child in &element.children {
            match child {
                Child::Text(text) => escape(text, false, &mut self.out),
                Child::Element(e) if without_signature && e.is(DSIG, "Signature") => {}
                Child::Element(e) => self.element(e, false)?,
            }
            if self.out.len() > CANONICAL_BYTES_MAX {
                return Err("the canonical form is too long");
            }
        }
        self.out.push_str("</");
        self.out.push_str(&name);
        self.out.push('>');
        self.declared.truncate(open);
        Ok(())
    }

    /// What is to be declared at an element: what it and its attributes use, and the inclusive prefixes, where the elements around it did
    /// not declare the same.
    fn needed(&self, element: &Element) -> Vec<(String, Arc<str>)> {
        let attributes = element.attributes.iter().map(|a| &a.name).filter(|n| !n.prefix.is_empty());
        let used = std::iter::once(&element.name).chain(attributes).filter(|n| n.prefix != "xml");
        let used = used.map(|n| (n.prefix.as_str(), &n.namespace));
        let kept = element.scope.iter().filter(|(prefix, _)| self.inclusive.contains(prefix));
        let mut needed: Vec<(String, Arc<str>)> = Vec::new();
        for (prefix, namespace) in used.chain(kept.map(|(prefix, namespace)| (prefix.as_str(), namespace))) {
            let before = self.declared.iter().rev().find(|(p, _)| p == prefix).map(|(_, n)| &**n);
            // An empty default need not be declared where no other is in force.
            let same = before.unwrap_or_default() == &**namespace && (before.is_some() || prefix.is_empty());
            if !same && needed.iter().all(|(p, _)| p != prefix) {
                needed.push((prefix.to_owned(), Arc::clone(namespace)));
            }
        }
        needed.sort_by(|a, b| a.0.cmp(&b.0));
        needed
    }
}

fn escape(text: &str, attribute: bool, out: &mut String) {
    for c in text.chars() {
        match (c, attribute) {
            ('&', _) => out.push_str("&amp;"),
            ('<', _) => out.push_str("&lt;"),
            ('>', false) => out.push_str("&gt;"),
            ('"', true) => out.push_str("&quot;"),
            ('\t', true) => out.push_str("&#x9;"),
            ('\n', true) => out.push_str("&#xA;"),
            ('\r', _) => out.push_str("&#xD;"),
            (other, _) => out.push(other),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::super::xml::parse;
    use super::*;

    fn form(text: &str, inclusive: &[&str]) -> String {
        let root = parse(text.as_bytes(), 1 << 20).unwrap();
        let inclusive: Vec<String> = inclusive.iter().map(|p| (*p).to_owned()).collect();
        let apex = root.elements().find(|e| e.name.local == "apex").unwrap_or(&root);
        let form = Form { inclusive: &inclusive, without_signature: true };
        String::from_utf8(canonical(apex, form).unwrap()).unwrap()
    }

    #[test]
    fn it_is_the_form_of_the_standard() {
        for (text, inclusive, want) in [
            ("<a  b='2' a = \"1\" />", &[][..], "<a a=\"1\" b=\"2\"></a>"),
            ("<a><!-- c -->x&gt;&#13;</a>", &[], "<a>x&gt;&#xD;</a>"),
            ("<a b='&#9;&#10;&#13;&lt;\"&quot;&gt;'/>", &[], "<a b=\"&#x9;&#xA;&#xD;&lt;&quot;&quot;>\"></a>"),
            // Only what is used is declared, where it is used first.
            (
                "<r xmlns='d' xmlns:p='u' xmlns:q='v'><p:apex q:z='1' a='2'><p:x/><q:y/><q:y/></p:apex></r>",
                &[],
                "<p:apex xmlns:p=\"u\" xmlns:q=\"v\" a=\"2\" q:z=\"1\"><p:x></p:x><q:y></q:y><q:y></q:y></p:apex>",
            ),
            (
                "<r xmlns:p='u' xmlns:q='v'><apex><p:x/><p:x/></apex></r>",
                &[],
                "<apex><p:x xmlns:p=\"u\"></p:x><p:x xmlns:p=\"u\"></p:x></apex>",
            ),
            // Inclusive prefixes are declared wherever they are in scope.
            (
                "<r xmlns:p='u' xmlns:q='v'><apex><p:x/><p:x/></apex></r>",
                &["p", "z"],
                "<apex xmlns:p=\"u\"><p:x></p:x><p:x></p:x></apex>",
            ),
            ("<r xmlns='u' xmlns:p='v'><p:apex/></r>", &[""], "<p:apex xmlns=\"u\" xmlns:p=\"v\"></p:apex>"),
            // The default goes and comes.
            (
                "<apex xmlns='u'><b xmlns=''><c/></b><d/></apex>",
                &[],
                "<apex xmlns=\"u\"><b xmlns=\"\"><c></c></b><d></d></apex>",
            ),
            ("<r xmlns='u'><apex xmlns=''/></r>", &[], "<apex></apex>"),
            // A prefix with another meaning further in.
            (
                "<p:apex xmlns:p='u'><p:b xmlns:p='v'><p:c/></p:b><p:d/></p:apex>",
                &[],
                "<p:apex xmlns:p=\"u\"><p:b xmlns:p=\"v\"><p:c></p:c></p:b><p:d></p:d></p:apex>",
            ),
            // Attributes by namespace, those without one first.
            (
                "<e xmlns:b='http://a' xmlns:a='http://b' b:z='1' a:a='2' y='3' xml:lang='x'/>",
                &[],
                "<e xmlns:a=\"http://b\" xmlns:b=\"http://a\" y=\"3\" b:z=\"1\" a:a=\"2\" xml:lang=\"x\"></e>",
            ),
            (
                "<a xmlns:ds='http://www.w3.org/2000/09/xmldsig#'><ds:Signature/><b><ds:Signature/></b></a>",
                &[],
                "<a><b><ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"></ds:Signature></b></a>",
            ),
        ] {
            assert_eq!(form(text, inclusive), want, "{text}");
        }
    }

    #[test]
    fn what_was_read_back_is_written_the_same() {
        let once = form("<r xmlns:p='u'><p:apex b='&#10;'>a<!-- --> b<p:c xmlns='v'><d/></p:c></p:apex></r>", &[]);
        assert_eq!(form(&once, &[]), once);
    }

    #[test]
    fn a_form_that_grows_is_cut_off() {
        let uri = "u".repeat(500);
        let siblings = |n: usize| format!("<r xmlns:p='{uri}'>{}</r>", "<p:x/>".repeat(n));
        let fits = parse(siblings(1_000).as_bytes(), 1 << 20).unwrap();
        assert!(canonical(&fits, Form::default()).is_ok());
        let grows = parse(siblings(9_000).as_bytes(), 1 << 20).unwrap();
        assert!(canonical(&grows, Form::default()).is_err());
    }
}
