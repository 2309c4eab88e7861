//! Words before a place, which say what a number is about.
//!
//! It looks at whole words only (`phone_number` and `phoneNumber` are two each) and must never look behind a place: what follows a number
//! rarely names it.

use super::Hit;
use super::view::View;

/// How far back words count, in bytes.
const BEHIND: usize = 48;
/// The same for what must stand close by: words of birth, of versions.
const NEAR: usize = 24;
/// Longer words are none of ours.
const WORD_BYTES_MAX: usize = 30;

/// What words are about: a set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Topics(u32);

impl Topics {
    pub(super) const PHONE: Self = Self(1);
    pub(super) const SSN: Self = Self(1 << 1);
    pub(super) const CARD: Self = Self(1 << 2);
    pub(super) const NIR: Self = Self(1 << 3);
    pub(super) const STEUER: Self = Self(1 << 4);
    pub(super) const BSN: Self = Self(1 << 5);
    pub(super) const NHS: Self = Self(1 << 6);
    pub(super) const PESEL: Self = Self(1 << 7);
    pub(super) const BELGIAN: Self = Self(1 << 8);
    pub(super) const SWEDISH: Self = Self(1 << 9);
    pub(super) const CPF: Self = Self(1 << 10);
    pub(super) const CNPJ: Self = Self(1 << 11);
    pub(super) const AADHAAR: Self = Self(1 << 12);
    pub(super) const SIN: Self = Self(1 << 13);
    pub(super) const TFN: Self = Self(1 << 14);
    pub(super) const BIRTH: Self = Self(1 << 15);
    pub(super) const VERSION: Self = Self(1 << 16);
    pub(super) const NUMBERED: Self = Self(1 << 17);

    pub(super) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What a word is about, in any case of letters.
    fn of(word: &[u8]) -> u32 {
        let Some(mut slot) = slot_of(word) else { return 0 };
        loop {
            match TABLE.get(slot).copied() {
                Some(("", _)) | None => return 0,
                Some((known, topics)) if known.as_bytes().eq_ignore_ascii_case(word) => return topics,
                _ => slot = (slot + 1) % SLOTS,
            }
        }
    }
}

/// Words by what they are about, in small letters.
const WORDS: &[(u32, &[&str])] = &[
    (
        Topics::PHONE.0,
        &[
            "call",
            "cell",
            "cellphone",
            "cellulare",
            "celular",
            "dial",
            "fax",
            "fijo",
            "handy",
            "handynummer",
            "hotline",
            "landline",
            "mob",
            "mobil",
            "mobile",
            "mobilnummer",
            "msisdn",
            "móvil",
            "ph",
            "phone",
            "phones",
            "portable",
            "puhelin",
            "ring",
            "rufnummer",
            "sms",
            "tel",
            "telefon",
            "telefone",
            "telefonnummer",
            "telefono",
            "telefoon",
            "telefoonnummer",
            "telephone",
            "teléfono",
            "text",
            "tél",
            "téléphone",
            "whatsapp",
        ],
    ),
    (Topics::SSN.0, &["social", "ssn", "ssns"]),
    (
        Topics::CARD.0,
        &[
            "amex",
            "card",
            "carta",
            "carte",
            "cc",
            "credit",
            "debit",
            "diners",
            "discover",
            "jcb",
            "karte",
            "kartennummer",
            "kreditkarte",
            "maestro",
            "mastercard",
            "pan",
            "tarjeta",
            "unionpay",
            "visa",
        ],
    ),
    (Topics::NIR.0, &["insee", "nir", "secu", "vitale"]),
    (Topics::STEUER.0, &["identifikationsnummer", "idnr", "steuer", "steuerid", "steueridentifikationsnummer"]),
    (Topics::STEUER.0 | Topics::TFN.0, &["tin"]),
    (Topics::STEUER.0 | Topics::TFN.0 | Topics::CPF.0, &["tax"]),
    (Topics::BSN.0, &["bsn", "burgerservicenummer", "sofi", "sofinummer"]),
    (Topics::NHS.0, &["nhs", "patient"]),
    (Topics::PESEL.0, &["pesel"]),
    (Topics::BELGIAN.0, &["insz", "niss", "nrn", "registre", "rijksregister", "rijksregisternummer"]),
    (Topics::SWEDISH.0, &["personnr", "personnummer", "pnr", "samordningsnummer"]),
    (Topics::CPF.0, &["cpf"]),
    (Topics::CNPJ.0, &["cnpj"]),
    (Topics::AADHAAR.0, &["aadhaar", "aadhar", "uid", "uidai"]),
    (Topics::SIN.0, &["insurance", "nas", "sin"]),
    (Topics::TFN.0, &["tfn"]),
    (
        Topics::BIRTH.0,
        &[
            "bday",
            "birth",
            "birthdate",
            "birthday",
            "born",
            "ddn",
            "dob",
            "fodelsedatum",
            "född",
            "födelsedatum",
            "geb",
            "geboortedatum",
            "geboren",
            "geburtsdatum",
            "geburtstag",
            "nacida",
            "nacido",
            "nacimiento",
            "naissance",
            "nascida",
            "nascido",
            "nascimento",
            "nascita",
            "nata",
            "nato",
            "né",
            "née",
            "syntymäaika",
            "urodzenia",
            "urodzona",
            "urodzony",
        ],
    ),
    (Topics::VERSION.0, &["build", "firmware", "release", "revision", "v", "ver", "version"]),
    (
        Topics::NUMBERED.0,
        &[
            "batch",
            "ean",
            "epoch",
            "id",
            "invoice",
            "isbn",
            "lot",
            "offset",
            "order",
            "orders",
            "part",
            "serial",
            "sku",
            "ticket",
            "timestamp",
            "tracking",
            "transaction",
            "txn",
            "upc",
        ],
    ),
];

