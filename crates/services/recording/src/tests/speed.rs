//! How long an append takes. Not a test of every run:
//! `cargo test --release -p countersign-recording speed -- --ignored --nocapture`.

use std::io::Write;

use super::*;

const EACH: u32 = 1_000_000;
const TEXT: &[u8] = b"update accounts set balance = balance + $1 where id = $2";

/// Nanoseconds that this thread ran on a processor: what others do meanwhile does not count.
fn thread_cpu_ns() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn pair(w: &mut Writer) {
    let seq = w.intent(TEXT, &[0; 24]).unwrap().seq();
    w.outcome(seq, OutcomeStatus::Done).unwrap();
}

#[test]
#[ignore = "a measurement: run it with --release"]
fn speed_of_an_intent_with_its_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let mut report = Vec::new();
    for threads in [1_u32, 2] {
        let root = dir.path().join(threads.to_string());
        let recorder = FileRecorder::start(RecordingConfig::new(&root)).unwrap();
        let began = Instant::now();
        let work = |t: u32| {
            let mut w = Writer::new(&recorder, u64::from(t), "ci", "orders");
            let before = thread_cpu_ns();
            (0..EACH).for_each(|_| pair(&mut w));
            thread_cpu_ns() - before
        };
        let cpu: u64 = std::thread::scope(|scope| {
            let work = &work;
            let workers: Vec<_> = (0..threads).map(|t| scope.spawn(move || work(t))).collect();
            workers.into_iter().map(|w| w.join().unwrap()).sum()
        });
        let wall = began.elapsed().as_nanos() / u128::from(EACH);
        let cpu = cpu / u64::from(EACH * threads);
        writeln!(report, "{threads} threads: {cpu} ns of CPU per intent with outcome; {wall} ns of wall clock")
            .unwrap();
        let mut times = vec![Duration::ZERO; 200_000];
        let mut w = Writer::new(&recorder, 9, "ci", "orders");
        for time in &mut times {
            let one = Instant::now();
            pair(&mut w);
            *time = one.elapsed();
        }
        drop(w);
        times.sort();
        let at = |share: f64| times[(times.len() as f64 * share) as usize];
        writeln!(
            report,
            "  50 %: {:?}, 99 %: {:?}, 99.9 %: {:?}, all: {:?}",
            at(0.5),
            at(0.99),
            at(0.999),
            times[times.len() - 1]
        )
        .unwrap();
        let closing = Instant::now();
        drop(recorder);
        writeln!(report, "  sealing took {:?}", closing.elapsed()).unwrap();
        let reader = Reader::new(&root);
        let listing = Instant::now();
        assert_eq!(reader.sessions(&all_sessions()).unwrap().sessions.len() as u32, threads + 1);
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
