//! Reading and writing. What is written is the stream of `mapping`, and what is read must be it.

use super::{Returned, errno};
use crate::mapping::{first_wrong_byte, stream_bytes};
use crate::runner::Runner;

impl Runner {
    /// read() and recv(). `all`: MSG_WAITALL.
    pub(super) fn read(
        &mut self,
        fd: i64,
        len: usize,
        all: bool,
        done: &mut i64,
    ) -> Result<Option<Returned>, String> {
        let Some(socket) = self.connection(fd)? else { return Ok(Some(Err("ENOTCONN".to_owned()))) };
        let mut bytes = vec![0; len.saturating_sub(usize::try_from(*done).unwrap_or(0))];
        let received = self.stack()?.recv(socket, &mut bytes);
        let descriptor = self.descriptor(fd)?;
        let n = match received {
            Ok(Some(n)) => n,
            Ok(None) if descriptor.shut_reading || len == 0 => return Ok(Some(Ok(*done))),
            Ok(None) => return Ok(None),
            Err(_) if descriptor.told || *done > 0 => return Ok(Some(Ok(*done))),
            Err(error) => {
                descriptor.told = true;
                return Ok(Some(Err(errno(&error))));
            }
        };
        let at = descriptor.read;
        descriptor.read = at.wrapping_add(u32::try_from(n).map_err(|e| e.to_string())?);
        if let Some(at) = first_wrong_byte(at, bytes.get(..n).unwrap_or_default()) {
            return Err(format!("byte {at} that was read is not what the peer has sent"));
        }
        *done += i64::try_from(n).map_err(|e| e.to_string())?;
        let enough = !all || n == 0 || *done >= i64::try_from(len).map_err(|e| e.to_string())?;
        Ok(enough.then_some(Ok(*done)))
    }

    /// write() and send(). A socket that blocks takes all of it.
    pub(super) fn write(&mut self, fd: i64, len: usize, done: &mut i64) -> Result<Option<Returned>, String> {
        let Some(socket) = self.connection(fd)? else { return Ok(Some(Err("EPIPE".to_owned()))) };
        let descriptor = self.descriptor(fd)?;
        let left = len.saturating_sub(usize::try_from(*done).unwrap_or(0));
        let bytes = stream_bytes(descriptor.written, u32::try_from(left).map_err(|e| e.to_string())?);
        let sent = self.stack()?.send(socket, &bytes);
        let descriptor = self.descriptor(fd)?;
        let n = match sent {
            Ok(n) => n,
            Err(_) if *done > 0 => return Ok(Some(Ok(*done))),
            Err(_) if descriptor.told => return Ok(Some(Err("EPIPE".to_owned()))),
            Err(error) => {
                descriptor.told = true;
                return Ok(Some(Err(errno(&error))));
            }
        };
        descriptor.written = descriptor.written.wrapping_add(u32::try_from(n).map_err(|e| e.to_string())?);
        *done += i64::try_from(n).map_err(|e| e.to_string())?;
        if n == left || (*done > 0 && descriptor.nonblocking) {
            return Ok(Some(Ok(*done)));
        }
        Ok(None)
    }
}
