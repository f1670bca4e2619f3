//! What tests with a kernel at the other end share: bytes both ways over one connection, checked at both ends.

use std::net::Shutdown;
use std::time::Duration;

use bypath::{Engine, TcpStream};
use bypath_lab::{Host, Pattern, TcpJob, TcpService, kernel_tcp};

pub(crate) const MIB: u64 = 1 << 20;
/// Longer than anything here takes: a test that waits for it has failed.
pub(crate) const LONG: Duration = Duration::from_secs(30);

const OURS: Pattern = Pattern::new(1);
const THEIRS: Pattern = Pattern::new(2);

/// Exchanges so many bytes with whoever connects.
pub(crate) fn service(host: &Host, bytes: u64) -> TcpService {
    TcpService::start(host, host.at(9000), TcpJob::Exchange(THEIRS, bytes, OURS)).unwrap()
}

/// Sends and receives so many bytes at once over a new connection, and checks what comes.
pub(crate) fn exchange(engine: &Engine, service: &TcpService, bytes: u64) {
    let stream = TcpStream::connect_timeout(engine, service.address(), LONG).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.set_write_timeout(Some(LONG)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(std::io::copy(&mut OURS.reader(bytes), &mut &stream).unwrap(), bytes);
            stream.shutdown(Shutdown::Write).unwrap();
        });
        let (mut received, mut mismatch) = (0, None);
        kernel_tcp::receive(&stream, Some(THEIRS), &mut received, &mut mismatch).unwrap();
        assert_eq!((received, mismatch), (bytes, None));
    });
}

/// The kernel's end has it all, on so many connections.
pub(crate) fn assert_all_arrived(service: &TcpService, connections: usize, bytes: u64) {
    for report in service.reports(connections, LONG).unwrap() {
        assert_eq!((report.received, report.mismatch, report.error), (bytes, None, None));
    }
}
