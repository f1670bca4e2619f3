//! Option lines, sysctls and socket options as settings of the stack. All of them are taken before the first
//! connection or listener makes the stack.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use bypath::by_hand::StackOptions;
use bypath::{CongestionControl, CookieMode, EcnMode};

use crate::failure::Trouble;
use crate::runner::Options;
use crate::script::{Script, ScriptOption};

/// What Linux has for an idle connection before it is probed, when only SO_KEEPALIVE is set.
const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(7_200);

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) stack: StackOptions,
    pub(crate) local: IpAddr,
    pub(crate) remote: IpAddr,
    pub(crate) bind_port: u16,
    pub(crate) connect_port: u16,
    pub(crate) tolerance_ns: u64,
    pub(crate) tolerance_percent: f64,
    /// Nanoseconds of a tick of our timestamps; 0: their values are not compared.
    pub(crate) timestamp_tick_ns: u64,
    pub(crate) ecr_scaled: bool,
    pub(crate) strict_segments: bool,
    pub(crate) keep_alive_idle: Duration,
    /// What was asked for and has no counterpart.
    pub(crate) notes: Vec<String>,
}

impl Settings {
    /// The defaults, and what the script's option lines say.
    pub(crate) fn new(script: &Script, options: &Options) -> Result<Self, Trouble> {
        let v6 = options.ipv6;
        let mut settings = Self {
            // IPv6 headers take 20 bytes more: with this both have the same segments.
            stack: StackOptions { mtu: if v6 { 1520 } else { 1500 }, ..StackOptions::default() },
            local: if v6 {
                Ipv6Addr::new(0xfd3d, 0xfa7b, 0xd17d, 0, 0, 0, 0, 1).into()
            } else {
                Ipv4Addr::new(192, 168, 0, 1).into()
            },
            remote: if v6 {
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()
            } else {
                Ipv4Addr::new(192, 0, 2, 1).into()
            },
            bind_port: 8080,
            connect_port: 8080,
            tolerance_ns: 4_000_000,
            tolerance_percent: if options.strict { 0.0 } else { 12.5 },
            timestamp_tick_ns: 0,
            ecr_scaled: false,
            strict_segments: false,
            keep_alive_idle: KEEP_ALIVE_IDLE,
            notes: Vec::new(),
        };
        for option in &script.options {
            settings.option(option)?;
        }
        Ok(settings)
    }

    fn note(&mut self, line: usize, text: &str) {
        self.notes.push(format!("line {line}: {text}"));
    }

    fn option(&mut self, option: &ScriptOption) -> Result<(), Trouble> {
        let ScriptOption { line, name, value } = option;
        let wrong = || Trouble::new(*line, format!("`{value}` is no value of --{name}"));
        let number = || value.parse::<u64>().map_err(|_| wrong());
        let port = || value.parse::<u16>().map_err(|_| wrong());
        match name.as_str() {
            "tolerance_usecs" => self.tolerance_ns = number()?.saturating_mul(1_000),
            "tolerance_percent" => self.tolerance_percent = value.parse().map_err(|_| wrong())?,
            "mtu" => self.stack.mtu = value.parse().map_err(|_| wrong())?,
            "bind_port" => self.bind_port = port()?,
            "connect_port" => self.connect_port = port()?,
            "tcp_ts_tick_usecs" => self.timestamp_tick_ns = number()?.saturating_mul(1_000),
            "tcp_ts_ecr_scaled" => self.ecr_scaled = true,
            "strict_segments" => self.strict_segments = true,
            "local_ip" | "remote_ip" => {
                let text = value.split_once('/').map_or(value.as_str(), |(address, _)| address);
                let address: IpAddr = text.parse().map_err(|_| wrong())?;
                // The family is the run's: an address of the other one is left alone.
                if address.is_ipv4() == self.local.is_ipv4() {
                    *(if name == "local_ip" { &mut self.local } else { &mut self.remote }) = address;
                }
            }
            // Whoever runs the script has looked at it already.
            "ip_version" => {}
            "gateway_ip" | "netmask_ip" | "init_scripts" | "speed" | "mss" | "non_fatal" | "verbose"
            | "debug" | "dry_run" | "code_command" | "code_format" | "code_sockopt" | "send_omit_free"
            | "is_anyip" | "define" => {
                self.note(*line, &format!("--{name} has no meaning here and is skipped"));
            }
            _ => return Err(Trouble::new(*line, format!("the option --{name} is not known"))),
        }
        Ok(())
    }

