//! The service that runs on a worker: connections to their protocols, by port; time limits; what one connection wants of
//! another (FTP's control and data connections), done when the worker wakes it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use bypath::{CloseReason, ConnectionId, Desk, Instant, Service, ServiceConnection};
use crossbeam::channel::Sender;

use super::civil::{Civil, seconds_since_1900};
use super::config::{Role, ServeConfig};
use super::context::{Context, say};
use super::ftp::{Action, Data, Passive, Session};
use super::http::Http;
use super::load::{Rr, Stream};
use super::small::{Chargen, Echo};
use super::totals::{Trouble, WorkerTotals};

/// Time limits are looked at this often at least, and a connection is ended that much late at most.
const LEAST_LOOK_NS: u64 = 50_000_000;
const MOST_LOOK_NS: u64 = 5_000_000_000;

/// What a connection speaks.
#[derive(Debug, Default)]
enum App {
    /// Nothing, or it is being called.
    #[default]
    None,
    Http(Box<Http>),
    Ftp(Box<Session>),
    FtpData(Box<Data>),
    Echo(Box<Echo>),
    Discard,
    Chargen(Chargen),
    /// All was said when it opened.
    Said,
    Rr(Box<Rr>),
    Stream(Box<Stream>),
}

/// What is kept for the connection at one place of the worker's.
#[derive(Debug, Default)]
struct Slot {
    id: Option<ConnectionId>,
    app: App,
    /// When something moved last.
    active: Instant,
    /// Bytes that the peer had acknowledged by then.
    acknowledged: u64,
}

/// The servers of one worker.
pub struct Server {
    context: Context,
    slots: Vec<Slot>,
    /// When to look at each connection's time limits; every connection is in it once.
    looks: VecDeque<(Instant, ConnectionId)>,
    look_every_ns: u64,
    actions: VecDeque<Action>,
    passive: Passive,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}

impl Server {
    /// The servers of worker number `worker` of `workers`. `log` takes lines of the access log.
    pub fn new(
        config: Arc<ServeConfig>,
        totals: Arc<WorkerTotals>,
        (worker, workers): (usize, usize),
        log: Option<Sender<String>>,
    ) -> Self {
        let limits = [config.idle_timeout, config.request_timeout];
        let shortest =
            limits.iter().flatten().min().map_or(MOST_LOOK_NS * 4, |limit| limit.as_nanos() as u64);
        let passive = Passive::new(&config, worker, workers);
        Self {
            context: Context::new(config, totals, log),
            slots: Vec::new(),
            looks: VecDeque::new(),
            look_every_ns: (shortest / 4).clamp(LEAST_LOOK_NS, MOST_LOOK_NS),
            actions: VecDeque::new(),
            passive,
        }
    }

    fn slot(&mut self, id: ConnectionId) -> Option<&mut Slot> {
        self.slots.get_mut(id.slot()).filter(|slot| slot.id == Some(id))
    }

