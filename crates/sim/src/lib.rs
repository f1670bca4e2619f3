//! Deterministic simulation of whole stacks.
//!
//! Two or more stacks, driven by hand ([`bypath::by_hand::Stack`] is the code that a worker runs), talk over
//! simulated [links](link::LinkSpec) with rate, delay, jitter, a queue, loss, reordering, duplication, corruption,
//! changes of the MTU, times of being down and congestion marks. [Applications](app::Script) write and read
//! patterns that can be checked anywhere. One seed decides everything; the clock is virtual and counts
//! nanoseconds.
//!
//! After every event [invariants] are checked: of each packet on the wire, of each host, of each stream. A seed
//! that fails is printed with the command that repeats it, and leaves a [capture] in pcapng.
//!
//! ```
//! use bypath_sim::{app::Script, link::LinkSpec, loss::Loss, plan::{HostPlan, Plan}, world::World};
//!
//! let lossy = LinkSpec { loss: Loss::Random(0.02), ..LinkSpec::default() };
//! let hosts = [HostPlan::default(), HostPlan::default()];
//! let plan = Plan::pair(7, hosts, lossy, LinkSpec::default()).with(Script::bulk(100_000), Script::sink());
//! let mut world = World::new(&plan);
//! world.run().unwrap();
//! assert_eq!(world.endpoints()[1].received, 100_000);
//! ```

pub mod app;
pub mod capture;
mod checks;
mod direction;
mod event;
mod host;
pub mod invariants;
pub mod link;
pub mod loss;
pub mod measure;
mod opening;
pub mod packet;
pub mod plan;
pub mod rng;
pub mod runner;
pub mod scenario;
pub mod world;