    /// A shell command: sysctls are taken, what only prepares a Linux host is skipped. `running`: the stack
    /// exists already.
    pub(crate) fn command(&mut self, line: usize, text: &str, running: bool) -> Result<(), Trouble> {
        for (index, statement) in text.split(['\n', ';']).enumerate() {
            let line = line + index.min(text.lines().count().saturating_sub(1));
            for command in
                statement.split("&&").map(str::trim).filter(|c| !c.is_empty() && !c.starts_with('#'))
            {
                self.one_command(line, command, running)?;
            }
        }
        Ok(())
    }

    fn one_command(&mut self, line: usize, command: &str, running: bool) -> Result<(), Trouble> {
        let mut words = command.split_whitespace();
        let program = words.next().unwrap_or_default();
        let name = program.rsplit('/').next().unwrap_or(program);
        match name {
            "sysctl" | "set_sysctls.py" => {
                // `name=value with several words` or `name = value`, many or one.
                let joined = words.filter(|w| !w.starts_with('-')).collect::<Vec<_>>().join(" ");
                let joined = joined.replace(" = ", "=");
                for (name, value) in assignments(&joined) {
                    let name = name.trim_start_matches("/proc/sys/").replace('/', ".");
                    if running {
                        return Err(Trouble::new(
                            line,
                            format!("the sysctl `{name}` comes after the first socket is in use"),
                        ));
                    }
                    self.sysctl(line, &name, value.trim_matches(['"', '\'']))?;
                }
            }
            "defaults.sh" => self.defaults(),
            "ip" | "tc" | "ethtool" | "nstat" | "true" | ":" | "echo" | "rm" | "sleep" | "ifconfig"
            | "chmod" | "cat" | "ss" | "modprobe" | "iptables" | "ip6tables" => {
                self.note(line, &format!("`{command}` prepares a Linux host and is skipped"));
            }
            _ => return Err(Trouble::new(line, format!("the command `{command}` is not known"))),
        }
        Ok(())
    }

    /// What upstream's `defaults.sh` sets, as far as it differs from ours.
    fn defaults(&mut self) {
        // tcp_rmem up to 15,728,640 bytes: a window scale of 8.
        self.stack.tcp.receive_buffer = 1 << 23;
    }

