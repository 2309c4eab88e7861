//! Receivers of notices: what each way needs, and what could not work.

use super::*;

/// A receiver with these lines, after the least configuration.
fn receiver(lines: &str) -> String {
    let secrets = "{ file = \"f\" }";
    format!("{LEAST}\n[[receiver]]\n{}", lines.replace("SECRET", secrets))
}

#[test]
fn receivers_are_what_their_way_needs() {
    let c = good(&receiver(
        "name = \"ops\"\nkind = \"webhook\"\nurl = SECRET\nsecret = SECRET\nkinds = [\"alert\"]\nseverity = \"high\"\ntargets = [\"prod-*\"]",
    ))
    .config;
    let r = &c.receivers[0];
    assert_eq!(
        (r.name.as_str(), r.per_minute, r.shape, r.severity),
        ("ops", 30, false, countersign_model::Severity::High)
    );
    let file = SecretSource::File("dir/f".into());
    let way = ReceiverWay::Webhook { url: file.clone(), secret: file.clone(), previous_secret: None };
    assert_eq!(
        (&r.way, r.kinds.as_slice(), r.targets.as_slice()),
        (&way, &["alert".to_owned()][..], &["prod-*".to_owned()][..])
    );
    let c =
        good(&receiver("name = \"chat\"\nkind = \"slack\"\ntoken = SECRET\nchannel = \"C1\"\ntext = \"shape\"")).config;
    let api_url = "https://slack.com/api".to_owned();
    assert_eq!(c.receivers[0].way, ReceiverWay::SlackBot { token: file.clone(), channel: "C1".into(), api_url });
    assert!(c.receivers[0].shape);
    let c = good(&receiver("name = \"chat\"\nkind = \"slack\"\nurl = SECRET")).config;
    assert_eq!(c.receivers[0].way, ReceiverWay::SlackIncoming { url: file.clone() });
    let mail = "name = \"m\"\nkind = \"email\"\nhost = \"mail.example\"\nfrom = \"C <a@b>\"\nto = [\"c@d\"]";
    for (more, port, encryption) in [
        ("", 587, MailEncryption::StartTls),
        ("encryption = \"implicit\"", 465, MailEncryption::Implicit),
        ("port = 25", 25, MailEncryption::StartTls),
    ] {
        let c = good(&receiver(&format!("{mail}\n{more}"))).config;
        let ReceiverWay::Email { port: p, encryption: e, username: None, .. } = c.receivers[0].way else { panic!() };
        assert_eq!((p, e), (port, encryption), "{more}");
    }
}

#[test]
fn receivers_that_could_not_work_are_told_of() {
    let mail = "name = \"m\"\nkind = \"email\"\nhost = \"mail.example\"\nfrom = \"a@b\"\nto = [\"c@d\"]\n";
    let hook = "name = \"h\"\nkind = \"webhook\"\nurl = SECRET\nsecret = SECRET\n";
    let many: Vec<String> = (0..33).map(|n| hook.replace("\"h\"", &format!("\"h{n}\""))).collect();
    let many = many.join("[[receiver]]\n");
    let cases: &[(String, &[&str])] = &[
        (hook.replace("secret = SECRET\n", ""), &["`secret` is missing", "webhook"]),
        (hook.replace("url = SECRET", "url = \"https://hooks.example/T0\""), &["url", "{ env = … }"]),
        (format!("{hook}channel = \"C1\""), &["`channel` has no use here", "slack"]),
        (format!("{hook}kinds = [\"alerts\"]"), &["kinds"]),
        (format!("{hook}targets = [\"a[\"]"), &["a pattern cannot be read"]),
        (format!("{hook}max_per_minute = 0"), &["from 1 to 600"]),
        (format!("{hook}[[receiver]]\n{hook}"), &["two receivers with this name"]),
        (
            "name = \"s\"\nkind = \"slack\"\ntoken = SECRET\nchannel = \"C\"\nurl = SECRET".to_owned(),
            &["both `token` and `url`"],
        ),
        ("name = \"s\"\nkind = \"slack\"\ntoken = SECRET".to_owned(), &["`channel` is missing"]),
        (
            "name = \"s\"\nkind = \"slack\"\ntoken = SECRET\nchannel = \"C\"\napi_url = \"http://slack.example\""
                .to_owned(),
            &["plain HTTP"],
        ),
        (format!("{mail}encryption = \"none\""), &["in the clear", "mail.example"]),
        (format!("{mail}username = \"u\""), &["half of a login"]),
        (mail.replace("c@d", "c@d, e@f"), &["this is not an address"]),
        (mail.replace("c@d", "c@d\\r\\nBcc: e@f"), &["this is not an address"]),
        (mail.replace("\"a@b\"", "\"gw\""), &["this is not an address"]),
        (mail.replace("[\"c@d\"]", "[]"), &["nobody would get it"]),
        (many, &["32"]),
    ];
    let wrong: Vec<String> = cases.iter().filter_map(|(lines, words)| objection(&receiver(lines), words)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let all = parse(&receiver("kind = \"email\"\nsecret = SECRET\nto = [\"x\"]\nseverity = \"loud\"")).unwrap_err();
    assert!(all.len() >= 5, "all at once: {all}");
}
