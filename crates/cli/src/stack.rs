//! The network that a command runs on: the engine, or the kernel's own stack for comparison.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use bypath_apps::{KernelNetwork, Network};
use clap::ValueEnum;
use nix::sched::{CloneFlags, setns};

use crate::engine_args::EngineArgs;
use crate::output::{EngineFacts, USAGE, kernel_release};

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

impl Stack {
    /// Enters the namespace, if one is named, and starts the stack there. Must be called before other
    /// threads are started, which inherit the namespace.
    pub(crate) fn start(choice: StackChoice, args: &EngineArgs) -> Result<Stack, StackError> {
        if let Some(name) = &args.netns {
            enter_netns(name)?;
        }
        match choice {
            StackChoice::Kernel => Ok(Stack::Kernel),
            StackChoice::Engine => {
                Err(StackError::usage("the engine is not part of this build; use --stack kernel"))
            }
        }
    }

    pub(crate) fn network(&self) -> Arc<dyn Network> {
        match self {
            Stack::Kernel => Arc::new(KernelNetwork),
        }
    }

    /// What there is to say of the stack at this moment.
    pub(crate) fn facts(&self) -> EngineFacts {
        match self {
            Stack::Kernel => EngineFacts {
                mode: "kernel".to_owned(),
                kernel: kernel_release(),
                drops: BTreeMap::new(),
                ..EngineFacts::default()
            },
        }
    }
}

/// Moves this thread into a namespace that `ip netns` made.
fn enter_netns(name: &str) -> Result<(), StackError> {
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
