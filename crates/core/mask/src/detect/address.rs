//! Addresses: e-mail, IP, MAC.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::context::Topics;
use super::number::{Place, Separator};
use super::scan::Sink;
use super::view::{Found, View, is_word};
use super::{Confidence, Detector};
use crate::transform::pseudonym::EMAIL_DOMAIN;

/// RFC 5321, section 4.5.3.1.1, in bytes.
const LOCAL_BYTES_MAX: usize = 64;
/// RFC 5321, section 4.5.3.1.2, in bytes.
const DOMAIN_BYTES_MAX: usize = 255;

/// An e-mail address around the `@` at `at`.
pub(super) fn email(view: &View<'_>, at: usize, sink: &mut Sink<'_>) -> usize {
    // What was taken for a number may be the local part; a password before an @ is not.
    let behind = match sink.reaching(at) {
        Some(d) if d.tag().starts_with("secret.") => view.behind(at),
        _ => view.slice(at.saturating_sub(LOCAL_BYTES_MAX + 2)..at),
    };
    let found = email_range(behind, view.ahead(at + 1))
        .map(|(local, domain)| Found::new(at - local, at + 1 + domain, Detector::Email, Confidence::Certain));
    match found {
        Some(found) => {
            sink.push(view, &found);
            found.end
        }
        None => at + 1,
    }
}

/// How many bytes before and after the `@` belong to an address.
fn email_range(behind: &[u8], ahead: &[u8]) -> Option<(usize, usize)> {
    let mut local = 0;
    let mut rest = behind;
    loop {
        match rest {
            [r @ .., b] if is(*b, LOCAL) => {
                (rest, local) = (r, local + 1);
            }
            // Two bytes of UTF-8: letters of Latin, Greek, Cyrillic.
            [r @ .., 0xc3..=0xd4, 0x80..=0xbf] => (rest, local) = (r, local + 2),
            _ => break,
        }
        if local > LOCAL_BYTES_MAX {
            return None;
        }
    }
    // A handle such as @ana@example.org.
    if rest.last() == Some(&b'@') {
        return None;
    }
    // A quote before it is not of it.
    let taken = behind.get(behind.len() - local..)?;
    local -= taken.iter().take_while(|b| matches!(b, b'.' | b'\'' | b'&' | b'%')).count();
    let name = behind.get(behind.len() - local..)?;
    if name.is_empty() || name.last() == Some(&b'.') || name == b"git" {
        return None;
    }
    Some((local, domain_length(ahead)?))
}

/// The length of the domain at the beginning: labels with dots between, the last one of letters.
fn domain_length(text: &[u8]) -> Option<usize> {
    let (mut end, mut labels, mut last) = (0, 0, 0);
    loop {
        // A dot that no label follows ends the sentence.
        let begin = if labels == 0 { 0 } else { end + 1 };
        let length = label_length(text.get(begin..)?);
        if length == 0 {
            break;
        }
        (last, end, labels) = (begin, begin + length, labels + 1);
        if text.get(end) != Some(&b'.') {
            break;
        }
    }
    let domain = text.get(..end)?;
    let top = domain.get(last..)?;
    let named =
        top.len() >= 2 && (top.iter().all(|b| b.is_ascii_alphabetic() || *b >= 0x80) || top.starts_with(b"xn--"));
    let ours = EMAIL_DOMAIN.as_bytes().get(1..) == Some(domain);
    let fits = labels > 1 && end <= DOMAIN_BYTES_MAX && named && !ours && !is_file(top);
    fits.then_some(end)
}

/// The ends of files' names, such as icon@2x.png.
fn is_file(top: &[u8]) -> bool {
    let one_of = |all: &[&[u8]]| all.iter().any(|f| top.eq_ignore_ascii_case(f));
    match top.first().map(u8::to_ascii_lowercase) {
        Some(b'p' | b'g' | b's' | b'w' | b'x' | b't') => one_of(&[b"png", b"gif", b"svg", b"webp", b"xml", b"txt"]),
        Some(b'j' | b'h') => one_of(&[b"jpg", b"jpeg", b"js", b"json", b"html"]),
        Some(b'c') => one_of(&[b"css"]),
        _ => false,
    }
}

/// The length of a label: letters, digits, dashes within.
fn label_length(text: &[u8]) -> usize {
    let mut end = 0;
    if text.first() == Some(&b'-') {
        return 0;
    }
    loop {
        end += text.get(end..).unwrap_or_default().iter().take_while(|b| is(**b, LABEL)).count();
        match text.get(end..) {
            Some([0xc3..=0xd4, 0x80..=0xbf, ..]) => end += 2,
            _ => break,
        }
    }
    let label = text.get(..end).unwrap_or_default();
    end - label.iter().rev().take_while(|b| **b == b'-').count()
}

/// Of a domain's label.
const LABEL: u8 = 1;
/// Of the part before the `@`.
const LOCAL: u8 = 2;

