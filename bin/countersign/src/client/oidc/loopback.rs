//! The redirect back from the browser (RFC 8252, 7.3): a port of 127.0.0.1 that is open for one login and takes one answer.
//!
//! Anything on this machine may knock here. Only a request with this login's state counts; it is never believed without `iss`, where the
//! issuer promised one (RFC 9207), and nothing of it is repeated in a page.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::super::http::said;
use crate::failed::Failed;

/// How long a person may take.
pub(super) const LOGIN_WAIT: Duration = Duration::from_secs(600);
/// How long one request may take. Browsers open connections ahead and send nothing on them.
const REQUEST_WAIT: Duration = Duration::from_secs(30);
/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Connections at a time, and in all.
const CONNECTIONS_MAX: usize = 16;
const CONNECTIONS_IN_ALL_MAX: usize = 200;
/// The longest code, in bytes.
const CODE_BYTES_MAX: usize = 4096;
/// The most parameters.
const PARAMETERS_MAX: usize = 32;

const PATH: &str = "/callback";

/// What the answer must say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'a> {
    /// What was sent as `state`.
    pub(super) state: &'a str,
    /// The issuer.
    pub(super) issuer: &'a str,
    /// It always names itself.
    pub(super) names_itself: bool,
}

/// What a request is.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    /// Nothing of this login's.
    Elsewhere,
    /// The redirect of another login, or of nobody.
    Stranger,
    /// The end of this login: a code, or why there is none.
    Answer(Result<String, String>),
}

/// Reads the first line of a request.
fn hear(head: &[u8], expected: &Expected<'_>) -> Heard {
    let line = head.split(|b| *b == b'\r' || *b == b'\n').next().unwrap_or_default();
    let Ok(line) = std::str::from_utf8(line) else { return Heard::Elsewhere };
    let ["GET", target, version] = line.split(' ').collect::<Vec<_>>()[..] else { return Heard::Elsewhere };
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path != PATH || !version.starts_with("HTTP/1.") {
        return Heard::Elsewhere;
    }
    read_query(query, expected)
}

/// Reads the parameters of the redirect (RFC 6749, 4.1.2; RFC 9207, 2).
fn read_query(query: &str, expected: &Expected<'_>) -> Heard {
    let (mut code, mut state, mut iss, mut error, mut more) = (None, None, None, None, None);
    let mut twice = None;
    for (n, (name, value)) in form_urlencoded::parse(query.as_bytes()).enumerate() {
        let slot = match name.as_ref() {
            "code" => &mut code,
            "state" => &mut state,
            "iss" => &mut iss,
            "error" => &mut error,
            "error_description" => &mut more,
            _ if n < PARAMETERS_MAX => continue,
            _ => return Heard::Stranger,
        };
        if slot.replace(value.into_owned()).is_some() {
            twice = Some(name.into_owned());
        }
    }
    // First, because nothing else of a stranger's request means anything. Nobody can try often enough to guess it, so that the time
    // this takes tells nothing.
    if state.as_deref() != Some(expected.state) || twice.as_deref() == Some("state") {
        return Heard::Stranger;
    }
    let no = |what: String| Heard::Answer(Err(what));
    if let Some(name) = twice {
        return no(format!("the answer has \"{name}\" twice"));
    }
    match &iss {
        Some(iss) if iss != expected.issuer => {
            return no(format!("the answer is of \"{}\", not of \"{}\": nothing was done", said(iss), expected.issuer));
        }
        None if expected.names_itself => {
            return no("the answer does not name its issuer, although it promised to".to_owned());
        }
        _ => {}
    }
    match (error, code) {
        (Some(error), None) => {
            let more = more.map(|m| format!(": {}", said(&m))).unwrap_or_default();
            no(format!("the issuer refused ({}){more}", said(&error)))
        }
        (None, Some(code)) => {
            let fits =
                (1..=CODE_BYTES_MAX).contains(&code.len()) && code.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
            if fits { Heard::Answer(Ok(code)) } else { no("the answer's code is none".to_owned()) }
        }
        _ => no("the answer has neither a code nor an error, or both".to_owned()),
    }
}

fn page(heard: &Heard) -> String {
    let (status, title, text) = match heard {
        Heard::Elsewhere => ("404 Not Found", "Nothing here", "There is nothing here."),
        Heard::Stranger => ("400 Bad Request", "Not this login", "This is not the login that the terminal waits for."),
        Heard::Answer(Err(_)) => ("400 Bad Request", "Not logged in", "The terminal says what happened."),
        Heard::Answer(Ok(_)) => {
            ("200 OK", "Back to the terminal", "The browser's part is done. You may close this page.")
        }
    };
    let body = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>{title}</title>\n<h1>{title}</h1>\n<p>{text}</p>\n</html>\n"
    );
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\nReferrer-Policy: no-referrer\r\n\
         X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// An open port of 127.0.0.1.
