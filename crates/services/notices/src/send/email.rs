//! E-mail by SMTP: encrypted but on this machine, as plain text and a little HTML. What the server says is known by its number alone.

use std::path::Path;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};

use super::{Failure, Message, SEND_TIMEOUT, line};
use crate::receiver::{Email, Encryption};
use crate::words::Words;
use countersign_outbound::{CA_FILE_BYTES_MAX, is_this_machine, read_file};

pub(super) async fn send(to: &Email, ca: Option<&Path>, message: &Message<'_>) -> Result<String, Failure> {
    let (mail, reference) = mail(to, message)?;
    let mut server = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&to.host)
        .port(to.port)
        .timeout(Some(SEND_TIMEOUT))
        .tls(tls(to, ca)?);
    if let Some((user, password)) = &to.login {
        let password = line("the password", password).await?;
        let password = password.expose_str().unwrap_or_default().to_owned();
        server = server.credentials(Credentials::new(user.clone(), password));
    }
    match server.build().send(mail).await {
        Ok(_) => Ok(reference),
        Err(e) => Err(Failure::new(told(&to.host, &e))),
    }
}

/// What went wrong, without the server's words, which may repeat ours.
fn told(host: &str, e: &lettre::transport::smtp::Error) -> String {
    let what = match e.status() {
        Some(code) => return format!("the mail server {host} answered {code}"),
        None if e.is_timeout() => "did not answer in time",
        None if e.is_tls() => "could not be talked to by TLS",
        None if e.is_client() => "offers no login or encryption that is asked for",
        None if e.is_response() => "answered something that is no SMTP",
        None => "could not be reached",
    };
    format!("the mail server {host} {what}")
}

fn tls(to: &Email, ca: Option<&Path>) -> Result<Tls, Failure> {
    if to.encryption == Encryption::None {
        // The login and what happened would cross a network in the clear.
        if !is_this_machine(&to.host) {
            return Err(Failure::new(format!("mail to {} must be encrypted", to.host)));
        }
        return Ok(Tls::None);
    }
    let mut parameters = TlsParameters::builder(to.host.clone());
    if let Some(path) = ca {
        let pem = read_file(path, CA_FILE_BYTES_MAX).map_err(Failure::new)?;
        let certificate = Certificate::from_pem(&pem)
            .map_err(|_| Failure::new(format!("{}: no certificates that can be read", path.display())))?;
        parameters = parameters.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    let parameters =
        parameters.build_rustls().map_err(|_| Failure::new(format!("TLS with {} cannot be set up", to.host)))?;
    Ok(if to.encryption == Encryption::Implicit { Tls::Wrapper(parameters) } else { Tls::Required(parameters) })
}

fn mail(to: &Email, message: &Message<'_>) -> Result<(lettre::Message, String), Failure> {
    let words = message.words();
    let address = |text: &str| {
        text.parse::<Mailbox>().map_err(|_| Failure::new(format!("\"{text}\" is not an address such as a@example.org")))
    };
    let from = address(&to.from)?;
    let reference = format!("<{}@{}>", message.id, from.email.domain());
    let mut mail = lettre::Message::builder().from(from).subject(&words.subject).message_id(Some(reference.clone()));
    for one in &to.to {
        mail = mail.to(address(one)?);
    }
    if let Some(earlier) = &message.earlier {
        mail = mail.in_reply_to(earlier.clone()).references(earlier.clone());
    }
    // RFC 3834, 5: no machine answers it.
    mail = mail
        .raw_header(HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()));
    let part = |kind, text| SinglePart::builder().header(kind).body(text);
    let both = MultiPart::alternative()
        .singlepart(part(ContentType::TEXT_PLAIN, text(&words)))
        .singlepart(part(ContentType::TEXT_HTML, html(&words)));
    let mail = mail.multipart(both).map_err(|_| Failure::new("the message cannot be written"))?;
    Ok((mail, reference))
}

