//! Two private network namespaces joined by a veth pair. They have no names, so any number of tests can
//! run at once, and the kernel removes them with the last descriptor, also after a panic or a kill.

#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod traffic;

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The interface in the near namespace.
pub(crate) const NEAR: &str = "va";
/// The interface in the far namespace.
pub(crate) const FAR: &str = "vb";

/// A network namespace, held open.
#[derive(Debug)]
pub(crate) struct Namespace(File);

impl Namespace {
    fn new() -> Self {
        let made = std::thread::spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).map(|()| {
                let file = File::open("/proc/thread-self/ns/net").expect("the new namespace");
                let namespace = Namespace(file);
                ip("link set lo up");
                namespace
            })
        });
        match made.join().expect("the thread that makes a namespace") {
            Ok(namespace) => namespace,
            Err(error) => panic!("these tests make network namespaces and so need root: {error}"),
        }
    }

    /// Runs `work` on a thread that lives in this namespace.
    pub(crate) fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network)).expect("setns");
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Where another process finds it, while this one lives.
    pub(crate) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd())
    }

    /// Runs `ethtool` in this namespace.
    pub(crate) fn ethtool(&self, arguments: &str) {
        self.run(|| {
            let output =
                Command::new("ethtool").args(arguments.split(' ')).output().expect("ethtool is installed");
            assert!(
                output.status.success(),
                "ethtool {arguments}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        });
    }

    /// Runs `ip` in this namespace.
    pub(crate) fn ip(&self, arguments: &str) {
        self.run(|| ip(arguments));
    }
}

fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split(' ')).output().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Two namespaces and the wire between them.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Holds [`NEAR`], with 198.18.0.1/24.
    pub(crate) near: Namespace,
    /// Holds [`FAR`], with 198.18.0.2/24.
    pub(crate) far: Namespace,
}

impl Wire {
    /// A wire with so many queues and this MTU, up at both ends.
    pub(crate) fn new(queues: u32, mtu: u32) -> Self {
        let (near, far) = (Namespace::new(), Namespace::new());
        let shape = format!("mtu {mtu} numrxqueues {queues} numtxqueues {queues}");
        let far_ns = far.path();
        near.ip(&format!("link add {NEAR} {shape} type veth peer name {FAR} {shape} netns {far_ns}"));
        for (namespace, name, address) in [(&near, NEAR, "198.18.0.1/24"), (&far, FAR, "198.18.0.2/24")] {
            namespace.ip(&format!("address add {address} dev {name}"));
            namespace.ip(&format!("link set {name} up"));
        }
        Wire { near, far }
    }
}
