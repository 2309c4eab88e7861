//! A strict reader of the part of XML 1.0 with namespaces that SAML needs, and of nothing more.
//!
//! There is one parser, for what is verified and for what is read. It knows no DTD, no entity but the five of XML, no processing
//! instruction and no CDATA section: whoever sends one is refused. Comments are dropped where they stand and the text around them is one,
//! as in the canonical form, so that none cuts a name short. Must never look anything up outside the text that it was given.

use std::sync::Arc;

/// How deep elements may be nested.
pub(crate) const DEPTH_MAX: usize = 64;
/// The most elements of a document.
pub(crate) const ELEMENTS_MAX: usize = 10_000;
/// The most attributes of an element, declarations of namespaces among them.
pub(crate) const ATTRIBUTES_MAX: usize = 64;
/// The most prefixes in scope at one place.
pub(crate) const PREFIXES_MAX: usize = 32;
/// The longest name of an element, attribute or namespace, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 512;
/// The longest reference, `&#x10FFFF;`, and some zeros, in bytes.
const REFERENCE_BYTES_MAX: usize = 16;
/// The longest XML declaration, in bytes.
const DECLARATION_BYTES_MAX: usize = 128;

const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";
const XMLNS_NAMESPACE: &str = "http://www.w3.org/2000/xmlns/";

/// Why a text is not read.
pub(crate) type Fault = &'static str;

/// A name with its namespace; an empty namespace is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) prefix: String,
    pub(crate) local: String,
    pub(crate) namespace: Arc<str>,
}

impl Name {
    /// As it was written.
    pub(crate) fn qualified(&self) -> String {
        if self.prefix.is_empty() { self.local.clone() } else { format!("{}:{}", self.prefix, self.local) }
    }
}

/// An attribute that is no declaration of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) name: Name,
    pub(crate) value: String,
}

/// What an element holds.
#[derive(Clone, Debug)]
pub(crate) enum Child {
    Element(Element),
    Text(String),
}

/// An element with all that is in it.
#[derive(Clone, Debug)]
pub(crate) struct Element {
    pub(crate) name: Name,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) children: Vec<Child>,
    /// Every prefix with what it stands for here; the empty one for the default.
    pub(crate) scope: Arc<Scope>,
}

/// Prefixes and their namespaces, nearest last, each prefix once.
pub(crate) type Scope = Vec<(String, Arc<str>)>;

impl Element {
    pub(crate) fn is(&self, namespace: &str, local: &str) -> bool {
        &*self.name.namespace == namespace && self.name.local == local
    }

    /// An attribute without a namespace.
    pub(crate) fn attribute(&self, local: &str) -> Option<&str> {
        self.attributes.iter().find(|a| a.name.namespace.is_empty() && a.name.local == local).map(|a| a.value.as_str())
    }

    /// The elements directly in it.
    pub(crate) fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|c| match c {
            Child::Element(e) => Some(e),
            Child::Text(_) => None,
        })
    }

    /// Those of them with this name.
    pub(crate) fn all<'e>(&'e self, namespace: &'e str, local: &'e str) -> impl Iterator<Item = &'e Element> {
        self.elements().filter(move |e| e.is(namespace, local))
    }

    /// The one with this name; with two there is none to be chosen.
    pub(crate) fn only(&self, namespace: &str, local: &str) -> Result<Option<&Self>, Fault> {
        let mut all = self.elements().filter(|e| e.is(namespace, local));
        let first = all.next();
        if all.next().is_some() { Err("an element is there twice") } else { Ok(first) }
    }

    /// Its text, when there is nothing but text in it.
    pub(crate) fn text(&self) -> Result<String, Fault> {
        let mut text = String::new();
        for child in &self.children {
            match child {
                Child::Text(t) => text.push_str(t),
                Child::Element(_) => return Err("there is an element where only text may be"),
            }
        }
        Ok(text)
    }

    /// Calls `see` for it and for every element in it.
    pub(crate) fn visit<'e>(&'e self, see: &mut dyn FnMut(&'e Element)) {
        see(self);
        for element in self.elements() {
            element.visit(see);
        }
    }
}

