//! Times as RFC 3339 writes them (section 5.6), UTC, to the microsecond.

use countersign_model::Timestamp;

const DAY_S: i64 = 86_400;

/// `2026-01-05T12:00:00.000000Z`.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    let (s, us) = (at.unix_s(), at.unix_us().rem_euclid(1_000_000));
    let (day, second) = (s.div_euclid(DAY_S), s.rem_euclid(DAY_S));
    // Days to a date, by eras of 400 years that begin in March, so that a leap day is a year's last.
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second % 3_600 / 60, second % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{us:06}Z")
}

#[cfg(test)]
mod tests {
    use countersign_model::Timestamp;

    use super::rfc3339;

    #[test]
    fn times_are_written_as_dates() {
        for (us, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (951_868_800_000_000, "2000-03-01T00:00:00.000000Z"),
            (1_767_614_400_123_456, "2026-01-05T12:00:00.123456Z"),
            (4_107_542_399_000_000, "2100-02-28T23:59:59.000000Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(rfc3339(Timestamp::from_unix_us(us)), text);
        }
    }
}