/// What each byte may be of.
static CLASSES: [u8; 256] = {
    let mut all = [0; 256];
    let mut b = 0;
    while b < all.len() {
        #[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "the loop's bound")]
        {
            all[b] = match b as u8 {
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' => LABEL | LOCAL,
                b'.' | b'_' | b'%' | b'+' | b'\'' | b'&' => LOCAL,
                _ => 0,
            };
        }
        b += 1;
    }
    all
};

#[inline]
fn is(b: u8, class: u8) -> bool {
    #[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
    let classes = CLASSES[usize::from(b)];
    classes & class != 0
}

/// The value of each byte as a hexadecimal digit; 16 and more where it is none.
static HEX: [u8; 256] = {
    let mut all = [u8::MAX; 256];
    let mut b = 0;
    while b < all.len() {
        #[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "the loop's bound")]
        if let Some(value) = (b as u8 as char).to_digit(16) {
            all[b] = value as u8;
        }
        b += 1;
    }
    all
};

#[inline]
fn hex_value(b: u8) -> u8 {
    #[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
    HEX[usize::from(b)]
}

/// An IPv4 address at a place.
pub(super) fn ipv4(place: &Place<'_, '_>) -> Option<(usize, Found)> {
    if place.groups.length(place.group) > 3 || place.joined_by(4)? != Separator::Dot {
        return None;
    }
    let g = place.groups;
    let last = place.group + 3;
    if g.separator(last + 1) == Some(Separator::Dot) || (g.lettered && last + 1 == g.count()) {
        return None;
    }
    let mut octets = [0_u8; 4];
    for (i, octet) in octets.iter_mut().enumerate() {
        let digits = g.digits(place.group + i, 1);
        if digits.len() > 3 || (digits.len() > 1 && digits.first() == Some(&0)) {
            return None;
        }
        *octet = u8::try_from(digits.iter().fold(0_u32, |n, d| n * 10 + u32::from(*d))).ok()?;
    }
    let address = Ipv4Addr::from(octets);
    // Nobody's: this host, netmasks and broadcasts.
    if matches!(octets, [0 | 127 | 255, ..]) || address.is_multicast() && octets == [224, 0, 0, 0] {
        return None;
    }
    let confidence = if place.topics_near().has(Topics::VERSION) { Confidence::Possible } else { Confidence::Certain };
    Some(place.found(4, Detector::Ip, confidence))
}

/// An IPv6 or a MAC address around the colon at `at`.
pub(super) fn with_colons(view: &View<'_>, at: usize) -> Option<Found> {
    let start = view.run_start(at, 4, |b| b.is_ascii_hexdigit())?;
    if view.before(start).is_some_and(|b| is_word(b) || matches!(b, b':' | b'.')) {
        return None;
    }
    if at - start == 2
        && let Some(found) = mac_at(view, start, b':')
    {
        return Some(found);
    }
    ipv6(view, start)
}

