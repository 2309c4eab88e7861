//! Numbers: runs of digits with separators between them, read once into groups, then compared with the forms that people write.
//!
//! It must never read beyond its limits of groups and digits: a longer run is read in pieces.

use super::context::{self, Topics};
use super::scan::Sink;
use super::view::{Found, View, is_word};
use super::{address, card, date, letters, national, phone};

/// The most groups read at once.
const GROUPS_MAX: usize = 12;
/// The most digits read at once.
const DIGITS_MAX: usize = 48;
/// Digits are read so many at a time.
const WORD_BYTES: usize = 8;
/// No form that is one group has fewer digits, but for years.
const LONE_DIGITS_MIN: usize = 7;
/// A form has no more groups than this, so a run that was cut is read again from as many before its end.
const FORM_GROUPS_MAX: usize = 7;

/// What stands between two groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Separator {
    /// Nothing: the first group.
    #[default]
    None,
    Space,
    Dash,
    Dot,
    Slash,
    /// With an opening bracket.
    Open,
    /// With a closing bracket.
    Close,
}

/// One group. Places are counted from the first digit of all, in few bytes: some are made for every number of a text.
#[derive(Clone, Copy, Default)]
struct Group {
    start: u8,
    end: u8,
    /// What stands before it.
    separator: Separator,
    /// Where it begins among all digits.
    offset: u8,
}

/// Groups of digits.
pub(super) struct Groups {
    at: usize,
    count: usize,
    /// Those behind the last have no bytes, and begin where the digits end.
    all: [Group; GROUPS_MAX + 1],
    /// All digits, one group after the other; and room for what is written behind the last.
    digits: [u8; DIGITS_MAX + WORD_BYTES],
    /// A letter follows the last group.
    pub(super) lettered: bool,
    /// More digits may follow than were read.
    cut: bool,
}

impl Groups {
    /// None yet.
    const fn new(at: usize) -> Self {
        let none = Group { start: 0, end: 0, separator: Separator::None, offset: 0 };
        Self {
            at,
            count: 0,
            all: [none; GROUPS_MAX + 1],
            digits: [0; DIGITS_MAX + WORD_BYTES],
            lettered: false,
            cut: false,
        }
    }

    /// Reads from the digit at `at`. In place: to move what was just written in single bytes costs more than to read it.
    fn read(&mut self, view: &View<'_>) {
        let g = self;
        let at = g.at;
        let text = view.ahead(at);
        let (mut i, mut total, mut separator) = (0, 0, Separator::None);
        loop {
            let start = i;
            while let Some(slots) = g.digits.get_mut(total..).and_then(<[u8]>::first_chunk_mut) {
                let (values, n) = leading_digits(text, i);
                *slots = values;
                let n = n.min(DIGITS_MAX - total);
                (i, total) = (i + n, total + n);
                if n < WORD_BYTES {
                    break;
                }
            }
            if total == DIGITS_MAX && text.get(i).is_some_and(u8::is_ascii_digit) {
                g.cut = true;
                if g.count > 0 {
                    return;
                }
            }
            if let Some([group, next]) = g.all.get_mut(g.count..g.count + 2) {
                (group.start, group.end, group.separator) = (small(start), small(i), separator);
                next.offset = small(total);
                g.count += 1;
            }
            match separator_at(text.get(i..).unwrap_or_default()) {
                Some((next, length)) if g.count < GROUPS_MAX && !g.cut => {
                    separator = next;
                    i += length;
                }
                next => {
                    g.cut |= next.is_some();
                    g.lettered = text.get(i).is_some_and(|b| is_word(*b));
                    return;
                }
            }
        }
    }

    pub(super) const fn count(&self) -> usize {
        self.count
    }

    pub(super) fn start(&self, group: usize) -> usize {
        self.at + self.all.get(group).map_or(0, |g| usize::from(g.start))
    }

    pub(super) fn end(&self, group: usize) -> usize {
        self.at + self.all.get(group).map_or(0, |g| usize::from(g.end))
    }

