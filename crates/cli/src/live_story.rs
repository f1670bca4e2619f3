//! `bypath get --story`: the story of a transfer while it goes on, from the packets that the engine receives and sends.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use bypath::{Tap, TapOptions, TapRecord, TapSink, tap};
use bypath_trace::story::Story;
use bypath_trace::style::Style;
use bypath_trace::{Direction, LinkType, Record, Timestamp};

use crate::story_args::DetailLevel;

/// A story that is being told.
pub(crate) struct LiveStory {
    stop: Arc<AtomicBool>,
    teller: JoinHandle<io::Result<()>>,
}

impl LiveStory {
    /// Tells, on stdout or on stderr, what comes out of the tap; the engine is to be given the other end.
    pub(crate) fn start(detail: DetailLevel, to_stderr: bool) -> (TapSink, LiveStory) {
        let (sink, tap) = tap(TapOptions::default());
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let teller = std::thread::spawn(move || {
            let out: Box<dyn Write> = if to_stderr { Box::new(io::stderr()) } else { Box::new(io::stdout()) };
            tell(tap, Story::new(detail.into()), &mut BufWriter::new(out), &told)
        });
        (sink, LiveStory { stop, teller })
    }

    /// Tells what is left, and the summary. The engine has stopped.
    pub(crate) fn finish(self) -> io::Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.teller.join().unwrap_or_else(|_| Err(io::Error::other("the teller of the story has died")))
    }
}

fn tell(mut tap: Tap, mut story: Story, out: &mut dyn Write, stop: &AtomicBool) -> io::Result<()> {
    let mut number = 0;
    let mut told = story.begin(out);
    tap.run(
        || stop.load(Ordering::Relaxed),
        |packet| {
            number += 1;
            if told.is_ok() {
                told = one(&mut story, packet, number, out);
            }
        },
    );
    // Whoever closed the pipe has seen enough.
    match told.and_then(|()| story.end(out)).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        told => told,
    }
}

fn one(story: &mut Story, packet: &TapRecord<'_>, number: u64, out: &mut dyn Write) -> io::Result<()> {
    let mut comments: Vec<String> = packet.remarks().collect();
    if packet.missed_before > 0 {
        comments.push(format!(
            "{} packets before this one are missing: the story did not keep up",
            packet.missed_before
        ));
    }
    let record = Record {
        number,
        time: Timestamp(packet.time_ns),
        link: LinkType::ETHERNET,
        interface: None,
        direction: Some(if packet.is_sent() { Direction::Out } else { Direction::In }),
        original_len: packet.original_len,
        data: packet.data,
        comments: &comments,
    };
    story.record(&record, out)?;
    out.flush()
}