#[derive(Debug)]
pub(super) struct Doorway {
    listener: TcpListener,
    redirect: String,
}

impl Doorway {
    /// Opens a port that the system chooses.
    pub(super) async fn open() -> Result<Self, Failed> {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .map_err(|e| Failed::new(format!("no port of 127.0.0.1 can be opened for the browser: {e}")))?;
        let redirect = format!("http://127.0.0.1:{}{PATH}", listener.local_addr()?.port());
        Ok(Self { listener, redirect })
    }

    /// The `redirect_uri`.
    pub(super) fn redirect(&self) -> &str {
        &self.redirect
    }

    /// Waits for the answer and gives the code.
    pub(super) async fn code(self, expected: &Expected<'_>) -> Result<String, Failed> {
        let late = || Failed::new(format!("nobody logged in within {} minutes: given up", LOGIN_WAIT.as_secs() / 60));
        timeout(LOGIN_WAIT, self.listen(expected)).await.map_err(|_| late())?.map_err(Failed::new)
    }

    async fn listen(self, expected: &Expected<'_>) -> Result<String, String> {
        let mut open = FuturesUnordered::new();
        for _ in 0..CONNECTIONS_IN_ALL_MAX {
            let stream = loop {
                tokio::select! {
                    accepted = self.listener.accept(), if open.len() < CONNECTIONS_MAX => match accepted {
                        Ok((stream, _)) => break stream,
                        // Out of files, or a client that is gone already.
                        Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                    },
                    Some(Heard::Answer(answer)) = open.next(), if !open.is_empty() => return answer,
                }
            };
            open.push(async move { timeout(REQUEST_WAIT, serve(stream, expected)).await.unwrap_or(Heard::Elsewhere) });
        }
        Err("too many requests came to the port that waits for the browser: given up".to_owned())
    }
}