    /// Digits of a group; 0 beyond the last.
    pub(super) fn length(&self, group: usize) -> usize {
        self.all.get(group).map_or(0, |g| usize::from(g.end - g.start))
    }

    /// What stands before a group; `None` of the option beyond the last.
    pub(super) fn separator(&self, group: usize) -> Option<Separator> {
        self.all.get(group).filter(|_| group < self.count).map(|g| g.separator)
    }

    /// The digits of `n` groups.
    pub(super) fn digits(&self, group: usize, n: usize) -> &[u8] {
        let offset = |g: usize| self.all.get(g.min(self.count)).map_or(0, |g| usize::from(g.offset));
        self.digits.get(offset(group)..offset(group + n)).unwrap_or_default()
    }

    /// True when the groups from `group` on have these lengths.
    pub(super) fn shaped(&self, group: usize, lengths: &[usize]) -> bool {
        lengths.iter().enumerate().all(|(i, l)| self.length(group + i) == *l)
    }

    /// The separator between all of `n` groups; `None` when it is not the same.
    pub(super) fn joined_by(&self, group: usize, n: usize) -> Option<Separator> {
        let first = self.separator(group + 1)?;
        (group + 1..group + n).all(|g| self.separator(g) == Some(first)).then_some(first)
    }

    /// True when the groups may end with this one: the next does not hang on it.
    pub(super) fn ends_at(&self, group: usize) -> bool {
        let hangs = matches!(self.separator(group + 1), Some(Separator::Dash | Separator::Dot));
        let glued = self.lettered && group + 1 == self.count;
        !hangs && !glued
    }
}

/// The values of up to eight digits from `i` on, whatever else behind them, and how many they are.
#[inline]
fn leading_digits(text: &[u8], i: usize) -> ([u8; WORD_BYTES], usize) {
    const ONES: u64 = u64::from_ne_bytes([1; WORD_BYTES]);
    let rest = text.get(i..).unwrap_or_default();
    let word = match (rest.first_chunk(), text.last_chunk()) {
        (Some(chunk), _) => u64::from_le_bytes(*chunk),
        // The last bytes of the text, without those before `i`.
        (None, Some(last)) => u64::from_le_bytes(*last).checked_shr(shift(rest.len())).unwrap_or(0),
        (None, None) => {
            let mut word = [0; WORD_BYTES];
            word.iter_mut().zip(rest).for_each(|(slot, b)| *slot = *b);
            u64::from_le_bytes(word)
        }
    };
    let values = word ^ (ONES * u64::from(b'0'));
    // The highest bit of each byte that is more than nine. A sum may run over into the bytes behind such a one alone.
    let others = (values.wrapping_add(ONES * (0x80 - 10)) | values) & (ONES * 0x80);
    (values.to_le_bytes(), (others.trailing_zeros() / 8) as usize)
}

/// So many bits of a word stand before its last `bytes`.
#[inline]
fn shift(bytes: usize) -> u32 {
    u32::try_from((WORD_BYTES - bytes.min(WORD_BYTES)) * 8).unwrap_or(u32::MAX)
}

/// A place within what is read at once: at most all digits and three bytes of separator for each group, which is less than 128.
fn small(place: usize) -> u8 {
    u8::try_from(place).unwrap_or(u8::MAX)
}

/// What separates two groups, and how many bytes it has; `None` when no digit follows it.
fn separator_at(text: &[u8]) -> Option<(Separator, usize)> {
    let digit = |i: usize| text.get(i).is_some_and(u8::is_ascii_digit);
    match text {
        [b' ', b'(', ..] | [b'-', b'(', ..] if digit(2) => Some((Separator::Open, 2)),
        [b'(', ..] if digit(1) => Some((Separator::Open, 1)),
        [b')', b' ' | b'-' | b'.', ..] if digit(2) => Some((Separator::Close, 2)),
        [b')', ..] if digit(1) => Some((Separator::Close, 1)),
        [0xc2, 0xa0, ..] if digit(2) => Some((Separator::Space, 2)),
        [b' ', b'-', b' ', ..] if digit(3) => Some((Separator::Dash, 3)),
        [b' ', ..] if digit(1) => Some((Separator::Space, 1)),
        [b'-', ..] if digit(1) => Some((Separator::Dash, 1)),
        [b'.', ..] if digit(1) => Some((Separator::Dot, 1)),
        [b'/', ..] if digit(1) => Some((Separator::Slash, 1)),
        _ => None,
    }
}