/// Slots of [`TABLE`]: several times the words, so that nearly all that are not among them meet an empty one at once.
const SLOTS: usize = 1024;

/// The words by a hash of their ends and length; what is taken moves on.
static TABLE: [(&str, u32); SLOTS] = table();

/// The slot of a word, in any case of letters; `None` when it is too long or empty.
const fn slot_of(word: &[u8]) -> Option<usize> {
    let (Some(first), Some(last)) = (word.first(), word.last()) else { return None };
    if word.len() > WORD_BYTES_MAX {
        return None;
    }
    let (first, last) = ((*first | 0x20) as usize, (*last | 0x20) as usize);
    Some((first * 37 + last * 11 + word.len() * 131) % SLOTS)
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which would stop")]
const fn table() -> [(&'static str, u32); SLOTS] {
    let mut table = [("", 0); SLOTS];
    let mut topic = 0;
    while topic < WORDS.len() {
        let mut i = 0;
        while i < WORDS[topic].1.len() {
            let word = WORDS[topic].1[i];
            let mut slot = match slot_of(word.as_bytes()) {
                Some(slot) => slot,
                None => 0,
            };
            while !table[slot].0.is_empty() {
                slot = (slot + 1) % SLOTS;
            }
            table[slot] = (word, WORDS[topic].0);
            i += 1;
        }
        topic += 1;
    }
    table
}

/// What the words before `i` are about, and those of the text's name.
pub(super) fn topics(view: &View<'_>, i: usize, hits: &[Hit]) -> Topics {
    within(view, i, BEHIND, hits)
}

/// The same of the nearest words alone.
pub(super) fn topics_near(view: &View<'_>, i: usize, hits: &[Hit]) -> Topics {
    within(view, i, NEAR, hits)
}

fn within(view: &View<'_>, i: usize, bytes: usize, hits: &[Hit]) -> Topics {
    let mut all = 0;
    if !view.name.is_empty() {
        words(view.name, |w| all |= Topics::of(w));
    }
    view.pieces_before(i, bytes, hits, |piece| {
        words(piece, |w| all |= Topics::of(w));
        false
    });
    Topics(all)
}

/// Calls for each word of a text, as it is written.
pub(super) fn words(text: &[u8], mut word: impl FnMut(&[u8])) {
    let (mut start, mut lower) = (None, false);
    for (i, b) in text.iter().enumerate() {
        let letter = b.is_ascii_alphabetic() || *b >= 0x80;
        let upper = b.is_ascii_uppercase();
        if let Some(from) = start
            && (!letter || (lower && upper))
        {
            word(text.get(from..i).unwrap_or_default());
            start = None;
        }
        if letter && start.is_none() {
            start = Some(i);
        }
        lower = letter && !upper;
    }
    if let Some(from) = start {
        word(text.get(from..).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::{Topics, words};

    #[test]
    fn words_are_split_where_people_join_them() {
        for (text, expected) in [
            ("Phone number: 5", "Phone number"),
            ("customer_phoneNumber", "customer phone Number"),
            ("homeTEL x", "home TEL x"),
            ("Tél. née", "Tél née"),
            ("", ""),
        ] {
            let mut got = Vec::new();
            words(text.as_bytes(), |w| got.push(String::from_utf8_lossy(w).into_owned()));
            assert_eq!(got.join(" "), expected, "{text}");
        }
        assert!(Topics(Topics::of(b"Telefon")).has(Topics::PHONE));
        assert!(Topics(Topics::of("Née".as_bytes())).has(Topics::BIRTH));
        assert_eq!(Topics::of(b"tell") | Topics::of(&[b'x'; 100]) | Topics::of(b""), 0);
    }
}