fn ipv6(view: &View<'_>, start: usize) -> Option<Found> {
    let text = view.ahead(start);
    let length = text.iter().take(46).take_while(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')).count();
    let text = text.get(..length)?;
    // A full stop or a colon of the sentence.
    let text = text.strip_suffix(b".").unwrap_or(text);
    let text = if text.ends_with(b"::") { text } else { text.strip_suffix(b":").unwrap_or(text) };
    let form = ipv6_form(text)?;
    let end = start + text.len();
    if view.at(end).is_some_and(is_word) || form.is_nobodys {
        return None;
    }
    // `a::b` and `dead::beef` are names in code, too.
    (form.groups > 3 || (form.has_digits && form.is_long))
        .then(|| Found::new(start, end, Detector::Ip, Confidence::Certain))
}

/// What an IPv6 address looks like (RFC 4291, section 2.2).
#[derive(Debug, PartialEq, Eq)]
struct Ipv6Form {
    /// The groups that are written.
    groups: usize,
    has_digits: bool,
    /// One of its groups has three digits or more.
    is_long: bool,
    /// The unspecified address, or loopback.
    is_nobodys: bool,
}

/// Reads an IPv6 address; `None` when it is none.
fn ipv6_form(text: &[u8]) -> Option<Ipv6Form> {
    // The last four bytes may be written as an IPv4 address, which is rare.
    if text.contains(&b'.') {
        let address: Ipv6Addr = std::str::from_utf8(text).ok()?.parse().ok()?;
        return Some(Ipv6Form {
            groups: text.split(|b| *b == b':').filter(|g| !g.is_empty()).count(),
            has_digits: true,
            is_long: text.split(|b| *b == b':').any(|g| g.len() >= 3),
            is_nobodys: address.is_unspecified() || address.is_loopback(),
        });
    }
    let mut form = Ipv6Form { groups: 0, has_digits: false, is_long: false, is_nobodys: false };
    // Digits of the group at hand; its value; whether one before it was not zero; where groups of zeros were left out.
    let (mut length, mut value, mut earlier, mut gap) = (0, 0_u32, false, None);
    let mut bytes = text.iter().enumerate();
    while let Some((i, b)) = bytes.next() {
        let digit = hex_value(*b);
        if digit < 16 {
            form.groups += usize::from(length == 0);
            form.has_digits |= digit < 10;
            length += 1;
            form.is_long |= length == 3;
            value = value << 4 | u32::from(digit);
            if length > 4 {
                return None;
            }
            continue;
        }
        let doubled = text.get(i + 1) == Some(&b':');
        if *b != b':' || (doubled && gap.is_some()) || (!doubled && (length == 0 || i + 1 == text.len())) {
            return None;
        }
        if doubled {
            gap = Some(form.groups);
            bytes.next();
        }
        earlier |= value != 0;
        (length, value) = (0, 0);
    }
    let fits = if gap.is_some() { form.groups < 8 } else { form.groups == 8 };
    form.is_nobodys = !earlier && (value == 0 || (value == 1 && gap != Some(form.groups)));
    fits.then_some(form)
}

/// A MAC address with dashes or in Cisco's form, some part of which begins at `at`.
pub(super) fn mac(view: &View<'_>, at: usize) -> Option<Found> {
    let hex = |b: u8| b.is_ascii_hexdigit();
    let end = view.run_end(at, 5, hex);
    let (length, separator) = match (end - at, view.at(end), view.before(at)) {
        (2, Some(b'-'), _) | (2, _, Some(b'-')) => (2, b'-'),
        (4, Some(b'.'), _) | (4, _, Some(b'.')) => (4, b'.'),
        _ => return None,
    };
    let mut start = at;
    // Back over parts that had no digit to stop at.
    for _ in 0..5 {
        let Some(previous) = start.checked_sub(length + 1) else { break };
        let part = view.slice(previous.max(view.floor)..start - 1);
        if view.before(start) != Some(separator) || part.len() != length || !part.iter().all(|b| hex(*b)) {
            break;
        }
        start = previous;
    }
    if length == 2 { mac_at(view, start, b'-') } else { cisco_at(view, start) }
}

fn mac_at(view: &View<'_>, start: usize, separator: u8) -> Option<Found> {
    let text = view.slice(start..start + 17);
    let fits = |(i, b): (usize, &u8)| if i % 3 == 2 { *b == separator } else { b.is_ascii_hexdigit() };
    (text.len() == 17 && text.iter().enumerate().all(fits)).then_some(())?;
    mac_alone(view, start, start + 17, separator)
}

fn cisco_at(view: &View<'_>, start: usize) -> Option<Found> {
    let text = view.slice(start..start + 14);
    let fits = |(i, b): (usize, &u8)| if i % 5 == 4 { *b == b'.' } else { b.is_ascii_hexdigit() };
    // Digits alone are amounts and versions.
    let lettered = text.iter().any(u8::is_ascii_alphabetic);
    (text.len() == 14 && lettered && text.iter().enumerate().all(fits)).then_some(())?;
    mac_alone(view, start, start + 14, b'.')
}

/// The address, when nothing hangs on it and it is somebody's.
fn mac_alone(view: &View<'_>, start: usize, end: usize, separator: u8) -> Option<Found> {
    let hangs = |b: u8| is_word(b) || b == separator;
    let before = view.before(start).is_some_and(hangs);
    let after =
        view.at(end).is_some_and(is_word) || (view.at(end) == Some(separator) && view.at(end + 1).is_some_and(is_word));
    let text = view.slice(start..end);
    let plain = |x: u8| text.iter().filter(|b| b.is_ascii_hexdigit()).all(|b| b.eq_ignore_ascii_case(&x));
    (!before && !after && !plain(b'0') && !plain(b'f'))
        .then(|| Found::new(start, end, Detector::Mac, Confidence::Certain))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::ipv6_form;

    fn agrees(text: &str) {
        let address = text.parse::<Ipv6Addr>().ok();
        let form = ipv6_form(text.as_bytes());
        assert_eq!(form.is_some(), address.is_some(), "{text}");
        let nobodys = address.is_some_and(|a| a.is_unspecified() || a.is_loopback());
        assert_eq!(form.is_some_and(|f| f.is_nobodys), nobodys, "{text}");
    }

    #[test]
    fn ipv6_addresses_are_those_of_the_standard_library() {
        for text in [
            "::",
            "::1",
            "1::",
            "::2",
            "0:0:0:0:0:0:0:1",
            "0:0:0:0:0:0:0:0",
            "0::1",
            "::0:1",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7::",
            "::2:3:4:5:6:7:8",
            "1::3:4:5:6:7:8",
            "1:2:3:4:5:6:7:8::",
            "::1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7:8:9",
            ":1::",
            "1:::2",
            "1::2::3",
            ":",
            ":::",
            "",
            "1:",
            ":1",
            "12345::",
            "fe80::1.2.3.4",
            "::ffff:203.0.113.9",
            "::1.2.3",
            "2001:DB8::8a2E",
            "g::1",
        ] {
            agrees(text);
        }
    }

    proptest! {
        #[test]
        fn and_so_are_those_at_random(text in "([0-2a-c]{0,5}(:|::)){0,9}[0-9a-f]{0,5}") {
            agrees(&text);
        }
    }
}
