//! Words before a place, which say what a number is about.
//!
//! It looks at whole words only (`phone_number` and `phoneNumber` are two each) and must never look behind a place: what follows a number
//! rarely names it.

use super::Hit;
use super::view::View;

/// How far back words count, in bytes.
const BEHIND: usize = 48;
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

    const fn of(word: &[u8]) -> u32 {
        match word {
            b"phone" | b"phones" | b"telephone" | b"tel" | b"ph" | b"mobile" | b"mob" | b"cell" | b"cellphone"
            | b"fax" | b"call" | b"dial" | b"text" | b"sms" | b"whatsapp" | b"handy" | b"telefon" | b"telefono"
            | b"telefone" | b"celular" | b"fijo" | b"portable" | b"cellulare" | b"ring" | b"hotline" | b"landline"
            | b"rufnummer" | b"telefonnummer" | b"handynummer" | b"mobil" | b"mobilnummer" | b"telefoon"
            | b"telefoonnummer" | b"puhelin" | b"msisdn" => Self::PHONE.0,
            b"social" => Self::SSN.0 | Self::SIN.0,
            b"ssn" | b"ssns" => Self::SSN.0,
            b"card" | b"credit" | b"debit" | b"visa" | b"mastercard" | b"amex" | b"maestro" | b"pan" | b"carte"
            | b"karte" | b"kreditkarte" | b"tarjeta" | b"carta" | b"discover" | b"diners" | b"jcb" | b"unionpay"
            | b"cc" | b"kartennummer" => Self::CARD.0,
            b"nir" | b"secu" | b"insee" | b"vitale" => Self::NIR.0,
            b"steuer" | b"steuerid" | b"steueridentifikationsnummer" | b"idnr" | b"identifikationsnummer" => {
                Self::STEUER.0
            }
            b"tin" => Self::STEUER.0 | Self::TFN.0,
            b"tax" => Self::STEUER.0 | Self::TFN.0 | Self::CPF.0,
            b"bsn" | b"burgerservicenummer" | b"sofinummer" | b"sofi" => Self::BSN.0,
            b"nhs" | b"patient" => Self::NHS.0,
            b"pesel" => Self::PESEL.0,
            b"rijksregister" | b"rijksregisternummer" | b"nrn" | b"niss" | b"insz" | b"registre" => Self::BELGIAN.0,
            b"personnummer" | b"pnr" | b"personnr" | b"samordningsnummer" => Self::SWEDISH.0,
            b"cpf" => Self::CPF.0,
            b"cnpj" => Self::CNPJ.0,
            b"aadhaar" | b"aadhar" | b"uidai" | b"uid" => Self::AADHAAR.0,
            b"sin" | b"nas" | b"insurance" => Self::SIN.0,
            b"tfn" => Self::TFN.0,
            b"born" | b"birth" | b"dob" | b"birthday" | b"birthdate" | b"bday" | b"geb" | b"geboren"
            | b"geburtsdatum" | b"geburtstag" | b"naissance" | b"nacido" | b"nacida" | b"nacimiento" | b"nato"
            | b"nata" | b"nascita" | b"nascido" | b"nascida" | b"nascimento" | b"urodzony" | b"urodzona"
            | b"urodzenia" | b"geboortedatum" | b"fodelsedatum" | b"ddn" => Self::BIRTH.0,
            b"version" | b"ver" | b"release" | b"build" | b"revision" | b"firmware" | b"v" => Self::VERSION.0,
            b"order" | b"orders" | b"invoice" | b"ticket" | b"tracking" | b"sku" | b"isbn" | b"ean" | b"upc"
            | b"batch" | b"lot" | b"serial" | b"transaction" | b"txn" | b"timestamp" | b"epoch" | b"part"
            | b"offset" | b"id" => Self::NUMBERED.0,
            _ => {
                // Words with letters beyond ASCII, as UTF-8.
                const OTHERS: [(&str, u32); 9] = [
                    ("téléphone", Topics::PHONE.0),
                    ("tél", Topics::PHONE.0),
                    ("teléfono", Topics::PHONE.0),
                    ("móvil", Topics::PHONE.0),
                    ("né", Topics::BIRTH.0),
                    ("née", Topics::BIRTH.0),
                    ("född", Topics::BIRTH.0),
                    ("födelsedatum", Topics::BIRTH.0),
                    ("syntymäaika", Topics::BIRTH.0),
                ];
                let mut i = 0;
                while i < OTHERS.len() {
                    #[expect(clippy::indexing_slicing, reason = "the loop's bound")]
                    let (other, topics) = OTHERS[i];
                    if same(other.as_bytes(), word) {
                        return topics;
                    }
                    i += 1;
                }
                0
            }
        }
    }
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        #[expect(clippy::indexing_slicing, reason = "the loop's bound, for both")]
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// What the words before `i` are about, and those of the text's name.
pub(super) fn topics(view: &View<'_>, i: usize, hits: &[Hit]) -> Topics {
    let mut all = 0;
    words(view.name, |w| all |= Topics::of(w));
    view.pieces_before(i, BEHIND, hits, |piece| {
        words(piece, |w| all |= Topics::of(w));
        false
    });
    Topics(all)
}

/// Calls for each word of a text, in small letters.
pub(super) fn words(text: &[u8], mut word: impl FnMut(&[u8])) {
    let mut buffer = [0; WORD_BYTES_MAX];
    let mut length = 0;
    let mut lower = false;
    for &b in text {
        let letter = b.is_ascii_alphabetic() || b >= 0x80;
        if !letter || (lower && b.is_ascii_uppercase()) {
            if length > 0 {
                word(buffer.get(..length).unwrap_or_default());
            }
            length = 0;
        }
        if letter {
            match buffer.get_mut(length) {
                Some(slot) => *slot = b.to_ascii_lowercase(),
                // Too long: it stays too long to its end.
                None => length = WORD_BYTES_MAX,
            }
            length += usize::from(length <= WORD_BYTES_MAX);
        }
        lower = b.is_ascii_lowercase();
    }
    if length > 0 {
        word(buffer.get(..length).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_are_split_where_people_join_them() {
        for (text, expected) in [
            ("Phone number: 5", "phone number"),
            ("customer_phoneNumber", "customer phone number"),
            ("homeTEL x", "home tel x"),
            ("Tél. née", "tél née"),
            ("", ""),
        ] {
            let mut got = Vec::new();
            words(text.as_bytes(), |w| got.push(String::from_utf8_lossy(w).into_owned()));
            assert_eq!(got.join(" "), expected, "{text}");
        }
        words("x".repeat(100).as_bytes(), |w| assert!(w.is_empty()));
    }
}
