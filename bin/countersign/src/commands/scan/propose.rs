//! Which findings are worth a rule, and the rules as TOML.
//!
//! A person accepts them, so it proposes too much rather than too little; how often each was found stands beside it. It must never
//! write a value of the data.

use std::fmt::Write as _;

use countersign_model::Tag;

use super::{Finding, Report};

/// Of the values, so many in a hundred must have the mere form of something to be worth a rule.
const POSSIBLE_PERCENT_MIN: u64 = 60;

/// Says of each finding whether its column carries the tag already, and whether it is worth a rule.
pub(super) fn judge(report: &mut Report, carries: impl Fn(&[String; 3], &Tag) -> bool) {
    for finding in &mut report.findings {
        finding.tagged = carries(&finding.place, &finding.tag);
        let by_form = finding.possible * 100 >= finding.values * POSSIBLE_PERCENT_MIN && finding.possible > 1;
        finding.proposed = !finding.tagged && (finding.certain > 0 || finding.likely > 0 || by_form);
    }
}

/// The rules, ready to be read back.
pub(super) fn rules(target: &str, report: &Report) -> String {
    let mut out = format!(
        "# Proposed by `countersign scan {target}`. Look through them: a rule masks its column for everyone whom no policy lets see it.\n\
         # Take out what is wrong, then name this file in the configuration: tags = [\"FILE\"] in [[target]].\n"
    );
    for f in report.findings.iter().filter(|f| f.proposed) {
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "\n# {} of {} values: {} certain, {} likely, {} possible ({})\n[[tag]]\ncolumn = {}\ntag = {}\n",
            f.certain + f.likely + f.possible,
            f.values,
            f.certain,
            f.likely,
            f.possible,
            f.detectors.join(", "),
            quoted(&f.column),
            quoted(f.tag.as_str()),
        );
    }
    out
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// The findings of one column, the most sure first.
pub(super) fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        let rank = |f: &Finding| (std::cmp::Reverse(f.certain + f.likely), std::cmp::Reverse(f.possible));
        a.column.cmp(&b.column).then_with(|| rank(a).cmp(&rank(b))).then_with(|| a.tag.cmp(&b.tag))
    });
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn finding(column: &str, tag: &str, values: u64, sure: [u64; 3]) -> Finding {
        Finding {
            column: column.to_owned(),
            place: [String::new(), String::new(), column.to_owned()],
            data_type: "text".to_owned(),
            tag: Tag::parse(tag).unwrap(),
            detectors: vec!["email"],
            values,
            certain: sure[0],
            likely: sure[1],
            possible: sure[2],
            tagged: false,
            proposed: false,
        }
    }

    #[test]
    fn what_is_sure_or_frequent_is_proposed_and_what_is_tagged_is_not() {
        let mut report = Report {
            findings: vec![
                finding("public.a.one", "pii.email", 100, [1, 0, 0]),
                finding("public.a.likely", "pii.email", 100, [0, 1, 0]),
                finding("public.a.often", "pii.phone", 100, [0, 0, 60]),
                finding("public.a.seldom", "pii.phone", 100, [0, 0, 59]),
                finding("public.a.once", "pii.phone", 1, [0, 0, 1]),
                finding("public.a.tagged", "pii.email", 100, [9, 0, 0]),
            ],
            ..Report::default()
        };
        judge(&mut report, |[.., column], _| column.ends_with("tagged"));
        let proposed: Vec<bool> = report.findings.iter().map(|f| f.proposed).collect();
        assert_eq!(proposed, [true, true, true, false, false, false]);
        let text = rules("shop", &report);
        let read = countersign_config::parse_tags(&text, "tags.toml").unwrap();
        let columns: Vec<&str> = read.iter().map(|r| r.column.as_str()).collect();
        assert_eq!(columns, ["public.a.one", "public.a.likely", "public.a.often"]);
    }

    #[test]
    fn names_that_need_quotes_come_back() {
        let odd = "public.\"a\"\"b\\ \u{1F600}\".\"x.y\"";
        let mut report = Report { findings: vec![finding(odd, "pii", 1, [1, 0, 0])], ..Report::default() };
        judge(&mut report, |_, _| false);
        let read = countersign_config::parse_tags(&rules("shop", &report), "tags.toml").unwrap();
        assert_eq!(read[0].column, odd);
    }
}
