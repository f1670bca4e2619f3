//! Loading `bpf/pump.bpf.c`: maps made to measure, the program, and the tracepoints that tell what became of its frames.

use std::os::fd::{AsFd, AsRawFd};

use libbpf_rs::{ErrorKind, Link, MapCore, MapHandle, Object, ObjectBuilder, OpenObject};

use super::PumpConfig;
use super::layout::{Mapped, Ring, State};
use crate::error::XdpError;

/// The compiled program. ELF structures are read in place, hence the alignment.
#[repr(C, align(8))]
struct Aligned<Bytes: ?Sized>(Bytes);
static PROGRAM: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/pump.bpf.o")));

/// The program in the kernel; unloaded when dropped.
pub(super) struct Program {
    _links: Vec<Link>,
    object: Object,
}

/// What was loaded.
pub(super) struct Loaded {
    pub(super) program: Program,
    pub(super) chunks: MapHandle,
    pub(super) ports: MapHandle,
    pub(super) rings: Mapped<Ring>,
    pub(super) state: Mapped<State>,
}

impl Program {
    /// The descriptor of the program that is run, or -1.
    pub(super) fn fd(&self) -> i32 {
        let program = self.object.progs().find(|program| program.name() == "pump");
        program.map_or(-1, |program| program.as_fd().as_raw_fd())
    }
}

fn refused(error: libbpf_rs::Error) -> XdpError {
    match error.kind() {
        ErrorKind::PermissionDenied => XdpError::NotPermitted { action: "loading the pump's program" },
        _ => XdpError::PumpProgram { reason: format!("{error:#}") },
    }
}

/// Loads it for so many devices. One ring and one chunk more are for trying interfaces out.
pub(super) fn load(config: &PumpConfig) -> Result<Loaded, XdpError> {
    crate::steer::route_libbpf_messages();
    let mut open = ObjectBuilder::default().open_memory(&PROGRAM.0).map_err(refused)?;
    let rings = config.devices + 1;
    let frames = config.devices.saturating_mul(config.frames).saturating_add(1);
    measure(&mut open, rings, frames, config.batch).map_err(refused)?;
    let object = open.load().map_err(refused)?;
    let map = |name: &str| -> Result<MapHandle, XdpError> {
        let found = object.maps().find(|map| map.name() == name);
        let found = found.ok_or_else(|| XdpError::PumpProgram { reason: format!("no map `{name}`") })?;
        MapHandle::try_from(&found).map_err(refused)
    };
    let (chunks, ports, rings_map, state) = (map("chunks")?, map("ports")?, map("rings")?, map("state")?);
    let rings = Mapped::new(rings_map.as_fd(), rings as usize)?;
    let state = Mapped::new(state.as_fd(), 1)?;
    let mut links = Vec::new();
    for program in object.progs_mut() {
        if program.name() != "pump" {
            links.push(program.attach().map_err(refused)?);
        }
    }
    Ok(Loaded { program: Program { _links: links, object }, chunks, ports, rings, state })
}

fn measure(open: &mut OpenObject, rings: u32, frames: u32, batch: u32) -> Result<(), libbpf_rs::Error> {
    for mut map in open.maps_mut() {
        let name = map.name().to_string_lossy().into_owned();
        match name.as_str() {
            "chunks" => map.set_max_entries(frames)?,
            "rings" => map.set_max_entries(rings)?,
            name if name.ends_with(".rodata") => {
                let mut settings = [0; 8];
                settings[..4].copy_from_slice(&rings.to_ne_bytes());
                settings[4..].copy_from_slice(&batch.to_ne_bytes());
                map.set_initial_value(&settings)?;
            }
            _ => {}
        }
    }
    Ok(())
}