    /// Gives a connection a place.
    fn place(&mut self, id: ConnectionId, app: App, now: Instant) {
        let at = id.slot();
        if self.slots.len() <= at {
            self.slots.resize_with(at + 1, Slot::default);
        }
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Slot { id: Some(id), app, active: now, acknowledged: 0 };
        }
        self.looks.push_back((now.plus_nanos(self.look_every_ns), id));
    }

    /// Calls `act` with the protocol of a connection, which is not in its place meanwhile.
    fn with(
        &mut self,
        connection: &mut ServiceConnection<'_>,
        act: impl FnOnce(&mut Self, &mut App, &mut ServiceConnection<'_>),
    ) {
        let (id, now) = (connection.id(), connection.now());
        let acknowledged = connection.acknowledged();
        let Some(slot) = self.slot(id) else { return };
        slot.active = now;
        let fresh = acknowledged.saturating_sub(slot.acknowledged);
        slot.acknowledged = acknowledged;
        let mut app = std::mem::take(&mut slot.app);
        self.context.totals.bytes_sent.add(fresh);
        act(self, &mut app, connection);
        if let Some(slot) = self.slot(id) {
            slot.app = app;
        }
    }

    fn session(&mut self, id: ConnectionId) -> Option<&mut Session> {
        match self.slot(id).map(|slot| &mut slot.app) {
            Some(App::Ftp(session)) => Some(session),
            _ => None,
        }
    }

    fn opened(&mut self, connection: &mut ServiceConnection<'_>) -> App {
        let port = connection.local_addr().port();
        let sites = self.context.config.clone();
        let Some((number, site)) = sites.sites.iter().enumerate().find(|(_, site)| site.port == port) else {
            return self.data_opened(connection);
        };
        match &site.role {
            Role::Http(_) => App::Http(Box::new(Http::new(number))),
            Role::Ftp(_) => App::Ftp(Box::new(Session::new(number, connection))),
            Role::Echo => App::Echo(Box::default()),
            Role::Discard => App::Discard,
            Role::Chargen => {
                let mut chargen = Chargen::default();
                chargen.pump(connection, &self.context.lines);
                App::Chargen(chargen)
            }
            Role::Daytime => {
                let text = Civil::of(self.context.clock.unix(connection.now())).daytime();
                say(connection, text.as_bytes());
                connection.close();
                App::Said
            }
            Role::Time => {
                let seconds = seconds_since_1900(self.context.clock.unix(connection.now()));
                say(connection, &seconds.to_be_bytes());
                connection.close();
                App::Said
            }
            Role::Rr => App::Rr(Box::default()),
            Role::Stream => App::Stream(Box::default()),
        }
    }

    /// A connection to a passive port: it belongs to the control connection that waits there, if it comes from the same
    /// host.
    fn data_opened(&mut self, connection: &mut ServiceConnection<'_>) -> App {
        let port = connection.local_addr().port();
        let waiting = self.passive.take(port, connection.peer_addr().ip());
        let Some(session) = waiting.and_then(|control| self.session(control)) else {
            self.context.trouble(Trouble::Stranger);
            connection.abort();
            return App::Said;
        };
        let mut data = Box::new(session.data_arrived(connection.id()));
        data.begin(&mut self.context, connection, &mut self.actions);
        App::FtpData(data)
    }

    /// Ends what has lasted too long.
    fn look(&mut self, desk: &mut Desk<'_>, id: ConnectionId) {
        let now = desk.now();
        let config = self.context.config.clone();
        let Some(slot) = self.slot(id) else { return };
        let active = slot.active;
        let over = |limit: Option<std::time::Duration>, since: Instant| {
            limit.is_some_and(|limit| u128::from(now.nanos_since(since)) >= limit.as_nanos())
        };
        let head_late = match &slot.app {
            App::Http(http) => http.waits_since().is_some_and(|since| over(config.request_timeout, since)),
            _ => false,
        };
        let busy = matches!(&slot.app, App::Ftp(session) if session.is_busy(now));
        if head_late {
            if let Some(mut connection) = desk.connection(id) {
                self.with(&mut connection, |this, app, connection| {
                    if let App::Http(http) = app {
                        http.time_out(&mut this.context, connection);
                    }
                });
            }
        } else if over(config.idle_timeout, active) && !busy {
            self.context.trouble(Trouble::IdleTimeout);
            if let Some(mut connection) = desk.connection(id) {
                let polite = matches!(&self.slot(id).map(|slot| &slot.app), Some(App::Ftp(_)));
                if polite {
                    say(&mut connection, b"421 Nothing came for too long.\r\n");
                }
                // Nothing on its way: an orderly end costs the peer nothing. Else it is not answering.
                if connection.outstanding() == 0 || polite {
                    connection.close();
                } else {
                    connection.abort();
                }
            }
            // Who does not end then is reset the next time.
            if let Some(slot) = self.slot(id) {
                slot.active = now;
                if matches!(slot.app, App::Said) {
                    if let Some(mut connection) = desk.connection(id) {
                        connection.abort();
                    }
                } else {
                    slot.app = App::Said;
                }
            }
        } else if let Some(session) = self.session(id)
            && session.gave_up_waiting(now)
        {
            self.actions.push_back(Action::TimedOut(id));
        }
        self.looks.push_back((now.plus_nanos(self.look_every_ns), id));
    }

    fn act(&mut self, desk: &mut Desk<'_>, action: Action) {
        match action {
            Action::Connect { control, from, to } => match desk.connect(to, Some(from)) {
                Ok(id) => {
                    let Some(session) = self.session(control) else { return };
                    let data = Box::new(session.data_begun(id));
                    self.place(id, App::FtpData(data), desk.now());
                    self.context.totals.connections_opened.add(1);
                }
                Err(_) => self.on_session(desk, control, |session, context, actions, passive, connection| {
                    session.data_failed(context, (actions, passive), connection);
                }),
            },
            Action::Give { data, job } => {
                if let Some(mut connection) = desk.connection(data) {
                    self.with(&mut connection, |this, app, connection| {
                        if let App::FtpData(data) = app {
                            data.set_job(job);
                            data.begin(&mut this.context, connection, &mut this.actions);
                        }
                    });
                }
            }
            Action::Abort { data } => {
                if let Some(mut connection) = desk.connection(data) {
                    connection.abort();
                }
            }
            Action::Ended { control, end } => {
                self.on_session(desk, control, |session, context, actions, passive, connection| {
                    session.data_ended(context, (actions, passive), connection, end);
                });
            }
            Action::TimedOut(control) => {
                self.on_session(desk, control, |session, context, actions, passive, connection| {
                    session.data_failed(context, (actions, passive), connection);
                });
            }
        }
    }

    fn on_session(
        &mut self,
        desk: &mut Desk<'_>,
        control: ConnectionId,
        act: impl FnOnce(
            &mut Session,
            &mut Context,
            &mut VecDeque<Action>,
            &mut Passive,
            &mut ServiceConnection<'_>,
        ),
    ) {
        let Some(mut connection) = desk.connection(control) else { return };
        self.with(&mut connection, |this, app, connection| {
            if let App::Ftp(session) = app {
                act(session, &mut this.context, &mut this.actions, &mut this.passive, connection);
            }
        });
    }
}

