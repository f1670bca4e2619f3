//! The servers on a stack in memory: a client's stack beside it, a virtual clock, no thread and no device.

mod hostile;
mod net;
