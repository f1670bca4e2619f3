//! The thread that the program runs in: pinned, and inside one endless call of `bpf_prog_test_run` until a signal
//! ends it. A call that ends waits some 25 ms for its pages, so it is not ended for less than a reason.

use std::os::unix::thread::JoinHandleExt;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, Once, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Shared;
use super::program::Program;
use crate::error::XdpError;

/// `BPF_F_TEST_XDP_LIVE_FRAMES`.
const LIVE_FRAMES: u32 = 2;
/// The thread is told to go on and to end this often, as a signal that comes just before the call is lost.
const NUDGE: Duration = Duration::from_millis(1);
/// A call that has not ended by then is given up; it takes no frames then.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the thread is to do.
#[derive(Debug, Default)]
struct Orders {
    run: AtomicBool,
    quit: AtomicBool,
    /// Its latest call failed with this errno; 0: it did not.
    failed: AtomicI32,
}

/// A handle to the thread.
#[derive(Debug)]
pub(super) struct Runner {
    shared: Arc<Shared>,
    orders: Arc<Orders>,
    thread: Option<JoinHandle<()>>,
}

impl Runner {
    /// Starts the thread, which waits.
    pub(super) fn spawn(shared: &Arc<Shared>, program: Program, len: u32) -> Result<Self, XdpError> {
        install_handler();
        let orders = Arc::new(Orders::default());
        let body = {
            let (shared, orders) = (Arc::clone(shared), Arc::clone(&orders));
            move || serve(&shared, &orders, &program, len)
        };
        let thread = std::thread::Builder::new()
            .name("bypath-pump".into())
            .spawn(body)
            .map_err(|error| XdpError::system("starting the pump's thread", error))?;
        Ok(Runner { shared: Arc::clone(shared), orders, thread: Some(thread) })
    }

    /// Has the program run. What comes of it shows in `Shared::running` and in [`Runner::failure`].
    pub(super) fn run(&self) {
        self.orders.failed.store(0, Ordering::Relaxed);
        self.orders.run.store(true, Ordering::Release);
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Ends the call and waits until it has ended.
    pub(super) fn halt(&self) {
        self.orders.run.store(false, Ordering::Release);
        let Some(thread) = &self.thread else { return };
        let start = Instant::now();
        while self.shared.running.load(Ordering::Acquire) && !thread.is_finished() {
            if start.elapsed() > PATIENCE {
                tracing::error!("the pump does not stop");
                return;
            }
            // SAFETY: the thread has not been joined, so its handle is valid; the signal has a handler.
            unsafe { libc::pthread_kill(thread.as_pthread_t(), stop_signal()) };
            std::thread::sleep(NUDGE);
        }
    }

    /// Whether the program should run and does not any more, and the errno of it.
    pub(super) fn failure(&self) -> Option<i32> {
        Some(self.orders.failed.load(Ordering::Acquire)).filter(|errno| *errno != 0)
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.orders.quit.store(true, Ordering::Release);
        self.halt();
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn serve(shared: &Shared, orders: &Orders, program: &Program, len: u32) {
    only_our_signal();
    pin(shared.core);
    let first = vec![0u8; len as usize];
    loop {
        if orders.quit.load(Ordering::Acquire) {
            return;
        }
        if !orders.run.load(Ordering::Acquire) {
            std::thread::park();
            continue;
        }
        let mut options = libbpf_sys::bpf_test_run_opts {
            sz: size_of::<libbpf_sys::bpf_test_run_opts>() as libbpf_sys::size_t,
            data_in: first.as_ptr().cast(),
            data_size_in: len,
            repeat: i32::MAX,
            flags: LIVE_FRAMES,
            batch_size: shared.batch,
            ..Default::default()
        };
        // The program takes a batch to begin where its turns are a multiple of the batch.
        let turns = &shared.state().turns;
        let begin = turns.load(Ordering::Acquire).next_multiple_of(shared.batch.into());
        turns.store(begin, Ordering::Release);
        let start = Instant::now();
        *shared.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(start);
        shared.starts.fetch_add(1, Ordering::Relaxed);
        shared.running.store(true, Ordering::Release);
        // SAFETY: the options carry their own size and live through the call, like the data they name; the program's
        // descriptor is open for as long as `program` lives.
        let result = unsafe { libbpf_sys::bpf_prog_test_run_opts(program.fd(), &mut options) };
        *shared.since.lock().unwrap_or_else(PoisonError::into_inner) = None;
        shared.ran_ns.fetch_add(start.elapsed().as_nanos() as u64, Ordering::Relaxed);
        let wanted = orders.run.load(Ordering::Acquire);
        // Interrupted, or all its turns are used up: it goes on if it should.
        if result < 0 && result != -libc::EINTR && wanted {
            orders.failed.store(-result, Ordering::Release);
            orders.run.store(false, Ordering::Release);
        }
        shared.running.store(false, Ordering::Release);
    }
}

/// Real-time signals are free for programs to use.
fn stop_signal() -> i32 {
    libc::SIGRTMAX() - 3
}

/// A handler that does nothing: a signal without one would end the process.
fn install_handler() {
    static ONCE: Once = Once::new();
    extern "C" fn nothing(_: i32) {}
    ONCE.call_once(|| {
        // SAFETY: all zeroes is a value of sigaction (default action, empty mask, no flags).
        let mut now: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: reads the present action into `now`.
        unsafe { libc::sigaction(stop_signal(), std::ptr::null(), &mut now) };
        if now.sa_sigaction != libc::SIG_DFL && now.sa_sigaction != libc::SIG_IGN {
            // A handler of the application's does as well.
            return;
        }
        now.sa_sigaction = nothing as *const () as libc::sighandler_t;
        // SAFETY: the handler touches nothing, so it is safe in any thread at any moment.
        unsafe { libc::sigaction(stop_signal(), &now, std::ptr::null_mut()) };
    });
}

/// Signals of the process are for other threads: each would end the call for nothing.
fn only_our_signal() {
    // SAFETY: plain sets of signals, filled in before they are used; the mask concerns this thread alone.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::sigdelset(&mut all, stop_signal());
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, std::ptr::null_mut());
    }
}

/// Whether this process may run on a core.
pub(super) fn core_exists(core: usize) -> bool {
    // SAFETY: a set of processors is plain bits; the kernel fills it in, and the index is within it.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        core < libc::CPU_SETSIZE as usize
            && libc::sched_getaffinity(0, size_of_val(&set), &mut set) == 0
            && libc::CPU_ISSET(core, &set)
    }
}

fn pin(core: usize) {
    // SAFETY: as above; `core` was checked by `core_exists`.
    let pinned = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &set)
    };
    if pinned < 0 {
        tracing::warn!(core, "the pump is not pinned");
    }
}
