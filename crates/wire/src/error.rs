//! Why bytes are not the header they were taken for. One small `Copy` value: the data path counts these.

use thiserror::Error;

/// The outcome of reading a header.
pub type Result<T> = std::result::Result<T, WireError>;

/// Why bytes could not be read as the format asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes end before the header, or before the length that the header states.
    #[error("the packet ends before its header or its stated length does")]
    Truncated,
    /// A length field contradicts its format: a header length below the minimum, an option of length zero.
    #[error("a length field contradicts the format")]
    BadLength,
    /// The IP version is not the one asked for.
    #[error("not the IP version expected")]
    BadVersion,
    /// A field holds a value that the format forbids.
    #[error("a field holds a value the format forbids")]
    BadValue,
    /// More stacked headers than any honest packet carries.
    #[error("too many stacked headers")]
    TooManyHeaders,
}