/// Reads a document of at most `bytes_max` bytes.
pub(crate) fn parse(bytes: &[u8], bytes_max: usize) -> Result<Element, Fault> {
    if bytes.len() > bytes_max {
        return Err("the document is too long");
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "the document is not UTF-8")?;
    let mut reader = Reader { rest: text.strip_prefix('\u{feff}').unwrap_or(text), elements: 0 };
    reader.declaration()?;
    reader.between()?;
    let root = reader.element(&Arc::default(), 1)?;
    reader.between()?;
    if reader.rest.is_empty() { Ok(root) } else { Err("there is something behind the document's end") }
}

struct Reader<'t> {
    rest: &'t str,
    elements: usize,
}

/// An attribute before its prefix has a meaning.
struct Raw {
    prefix: String,
    local: String,
    value: String,
}

impl<'t> Reader<'t> {
    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// What stands before `token`, which is passed over.
    fn until(&mut self, token: &str) -> Result<&'t str, Fault> {
        let (before, rest) = self.rest.split_once(token).ok_or("the document breaks off")?;
        self.rest = rest;
        Ok(before)
    }

    fn space(&mut self) -> bool {
        let trimmed = self.rest.trim_start_matches(is_space);
        let was = trimmed.len() < self.rest.len();
        self.rest = trimmed;
        was
    }

    /// `<?xml version="1.0" encoding="UTF-8"?>`, where it is.
    fn declaration(&mut self) -> Result<(), Fault> {
        if !self.rest.starts_with("<?xml") {
            return Ok(());
        }
        let said = self.until("?>")?;
        let said = said.strip_prefix("<?xml").unwrap_or(said).replace('\'', "\"").to_ascii_lowercase();
        if said.len() > DECLARATION_BYTES_MAX || !said.starts_with(is_space) || !said.contains("\"1.0\"") {
            return Err("the XML declaration is not as expected");
        }
        if said.contains("encoding") && !said.contains("\"utf-8\"") {
            return Err("the document is not UTF-8");
        }
        Ok(())
    }

    /// Spaces and comments outside of the root.
    fn between(&mut self) -> Result<(), Fault> {
        loop {
            self.space();
            if !self.eat("<!--") {
                break;
            }
            self.comment()?;
        }
        if self.rest.starts_with("<!") { Err("there is a DTD, or a section that is not read") } else { Ok(()) }
    }

    fn comment(&mut self) -> Result<(), Fault> {
        let said = self.until("--")?;
        let fine = self.eat(">") && said.chars().all(is_char);
        if fine { Ok(()) } else { Err("a comment is not well-formed") }
    }

    fn name(&mut self) -> Result<(String, String), Fault> {
        let end = self.rest.find(|c| !is_name_char(c) && c != ':').unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        let is_name = |n: &str| n.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !n.contains(':');
        if name.len() > NAME_BYTES_MAX || !is_name(local) || (name.contains(':') && !is_name(prefix)) {
            return Err("a name is not as expected");
        }
        self.rest = rest;
        Ok((prefix.to_owned(), local.to_owned()))
    }

    fn element(&mut self, outer: &Arc<Scope>, depth: usize) -> Result<Element, Fault> {
        self.elements = self.elements.saturating_add(1);
        if depth > DEPTH_MAX || self.elements > ELEMENTS_MAX {
            return Err("there are too many elements, or they are nested too deep");
        }
        if !self.eat("<") {
            return Err("an element is missing");
        }
        if self.rest.starts_with(['!', '?']) {
            return Err("there is a DTD, a section or an instruction that is not read");
        }
        let (prefix, local) = self.name()?;
        let (raw, empty) = self.attributes()?;
        let scope = scope(outer, &raw)?;
        let name = Name { namespace: resolve(&scope, &prefix)?, prefix, local };
        let attributes = named(raw, &scope)?;
        let mut element = Element { name, attributes, children: Vec::new(), scope };
        if !empty {
            self.content(&mut element, depth)?;
        }
        Ok(element)
    }

    /// The attributes as written, and whether the element ends here.
    fn attributes(&mut self) -> Result<(Vec<Raw>, bool), Fault> {
        let mut raw: Vec<Raw> = Vec::new();
        loop {
            let spaced = self.space();
            if self.eat("/>") {
                return Ok((raw, true));
            }
            if self.eat(">") {
                return Ok((raw, false));
            }
            if !spaced || raw.len() >= ATTRIBUTES_MAX {
                return Err("a start tag is not well-formed, or has too many attributes");
            }
            let (prefix, local) = self.name()?;
            self.space();
            if !self.eat("=") {
                return Err("an attribute has no value");
            }
            self.space();
            let quote = if self.eat("\"") {
                "\""
            } else if self.eat("'") {
                "'"
            } else {
                return Err("an attribute's value has no quotes");
            };
            let value = expand(self.until(quote)?, true)?;
            if raw.iter().any(|r| r.prefix == prefix && r.local == local) {
                return Err("an attribute is there twice");
            }
            raw.push(Raw { prefix, local, value });
        }
    }

    fn content(&mut self, element: &mut Element, depth: usize) -> Result<(), Fault> {
        let mut text = String::new();
        loop {
            let end = self.rest.find('<').ok_or("the document breaks off")?;
            let (run, rest) = self.rest.split_at(end);
            text.push_str(&expand(run, false)?);
            self.rest = rest;
            if self.eat("<!--") {
                self.comment()?;
                continue;
            }
            if !text.is_empty() {
                element.children.push(Child::Text(std::mem::take(&mut text)));
            }
            if self.eat("</") {
                let (prefix, local) = self.name()?;
                self.space();
                let same = prefix == element.name.prefix && local == element.name.local;
                return if same && self.eat(">") { Ok(()) } else { Err("an end tag does not fit") };
            }
            let child = self.element(&element.scope, depth.saturating_add(1))?;
            element.children.push(Child::Element(child));
        }
    }
}