/// A number and what stands around it, for the forms to look at.
pub(super) struct Place<'a, 't> {
    pub(super) view: &'a View<'t>,
    pub(super) groups: &'a Groups,
    /// The group where a form is to begin.
    pub(super) group: usize,
    pub(super) hits: &'a [super::Hit],
    topics: std::cell::Cell<Option<Topics>>,
}

impl Place<'_, '_> {
    pub(super) fn digits(&self, n: usize) -> &[u8] {
        self.groups.digits(self.group, n)
    }

    pub(super) fn shaped(&self, lengths: &[usize]) -> bool {
        self.groups.shaped(self.group, lengths)
    }

    pub(super) fn joined_by(&self, n: usize) -> Option<Separator> {
        self.groups.joined_by(self.group, n)
    }

    /// The byte before the number.
    pub(super) fn before(&self) -> Option<u8> {
        self.view.before(self.groups.start(self.group))
    }

    /// What the words before it are about; worked out once.
    pub(super) fn topics(&self) -> Topics {
        if let Some(t) = self.topics.get() {
            return t;
        }
        let t = context::topics(self.view, self.groups.start(self.group), self.hits);
        self.topics.set(Some(t));
        t
    }

    /// The same of the nearest words alone.
    pub(super) fn topics_near(&self) -> Topics {
        context::topics_near(self.view, self.groups.start(self.group), self.hits)
    }

    /// The first `n` groups, as a find.
    pub(super) fn found(&self, n: usize, detector: super::Detector, confidence: super::Confidence) -> (usize, Found) {
        let end = self.groups.end((self.group + n).saturating_sub(1));
        (n, Found::new(self.groups.start(self.group), end, detector, confidence))
    }
}

/// Looks at the digit at `at`.
pub(super) fn visit(view: &View<'_>, at: usize, sink: &mut Sink<'_>) -> Option<usize> {
    let before = view.before(at);
    if before.is_some_and(is_word) {
        return letters::visit(view, at, sink);
    }
    let mut groups = Groups::new(at);
    groups.read(view);
    if groups.lettered && groups.count() == 1 {
        return letters::visit(view, at, sink);
    }
    if let Some(found) = with_signs(view, at, before, &groups) {
        sink.push(view, &found);
        return Some(found.end);
    }
    // A part of something longer: of a name with dashes, of a path of dots, of an amount of money.
    let hangs = match before {
        Some(b'-' | b'.') => view.before(at - 1).is_some_and(|b| b.is_ascii_alphanumeric()),
        Some(b'$' | b'\\') => true,
        // Thousands; in a list of values there is rarely a number of three digits that goes on with a dash.
        Some(b',') => {
            let thousands = groups.length(0) == 3 && groups.separator(1) != Some(Separator::Dash);
            thousands && view.before(at - 1).is_some_and(|b| b.is_ascii_digit())
        }
        _ => false,
    };
    let mut group = 0;
    while group < groups.count() {
        let begins = match groups.separator(group) {
            Some(Separator::None) => !hangs,
            Some(Separator::Dash | Separator::Dot | Separator::Slash) => false,
            _ => true,
        };
        let place = Place { view, groups: &groups, group, hits: sink.hits, topics: std::cell::Cell::new(None) };
        let found = if begins { form(&place) } else { None };
        match found {
            Some((n, found)) => {
                if let Some(found) = found {
                    sink.push(view, &found);
                }
                group += n.max(1);
            }
            None => group += 1,
        }
    }
    let last = groups.count() - 1;
    if groups.lettered {
        // The last group belongs to a token of letters and digits, which begins there.
        return Some(groups.start(last).max(at + 1));
    }
    if groups.cut && last >= FORM_GROUPS_MAX {
        return Some(groups.start(last - FORM_GROUPS_MAX + 1));
    }
    Some(if groups.cut && groups.count() == 1 {
        view.run_end(groups.end(last), usize::MAX, |b| b.is_ascii_digit())
    } else {
        groups.end(last)
    })
}

