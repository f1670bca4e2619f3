//! Options, in tcpdump's words.

use std::net::Ipv4Addr;

use super::{Line, protocol_name};
use crate::ppp::options::algorithm;
use crate::ppp::{CcpOption, IpcpOption, LcpOption, Protocol};

impl Line {
    pub(super) fn lcp(&mut self, option: LcpOption<'_>, kind: u8, len: usize, data: &[u8]) -> Option<()> {
        let mut named =
            |name: &str| self.say(format_args!("\n\t  {name} Option (0x{kind:02x}), length {len}"));
        match option {
            LcpOption::Mru(mru) => {
                named("MRU");
                self.say(format_args!(": {mru}"));
            }
            LcpOption::AsyncMap(map) => {
                named("ACCM");
                self.say(format_args!(": 0x{:08x}", map.0));
            }
            LcpOption::Authentication(protocol, rest) => {
                named("Auth-Prot");
                self.say(format_args!(": {}", protocol_name(protocol)?));
                match (protocol, rest) {
                    (Protocol::CHAP, &[number]) => match algorithm(number) {
                        // Later ones it does not know.
                        Some(name @ "MD5") => self.say(format_args!(", {name}")),
                        Some("MS-CHAP") => self.0.push_str(", MS-CHAPv1"),
                        Some("MS-CHAP-v2") => self.0.push_str(", MS-CHAPv2"),
                        _ => self.say(format_args!(", Unknown Auth Alg {number}")),
                    },
                    (Protocol::PAP | Protocol::EAP, []) => {}
                    _ => return None,
                }
            }
            LcpOption::Quality(protocol, _) => {
                named("Qual-Prot");
                self.0.push_str(if protocol == Protocol::LQR { ": LQR" } else { ": unknown" });
            }
            LcpOption::Magic(number) => {
                named("Magic-Num");
                self.say(format_args!(": 0x{number:08x}"));
            }
            LcpOption::ProtocolFieldCompression => named("PFC"),
            LcpOption::AddressControlFieldCompression => named("ACFC"),
            LcpOption::Callback(&[operation]) => {
                named("Call-Back");
                let name = match operation {
                    0 => "User authentication",
                    1 => "Dialing string",
                    2 => "Location identifier",
                    3 => "E.164 number",
                    4 => "X.500 distinguished name",
                    6 => "CBCP",
                    _ => return None,
                };
                self.say(format_args!(": : Callback Operation {name} ({operation})"));
            }
            LcpOption::Mrru(mrru) => {
                named("MRRU");
                self.say(format_args!(": {mrru}"));
            }
            LcpOption::ShortSequence => named("12-Bit seq #"),
            LcpOption::Callback(_) | LcpOption::Endpoint(..) => return None,
            LcpOption::Other(..) => match (kind, data) {
                (9, _) => named("FCS-Alt"),
                (10, _) => named("SDP"),
                _ => return None,
            },
        }
        Some(())
    }

    pub(super) fn ipcp(&mut self, option: IpcpOption<'_>, len: usize) -> Option<()> {
        let mut named = |name: &str, kind: u8| {
            self.say(format_args!("\n\t  {name} Option (0x{kind:02x}), length {len}: "));
        };
        match option {
            IpcpOption::Addresses(source, destination) => {
                named("IP-Addrs", 1);
                self.say(format_args!("src {source}, dst {destination}"));
            }
            IpcpOption::VanJacobson(_) => {
                named("IP-Comp", 2);
                self.0.push_str("VJ-Comp (0x2d):");
            }
            IpcpOption::Address(address) => {
                named("IP-Addr", 3);
                self.address(address);
            }
            IpcpOption::MobileAddress(address) => {
                named("Home-Addr", 4);
                self.address(address);
            }
            IpcpOption::Dns(place, address) => {
                named(if place == 1 { "Pri-DNS" } else { "Sec-DNS" }, if place == 1 { 129 } else { 131 });
                self.address(address);
            }
            IpcpOption::Nbns(place, address) => {
                named(if place == 1 { "Pri-NBNS" } else { "Sec-NBNS" }, if place == 1 { 130 } else { 132 });
                self.address(address);
            }
            IpcpOption::Compression(..) | IpcpOption::Other(..) => return None,
        }
        Some(())
    }

    fn address(&mut self, address: Ipv4Addr) {
        self.say(format_args!("{address}"));
    }

    pub(super) fn ccp(&mut self, option: CcpOption<'_>, len: usize) -> Option<()> {
        let kind = option.algorithm;
        let name = match kind {
            0 => "OUI",
            1 => "Pred-1",
            2 => "Pred-2",
            3 => "Puddle",
            16 => "HP-PPC",
            17 => "Stac",
            18 => "MPPC",
            19 => "Gand-FZA",
            20 => "V.42bis",
            21 => "BSD-Comp",
            23 => "LZS-DCP",
            24 => "MVRCA",
            26 => "Deflate",
            _ => return None,
        };
        self.say(format_args!("\n\t  {name} Option (0x{kind:02x}), length {len}"));
        match (kind, option.data) {
            (21, &[code]) => {
                self.say(format_args!(": Version: {}, Dictionary Bits: {}", code >> 5, code & 31));
            }
            (26, &[method, check]) => {
                let way = if method & 15 == 8 { "zlib" } else { "unknown" };
                self.say(format_args!(
                    ": Window: {}K, Method: {way} (0x{:x}), MBZ: {}, CHK: {}",
                    method >> 4,
                    method & 15,
                    check >> 2,
                    check & 3
                ));
            }
            (1 | 2, _) => {}
            (24, &[features, context]) => self.say(format_args!(
                ": Features: {}, PxP: {}, History: {}, #CTX-ID: {context}",
                features >> 6,
                if features & 0x20 != 0 { "Enabled" } else { "Disabled" },
                features & 0x1f
            )),
            (21 | 24 | 26, _) => return None,
            (_, data) => self.hex_lines("\t    ", data),
        }
        Some(())
    }

    pub(super) fn ipv6cp(&mut self, kind: u8, data: &[u8]) -> Option<()> {
        let (1, &[a, b, c, d, e, f, g, h]) = (kind, data) else { return None };
        self.say(format_args!(
            "\n\t  Interface-ID Option (0x01), length 10: {a:02x}{b:02x}:{c:02x}{d:02x}:{e:02x}{f:02x}:{g:02x}{h:02x}"
        ));
        Some(())
    }
}
