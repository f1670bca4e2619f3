//! Doing something in another network namespace without moving there.

use std::fs::File;
use std::path::Path;

use nix::sched::{CloneFlags, setns};

use super::BlastError;

/// Runs `work` in the namespace of that name, on a thread of its own that is gone afterwards; without a name, here.
///
/// # Errors
/// [`BlastError::Namespace`].
pub fn within<T: Send>(netns: Option<&str>, work: impl FnOnce() -> T + Send) -> Result<T, BlastError> {
    let Some(name) = netns else { return Ok(work()) };
    let failed = |source: std::io::Error| BlastError::Namespace { name: name.to_owned(), source };
    if name.is_empty() || name.contains('/') || name.starts_with('.') {
        return Err(failed(std::io::ErrorKind::InvalidInput.into()));
    }
    let file = File::open(Path::new("/run/netns").join(name)).map_err(failed)?;
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            setns(file, CloneFlags::CLONE_NEWNET).map_err(|errno| failed(errno.into()))?;
            Ok(work())
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
