//! What the two sessions say, in the applications' words.

mod vectors;

use std::net::SocketAddr;

use bypath_trace::app::{Conversation, Protocol, Said, Side, of_datagram};
use bypath_trace::layers::{Dissection, dissect};
use vectors::Packet;

fn dissected(packet: &Packet) -> Dissection<'_> {
    dissect(packet.link, &packet.bytes)
}

/// The lines of the connection whose server has this port, and the data connections it announces.
fn conversation(packets: &[Packet], port: u16, protocol: Protocol) -> (Vec<String>, Vec<SocketAddr>) {
    let mut conversation = Conversation::new(protocol);
    let (mut lines, mut announced) = (Vec::new(), Vec::new());
    for packet in packets {
        let dissection = dissected(packet);
        let Some(tcp) = dissection.tcp() else { continue };
        let side = match port {
            _ if tcp.destination == port => Side::Client,
            _ if tcp.source == port => Side::Server,
            _ => continue,
        };
        conversation.push(side, dissection.payload, &mut |said| {
            lines.push(said.to_string());
            if let Said::Ftp(ftp) = said {
                announced.extend(ftp.data_port().map(|port| port.resolve([0, 0, 0, 0].into())));
            }
        });
    }
    (lines, announced)
}

#[test]
fn the_download_asks_and_answers_in_this_order() {
    let packets = vectors::ftp_download();
    let (lines, announced) = conversation(&packets, 21, Protocol::Ftp);
    let words: Vec<&str> = lines.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(words.join(" "), "220 USER 331 PASS 230 TYPE 200 CWD 250 PORT 200 RETR 150 226 QUIT 221");
    assert_eq!(lines[12], "150 Opening BINARY mode data connection for speec12.xmo (26752 bytes).");
    // The connection that the server then opens.
    let opened = packets.iter().find_map(|packet| {
        let dissection = dissected(packet);
        let tcp = dissection.tcp()?;
        let (_, destination) = dissection.network.addresses()?;
        (tcp.source == 20).then(|| SocketAddr::new(destination, tcp.destination))
    });
    assert_eq!(announced, [opened.unwrap()]);
}

#[test]
fn the_look_ups_before_it_miss_three_times() {
    let lines: Vec<String> = vectors::ftp_download()
        .iter()
        .filter_map(|packet| {
            let dissection = dissected(packet);
            let (source, destination) = dissection.udp().map(|udp| (udp.source, udp.destination))?;
            Some(of_datagram(source, destination, dissection.payload)?.to_string())
        })
        .collect();
    assert_eq!(lines.len(), 8);
    assert_eq!(lines.iter().filter(|line| line.ends_with(": NXDOMAIN")).count(), 3);
    assert_eq!(lines[6], "query 0004 A? diamant.rz.campuses.example");
    assert_eq!(lines[7], "answer 0004 A? diamant.rz.campuses.example: A 141.2.150.16");
}

#[test]
fn the_log_in_fails() {
    let (lines, _) = conversation(&vectors::pop3_login(), 110, Protocol::Pop3);
    assert_eq!(
        lines,
        [
            "+OK NGPopper vEL_4_29 at earthlink.net ready <18671.1048532426@avocet>",
            "USER steve35",
            "+OK",
            "PASS xxx",
            "-ERR bad password or unknown username",
        ]
    );
}
