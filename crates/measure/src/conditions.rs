//! What a run runs on: the machine, its clock, what else it does, and the interface. Read before, during and after a run,
//! never on the data path, and without changing anything.
//!
//! ```no_run
//! use bypath_measure::conditions::Watch;
//! use bypath_measure::result::RunResult;
//!
//! let mut result = RunResult::new("load", "0.1.0");
//! let mut watch = Watch::begin();
//! // … the run, with `watch.look()` once an interval …
//! watch.end(&mut result.conditions);
//! ```

mod clock;
mod load;

use bypath::{EngineInfo, EngineStats};
use bypath_xdp::NicFacts;

use crate::result::Conditions;

use clock::ClockWatch;
use load::LoadWatch;

/// Watches the clock and the machine while a run lasts.
#[derive(Debug)]
pub struct Watch {
    clock: ClockWatch,
    load: Option<LoadWatch>,
}

impl Watch {
    /// Begins to watch.
    pub fn begin() -> Watch {
        Watch { clock: ClockWatch::begin(), load: LoadWatch::begin() }
    }

    /// Looks at the clock; to be called now and then, once an interval.
    pub fn look(&mut self) {
        self.clock.look();
    }

    /// Notes what was seen, and the facts about the machine.
    pub fn end(mut self, conditions: &mut Conditions) {
        self.clock.look();
        machine(conditions);
        conditions.clock = Some(self.clock.end());
        conditions.machine_load = self.load.and_then(LoadWatch::end);
    }
}

/// Notes the facts about the machine: kernel, processor, governor.
pub fn machine(conditions: &mut Conditions) {
    conditions.kernel = line("/proc/sys/kernel/osrelease").or(conditions.kernel.take());
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    conditions.cpu = field(&about, "model name").map(str::to_owned);
    conditions.virtual_machine =
        field(&about, "flags").map(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor"));
    conditions.cores_available =
        std::thread::available_parallelism().ok().and_then(|n| u32::try_from(n.get()).ok());
    // Workers need the frequency of their own processors; without any, the first one speaks for all.
    let core = conditions.cores.first().copied().unwrap_or(0);
    conditions.governor = line(&format!("/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor"));
}

/// Notes what an engine runs on, and the facts about its interface if this thread is in that one's namespace.
pub fn engine(info: &EngineInfo, conditions: &mut Conditions) {
    interface(&info.interface, conditions);
    conditions.kernel = Some(info.kernel.clone());
    conditions.stack = Some("engine".to_owned());
    conditions.interface = Some(info.interface.clone());
    conditions.driver = Some(info.driver.clone());
    conditions.mode = Some(info.mode.clone());
    conditions.xdp = Some(info.xdp.clone());
    conditions.huge_pages = Some(info.huge_pages);
    conditions.mtu = Some(info.mtu);
    conditions.queues.clone_from(&info.queues);
    conditions.cores = info.cores.iter().filter_map(|core| u32::try_from(*core).ok()).collect();
    conditions.congestion_control = Some(info.congestion_control.clone());
    conditions.fixed_window_bytes = info.fixed_window;
    conditions.transmit_path = Some(info.transmit_path.clone());
}

/// Notes by which way frames really left, once they have: with `auto` that is known only then.
pub fn transmitted(stats: &EngineStats, conditions: &mut Conditions) {
    let path = match stats.tx_pumped {
        0 => "ring",
        pumped if pumped == stats.tx_packets => "pump",
        _ => "ring+pump",
    };
    conditions.transmit_path = Some(path.to_owned());
}

/// What a reader should know of what the engine ran on: what lies badly, how many packets came to a worker that was not
/// theirs, what the pump did and what was in its way.
pub fn engine_notes(info: &EngineInfo, stats: &EngineStats) -> Vec<String> {
    let mut notes = info.advice.clone();
    if info.queues.len() > 1 {
        notes.push(format!("{} queues, spreading of packets: {}", info.queues.len(), info.spreading));
    }
    if stats.handed_off > 0 {
        let share = stats.handed_off as f64 / stats.rx_packets.max(1) as f64 * 100.0;
        notes.push(format!(
            "{} packets, {share:.1} % of those received, came to a worker that does not have their flow and were copied to \
             the one that has",
            stats.handed_off
        ));
    }
    if stats.strays > 0 {
        notes.push(format!(
            "{} packets arrived on queues that the engine had no socket on, and took a slow detour: start it again to use \
             all queues of {}",
            stats.strays, info.interface
        ));
    }
    if let Some(reason) = &info.without_pump {
        notes.push(format!("no pump: {reason}"));
    }
    let Some(pump) = &stats.pump else { return notes };
    if pump.starts > 0 {
        let share = stats.tx_pumped as f64 / stats.tx_packets.max(1) as f64 * 100.0;
        notes.push(format!(
            "the pump ran {:.1} s on core {} and sent {share:.1} % of the packets",
            pump.ran.as_secs_f64(),
            pump.core
        ));
    }
    notes.extend(pump.trouble.as_ref().map(|trouble| format!("the pump: {trouble}")));
    notes
}

/// Notes the facts about an interface in this thread's network namespace. Nothing, if there is none of that name.
pub fn interface(name: &str, conditions: &mut Conditions) {
    let Ok(facts) = NicFacts::read(name) else { return };
    conditions.interface = Some(facts.name);
    conditions.driver = Some(facts.driver).filter(|driver| !driver.is_empty()).or(conditions.driver.take());
    conditions.mtu = Some(facts.mtu);
    conditions.offloads = facts.offloads.into_iter().collect();
}

/// A file of one line; none if it is not there or is empty.
fn line(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// The first value of that name in `/proc/cpuinfo`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, value) =
        text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| key.trim() == name)?;
    Some(value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_facts_about_this_machine_are_there() {
        let mut conditions = Conditions::default();
        let mut watch = Watch::begin();
        watch.look();
        watch.end(&mut conditions);
        assert!(conditions.kernel.is_some() && conditions.cpu.is_some());
        assert!(conditions.cores_available.is_some_and(|cores| cores > 0));
        let clock = conditions.clock.expect("a clock");
        assert!(clock.source.is_some() && clock.read_cost_ns > 0.0 && clock.resolution_ns > 0, "{clock:?}");
        assert_eq!(clock.backward_steps, 0);
    }

    #[test]
    fn an_interface_tells_its_mtu_and_its_offloads() {
        let mut conditions = Conditions::default();
        interface("lo", &mut conditions);
        assert_eq!(conditions.interface.as_deref(), Some("lo"));
        assert!(conditions.mtu.is_some_and(|mtu| mtu >= 1280));
        assert!(conditions.offloads.contains_key("generic-receive-offload"), "{:?}", conditions.offloads);
        let mut none = Conditions::default();
        interface("nope0", &mut none);
        assert_eq!(none, Conditions::default());
    }

    #[test]
    fn the_first_processor_speaks_for_all() {
        let text = "processor\t: 0\nmodel name\t: A: 3 GHz\nflags\t\t: fpu hypervisor\n\nmodel name : B\n";
        assert_eq!(field(text, "model name"), Some("A: 3 GHz"));
        assert_eq!(field(text, "bogomips"), None);
    }
}
