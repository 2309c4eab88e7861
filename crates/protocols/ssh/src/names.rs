//! The user name that clients give: `USER@TARGET`.

/// Splits at the last `@`, because users may be mail addresses and targets have none. `None` where a part is missing.
pub(crate) fn split(name: &str) -> Option<(&str, &str)> {
    const NAME_BYTES_MAX: usize = 512;
    let (user, target) = name.rsplit_once('@')?;
    (!user.is_empty() && !target.is_empty() && name.len() <= NAME_BYTES_MAX).then_some((user, target))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn names_are_split_at_the_last_sign() {
        for (name, want) in [
            ("ci@web-1", Some(("ci", "web-1"))),
            ("ana@example.com@web-1", Some(("ana@example.com", "web-1"))),
            ("ci", None),
            ("ci@", None),
            ("@web-1", None),
        ] {
            assert_eq!(split(name), want, "{name}");
        }
        assert!(split(&format!("{}@t", "x".repeat(511))).is_none());
        assert!(split(&format!("{}@t", "x".repeat(510))).is_some());
    }
}