/// What begins or goes on with digits, but is no number: keys, MAC addresses, Spanish numbers with a dash before their letter.
fn with_signs(view: &View<'_>, at: usize, before: Option<u8>, groups: &Groups) -> Option<Found> {
    let first = groups.end(0);
    let after = view.at(first);
    if before == Some(b'-')
        && let Some(found) = super::key::known(view, at)
    {
        return Some(found);
    }
    match (before, first - at, after) {
        (Some(b'-' | b'.'), 1 | 2 | 4, _) | (_, 1 | 2, Some(b'-')) | (_, 2 | 4, Some(b'.')) => address::mac(view, at),
        (_, 7 | 8, Some(b'-')) => letters::spanish_with_dash(view, at, first),
        _ => None,
    }
}

/// The form that begins at a place: how many groups it has, and what was found, which is nothing when they are only to be passed over.
fn form(place: &Place<'_, '_>) -> Option<(usize, Option<Found>)> {
    let found = |f: Option<(usize, Found)>| f.map(|(n, f)| (n, Some(f)));
    if place.before() == Some(b'+') && place.group == 0 {
        return found(phone::international(place));
    }
    let left = place.groups.count() - place.group;
    // Most numbers are small and alone.
    if left == 1 && place.groups.length(place.group) < LONE_DIGITS_MIN {
        return found(date::named(place));
    }
    let (first, next) = (place.groups.length(place.group), place.groups.separator(place.group + 1));
    let several = left >= 3;
    if several
        && matches!(first, 1 | 2 | 4)
        && let Some((n, f)) = date::numeric(place)
    {
        return Some((n, f));
    }
    // Only forms that begin so are looked for.
    let is_dotted = several && next == Some(Separator::Dot);
    let may_be_card = matches!(first, 4 | 12..=19);
    (if is_dotted { found(address::ipv4(place)) } else { None })
        .or_else(|| if may_be_card { found(card::card(place)) } else { None })
        .or_else(|| found(national::number(place)))
        .or_else(|| found(phone::national(place)))
        .or_else(|| if first == 4 { found(date::named(place)) } else { None })
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation)]
mod tests {
    use super::{Groups, WORD_BYTES, leading_digits};
    use crate::detect::Wanted;
    use crate::detect::view::View;

    #[test]
    fn digits_are_read_as_they_stand() {
        for b in 0..=255_u8 {
            for at in 0..20_usize {
                for len in at..20 {
                    let mut text: Vec<u8> = (0..len).map(|i| b'0' + (i % 10) as u8).collect();
                    if let Some(slot) = text.get_mut(at) {
                        *slot = b;
                    }
                    for i in 0..=len {
                        let run = text[i..].iter().take(WORD_BYTES).take_while(|b| b.is_ascii_digit()).count();
                        let (values, n) = leading_digits(&text, i);
                        assert_eq!(n, run, "{text:?} from {i}");
                        assert!(text[i..i + n].iter().zip(values).all(|(b, v)| b - b'0' == v), "{text:?} from {i}");
                    }
                }
            }
        }
    }

    #[test]
    fn groups_hold_no_more_than_they_have_room_for() {
        for (text, lengths, cut) in [
            ("12-345 6", &[2, 3, 1][..], false),
            (&*"9".repeat(48), &[48], false),
            (&*"9".repeat(49), &[48], true),
            // What would be too much is left for the next reading.
            (&*format!("{} {}", "1".repeat(40), "2".repeat(9)), &[40], true),
            (&*"1 ".repeat(13), &[1; 12], true),
        ] {
            let mut groups = Groups::new(0);
            groups.read(&View::new(text.as_bytes(), b"", Wanted::ALL, true));
            let found: Vec<usize> = (0..groups.count()).map(|g| groups.length(g)).collect();
            assert_eq!((&*found, groups.cut), (lengths, cut), "{text}");
        }
    }
}
