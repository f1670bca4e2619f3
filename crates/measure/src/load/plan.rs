//! A load divided among workers: clients, rate and count, and the service that each of them runs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bypath::{EngineBuilder, SendSource};

use crate::histogram::interval::{Collector, Recorder, channel};
use crate::schedule::{Arrivals, Schedule};

use super::client::{Client, Control, Share};
use super::demand::{Demand, Kind, Steps};
use super::exchange::Exchange;
use super::files::FileProtocol;
use super::ftp::Ftp;
use super::hold::{Handshake, Hold};
use super::http::Http;
use super::rr::{self, RequestResponse};
use super::seat::Seat;
use super::settings::{
    Impossible, LoadSettings, Pattern, Protocol, RrSettings, SinkSettings, StreamSettings,
};
use super::sink::{Sink, SinkWriter};
use super::stream::{self, Stream};
use super::tally::Tally;
use super::window::Window;
use super::{settings::Direction, source};

/// Structures that a worker fills in turn: an interval may be late by so many.
const SPARES: usize = 3;

/// What belongs to a load beside the engine that it runs on.
pub(super) struct Plan {
    pub(super) control: Arc<Control>,
    pub(super) collectors: Vec<Collector<Tally>>,
    pub(super) writers: Vec<SinkWriter>,
    pub(super) window: Window,
    pub(super) steps: Option<Steps>,
}

/// Why there is no plan.
pub(super) enum NoPlan {
    Impossible(Impossible),
    Io(String, io::Error),
}

impl From<Impossible> for NoPlan {
    fn from(error: Impossible) -> Self {
        Self::Impossible(error)
    }
}

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// When the intervals are, and the steps of the ramp.
fn times(settings: &LoadSettings) -> (Window, Option<Steps>) {
    let warm_up = nanos(settings.warm_up);
    let duration = settings.duration.map(nanos);
    let end = duration.map(|duration| warm_up.saturating_add(duration));
    let steps = settings.ramp.map(|ramp| {
        let over = ramp.over.map(nanos).or(Some(warm_up).filter(|w| *w > 0)).or(duration).unwrap_or(1);
        Steps { count: ramp.steps, step_ns: (over / u64::from(ramp.steps.max(1))).max(1) }
    });
    (Window { warm_up, interval: nanos(settings.interval), end, steps }, steps)
}

/// Ports come round soon where connections are short; peers whose timestamps tell old from new need no longer rest.
const TIME_WAIT_REST: Duration = Duration::from_millis(2);

/// What worker `index` of `workers` has of a whole.
fn part(whole: u64, index: usize, workers: usize) -> u64 {
    let workers = workers as u64;
    whole / workers + u64::from((index as u64) < whole % workers)
}

impl Plan {
    /// Divides a load among that many workers of an engine, whose settings come back with the load on them.
    pub(super) fn new(
        settings: &LoadSettings,
        builder: EngineBuilder,
        workers: usize,
    ) -> Result<(EngineBuilder, Self), NoPlan> {
        settings.check()?;
        check_ports(settings, builder.shares_addresses())?;
        let (window, steps) = times(settings);
        let builder = if is_bulk(&settings.pattern) { builder.receive_ring(BULK_RING) } else { builder };
        let builder = builder
            .observe_segments(settings.packet_latency)
            .time_wait_rest(TIME_WAIT_REST)
            .max_connections((settings.connections as usize).div_ceil(workers.max(1)) * 2 + 1024)
            .client_ports(ports(settings));
        let mut work = Work { settings, workers, window, steps, collectors: Vec::new(), writers: Vec::new() };
        let control = Arc::new(Control::default());
        let builder = match &settings.pattern {
            Pattern::Rr(rr) | Pattern::Crr(rr) => {
                work.on(builder, &control, |_| Ok(request_response(rr, settings.verify)))?
            }
            Pattern::Connect => work.on(builder, &control, |_| Ok(Handshake))?,
            Pattern::Hold { .. } => work.on(builder, &control, |_| Ok(Hold))?,
            Pattern::Stream(stream) => {
                let file = match &stream.source {
                    Some(path) => {
                        let map = source::map(path);
                        Some(map.map_err(|e| NoPlan::Io(format!("reading {}", path.display()), e))?)
                    }
                    None => None,
                };
                let make = |sink| make_stream(stream, settings.verify, file.clone(), sink);
                work.with_sinks(builder, &control, &stream.sink, make)?
            }
            Pattern::Http(http) => {
                let verify = settings.verify;
                work.on(builder, &control, |worker| Ok(Http::new(http, worker, verify, Sink::null())))?
            }
            Pattern::Files(files) => match &files.protocol {
                FileProtocol::Http(http) => {
                    let mut first = 0;
                    let make = |sink| {
                        first += 1;
                        Http::new(http, first - 1, settings.verify, sink)
                    };
                    work.with_sinks(builder, &control, &files.sink, make)?
                }
                FileProtocol::Ftp(ftp) => {
                    let mut first = 0;
                    let make = |sink| {
                        first += 1;
                        Ftp::new(ftp, first - 1, sink)
                    };
                    work.with_sinks(builder, &control, &files.sink, make)?
                }
            },
        };
        let Work { collectors, writers, .. } = work;
        Ok((builder, Self { control, collectors, writers, window, steps }))
    }
}