    fn sysctl(&mut self, line: usize, name: &str, value: &str) -> Result<(), Trouble> {
        let wrong = || Trouble::new(line, format!("`{value}` is no value of the sysctl {name}"));
        let number = || value.parse::<u64>().map_err(|_| wrong());
        let seconds = || number().map(Duration::from_secs);
        let last = || value.split_whitespace().last().and_then(|n| n.parse::<u64>().ok()).ok_or_else(wrong);
        if let Some(switch) = name.strip_prefix("bypath.") {
            return self
                .switch(switch, number()?)
                .ok_or_else(|| Trouble::new(line, format!("the stack has no switch `{switch}`")));
        }
        let Some(key) = name.strip_prefix("net.ipv4.").or_else(|| name.strip_prefix("net.core.")) else {
            if name.starts_with("net.") || name.starts_with("kernel.") {
                self.note(line, &format!("the sysctl {name} has no counterpart and is skipped"));
                return Ok(());
            }
            return Err(Trouble::new(line, format!("the sysctl {name} is not known")));
        };
        let tcp = &mut self.stack.tcp;
        match key {
            "tcp_sack" => tcp.sack = number()? != 0,
            "tcp_timestamps" => tcp.timestamps = number()? != 0,
            "tcp_window_scaling" => tcp.window_scaling = number()? != 0,
            "tcp_congestion_control" => tcp.congestion = congestion(value).ok_or_else(wrong)?,
            "tcp_fin_timeout" => tcp.fin_wait_2 = seconds()?,
            "tcp_keepalive_time" => self.keep_alive_idle = seconds()?,
            "tcp_keepalive_intvl" => tcp.keep_alive_interval = seconds()?,
            "tcp_keepalive_probes" => tcp.keep_alive_probes = value.parse().map_err(|_| wrong())?,
            "tcp_rto_min_us" => tcp.min_rto = Duration::from_micros(number()?),
            "tcp_rto_max_ms" => tcp.max_rto = Duration::from_millis(number()?),
            "tcp_retries2" => tcp.user_timeout = patience(number()?, tcp.min_rto, tcp.max_rto),
            "tcp_dsack" => tcp.dsack = number()? != 0,
            "tcp_recovery" => tcp.rack = number()? & 1 != 0,
            "tcp_early_retrans" => tcp.tail_loss_probe = number()? >= 3,
            "tcp_frto" => tcp.f_rto = number()? != 0,
            "tcp_slow_start_after_idle" => tcp.slow_start_after_idle = number()? != 0,
            "tcp_moderate_rcvbuf" => tcp.tune_receive_buffer = number()? != 0,
            "tcp_synack_retries" => tcp.syn_ack_retries = value.parse().map_err(|_| wrong())?,
            "tcp_max_syn_backlog" => tcp.max_half_open = value.parse().map_err(|_| wrong())?,
            "tcp_abort_on_overflow" => tcp.abort_on_overflow = number()? != 0,
            "tcp_syncookies" => {
                tcp.syn_cookies = match number()? {
                    0 => CookieMode::Off,
                    1 => CookieMode::Auto,
                    2 => CookieMode::Always,
                    _ => return Err(wrong()),
                };
            }
            // Servers are asked for it one by one, by TCP_FASTOPEN.
            "tcp_fastopen" => tcp.fast_open = number()? & 1 != 0,
            "tcp_ecn" => {
                tcp.ecn = match number()? {
                    0 => EcnMode::Off,
                    1 => EcnMode::Request,
                    2 => EcnMode::Accept,
                    3 => EcnMode::Accurate,
                    _ => return Err(wrong()),
                };
            }
            "ip_default_ttl" => tcp.hop_limit = value.parse().map_err(|_| wrong())?,
            "tcp_rmem" => tcp.receive_buffer = power_of_two_within(last()?),
            "tcp_wmem" => self.stack.send_buffer = last()?.try_into().map_err(|_| wrong())?,
            _ if KNOWN_ELSEWHERE.contains(&key) => {
                self.note(line, &format!("the sysctl {name} has no counterpart and is skipped"));
            }
            _ => return Err(Trouble::new(line, format!("the sysctl {name} is not known"))),
        }
        Ok(())
    }

    /// Settings of the stack that Linux has no sysctl for: `sysctl bypath.prr=0`.
    fn switch(&mut self, name: &str, value: u64) -> Option<()> {
        let tcp = &mut self.stack.tcp;
        let switch = match name {
            "limited_transmit" => &mut tcp.limited_transmit,
            "prr" => &mut tcp.prr,
            "push_each_write" => &mut tcp.push_each_write,
            "rto_restart" => &mut tcp.rto_restart,
            "soft_errors_end_opening" => &mut tcp.soft_errors_end_opening,
            "undo" => &mut tcp.undo,
            "quick_acks" => {
                tcp.quick_acks = u8::try_from(value).ok()?;
                return Some(());
            }
            _ => return None,
        };
        *switch = value != 0;
        Some(())
    }

