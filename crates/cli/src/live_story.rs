//! `bypath get --story`: the story of a transfer while it goes on, from the packets that the engine receives and sends.
//!
//! Alone it reads the tap itself. Beside `--pcap` the thread that writes the capture reads the tap and passes packets on; it
//! never waits for the story, which may go to a terminal that somebody has stopped.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TrySendError, sync_channel};
use std::thread::JoinHandle;

use bypath::{TapOptions, TapRecord, TapSink, tap};
use bypath_measure::capture::Watcher;
use bypath_trace::story::Story;
use bypath_trace::style::Style;
use bypath_trace::{Direction, LinkType, Record, Timestamp};

use crate::story_args::DetailLevel;

/// Packets that may wait for the story beside a capture.
const WAITING: usize = 1 << 14;

/// How a story is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Telling {
    /// How much of it.
    pub(crate) detail: DetailLevel,
    /// To stderr instead of stdout.
    pub(crate) to_stderr: bool,
}

/// A story that is being told.
pub(crate) struct LiveStory {
    stop: Arc<AtomicBool>,
    teller: JoinHandle<io::Result<()>>,
}

/// A packet that waits: all but its bytes, and those.
type Heard = (TapRecord<'static>, Vec<u8>);

/// The packets of a capture, for a story.
pub(crate) struct Hearsay(Receiver<Heard>);

impl Hearsay {
    /// What a capture is to be begun with, and what the story is to be told from.
    pub(crate) fn of_a_capture() -> (Watcher, Hearsay) {
        let (sender, receiver) = sync_channel(WAITING);
        let mut missed = 0;
        let watcher = move |packet: &TapRecord<'_>| {
            let kept = TapRecord { data: &[], missed_before: packet.missed_before + missed, ..*packet };
            match sender.try_send((kept, packet.data.to_vec())) {
                Ok(()) => missed = 0,
                Err(TrySendError::Full(_)) => missed = kept.missed_before.saturating_add(1),
                // The story is over; the capture is not.
                Err(TrySendError::Disconnected(_)) => {}
            }
        };
        (Box::new(watcher), Hearsay(receiver))
    }
}

impl LiveStory {
    /// Tells what comes out of the tap; the engine is to be given the other end.
    pub(crate) fn start(telling: Telling) -> (TapSink, LiveStory) {
        let (sink, mut tap) = tap(TapOptions::default());
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let teller = std::thread::spawn(move || {
            let mut teller = Teller::begin(telling);
            tap.run(|| told.load(Ordering::Relaxed), |packet| teller.tell(packet));
            teller.end()
        });
        (sink, LiveStory { stop, teller })
    }

    /// Tells what is captured.
    pub(crate) fn beside(heard: Hearsay, telling: Telling) -> LiveStory {
        let teller = std::thread::spawn(move || {
            let mut teller = Teller::begin(telling);
            for (packet, data) in heard.0 {
                teller.tell(&TapRecord { data: &data, ..packet });
            }
            teller.end()
        });
        LiveStory { stop: Arc::default(), teller }
    }

    /// Tells what is left, and the summary. The engine has stopped, and so has a capture that it is told beside.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.teller.join().unwrap_or_else(|_| Err(io::Error::other("the teller of the story has died")))
    }
}

/// The thread that tells.
struct Teller {
    story: Story,
    out: BufWriter<Box<dyn Write>>,
    number: u64,
    /// Once nobody listens, nothing more is told.
    told: io::Result<()>,
}

impl Teller {
    fn begin(Telling { detail, to_stderr }: Telling) -> Self {
        let out: Box<dyn Write> = if to_stderr { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
        let (mut story, mut out) = (Story::new(detail.into()), BufWriter::new(out));
        let told = story.begin(&mut out);
        Self { story, out, number: 0, told }
    }

    fn tell(&mut self, packet: &TapRecord<'_>) {
        self.number += 1;
        if self.told.is_ok() {
            self.told = one(&mut self.story, packet, self.number, &mut self.out);
        }
    }

    fn end(mut self) -> io::Result<()> {
        let (story, out) = (&mut self.story, &mut self.out);
        match self.told.and_then(|()| story.end(out)).and_then(|()| out.flush()) {
            // Whoever closed the pipe has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            told => told,
        }
    }
}

fn one(story: &mut Story, packet: &TapRecord<'_>, number: u64, out: &mut dyn Write) -> io::Result<()> {
    let comments: Vec<String> = packet.remarks().collect();
    let record = Record {
        number,
        time: Timestamp(packet.time_ns),
        link: LinkType::ETHERNET,
        direction: Some(if packet.is_sent() { Direction::Out } else { Direction::In }),
        missed_before: u64::from(packet.missed_before),
        original_len: packet.original_len,
        data: packet.data,
        comments: &comments,
        ..Record::default()
    };
    story.record(&record, out)?;
    out.flush()
}