/// Text with its references replaced; the ends of lines are one character each (XML, 2.11), and spaces in attributes are spaces (3.3.3).
fn expand(raw: &str, attribute: bool) -> Result<String, Fault> {
    if raw.contains("]]>") || (attribute && raw.contains('<')) {
        return Err("there is a sign in a text that must be written as a reference");
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        if c == '&' {
            let (reference, after) = rest.split_once(';').ok_or("a reference has no end")?;
            out.push(referred(reference)?);
            rest = after;
            continue;
        }
        let after = rest.strip_prefix(c).unwrap_or_default();
        if !is_char(c) {
            return Err("there is a character that XML does not have");
        }
        rest = after;
        match c {
            '\r' => {
                rest = rest.strip_prefix('\n').unwrap_or(rest);
                out.push(if attribute { ' ' } else { '\n' });
            }
            '\n' | '\t' if attribute => out.push(' '),
            other => out.push(other),
        }
    }
    Ok(out)
}

/// The character that `&name` stands for.
fn referred(reference: &str) -> Result<char, Fault> {
    let unknown = "there is a reference to an entity that XML itself does not have";
    if reference.len() > REFERENCE_BYTES_MAX {
        return Err(unknown);
    }
    let name = reference.strip_prefix('&').unwrap_or(reference);
    let code = match name {
        "lt" => return Ok('<'),
        "gt" => return Ok('>'),
        "amp" => return Ok('&'),
        "quot" => return Ok('"'),
        "apos" => return Ok('\''),
        _ => match name.strip_prefix("#x") {
            Some(hex) if hex.bytes().all(|b| b.is_ascii_hexdigit()) => u32::from_str_radix(hex, 16),
            Some(_) => return Err(unknown),
            None => match name.strip_prefix('#') {
                Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse::<u32>(),
                _ => return Err(unknown),
            },
        },
    };
    let c = code.ok().and_then(char::from_u32).filter(|c| is_char(*c));
    c.ok_or("there is a character that XML does not have")
}