/// The workers' parts while they are made.
struct Work<'a> {
    settings: &'a LoadSettings,
    workers: usize,
    window: Window,
    steps: Option<Steps>,
    collectors: Vec<Collector<Tally>>,
    writers: Vec<SinkWriter>,
}

impl Work<'_> {
    fn with_sinks<E: Exchange>(
        &mut self,
        builder: EngineBuilder,
        control: &Arc<Control>,
        sink: &SinkSettings,
        mut make: impl FnMut(Sink) -> E,
    ) -> Result<EngineBuilder, NoPlan> {
        let path = match sink {
            SinkSettings::Null => String::new(),
            SinkSettings::File(path) | SinkSettings::Directory(path) => path.display().to_string(),
        };
        let mut writers = Vec::new();
        let builder = self.on(builder, control, |worker| {
            let started = SinkWriter::start(sink, worker);
            let (sink, writer) = started.map_err(|e| NoPlan::Io(format!("writing to {path}"), e))?;
            writers.extend(writer);
            Ok(make(sink))
        })?;
        self.writers = writers;
        Ok(builder)
    }

    /// The engine with a client service on each worker.
    fn on<E: Exchange>(
        &mut self,
        builder: EngineBuilder,
        control: &Arc<Control>,
        mut make: impl FnMut(usize) -> Result<E, NoPlan>,
    ) -> Result<EngineBuilder, NoPlan> {
        let mut clients = Vec::new();
        for worker in 0..self.workers {
            let files = matches!(self.settings.pattern, Pattern::Files(_));
            let (recorder, collector) = channel(worker, SPARES, || Tally::new(files));
            self.collectors.push(collector);
            let client = self.client(worker, make(worker)?, control.clone(), recorder)?;
            clients.push(Some(client));
        }
        Ok(builder.client_service(move |worker| Seat(clients.get_mut(worker).and_then(Option::take))))
    }

    fn client<E: Exchange>(
        &self,
        worker: usize,
        exchange: E,
        control: Arc<Control>,
        recorder: Recorder<Tally>,
    ) -> Result<Client<E>, NoPlan> {
        let settings = self.settings;
        // Workers without a client have nothing to do.
        let active = self.workers.min(settings.connections as usize);
        let part = |whole| if worker < active { part(whole, worker, active) } else { 0 };
        let sessions = part(u64::from(settings.connections));
        let per_connection = is_per_connection(&settings.pattern);
        let kind = if worker < active { self.kind(worker, active)? } else { Kind::Closed };
        let open_loop = matches!(kind, Kind::Open(_));
        // Transfers with an end of their own, and no other: one for each client.
        let once = settings.is_sized() && settings.count.is_none() && settings.duration.is_none();
        let count = if once || sessions == 0 { Some(sessions) } else { settings.count.map(part) };
        let share = Share {
            remote: settings.target,
            locals: settings.local_ips.clone(),
            sessions: sessions as usize,
            per_connection,
            reset: settings.reset && per_connection,
            server_closes: per_connection && is_http(&settings.pattern),
            pipeline: if per_connection { 1 } else { settings.pipeline },
            timeout_ns: nanos(settings.timeout),
            may_be_silent: matches!(settings.pattern, Pattern::Hold { .. }),
            steps: self.steps,
            open_loop,
            counts_requests: !matches!(settings.pattern, Pattern::Connect),
            window: self.window,
        };
        Ok(Client::new(exchange, share, Demand::new(kind, count, self.window.end), control, recorder))
    }

    fn kind(&self, worker: usize, active: usize) -> Result<Kind, NoPlan> {
        let settings = self.settings;
        let (per_second, poisson) = match (&settings.pattern, settings.rate) {
            (_, Some(rate)) => (rate.per_second, rate.poisson),
            (Pattern::Hold { trickle: Some(each) }, None) => {
                (f64::from(settings.connections) / each.as_secs_f64(), false)
            }
            (Pattern::Hold { trickle: None }, None) => return Ok(Kind::Idle),
            (_, None) => return Ok(Kind::Closed),
        };
        let arrivals = if poisson { Arrivals::Poisson { seed: settings.seed } } else { Arrivals::Constant };
        let rates = Steps::rates(self.steps, per_second);
        let schedule = Schedule::new(arrivals, &rates, worker as u32, active as u32);
        schedule.map(Kind::Open).map_err(|e| Impossible(e.to_string()).into())
    }
}

