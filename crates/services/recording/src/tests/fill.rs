//! Fills a folder with recorded sessions, by the writer that gateways use. Not a test of every run: bench/console asks for it, with the
//! folder in COUNTERSIGN_FILL and how many in COUNTERSIGN_FILL_SESSIONS.

use std::time::{SystemTime, UNIX_EPOCH};

use super::*;

/// The sessions are spread over so many days before now.
const DAYS: u64 = 30;
const STATEMENTS: u64 = 4;
const TARGETS: u64 = 8;
const IDENTITIES: u64 = 400;

#[test]
#[ignore = "it makes what bench/console measures with"]
fn fill_a_folder() {
    let dir = std::env::var("COUNTERSIGN_FILL").unwrap();
    let count: u64 = std::env::var("COUNTERSIGN_FILL_SESSIONS").unwrap().parse().unwrap();
    let recorder = FileRecorder::start(RecordingConfig::new(dir)).unwrap();
    let now = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap();
    let apart = DAYS * 86_400_000_000 / count;
    let (allow, deny) = (verdict(Decision::Allow), verdict(Decision::Deny));
    let shape = shape("select");
    for n in 0..count {
        let began = now - (count - n) * apart;
        let at = |us: u64| Timestamp::from_unix_us(i64::try_from(began + us).unwrap());
        let context = SessionContext {
            id: SessionId::new(at(0), u128::from(n)),
            application: "psql".to_owned(),
            started_at: at(0),
            ..context(0)
        };
        let who = identity(&format!("who{}", n * 7 % IDENTITIES));
        let target = target(&format!("target{}", n % TARGETS));
        let mut session = recorder.open(&SessionOpened { context: &context, identity: &who, target: &target }).unwrap();
        for i in 0..STATEMENTS {
            let text =
                format!("select name, email from customers where id = {} order by name limit 10", n * STATEMENTS + i);
            let denied = n % 10 == 0 && i == 0;
            let intent = Intent {
                at: at(i * 1_000 + 10),
                text: text.as_bytes(),
                same_text_as: None,
                prepares: false,
                parameters: &[],
                shape: &shape,
                verdict: if denied { &deny } else { &allow },
            };
            let receipt = session.intent(&intent).unwrap();
            if !denied {
                let outcome = Outcome { rows: 10, bytes: 400, masked: masked(), ..Outcome::of(OutcomeStatus::Done) };
                session.outcome(receipt.seq(), at(i * 1_000 + 500), 490, &outcome).unwrap();
            }
        }
        session.close(&Closed { at: at(10_000), reason: CloseReason::Client, denial: None }).unwrap();
    }
    drop(recorder);
}
