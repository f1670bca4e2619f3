//! How a session comes by its data connections, and what becomes of the transfers on them.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use bypath::{ConnectionId, Instant, ServiceConnection};

use super::super::Action;
use super::super::data::{Data, End, Job};
use super::super::passive::Passive;
use super::{Session, Surroundings, Transfer};
use crate::serve::context::Context;
use crate::serve::files::Refusal;
use crate::serve::totals::Trouble;

/// How long a data connection may take to come.
const PATIENCE_NS: u64 = 30_000_000_000;

/// How the next data connection comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    None,
    /// The client connects to this port.
    Passive(u16),
    /// We connect to there.
    Active(SocketAddr),
    /// It is there.
    Open(ConnectionId),
}

impl Session {
    /// What was agreed on for the next data connection holds no more.
    pub(super) fn forget_way(&mut self, actions: &mut VecDeque<Action>, passive: &mut Passive) {
        match std::mem::replace(&mut self.way, Way::None) {
            Way::Passive(port) => passive.free(port),
            Way::Open(data) => actions.push_back(Action::Abort { data }),
            Way::None | Way::Active(_) => {}
        }
    }

    pub(super) fn passive(
        &mut self,
        context: &mut Context,
        (actions, passive): Surroundings<'_>,
        connection: &mut ServiceConnection<'_>,
        extended: bool,
    ) {
        self.forget_way(actions, passive);
        if self.only_epsv && !extended {
            return self.reply(context, connection, "501 EPSV only, you said.");
        }
        let Some(port) = passive.wait(self.id, self.remote) else {
            return self.reply(context, connection, "425 No port is free, try again.");
        };
        self.way = Way::Passive(port);
        match self.local {
            _ if extended => {
                self.reply(context, connection, &format!("229 Extended passive mode (|||{port}|)"));
            }
            IpAddr::V4(ip) => {
                let ([a, b, c, d], [high, low]) = (ip.octets(), port.to_be_bytes());
                self.reply(context, connection, &format!("227 Passive mode ({a},{b},{c},{d},{high},{low})"));
            }
            IpAddr::V6(_) => {
                self.forget_way(actions, passive);
                self.reply(context, connection, "425 Over IPv6 it is EPSV.");
            }
        }
    }

    /// Only to the client's own host, and to no port that might be a service's (RFC 2577).
    pub(super) fn active(
        &mut self,
        context: &mut Context,
        (actions, passive): Surroundings<'_>,
        connection: &mut ServiceConnection<'_>,
        to: SocketAddr,
    ) {
        self.forget_way(actions, passive);
        if self.only_epsv {
            return self.reply(context, connection, "501 EPSV only, you said.");
        }
        if to.ip() != self.remote || to.port() < 1024 {
            context.trouble(Trouble::Stranger);
            return self.reply(
                context,
                connection,
                "504 Only to your own address, and to no port below 1024.",
            );
        }
        self.way = Way::Active(to);
        self.reply(context, connection, "200 OK");
    }

    /// Whether there is a way for data; tells the client if not.
    pub(in crate::serve::ftp) fn has_way(
        &self,
        context: &mut Context,
        connection: &mut ServiceConnection<'_>,
    ) -> bool {
        if self.way == Way::None {
            self.reply(context, connection, "425 PASV, EPSV, PORT or EPRT comes first.");
        }
        self.way != Way::None
    }

    /// Starts a transfer, as soon as its connection is there.
    pub(in crate::serve::ftp) fn start(
        &mut self,
        context: &mut Context,
        (actions, _): Surroundings<'_>,
        connection: &mut ServiceConnection<'_>,
        job: Job,
        name: String,
    ) {
        self.reply(context, connection, "150 Here it comes.");
        let mut transfer = Transfer { job: Some(job), data: None, since: connection.now(), name };
        match self.way {
            Way::Open(data) => {
                transfer.data = Some(data);
                if let Some(job) = transfer.job.take() {
                    actions.push_back(Action::Give { data, job });
                }
                self.way = Way::None;
            }
            Way::Active(to) => {
                actions.push_back(Action::Connect { control: self.id, from: self.local, to });
                self.way = Way::None;
            }
            // The job waits for who connects there.
            Way::Passive(_) | Way::None => {}
        }
        self.transfer = Some(transfer);
    }

    /// A passive data connection has come.
    pub(crate) fn data_arrived(&mut self, data: ConnectionId) -> Data {
        self.way = Way::None;
        match &mut self.transfer {
            Some(transfer) => {
                transfer.data = Some(data);
                Data::new(self.id, transfer.job.take())
            }
            None => {
                self.way = Way::Open(data);
                Data::new(self.id, None)
            }
        }
    }

    /// An active data connection is on its way.
    pub(crate) fn data_begun(&mut self, data: ConnectionId) -> Data {
        let job = self.transfer.as_mut().and_then(|transfer| {
            transfer.data = Some(data);
            transfer.job.take()
        });
        Data::new(self.id, job)
    }

    /// There will be no data connection.
    pub(crate) fn data_failed(
        &mut self,
        context: &mut Context,
        (actions, passive): Surroundings<'_>,
        connection: &mut ServiceConnection<'_>,
    ) {
        self.forget_way(actions, passive);
        self.data_ended(context, (actions, passive), connection, End::NotOpened);
    }

    /// A data connection has come to its end.
    pub(crate) fn data_ended(
        &mut self,
        context: &mut Context,
        around: Surroundings<'_>,
        connection: &mut ServiceConnection<'_>,
        end: End,
    ) {
        let Some(transfer) = self.transfer.take() else {
            // It ended before it was used.
            if matches!(self.way, Way::Open(_)) {
                self.way = Way::None;
            }
            return;
        };
        let (line, bytes) = match end {
            End::Complete(bytes) => ("226 Transfer complete.", bytes),
            End::NotOpened => ("425 The data connection cannot be opened.", 0),
            End::Broken => ("426 The data connection broke.", 0),
            End::Failed(Refusal::Full) => ("452 There is no room.", 0),
            End::Failed(_) => ("451 The server cannot do it.", 0),
        };
        self.reply(context, connection, line);
        self.log(context, connection, &transfer.name, line, bytes);
        self.take_lines(context, around, connection);
    }

    pub(super) fn abort(
        &mut self,
        context: &mut Context,
        (actions, passive): Surroundings<'_>,
        connection: &mut ServiceConnection<'_>,
    ) {
        self.forget_way(actions, passive);
        if let Some(transfer) = self.transfer.take() {
            if let Some(data) = transfer.data {
                actions.push_back(Action::Abort { data });
            }
            self.reply(context, connection, "426 Aborted.");
        }
        self.reply(context, connection, "226 Nothing is being transferred.");
    }

    /// Whether a transfer is going on, so that silence on this connection means nothing.
    pub(crate) fn is_busy(&self, now: Instant) -> bool {
        self.transfer.is_some() && !self.gave_up_waiting(now)
    }

    /// Whether a data connection should have come long ago.
    pub(crate) fn gave_up_waiting(&self, now: Instant) -> bool {
        self.transfer
            .as_ref()
            .is_some_and(|transfer| transfer.data.is_none() && now.nanos_since(transfer.since) >= PATIENCE_NS)
    }

    /// The control connection is gone, and what belongs to it goes too.
    pub(crate) fn gone(mut self, actions: &mut VecDeque<Action>, passive: &mut Passive) {
        self.forget_way(actions, passive);
        if let Some(data) = self.transfer.take().and_then(|transfer| transfer.data) {
            actions.push_back(Action::Abort { data });
        }
    }
}
