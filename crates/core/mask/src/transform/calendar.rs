//! Days and years of the proleptic Gregorian calendar. It knows no zones and must never ask what time it is.

/// Microseconds of a day.
pub(super) const DAY_US: i64 = 86_400_000_000;

/// Days from 1970-01-01 to the first of January of `year`.
pub(super) const fn days_to_year(year: i64) -> i64 {
    let y = year - 1;
    y * 365 + y.div_euclid(4) - y.div_euclid(100) + y.div_euclid(400) - 719_162
}

/// The year that a day lies in.
pub(super) const fn year_of(days: i64) -> i64 {
    // An average year, then the rest by looking.
    let mut year = 1970 + (days * 400).div_euclid(146_097);
    while days_to_year(year) > days {
        year -= 1;
    }
    while days_to_year(year + 1) <= days {
        year += 1;
    }
    year
}

/// True when the day exists.
pub(crate) const fn exists(year: u32, month: u32, day: u32) -> bool {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    day >= 1 && day <= last
}

#[cfg(test)]
mod tests {
    use super::{days_to_year, exists, year_of};

    #[test]
    fn years_and_days() {
        for (days, year) in
            [(0, 1970), (-1, 1969), (364, 1970), (365, 1971), (19_723, 2024), (20_088, 2024), (20_089, 2025)]
        {
            assert_eq!(year_of(days), year, "{days}");
        }
        for year in [-4712, 0, 1, 4, 100, 400, 1600, 1900, 2000, 2100, 294_276, 5_874_897] {
            assert_eq!(year_of(days_to_year(year)), year);
            assert_eq!(year_of(days_to_year(year) - 1), year - 1);
        }
    }

    #[test]
    fn leap_days() {
        assert!(exists(2024, 2, 29) && exists(2000, 2, 29));
        assert!(!exists(2023, 2, 29) && !exists(1900, 2, 29) && !exists(2024, 13, 1) && !exists(2024, 4, 31));
    }
}
