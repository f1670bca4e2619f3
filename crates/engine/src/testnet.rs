//! Network namespaces for the tests of what touches the kernel. Needs root, and `ip` of iproute2.

use std::process::Command;
use std::sync::mpsc;

use nix::sched::{CloneFlags, unshare};

/// Runs `test` on a thread of its own in a new network namespace; both end with it.
pub(crate) fn in_fresh_netns(test: impl FnOnce() + Send + 'static) {
    let outcome = std::thread::spawn(move || {
        enter_fresh();
        test();
    });
    if let Err(panic) = outcome.join() {
        std::panic::resume_unwind(panic);
    }
}

/// `ip ARGUMENTS` in the namespace of the calling thread.
pub(crate) fn ip(arguments: &str) {
    let output =
        Command::new("ip").args(arguments.split_whitespace()).output().expect("iproute2 is installed");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments}: {complaint}");
}

fn enter_fresh() {
    unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace (are you root?)");
    ip("link set lo up");
}

type Job = Box<dyn FnOnce() + Send>;

/// A second namespace, kept by a thread that lives in it.
pub(crate) struct Netns {
    path: String,
    jobs: mpsc::Sender<(Job, mpsc::Sender<()>)>,
}

impl Netns {
    pub(crate) fn fresh() -> Self {
        let (jobs, work) = mpsc::channel::<(Job, mpsc::Sender<()>)>();
        let (ready, entered) = mpsc::channel();
        std::thread::spawn(move || {
            enter_fresh();
            let path = format!("/proc/{}/task/{}/ns/net", std::process::id(), nix::unistd::gettid());
            ready.send(path).expect("the test waits");
            for (job, done) in work {
                job();
                done.send(()).expect("the test waits");
            }
        });
        Netns { path: entered.recv().expect("the namespace exists"), jobs }
    }

    /// Names the namespace for `ip link set ... netns`.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Runs `job` in it.
    pub(crate) fn run(&self, job: impl FnOnce() + Send + 'static) {
        let (done, finished) = mpsc::channel();
        self.jobs.send((Box::new(job), done)).expect("the namespace exists");
        finished.recv().expect("the job ended well");
    }

    /// `ip ARGUMENTS` in it.
    pub(crate) fn ip(&self, arguments: &str) {
        let arguments = arguments.to_owned();
        self.run(move || ip(&arguments));
    }
}