impl Service for Server {
    fn on_open(&mut self, connection: &mut ServiceConnection<'_>) {
        connection.set_nodelay(true);
        let id = connection.id();
        if self.slot(id).is_some() {
            // A data connection that we have opened.
            return self.with(connection, |this, app, connection| {
                if let App::FtpData(data) = app {
                    data.begin(&mut this.context, connection, &mut this.actions);
                }
            });
        }
        self.context.totals.connections_opened.add(1);
        let app = self.opened(connection);
        self.place(id, app, connection.now());
    }

    fn on_data(&mut self, connection: &mut ServiceConnection<'_>, data: &[u8]) {
        self.context.totals.bytes_received.add(data.len() as u64);
        self.with(connection, |this, app, connection| {
            let Self { context, actions, passive, .. } = this;
            match app {
                App::Http(http) => http.on_data(context, connection, data),
                App::Ftp(session) => session.on_data(context, (actions, passive), connection, data),
                App::FtpData(ftp) => ftp.on_data(context, connection, data, actions),
                App::Echo(echo) => echo.on_data(connection, data),
                App::Rr(rr) => rr.on_data(connection, data, &context.pattern, &context.totals),
                App::Stream(stream) => stream.on_data(connection, data, &context.pattern, &context.totals),
                App::None | App::Discard | App::Chargen(_) | App::Said => {}
            }
        });
    }

    fn on_acknowledged(&mut self, connection: &mut ServiceConnection<'_>) {
        self.with(connection, |this, app, connection| {
            let Self { context, actions, .. } = this;
            match app {
                App::Http(http) => http.resume(context, connection),
                App::FtpData(ftp) => ftp.resume(context, connection, actions),
                App::Echo(echo) => echo.drain(connection),
                App::Chargen(chargen) => chargen.pump(connection, &context.lines),
                App::Rr(rr) => rr.resume(connection, &context.pattern, &context.totals),
                App::Stream(stream) => stream.pump(connection, &context.pattern),
                App::None | App::Ftp(_) | App::Discard | App::Said => {}
            }
        });
    }

    fn on_peer_closed(&mut self, connection: &mut ServiceConnection<'_>) {
        self.with(connection, |this, app, connection| {
            let Self { context, actions, .. } = this;
            match app {
                App::Http(http) => http.on_peer_closed(context, connection),
                App::FtpData(ftp) => ftp.on_peer_closed(context, connection, actions),
                App::Echo(echo) => echo.on_peer_closed(connection),
                App::Rr(rr) => rr.on_peer_closed(connection, &context.pattern, &context.totals),
                App::Stream(stream) => stream.on_peer_closed(connection, &context.pattern, &context.totals),
                App::None | App::Ftp(_) | App::Discard | App::Chargen(_) | App::Said => connection.close(),
            }
        });
    }

    fn on_closed(&mut self, id: ConnectionId, reason: CloseReason) {
        let Some(slot) = self.slot(id) else { return };
        let app = std::mem::take(slot).app;
        self.context.totals.connections_closed.add(1);
        match reason {
            CloseReason::Reset => self.context.trouble(Trouble::ResetByPeer),
            CloseReason::TimedOut => self.context.trouble(Trouble::TimedOut),
            _ => {}
        }
        match app {
            App::Ftp(session) => session.gone(&mut self.actions, &mut self.passive),
            App::FtpData(data) => data.gone(&mut self.actions),
            _ => {}
        }
    }

    /// Echo by UDP. Answers to the ports of services could go to and fro between two of them for ever.
    fn on_datagram(
        &mut self,
        _local: SocketAddr,
        remote: SocketAddr,
        payload: &[&[u8]],
        reply: &mut Vec<u8>,
    ) -> bool {
        if remote.port() < 1024 {
            self.context.trouble(Trouble::Stranger);
            return false;
        }
        payload.iter().for_each(|piece| reply.extend_from_slice(piece));
        self.context.totals.datagrams.add(1);
        true
    }

    fn next_wake(&self) -> Option<Instant> {
        if self.actions.is_empty() { self.looks.front().map(|(at, _)| *at) } else { Some(Instant::ZERO) }
    }

    fn on_wake(&mut self, desk: &mut Desk<'_>) {
        // What comes of these is done in the next round.
        for _ in 0..self.actions.len() {
            let Some(action) = self.actions.pop_front() else { break };
            self.act(desk, action);
        }
        let now = desk.now();
        while let Some((_, id)) = self.looks.front().filter(|(at, _)| at.is_due(now)).copied() {
            self.looks.pop_front();
            self.look(desk, id);
        }
    }
}