fn text(words: &Words) -> String {
    let mut text = format!("{}\r\n\r\n", words.title);
    for fact in &words.facts {
        text.push_str(&format!("{}: {}\r\n", fact.name, fact.value));
    }
    if !words.text.is_empty() {
        text.push_str(&format!("\r\n  {}\r\n", words.text));
    }
    if !words.link.is_empty() {
        text.push_str(&format!("\r\n{}: {}\r\n", words.action, words.link));
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

fn html(words: &Words) -> String {
    let mut html = format!("<!doctype html><html><body><h3>{}</h3><table>", escape(words.title));
    for fact in &words.facts {
        let row = format!("<tr><th align=\"left\">{}</th><td>{}</td></tr>", escape(fact.name), escape(&fact.value));
        html.push_str(&row);
    }
    html.push_str("</table>");
    if !words.text.is_empty() {
        html.push_str(&format!("<pre>{}</pre>", escape(&words.text)));
    }
    if !words.link.is_empty() {
        html.push_str(&format!("<p><a href=\"{}\">{}</a></p>", escape(&words.link), escape(words.action)));
    }
    html.push_str("</body></html>");
    html
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use countersign_model::Timestamp;

    use super::*;
    use crate::{Kind, Notice};

    fn to() -> Email {
        Email {
            host: "127.0.0.1".to_owned(),
            port: 25,
            encryption: Encryption::None,
            login: None,
            from: "Countersign <gw@example.org>".to_owned(),
            to: vec!["dba@example.org".to_owned()],
        }
    }

    fn written(to: &Email, notice: &Notice, earlier: Option<&str>) -> Result<String, Failure> {
        let now = Timestamp::from_unix_s(1);
        let earlier = earlier.map(str::to_owned);
        let message =
            Message { id: "01J", notice, more: 0, merged: Vec::new(), earlier, base: "https://gw.example", now };
        mail(to, &message).map(|(mail, _)| String::from_utf8(mail.formatted()).unwrap())
    }

    #[test]
    fn no_name_writes_a_header_and_no_text_is_html() {
        let notice = Notice {
            identity: "x\r\nBcc: evil@example.org\r\n\r\n<script>alert(1)</script>".to_owned(),
            target: "\n.\r\nQUIT".to_owned(),
            path: "/console/inbox/1".to_owned(),
            ..Notice::new(Kind::ReviewAsked, "t", Timestamp::from_unix_s(0))
        };
        let mail = written(&to(), &notice, Some("<01H@example.org>")).unwrap();
        let (head, body) = mail.split_once("\r\n\r\n").unwrap();
        let names: Vec<&str> =
            head.lines().filter(|l| !l.starts_with([' ', '\t'])).filter_map(|l| l.split(':').next()).collect();
        assert!(!names.contains(&"Bcc"), "{head}");
        for name in ["From", "To", "Subject", "Message-ID", "In-Reply-To", "Auto-Submitted", "Date"] {
            assert_eq!(names.iter().filter(|n| **n == name).count(), 1, "{name} in {head}");
        }
        let html = body.split_once("text/html").unwrap().1;
        assert!(!html.contains("<script>") && html.contains("&lt;script&gt;"), "{body}");
    }

    #[test]
    fn mail_is_encrypted_but_on_this_machine_and_addresses_are_addresses() {
        assert!(tls(&to(), None).is_ok());
        let far = Email { host: "mail.example".to_owned(), ..to() };
        assert!(tls(&far, None).is_err());
        assert!(tls(&Email { encryption: Encryption::StartTls, ..far.clone() }, None).is_ok());
        let notice = Notice::new(Kind::Test, "t", Timestamp::from_unix_s(0));
        for bad in ["", "x", "a@b, c@d", "a@b\r\nBcc: c@d"] {
            assert!(written(&Email { to: vec![bad.to_owned()], ..to() }, &notice, None).is_err(), "{bad}");
        }
    }
}
