//! The network that a command runs on: the engine, or the kernel's own stack for comparison.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bypath::{Engine, EngineError};
use bypath_apps::{EngineNetwork, KernelNetwork, Network};
use bypath_measure::result::Profile;
use clap::ValueEnum;
use nix::sched::{CloneFlags, setns};

use crate::engine_args::EngineArgs;
use crate::output::{EngineFacts, INTERFACE, USAGE, kernel_release};

/// `--stack`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum StackChoice {
    /// The engine, over AF_XDP.
    #[default]
    Engine,
    /// The kernel's sockets.
    Kernel,
}

/// A running stack.
pub(crate) enum Stack {
    Engine(Engine),
    Kernel,
}

/// Why there is no stack to run on.
#[derive(Debug)]
pub(crate) struct StackError {
    pub(crate) exit_code: u8,
    pub(crate) message: String,
}

impl StackError {
    fn usage(message: impl Into<String>) -> StackError {
        StackError { exit_code: USAGE, message: message.into() }
    }
}

impl From<EngineError> for StackError {
    fn from(error: EngineError) -> StackError {
        let exit_code = match error {
            EngineError::Config(_) | EngineError::Namespace { .. } => USAGE,
            _ => INTERFACE,
        };
        StackError { exit_code, message: error.to_string() }
    }
}

impl Stack {
    /// Starts the stack in this thread's network namespace.
    pub(crate) fn start(choice: StackChoice, args: &EngineArgs) -> Result<Stack, StackError> {
        match choice {
            StackChoice::Kernel => Ok(Stack::Kernel),
            StackChoice::Engine => Ok(Stack::Engine(args.builder().start()?)),
        }
    }

    pub(crate) fn network(&self) -> Arc<dyn Network> {
        match self {
            Stack::Engine(engine) => Arc::new(EngineNetwork::new(engine.clone())),
            Stack::Kernel => Arc::new(KernelNetwork),
        }
    }

    /// What there is to say of the stack at this moment.
    pub(crate) fn facts(&self) -> EngineFacts {
        match self {
            Stack::Engine(engine) => engine_facts(engine),
            Stack::Kernel => EngineFacts {
                mode: "kernel".to_owned(),
                kernel: kernel_release(),
                drops: BTreeMap::new(),
                ..EngineFacts::default()
            },
        }
    }
}

fn engine_facts(engine: &Engine) -> EngineFacts {
    let (info, stats) = (engine.info(), engine.stats());
    let count = |n: usize| u32::try_from(n).ok();
    EngineFacts {
        mode: info.mode.clone(),
        xdp: Some(info.xdp.clone()),
        huge_pages: Some(info.huge_pages),
        driver: Some(info.driver.clone()),
        mtu: Some(info.mtu),
        queues: count(info.queues.len()),
        workers: count(info.cores.len()),
        congestion_control: Some(info.congestion_control.clone()),
        fixed_window: info.fixed_window,
        transmit_path: {
            let mut conditions = bypath_measure::result::Conditions::default();
            bypath_measure::conditions::transmitted(&stats, &mut conditions);
            conditions.transmit_path
        },
        kernel: info.kernel.clone(),
        rx_packets: stats.rx_packets,
        tx_packets: stats.tx_packets,
        profile: Profile::of(&stats),
        drops: stats.drops.into_iter().collect(),
    }
}

/// Moves this thread into a namespace that `ip netns` made. Must be called before other threads are started,
/// which inherit it.
pub(crate) fn enter_netns(name: &str) -> Result<(), StackError> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(StackError::usage(format!("\"{name}\" cannot be a namespace's name")));
    }
    let path = Path::new("/run/netns").join(name);
    let file = File::open(&path).map_err(|e| {
        StackError::usage(format!("cannot open the network namespace \"{name}\" ({e}); see `ip netns list`"))
    })?;
    setns(file, CloneFlags::CLONE_NEWNET).map_err(|e| {
        StackError::usage(format!("cannot enter the network namespace \"{name}\" ({e}); run as root"))
    })
}
