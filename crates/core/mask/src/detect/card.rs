//! Payment cards: ISO/IEC 7812 numbers of the issuers that exist, in the groups that are printed on them.

use super::checksum::{is_monotone, luhn, number};
use super::context::Topics;
use super::number::{Place, Separator};
use super::view::Found;
use super::{Confidence, Detector};

/// The groups of printed cards: 16 digits, American Express, Diners, 19 digits.
const SHAPES: [&[usize]; 5] = [&[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 4, 4, 3], &[4, 4, 5]];

/// A card at a place.
pub(super) fn card(place: &Place<'_, '_>) -> Option<(usize, Found)> {
    let first = place.groups.length(place.group);
    let n = match first {
        12..=19 => 1,
        4 if matches!(place.joined_by(3)?, Separator::Space | Separator::Dash) => {
            let fits = |s: &&&[usize]| {
                place.shaped(s) && place.joined_by(s.len()).is_some() && place.groups.ends_at(place.group + s.len() - 1)
            };
            // The longest one that fits and checks.
            SHAPES.iter().filter(fits).map(|s| s.len()).filter(|n| is_card(place.digits(*n))).max()?
        }
        _ => return None,
    };
    let digits = place.digits(n);
    if !place.groups.ends_at(place.group + n - 1) || !is_card(digits) {
        return None;
    }
    // Long numbers of other kinds check once in ten; 16 and 15 digits of an issuer are rarely anything else.
    let common =
        n > 1 || matches!(digits.len(), 15 | 16) || (digits.len() == 14 && matches!(digits, [3, 0 | 6 | 8 | 9, ..]));
    // Words are looked for only where they decide.
    let confidence = if n > 1 || place.topics().has(Topics::CARD) {
        Confidence::Certain
    } else if common && !place.topics().has(Topics::NUMBERED) {
        Confidence::Likely
    } else {
        Confidence::Possible
    };
    Some(place.found(n, Detector::Card, confidence))
}

fn is_card(digits: &[u8]) -> bool {
    is_issued(digits) && luhn(digits) && !is_monotone(digits)
}

/// True when an issuer has numbers of this beginning and length.
fn is_issued(digits: &[u8]) -> bool {
    let Some(prefix) = digits.get(..6) else { return false };
    let prefix = number(prefix);
    let lengths = match prefix {
        // Visa; Mastercard; American Express.
        400_000..=499_999 => &[13, 16, 19][..],
        510_000..=559_999 | 222_100..=272_099 => &[16],
        340_000..=349_999 | 370_000..=379_999 => &[15],
        // Diners Club; JCB.
        300_000..=305_999 | 360_000..=369_999 | 380_000..=399_999 => &[14, 15, 16, 17, 18, 19],
        352_800..=358_999 => &[16, 17, 18, 19],
        // Mir; Discover, UnionPay, RuPay.
        220_000..=220_499 => &[16, 17, 18, 19],
        601_100..=601_199
        | 620_000..=629_999
        | 644_000..=659_999
        | 600_000..=600_999
        | 810_000..=829_999
        | 508_000..=508_999 => &[16, 17, 18, 19],
        // Maestro.
        500_000..=507_999 | 509_000..=509_999 | 560_000..=589_999 | 630_000..=639_999 | 670_000..=679_999 => {
            &[12, 13, 14, 15, 16, 17, 18, 19]
        }
        _ => return false,
    };
    lengths.contains(&digits.len())
}

#[cfg(test)]
mod tests {
    use super::is_card;

    #[test]
    fn cards_of_every_network_and_none_else() {
        for (number, card) in [
            ("4111111111111111", true),
            ("5555555555554444", true),
            ("2223003122003222", true),
            ("378282246310005", true),
            ("30569309025904", true),
            ("6011111111111117", true),
            ("3530111333300000", true),
            ("6304000000000000", true),
            ("4111111111111112", false),
            ("1111111111111117", false),
            ("9111111111111111", false),
            ("0000000000000000", false),
            ("37828224631000", false),
        ] {
            let digits: Vec<u8> = number.bytes().map(|b| b - b'0').collect();
            assert_eq!(is_card(&digits), card, "{number}");
        }
    }
}