/// What the prefixes stand for in an element with these declarations.
fn scope(outer: &Arc<Scope>, raw: &[Raw]) -> Result<Arc<Scope>, Fault> {
    let mut scope: Option<Scope> = None;
    for r in raw {
        let prefix = match (r.prefix.as_str(), r.local.as_str()) {
            ("", "xmlns") => "",
            ("xmlns", "xmlns" | "xml") => return Err("a prefix that XML keeps for itself is declared"),
            ("xmlns", local) => local,
            _ => continue,
        };
        let reserved = r.value == XML_NAMESPACE || r.value == XMLNS_NAMESPACE;
        if reserved || r.value.len() > NAME_BYTES_MAX || (r.value.is_empty() && !prefix.is_empty()) {
            return Err("a declaration of a namespace is not as expected");
        }
        let scope = scope.get_or_insert_with(|| Scope::clone(outer));
        scope.retain(|(known, _)| known != prefix);
        if scope.len() >= PREFIXES_MAX {
            return Err("there are too many prefixes");
        }
        scope.push((prefix.to_owned(), Arc::from(r.value.as_str())));
    }
    Ok(scope.map_or_else(|| Arc::clone(outer), Arc::new))
}

fn resolve(scope: &Scope, prefix: &str) -> Result<Arc<str>, Fault> {
    if prefix == "xml" {
        return Ok(Arc::from(XML_NAMESPACE));
    }
    match scope.iter().find(|(known, _)| known == prefix) {
        Some((_, namespace)) => Ok(Arc::clone(namespace)),
        None if prefix.is_empty() => Ok(Arc::from("")),
        None => Err("a prefix is not declared"),
    }
}

