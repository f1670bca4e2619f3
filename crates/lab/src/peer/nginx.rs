//! nginx serving a directory: keep-alive, sendfile, byte ranges.

use std::fs;
use std::path::{Path, PathBuf};

use super::{absolute, directory, write};
use crate::Result;
use crate::host::Host;
use crate::process::{Process, Transport};

/// What an nginx will be. Start with [`Nginx::serving`].
#[derive(Debug, Clone)]
pub struct NginxBuilder {
    root: PathBuf,
    port: u16,
    extra: String,
}

impl NginxBuilder {
    /// The port; 80 unless said otherwise.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// More directives for its `server` block: `location`, `return 302 …`, `limit_rate`.
    pub fn directives(mut self, text: &str) -> Self {
        self.extra.push_str(text);
        self.extra.push('\n');
        self
    }

    /// Starts it on both addresses of a host and waits until it listens.
    ///
    /// # Errors
    /// [`LabError::MissingTool`](crate::LabError::MissingTool),
    /// [`LabError::NotReady`](crate::LabError::NotReady) with its log.
    pub fn start(self, host: &Host) -> Result<Nginx> {
        let dir = directory(host, "nginx")?;
        let (at, root, port) = (dir.display(), absolute(&self.root)?, self.port);
        // The worker stays root: it must read a directory wherever its owner keeps it.
        let config = format!(
            "user root;\ndaemon off;\nworker_processes 1;\npid {at}/pid;\nerror_log {at}/error.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n  default_type application/octet-stream;\n  access_log {at}/access.log;\n  \
             client_body_temp_path {at}/body;\n  proxy_temp_path {at}/proxy;\n  fastcgi_temp_path {at}/fastcgi;\n  \
             uwsgi_temp_path {at}/uwsgi;\n  scgi_temp_path {at}/scgi;\n  \
             sendfile on;\n  sendfile_max_chunk 0;\n  tcp_nopush on;\n  keepalive_timeout 60s;\n  \
             keepalive_requests 100000;\n  open_file_cache max=100;\n  \
             server {{\n    listen {v4}:{port};\n    listen [{v6}]:{port};\n    root \"{root}\";\n    {extra}\n  }}\n}}\n",
            v4 = host.ipv4(),
            v6 = host.ipv6(),
            root = root.display(),
            extra = self.extra,
        );
        let file = dir.join("nginx.conf");
        write(&file, &config)?;
        let mut command = host.command("nginx")?;
        command.arg("-e").arg(dir.join("error.log")).arg("-p").arg(&dir).arg("-c").arg(&file);
        let mut process = Process::start(host, "nginx", &mut command)?;
        process.wait_listening(Transport::Tcp, port)?;
        Ok(Nginx { process, dir, port })
    }
}

/// A running nginx.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    dir: PathBuf,
    port: u16,
}

impl Nginx {
    /// An nginx to be, that serves a directory.
    pub fn serving(root: &Path) -> NginxBuilder {
        NginxBuilder { root: root.to_owned(), port: 80, extra: String::new() }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The running program.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The requests it has answered, one line each.
    pub fn access_log(&self) -> String {
        fs::read_to_string(self.dir.join("access.log")).unwrap_or_default()
    }
}