    /// A socket option that counts for connections yet to be made. `Ok(false)`: it is not one of these.
    pub(crate) fn socket_option(
        &mut self,
        level: i64,
        name: &str,
        value: i64,
        text: Option<&str>,
    ) -> Result<bool, String> {
        let tcp = &mut self.stack.tcp;
        let seconds = Duration::from_secs(value.unsigned_abs());
        match (level, name) {
            (1, "SO_KEEPALIVE") => tcp.keep_alive = (value != 0).then_some(self.keep_alive_idle),
            (1, "SO_RCVBUF") => tcp.receive_buffer = power_of_two_within(value.unsigned_abs().max(2_048)),
            (1, "SO_SNDBUF") => {
                self.stack.send_buffer = usize::try_from(value).map_err(|e| e.to_string())?.max(2_048);
            }
            (6, "TCP_NODELAY") => tcp.nodelay = value != 0,
            (6, "TCP_KEEPIDLE") => {
                self.keep_alive_idle = seconds;
                tcp.keep_alive = tcp.keep_alive.map(|_| seconds);
            }
            (6, "TCP_KEEPINTVL") => tcp.keep_alive_interval = seconds,
            (6, "TCP_KEEPCNT") => tcp.keep_alive_probes = u8::try_from(value).map_err(|e| e.to_string())?,
            (6, "TCP_USER_TIMEOUT") => tcp.user_timeout = Duration::from_millis(value.unsigned_abs()),
            (6, "TCP_LINGER2") => tcp.fin_wait_2 = seconds,
            (6, "TCP_MAXSEG") => {
                let headers = if self.local.is_ipv4() { 40 } else { 60 };
                self.stack.mtu = u32::try_from(value).map_err(|e| e.to_string())? + headers;
            }
            (6, "TCP_CONGESTION") => {
                tcp.congestion = text.and_then(congestion).ok_or("this congestion control is not known")?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// Sysctls of Linux that scripts set and that change nothing here.
const KNOWN_ELSEWHERE: &[&str] = &[
    "tcp_abc",
    "tcp_adv_win_scale",
    "tcp_allowed_congestion_control",
    "tcp_app_win",
    "tcp_autocorking",
    "tcp_invalid_ratelimit",
    "tcp_limit_output_bytes",
    "tcp_low_latency",
    "tcp_max_orphans",
    "tcp_mem",
    "tcp_min_tso_segs",
    "tcp_no_metrics_save",
    "tcp_pacing_ca_ratio",
    "tcp_pacing_ss_ratio",
    "tcp_shrink_window",
    "tcp_stdurg",
    "tcp_thin_linear_timeouts",
    "tcp_tso_win_divisor",
    "tcp_workaround_signed_windows",
    "ip_local_port_range",
    "ip_forward",
    "rmem_max",
    "wmem_max",
    "somaxconn",
    "default_qdisc",
    "netdev_max_backlog",
    "optmem_max",
];

/// `a=1 b=2 c="3 4 5"` and `a=1 2 3`, one by one.
fn assignments(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        // The value ends before the word that the next `=` follows.
        let next = after.find('=').and_then(|equals| after[..equals].rfind(char::is_whitespace));
        let (value, tail) = next.map_or((after, ""), |at| (&after[..at], &after[at..]));
        found.push((name.trim(), value.trim()));
        rest = tail;
    }
    found
}

fn congestion(name: &str) -> Option<CongestionControl> {
    Some(match name {
        "cubic" => CongestionControl::Cubic,
        "bbr" => CongestionControl::Bbr,
        "dctcp" => CongestionControl::Dctcp,
        "reno" | "newreno" => CongestionControl::NewReno,
        _ => return None,
    })
}

/// The largest power of two that is not above `bytes`: buffers have such sizes.
fn power_of_two_within(bytes: u64) -> u32 {
    1 << bytes.clamp(1, 1 << 30).ilog2()
}

/// How long Linux goes on for this many retransmissions: the sum of the doubled timeouts, the last included.
fn patience(retries: u64, min_rto: Duration, max_rto: Duration) -> Duration {
    let mut timeout = min_rto;
    let mut sum = Duration::ZERO;
    for _ in 0..=retries.min(1_000) {
        sum += timeout;
        timeout = (timeout * 2).min(max_rto);
    }
    sum
}