/// The attributes that are no declarations, with their namespaces; none twice, whatever its prefix.
fn named(raw: Vec<Raw>, scope: &Scope) -> Result<Vec<Attribute>, Fault> {
    let mut attributes: Vec<Attribute> = Vec::new();
    for Raw { prefix, local, value } in raw {
        if prefix == "xmlns" || (prefix.is_empty() && local == "xmlns") {
            continue;
        }
        let namespace = if prefix.is_empty() { Arc::from("") } else { resolve(scope, &prefix)? };
        let name = Name { prefix, local, namespace };
        if attributes.iter().any(|a| a.name.local == name.local && a.name.namespace == name.namespace) {
            return Err("an attribute is there twice");
        }
        attributes.push(Attribute { name, value });
    }
    Ok(attributes)
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

/// XML 1.0, 2.2.
fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Names in SAML and what it builds on are ASCII.
fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Element, Fault> {
        parse(text.as_bytes(), 1 << 20)
    }

    #[test]
    fn adv_089_nothing_but_plain_xml_is_read() {
        for (text, good) in [
            ("<a/>", true),
            ("\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- x --><a b='1'>t</a>\n", true),
            ("<?xml version='1.0' encoding='utf-8' standalone='yes'?><a/>", true),
            ("<a xmlns='u' xmlns:p='v' p:b='1' b='2'><p:c/></a>", true),
            ("<a>&lt;&gt;&amp;&quot;&apos;&#65;&#x1F600;</a>", true),
            ("", false),
            ("x", false),
            ("<a>", false),
            ("<a/><b/>", false),
            ("<a/>x", false),
            ("<a></b>", false),
            ("<!DOCTYPE a><a/>", false),
            ("<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><a>&x;</a>", false),
            ("<!DOCTYPE a SYSTEM 'https://evil.example/x.dtd'><a/>", false),
            ("<?xml version='1.0'?><!DOCTYPE a [<!ENTITY % x SYSTEM 'https://evil.example/x'> %x;]><a/>", false),
            ("<a><!DOCTYPE a></a>", false),
            ("<a>&x;</a>", false),
            ("<a>&xxe</a>", false),
            ("<a>&#0;</a>", false),
            ("<a>&#xD800;</a>", false),
            ("<a>&#x110000;</a>", false),
            ("<a>&#-1;</a>", false),
            ("<a>&#+65;</a>", false),
            ("<a>&#x+41;</a>", false),
            ("<a>&#0000000000000065;</a>", false),
            ("<a>\u{1}</a>", false),
            ("<a>\u{fffe}</a>", false),
            ("<a><![CDATA[x]]></a>", false),
            ("<a>]]></a>", false),
            ("<a><?php x?></a>", false),
            ("<?xml-stylesheet href='x'?><a/>", false),
            ("<?xml version='1.1'?><a/>", false),
            ("<?xml version='1.0' encoding='UTF-7'?><a/>", false),
            (" <?xml version='1.0'?><a/>", false),
            ("<a b='1' b='2'/>", false),
            ("<a xmlns:p='u' xmlns:q='u' p:b='1' q:b='2'/>", false),
            ("<a b=1/>", false),
            ("<a b='1'c='2'/>", false),
            ("<a b='<'/>", false),
            ("<a b/>", false),
            ("<p:a/>", false),
            ("<a p:b='1'/>", false),
            ("<a xmlns:p=''/>", false),
            ("<a xmlns:xml='u'/>", false),
            ("<a xmlns:xmlns='u'/>", false),
            ("<a xmlns:p='http://www.w3.org/XML/1998/namespace'/>", false),
            ("<a xmlns:p='http://www.w3.org/2000/xmlns/'/>", false),
            ("<xmlns:a/>", false),
            ("<a:b:c xmlns:a='u'/>", false),
            ("<:a/>", false),
            ("<1a/>", false),
            ("<\u{430}/>", false),
            ("< a/>", false),
            ("<a><!-- -- --></a>", false),
            ("<a><!-- x</a>", false),
            ("<a></ a>", false),
            ("<a></a b='1'>", false),
        ] {
            assert_eq!(read(text).is_ok(), good, "{text}");
        }
        assert!(parse(b"<a>\xff</a>", 100).is_err());
    }

    #[test]
    fn adv_089_a_comment_does_not_cut_a_text_short() {
        let root = read("<a>admin<!-- x -->@evil.example<!---->!</a>").unwrap();
        assert_eq!(root.text().unwrap(), "admin@evil.example!");
        assert_eq!(root.children.len(), 1);
        assert!(read("<a>admin<b/>@evil.example</a>").unwrap().text().is_err());
    }

    #[test]
    fn ends_of_lines_and_references_are_as_in_the_standard() {
        let root = read("<a b=' 1\r\n2\t3&#10;4&#x9;'>1\r\n2\r3&#13;4</a>").unwrap();
        assert_eq!(root.attribute("b"), Some(" 1 2 3\n4\t"));
        assert_eq!(root.text().unwrap(), "1\n2\n3\r4");
    }

    #[test]
    fn names_have_the_namespace_of_their_place() {
        let root = read("<a xmlns='u'><b xmlns=''/><c xmlns:a='v' a:d='1' d='2'/></a>").unwrap();
        assert!(root.is("u", "a"));
        let all: Vec<_> = root.elements().collect();
        assert!(all[0].is("", "b") && all[1].is("u", "c"));
        assert_eq!(all[1].attribute("d"), Some("2"));
        assert!(root.only("u", "c").unwrap().is_some() && root.only("u", "x").unwrap().is_none());
        assert!(read("<a><b/><b/></a>").unwrap().only("", "b").is_err());
    }

    #[test]
    fn limits_hold_at_their_edges() {
        let nested = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
        let many = |n: usize| format!("<a>{}</a>", "<b/>".repeat(n));
        let attributes =
            |n: usize| format!("<a {}/>", (0..n).map(|i| format!("a{i}='1'")).collect::<Vec<_>>().join(" "));
        let prefixes =
            |n: usize| format!("<a {}/>", (0..n).map(|i| format!("xmlns:a{i}='u'")).collect::<Vec<_>>().join(" "));
        let name = |n: usize| format!("<{}/>", "a".repeat(n));
        let namespace = |n: usize| format!("<a xmlns='{}'/>", "u".repeat(n));
        for (make, most) in [
            (&nested as &dyn Fn(usize) -> String, DEPTH_MAX),
            (&many, ELEMENTS_MAX - 1),
            (&attributes, ATTRIBUTES_MAX),
            (&prefixes, PREFIXES_MAX),
            (&name, NAME_BYTES_MAX),
            (&namespace, NAME_BYTES_MAX),
        ] {
            assert!(read(&make(most)).is_ok(), "{most}");
            assert!(read(&make(most + 1)).is_err(), "{most}");
        }
        assert!(parse(b"<a/>", 4).is_ok());
        assert!(parse(b"<a/>", 3).is_err());
    }
}