/// Serves one request.
async fn serve(mut stream: TcpStream, expected: &Expected<'_>) -> Heard {
    let mut head = Vec::new();
    let whole = |head: &[u8]| head.windows(4).any(|w| w == b"\r\n\r\n");
    while !whole(&head) && head.len() < HEAD_BYTES_MAX {
        let room = (HEAD_BYTES_MAX - head.len()) as u64;
        match (&mut stream).take(room).read_buf(&mut head).await {
            Ok(0) | Err(_) => return Heard::Elsewhere,
            Ok(_) => {}
        }
    }
    let heard = if whole(&head) { hear(&head, expected) } else { Heard::Elsewhere };
    // The answer counts, whether or not the browser still shows the page.
    let _ = stream.write_all(page(&heard).as_bytes()).await;
    let _ = stream.shutdown().await;
    heard
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const EXPECTED: Expected<'_> = Expected { state: "s-1", issuer: "https://id.example", names_itself: false };
    const PROMISED: Expected<'_> = Expected { names_itself: true, ..EXPECTED };

    fn check(query: &str, expected: &Expected<'_>, want: Result<&str, &str>) {
        match (read_query(query, expected), want) {
            (Heard::Answer(Ok(code)), Ok(want)) => assert_eq!(code, want, "{query}"),
            (Heard::Answer(Err(said)), Err(want)) => assert!(said.contains(want), "{query}: {said}"),
            (Heard::Stranger, Err("stranger")) => {}
            (heard, _) => panic!("{query}: {heard:?}"),
        }
    }

    #[test]
    fn the_redirect_is_read_and_hostile_ones_are_refused() {
        let iss = "iss=https%3A%2F%2Fid.example";
        for (query, plain, promised) in [
            (format!("code=abc&state=s-1&{iss}"), Ok("abc"), Ok("abc")),
            (format!("code=a+b%2Fc&state=s-1&{iss}&session_state=x"), Ok("a b/c"), Ok("a b/c")),
            ("code=abc&state=s-1".to_owned(), Ok("abc"), Err("does not name its issuer")),
            ("code=abc&state=s-1&iss=https%3A%2F%2Fevil.example".to_owned(), Err("evil.example"), Err("evil.example")),
            ("code=abc&state=s-1&iss=".to_owned(), Err("is of \"\""), Err("is of \"\"")),
            (
                format!("error=access_denied&state=s-1&{iss}&error_description=no%1b[2J"),
                Err("(access_denied): no\\u{1b}"),
                Err("access_denied"),
            ),
            (
                "error=access_denied&state=s-1&iss=https%3A%2F%2Fevil.example".to_owned(),
                Err("evil.example"),
                Err("evil.example"),
            ),
            (format!("code=abc&error=x&state=s-1&{iss}"), Err("neither a code nor an error, or both"), Err("or both")),
            (format!("state=s-1&{iss}"), Err("neither"), Err("neither")),
            (format!("code=&state=s-1&{iss}"), Err("is none"), Err("is none")),
            (format!("code=a%0Ab&state=s-1&{iss}"), Err("is none"), Err("is none")),
            (format!("code=a&code=b&state=s-1&{iss}"), Err("\"code\" twice"), Err("twice")),
            (format!("code=a&%63ode=b&state=s-1&{iss}"), Err("\"code\" twice"), Err("twice")),
            (format!("code=a&state=s-1&{iss}&{iss}"), Err("\"iss\" twice"), Err("twice")),
            (format!("code=a&state=s-1&state=s-1&{iss}"), Err("stranger"), Err("stranger")),
            (format!("code=a&state=s-1&state=s-2&{iss}"), Err("stranger"), Err("stranger")),
            (format!("code=abc&state=s-2&{iss}"), Err("stranger"), Err("stranger")),
            (format!("code=abc&state=&{iss}"), Err("stranger"), Err("stranger")),
            (format!("code=abc&{iss}"), Err("stranger"), Err("stranger")),
            ("error=access_denied".to_owned(), Err("stranger"), Err("stranger")),
            (String::new(), Err("stranger"), Err("stranger")),
        ] {
            check(&query, &EXPECTED, plain);
            check(&query, &PROMISED, promised);
        }
    }

    #[test]
    fn codes_and_parameters_have_a_most() {
        let longest = "c".repeat(CODE_BYTES_MAX);
        check(&format!("state=s-1&code={longest}"), &EXPECTED, Ok(&longest));
        check(&format!("state=s-1&code={longest}c"), &EXPECTED, Err("is none"));
        let others = |n: usize| "x=1&".repeat(n);
        check(&format!("{}state=s-1&code=a", others(PARAMETERS_MAX)), &EXPECTED, Ok("a"));
        check(&format!("{}state=s-1&code=a", others(PARAMETERS_MAX + 1)), &EXPECTED, Err("stranger"));
    }

    #[test]
    fn only_get_of_the_path_counts() {
        for (line, ours) in [
            ("GET /callback?code=a&state=s-1 HTTP/1.1", true),
            ("GET /callback?code=a&state=s-1 HTTP/1.0", true),
            ("POST /callback?code=a&state=s-1 HTTP/1.1", false),
            ("GET /callback/?code=a&state=s-1 HTTP/1.1", false),
            ("GET /favicon.ico HTTP/1.1", false),
            ("GET http://127.0.0.1/callback?code=a&state=s-1 HTTP/1.1", false),
            ("GET  /callback?code=a&state=s-1 HTTP/1.1", false),
            ("GET /callback?code=a&state=s-1", false),
            ("", false),
        ] {
            let heard = hear(format!("{line}\r\nHost: x\r\n\r\n").as_bytes(), &EXPECTED);
            assert_eq!(heard == Heard::Answer(Ok("a".to_owned())), ours, "{line}: {heard:?}");
        }
    }

    async fn knock(port: u16, request: &[u8]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        // A server that has heard enough may hang up on the rest.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn one_answer_is_taken_whatever_else_knocks() {
        let door = Doorway::open().await.unwrap();
        let port: u16 = door.redirect().rsplit(':').next().unwrap().trim_end_matches(PATH).parse().unwrap();
        let waiting = door.code(&EXPECTED);
        let browser = async {
            // Ahead of need, as browsers do; it says nothing.
            let _silent = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").into_bytes();
            assert!(knock(port, &get("/favicon.ico")).await.starts_with("HTTP/1.1 404"));
            assert!(knock(port, &get("/callback?code=evil&state=guess")).await.starts_with("HTTP/1.1 400"));
            let long = get(&format!("/callback?code=a&state=s-1&x={}", "x".repeat(HEAD_BYTES_MAX)));
            assert!(!knock(port, &long).await.starts_with("HTTP/1.1 200"));
            let page = knock(port, &get("/callback?code=c-1&state=s-1")).await;
            assert!(page.starts_with("HTTP/1.1 200") && page.contains("no-store") && !page.contains("c-1"), "{page}");
        };
        let (code, ()) = tokio::join!(waiting, browser);
        assert_eq!(code.unwrap(), "c-1");
        assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err(), "the port is closed again");
    }

    #[tokio::test]
    async fn knocks_have_a_most() {
        let door = Doorway::open().await.unwrap();
        let port: u16 = door.redirect().rsplit(':').next().unwrap().trim_end_matches(PATH).parse().unwrap();
        let knocks = async {
            for _ in 0..CONNECTIONS_IN_ALL_MAX {
                knock(port, b"GET / HTTP/1.1\r\n\r\n").await;
            }
        };
        let (code, ()) = tokio::join!(door.code(&EXPECTED), knocks);
        assert!(code.unwrap_err().to_string().contains("too many requests"));
    }
}
