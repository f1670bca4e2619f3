//! The transfers of one command, one URL after another, each with its record.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bypath_apps::dns::{Family, ResolverConfig};
use bypath_apps::{
    ByteRange, CancelToken, Client, ClientConfig, Credentials, DataMode, FetchError, Request, Target, fetch,
};

use crate::file_sink::{Destination, FileSink, Left, part_name};
use crate::get::DnsArgs;
use crate::output::{EngineFacts, INTERRUPTED, Record};
use crate::progress::Progress;
use crate::stack::Stack;

/// One URL and where its body goes.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    pub(crate) url: String,
    pub(crate) destination: Destination,
}

/// All URLs, and what they have in common.
pub(crate) struct Jobs {
    pub(crate) jobs: Vec<Job>,
    pub(crate) head: bool,
    pub(crate) resume: bool,
    pub(crate) range: Option<ByteRange>,
    pub(crate) max_redirects: Option<u32>,
    pub(crate) fail_on_status: bool,
    pub(crate) credentials: Option<Credentials>,
    pub(crate) data_mode: DataMode,
    pub(crate) family: Family,
    pub(crate) max_time: Option<Duration>,
    pub(crate) connect_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) sha256: bool,
    pub(crate) silent: bool,
    pub(crate) json: bool,
    pub(crate) dns: DnsArgs,
    pub(crate) netns: Option<String>,
}

/// What can be seen of the transfers from outside, for when they do not return in time.
#[derive(Default)]
pub(crate) struct Watch {
    finished: Mutex<Vec<Record>>,
    current: Mutex<Option<(Job, Instant)>>,
    bytes: Arc<AtomicU64>,
}

impl Watch {
    /// The records of what is finished, and one for what is going on.
    pub(crate) fn interrupted(&self, engine: Option<EngineFacts>) -> Vec<Record> {
        let mut records = lock(&self.finished).clone();
        if let Some((job, started)) = lock(&self.current).clone() {
            let mut record = Record::refused(Some(&job.url), INTERRUPTED, "interrupted");
            record.bytes = self.bytes.load(Ordering::Relaxed);
            record.time_total = started.elapsed().as_secs_f64();
            if let Destination::File(name) = &job.destination {
                record.part = part_name(name).ok().filter(|part| part.exists()).map(text);
            }
            record.engine = engine;
            records.push(record);
        }
        records
    }
}

/// What a panicking thread has left behind is still the best that is known.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text(path: PathBuf) -> String {
    path.to_string_lossy().into_owned()
}

impl Jobs {
    /// Runs all jobs; after an interruption, no further ones.
    pub(crate) fn run(&self, stack: &Stack, cancel: &CancelToken, watch: &Watch) -> Vec<Record> {
        let config = ClientConfig {
            resolver: self.resolver(),
            connect_timeout: self.connect_timeout,
            idle_timeout: Some(self.idle_timeout),
            cancel: cancel.clone(),
        };
        let mut client = Client::new(stack.network(), config);
        for job in &self.jobs {
            watch.bytes.store(0, Ordering::Relaxed);
            *lock(&watch.current) = Some((job.clone(), Instant::now()));
            let mut record = Record { url: Some(job.url.clone()), ..Record::default() };
            if let Err(error) = self.one(job, &mut client, &mut record, watch) {
                record.fail(&error);
            }
            record.engine = Some(stack.facts());
            self.tell(&record);
            let interrupted = record.exit_code == INTERRUPTED;
            lock(&watch.finished).push(record);
            *lock(&watch.current) = None;
            if interrupted {
                break;
            }
        }
        lock(&watch.finished).clone()
    }

    fn one(
        &self,
        job: &Job,
        client: &mut Client,
        record: &mut Record,
        watch: &Watch,
    ) -> Result<(), FetchError> {
        let target = Target::parse(&job.url)?;
        let name = match &job.destination {
            Destination::File(path) => text(path.clone()),
            _ => target.public_url(),
        };
        let visible = !self.silent && job.destination != Destination::Stdout;
        let mut sink = FileSink::open(
            &job.destination,
            self.resume,
            self.sha256,
            Progress::new(&name, visible),
            Arc::clone(&watch.bytes),
        )
        .map_err(FetchError::Write)?;
        record.resumed_from = sink.have();
        let request = Request {
            head: self.head,
            resume_from: self.resume.then(|| sink.have()),
            range: self.range,
            max_redirects: self.max_redirects,
            fail_on_status: self.fail_on_status,
            credentials: self.credentials.clone(),
            family: self.family,
            data_mode: self.data_mode,
            max_time: self.max_time,
            ..Request::new(target)
        };
        let transfer = fetch(client, &request, &mut sink);
        record.fill(&transfer.report);
        let left = sink.finish(transfer.result.is_ok()).map_err(FetchError::Write);
        let Left { output, part, sha256 } = match (&transfer.result, left) {
            (_, Ok(left)) => left,
            (Ok(()), Err(error)) => return Err(error),
            // The transfer's own failure is the one to report.
            (Err(_), Err(_)) => Left::default(),
        };
        record.output = output.map(text);
        record.part = part.map(text);
        record.sha256 = sha256;
        transfer.result
    }

    /// What a person wants to read: notes and errors on stderr, the hash where it can be piped.
    fn tell(&self, record: &Record) {
        if !self.silent {
            for note in &record.notes {
                crate::complain!("bypath: note: {note}");
            }
            if let Some(error) = &record.error {
                let mut line = format!("bypath: ({}) {error}", record.exit_code);
                if let Some(part) = &record.part {
                    // Writing to a String cannot fail.
                    let _ = write!(line, "; kept in {part}, continue with -C -");
                }
                crate::complain!("{line}");
            }
        }
        if let (Some(sha256), false) = (&record.sha256, self.json) {
            match &record.output {
                Some(name) => println!("{sha256}  {name}"),
                // Stdout may hold the body.
                None => crate::complain!("{sha256}  {}", record.url.as_deref().unwrap_or("-")),
            }
        }
    }

    /// With `--dns`, only what the options say; else the files, changed by the options.
    fn resolver(&self) -> ResolverConfig {
        let mut config = if self.dns.dns.is_empty() {
            let own = self.netns.as_ref().map(|name| Path::new("/etc/netns").join(name).join("resolv.conf"));
            // ip-netns(8): a namespace may have a resolv.conf of its own.
            let path = own.filter(|path| path.exists()).unwrap_or_else(|| "/etc/resolv.conf".into());
            ResolverConfig::from_files(&path, Some(Path::new("/etc/hosts"))).unwrap_or_default()
        } else {
            ResolverConfig { servers: self.dns.dns.clone(), ..ResolverConfig::default() }
        };
        if !self.dns.search.is_empty() {
            config.search.clone_from(&self.dns.search);
        }
        config.ndots = self.dns.ndots.unwrap_or(config.ndots);
        config.timeout = self.dns.dns_timeout.unwrap_or(config.timeout);
        config.attempts = self.dns.dns_attempts.unwrap_or(config.attempts);
        config
    }
}
