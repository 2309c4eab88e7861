//! The threads that sessions live on. A session stays on the worker that got it, so that no message wakes another thread.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use tokio::sync::mpsc::{Sender, channel};

/// Connections on their way to a worker; the acceptor waits when there are more.
const HANDOVER_MAX: usize = 1024;

/// Threads of one worker for what blocks, which is looking up host names.
const BLOCKING_THREADS_MAX: usize = 16;

type Job = Box<dyn FnOnce() + Send>;

/// One worker, as seen from outside.
pub(crate) struct Worker {
    jobs: Option<Sender<Job>>,
    load: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

/// A connection's share of its worker's load; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Load(Arc<AtomicUsize>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A single-threaded runtime, for a worker or the acceptor.
pub(crate) fn build_runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
}

impl Worker {
    /// Starts a thread.
    pub(crate) fn start(number: usize) -> io::Result<Self> {
        let runtime = build_runtime()?;
        let (jobs, mut next) = channel::<Job>(HANDOVER_MAX);
        let thread = std::thread::Builder::new().name(format!("session-{number}")).spawn(move || {
            runtime.block_on(async {
                while let Some(job) = next.recv().await {
                    job();
                }
            });
            // Not waiting for a host name that is still being looked up.
            runtime.shutdown_background();
        })?;
        Ok(Self { jobs: Some(jobs), load: Arc::default(), thread: Some(thread) })
    }

    /// Runs something on the worker's thread, inside its runtime; waits while too much is on its way. False when it is gone.
    pub(crate) async fn run(&self, job: Job) -> bool {
        match &self.jobs {
            Some(jobs) => jobs.send(job).await.is_ok(),
            None => false,
        }
    }

    /// Counts one more connection.
    pub(crate) fn load(&self) -> Load {
        self.load.fetch_add(1, Ordering::Relaxed);
        Load(self.load.clone())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic there was reported already; here is nothing left to end.
            let _ = thread.join();
        }
    }
}

/// The worker with the fewest connections.
pub(crate) fn least_loaded(workers: &[Worker]) -> Option<&Worker> {
    workers.iter().min_by_key(|w| w.load.load(Ordering::Relaxed))
}
