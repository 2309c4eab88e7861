//! How long an append takes. Not a test of every run: `cargo test --release -p countersign-recording speed -- --ignored --nocapture`.

use std::io::Write;

use super::*;

#[test]
#[ignore = "a measurement: run it with --release"]
fn speed_of_an_intent_with_its_outcome() {
    const EACH: u32 = 1_000_000;
    let dir = tempfile::tempdir().unwrap();
    let mut report = Vec::new();
    for threads in [1_u32, 2] {
        let root = dir.path().join(threads.to_string());
        let recorder = FileRecorder::start(RecordingConfig::new(&root)).unwrap();
        let began = Instant::now();
        let mut slowest = Duration::ZERO;
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|t| {
                    let recorder = &recorder;
                    scope.spawn(move || {
                        let mut w = Writer::new(recorder, u64::from(t), "ci", "orders");
                        let mut slowest = Duration::ZERO;
                        for _ in 0..EACH {
                            let one = Instant::now();
                            let seq = w
                                .intent(b"update accounts set balance = balance + $1 where id = $2", &[0; 24])
                                .unwrap();
                            w.outcome(seq.seq(), OutcomeStatus::Done).unwrap();
                            slowest = slowest.max(one.elapsed());
                        }
                        slowest
                    })
                })
                .collect();
            for worker in workers {
                slowest = slowest.max(worker.join().unwrap());
            }
        });
        let each = began.elapsed().as_nanos() / u128::from(EACH);
        writeln!(report, "{threads} threads: {each} ns per intent with outcome and thread, slowest {slowest:?}")
            .unwrap();
        let closing = Instant::now();
        drop(recorder);
        writeln!(report, "  sealing took {:?}", closing.elapsed()).unwrap();
        let reader = Reader::new(&root);
        let listing = Instant::now();
        assert_eq!(reader.sessions(&all_sessions()).unwrap().sessions.len() as u32, threads);
        writeln!(report, "  listing took {:?}", listing.elapsed()).unwrap();
        let showing = Instant::now();
        assert_eq!(reader.timeline(id(0), 0, 50).unwrap().items.len(), 50);
        writeln!(report, "  a page of a timeline took {:?}", showing.elapsed()).unwrap();
        let verifying = Instant::now();
        assert_eq!(reader.verify().unwrap().problems, []);
        writeln!(report, "  verifying took {:?}", verifying.elapsed()).unwrap();
    }
    std::io::stderr().write_all(&report).unwrap();
}
