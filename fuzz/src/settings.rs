//! Settings of a stack from a tape: all that can be switched in TCP, sizes of buffers and of everything that is
//! bounded.

use std::time::Duration;

use bypath::by_hand::{Link, StackOptions};
use bypath::{CongestionControl, CookieMode, EcnMode, MetricsCache, MtuProbing, Pacing, TcpConfig};

use crate::tape::Tape;

/// Connections that a stack may have.
pub(crate) const CONNECTIONS: usize = 12;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) stack: StackOptions,
    /// Applications give their first bytes with the connection, and take them with it.
    pub(crate) fast_open: bool,
    /// Handshakes may be completed that nothing was kept of.
    pub(crate) cookies: bool,
}

impl Settings {
    /// Three bytes, and three more if the highest bit of the third says so.
    pub(crate) fn read(tape: &mut Tape<'_>) -> Self {
        let (bits, sizes, algorithm) = (tape.byte(), tape.byte(), tape.byte());
        let on = |bit: u8| bits & 1 << bit == 0;
        let tcp = TcpConfig {
            congestion: [CongestionControl::Cubic, CongestionControl::NewReno, CongestionControl::None]
                [usize::from(algorithm % 3)],
            receive_buffer: [1 << 14, 1 << 16, 1 << 18, 1 << 12][usize::from(sizes & 3)],
            initial_receive_buffer: if on(0) { 1 << 14 } else { 1 << 12 },
            tune_receive_buffer: on(0),
            timestamps: on(1),
            sack: on(2),
            window_scaling: on(3),
            nodelay: !on(4),
            keep_alive: (!on(5)).then(|| Duration::from_secs(30)),
            max_time_wait: if sizes & 0x40 == 0 { 16_384 } else { 1 },
            tune_send_buffer: sizes & 0x80 == 0,
            ..TcpConfig::default()
        };
        let stack = StackOptions {
            link: if on(6) { Link::Ip } else { Link::Ethernet(crate::hand::STACK_MAC) },
            mtu: [1500, 576, 9000, 1280][usize::from(sizes >> 2 & 3)],
            tcp,
            send_buffer: [1 << 14, 1 << 12, 1 << 16, 1 << 8][usize::from(sizes >> 4 & 3)],
            max_connections: CONNECTIONS,
            seed: 1,
            ..StackOptions::default()
        };
        let mut settings = Self { stack, fast_open: false, cookies: false };
        if algorithm & 0x80 != 0 {
            settings.more([algorithm & 0x7f, tape.byte(), tape.byte(), tape.byte()]);
        }
        settings
    }

    /// What is rarely otherwise than by default.
    fn more(&mut self, [algorithm, first, second, third]: [u8; 4]) {
        let Self { stack, fast_open, cookies } = self;
        let tcp = &mut stack.tcp;
        tcp.congestion = [
            CongestionControl::Bbr,
            CongestionControl::Dctcp,
            CongestionControl::Cubic,
            CongestionControl::NewReno,
            CongestionControl::None,
        ][usize::from(algorithm % 5)];
        tcp.ecn =
            [EcnMode::Accept, EcnMode::Request, EcnMode::Accurate, EcnMode::Off][usize::from(first & 3)];
        tcp.pacing = [Pacing::Auto, Pacing::On, Pacing::Off, Pacing::Auto][usize::from(first >> 2 & 3)];
        tcp.syn_cookies = [CookieMode::Auto, CookieMode::Always, CookieMode::Off, CookieMode::Auto]
            [usize::from(first >> 4 & 3)];
        if first & 0x40 != 0 {
            tcp.max_half_open = 1;
        }
        *cookies = tcp.syn_cookies == CookieMode::Always
            || (tcp.syn_cookies == CookieMode::Auto && tcp.max_half_open == 1);
        tcp.abort_on_overflow = first & 0x80 != 0;
        let on = |bit: u8| second & 1 << bit == 0;
        *fast_open = !on(0);
        tcp.time_wait_reuse = on(1);
        tcp.dsack = on(2);
        tcp.rack = on(3);
        tcp.prr = on(4);
        tcp.undo = on(5);
        tcp.f_rto = on(6);
        tcp.limited_transmit = on(7);
        let on = |bit: u8| third & 1 << bit == 0;
        tcp.tail_loss_probe = on(0);
        tcp.rto_restart = !on(1);
        tcp.strict_nagle = !on(2);
        tcp.push_each_write = on(3);
        tcp.mtu_probing = [MtuProbing::OnBlackHole, MtuProbing::Always, MtuProbing::Off, MtuProbing::Always]
            [usize::from(third >> 4 & 3)];
        tcp.metrics = if on(6) { MetricsCache::Careful } else { MetricsCache::Full };
        if !on(7) {
            // Less than the buffers of two connections may grow to.
            (stack.receive_memory, stack.reassembly_memory) = (1 << 16, 1 << 13);
        }
    }
}
