//! Histograms as text: HdrHistogram's V2 encoding, deflated, in base64. It is what interval logs hold, and what its
//! implementations in other languages read.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use super::{HIGHEST_NS, NanoHistogram};

/// Why a text is no histogram.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It is not base64.
    #[error("the histogram is not base64: {0}")]
    Base64(#[from] base64::DecodeError),
    /// What is inside is no histogram.
    #[error("the histogram cannot be read: {0}")]
    Histogram(String),
}

impl NanoHistogram {
    /// As text.
    pub fn encode(&self) -> String {
        let mut bytes = Vec::new();
        // Writing to memory does not fail, and counts and bounds of ours fit the format.
        match V2DeflateSerializer::new().serialize(self.as_hdr(), &mut bytes) {
            Ok(_) => STANDARD.encode(&bytes),
            Err(_) => String::new(),
        }
    }

    /// From text, also from that of another program. How many values were saturated is not in the format.
    pub fn decode(text: &str) -> Result<NanoHistogram, DecodeError> {
        let bytes = STANDARD.decode(text.trim())?;
        let mut reader = bytes.as_slice();
        let read = Deserializer::new().deserialize::<u64, _>(&mut reader);
        let counts = read.map_err(|error| DecodeError::Histogram(error.to_string()))?;
        if counts.max() > HIGHEST_NS.saturating_mul(2) {
            return Err(DecodeError::Histogram("it holds values of more than two hours".to_owned()));
        }
        Ok(NanoHistogram { counts, saturated: 0 })
    }
}
