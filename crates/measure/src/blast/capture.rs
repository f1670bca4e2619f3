//! Frames from capture files, pcap and pcapng.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use pcap_file::DataLink;
use pcap_file::pcap::PcapReader;
use pcap_file::pcapng::{Block, PcapNgReader};

use super::BlastError;

/// As many frames as are read from a file; more of them do not make a better mix.
const MAX_FRAMES: usize = 100_000;
/// Section header block: what a pcapng file begins with.
const PCAPNG: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

/// The Ethernet frames of a capture file, padded to Ethernet's least.
///
/// # Errors
/// [`BlastError::Capture`], which says what is wrong with the file.
pub fn read(path: &Path) -> Result<Vec<Vec<u8>>, BlastError> {
    let bad = |reason: String| BlastError::Capture { path: path.to_owned(), reason };
    let mut file = File::open(path).map_err(|error| bad(error.to_string()))?;
    let mut magic = [0; 4];
    file.read_exact(&mut magic).map_err(|_| bad("it is shorter than any capture".into()))?;
    file.rewind().map_err(|error| bad(error.to_string()))?;
    let input = BufReader::with_capacity(1 << 20, file);
    let mut frames = if magic == PCAPNG { read_pcapng(input) } else { read_pcap(input) }.map_err(bad)?;
    for frame in &mut frames {
        if frame.len() < 60 {
            frame.resize(60, 0);
        }
    }
    if frames.is_empty() {
        return Err(bad("there is no whole Ethernet frame in it".into()));
    }
    Ok(frames)
}

fn read_pcap(input: impl Read) -> Result<Vec<Vec<u8>>, String> {
    let mut reader = PcapReader::new(input).map_err(|error| error.to_string())?;
    if reader.header().datalink != DataLink::ETHERNET {
        return Err("it is no capture of Ethernet frames".into());
    }
    let mut frames = Vec::new();
    while let Some(packet) = reader.next_packet() {
        let packet = packet.map_err(|error| error.to_string())?;
        if packet.data.len() == packet.orig_len as usize && packet.data.len() > 14 {
            frames.push(packet.data.into_owned());
        }
        if frames.len() == MAX_FRAMES {
            break;
        }
    }
    Ok(frames)
}

fn read_pcapng(input: impl Read) -> Result<Vec<Vec<u8>>, String> {
    let mut reader = PcapNgReader::new(input).map_err(|error| error.to_string())?;
    let mut frames = Vec::new();
    let mut ethernet = Vec::new();
    while let Some(block) = reader.next_block() {
        match block.map_err(|error| error.to_string())? {
            Block::SectionHeader(_) => ethernet.clear(),
            Block::InterfaceDescription(interface) => ethernet.push(interface.linktype == DataLink::ETHERNET),
            Block::EnhancedPacket(packet) => {
                let is_ethernet = ethernet.get(packet.interface_id as usize) == Some(&true);
                if is_ethernet && packet.data.len() == packet.original_len as usize && packet.data.len() > 14
                {
                    frames.push(packet.data.into_owned());
                }
            }
            _ => {}
        }
        if frames.len() == MAX_FRAMES {
            break;
        }
    }
    Ok(frames)
}
