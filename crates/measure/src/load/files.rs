//! Settings of `files`: which files, by which protocol, which way, into what.

use super::ftp::FtpSettings;
use super::http::HttpSettings;
use super::settings::{Impossible, SinkSettings};

/// Of `files`.
#[derive(Clone, Debug)]
pub struct FilesSettings {
    /// How and which.
    pub protocol: FileProtocol,
    /// Where they go.
    pub sink: SinkSettings,
}

/// By which protocol files are fetched.
#[derive(Clone, Debug)]
pub enum FileProtocol {
    /// GET, on kept connections or one for each file.
    Http(HttpSettings),
    /// RETR or STOR, in passive mode, on kept control connections.
    Ftp(FtpSettings),
}

impl FileProtocol {
    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Http(_) => "http",
            Self::Ftp(_) => "ftp",
        }
    }
}

impl FilesSettings {
    pub(super) fn check(&self) -> Result<(), Impossible> {
        if matches!(self.sink, SinkSettings::File(_)) {
            return Err(Impossible("several files cannot go into one: give a directory with --sink".into()));
        }
        match &self.protocol {
            FileProtocol::Http(http) => http.check(),
            FileProtocol::Ftp(ftp) => ftp.check(),
        }
    }
}