/// Source ports to reserve on addresses that are shared with the kernel: connections of one request each leave theirs in
/// TIME-WAIT. A port is an open file for each address.
fn ports(settings: &LoadSettings) -> usize {
    use nix::sys::resource::{Resource, getrlimit};
    let least = if is_per_connection(&settings.pattern) { 8_192 } else { 1_024 };
    // The engine asks for as many as it may have.
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(1_024, |(_, hard)| hard);
    // An interface has few addresses; what else is open is little beside so many.
    let most = usize::try_from(files / 8).unwrap_or(usize::MAX).clamp(64, 16_384);
    (settings.connections as usize).max(least).min(most)
}

/// Source ports of each address of the engine's own, for one server.
const OWN_PORTS: usize = 63_488;

/// Whether there are as many ports as connections: without that no attempt would ever succeed.
fn check_ports(settings: &LoadSettings, shared: bool) -> Result<(), Impossible> {
    let wanted = settings.connections as usize;
    let own = OWN_PORTS * settings.local_ips.len().max(1);
    if shared && wanted > ports(settings) {
        return Err(Impossible(format!(
            "{wanted} connections at once need as many source ports, and {} of the interface's own address can be had: give the \
             engine addresses of its own with --ip and --local-ips",
            ports(settings)
        )));
    }
    if !shared && wanted > own {
        let addresses = wanted.div_ceil(OWN_PORTS);
        return Err(Impossible(format!(
            "{wanted} connections at once need as many source ports, and each client address has {OWN_PORTS}: give {addresses} \
             addresses with --local-ips"
        )));
    }
    Ok(())
}

/// Packets that wait for a worker which receives as fast as the wire goes: a pause of some milliseconds must not cost any.
const BULK_RING: u32 = 8_192;

/// Whether much is received on few connections.
fn is_bulk(pattern: &Pattern) -> bool {
    match pattern {
        Pattern::Stream(stream) => stream.direction != Direction::Up,
        Pattern::Files(_) => true,
        _ => false,
    }
}

/// Whether a connection carries one request.
fn is_per_connection(pattern: &Pattern) -> bool {
    match pattern {
        Pattern::Crr(_) | Pattern::Connect | Pattern::Stream(_) => true,
        Pattern::Rr(_) | Pattern::Hold { .. } => false,
        Pattern::Http(http) => !http.keep_alive,
        Pattern::Files(files) => match &files.protocol {
            FileProtocol::Http(http) => !http.keep_alive,
            FileProtocol::Ftp(_) => false,
        },
    }
}

fn is_http(pattern: &Pattern) -> bool {
    match pattern {
        Pattern::Http(_) => true,
        Pattern::Files(files) => matches!(files.protocol, FileProtocol::Http(_)),
        _ => false,
    }
}

fn request_response(rr: &RrSettings, verify: bool) -> RequestResponse {
    let dialect = match rr.protocol {
        Protocol::Bypath => rr::Dialect::Sized,
        Protocol::Plain | Protocol::Echo => rr::Dialect::Echo,
    };
    RequestResponse::new(dialect, rr.request_bytes, rr.response_bytes, verify)
}

fn make_stream(
    settings: &StreamSettings,
    verify: bool,
    file: Option<Arc<dyn SendSource>>,
    sink: Sink,
) -> Stream {
    let plan = stream::Plan {
        up: settings.direction != Direction::Down,
        down: settings.direction != Direction::Up,
        size: settings.size,
        dialect: match settings.protocol {
            Protocol::Plain => stream::Dialect::Plain,
            Protocol::Echo => stream::Dialect::Echo,
            Protocol::Bypath => stream::Dialect::Reported,
        },
        verify,
    };
    Stream::new(plan, file, sink)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_equal_as_can_be_and_add_up() {
        let parts: Vec<u64> = (0..4).map(|worker| part(10, worker, 4)).collect();
        assert_eq!(parts, [3, 3, 2, 2]);
    }
}
