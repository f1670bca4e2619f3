//! vsftpd serving a directory to anonymous users and, when asked for, to one user with a password.
//!
//! `ip netns exec` gives the program a mount namespace of its own. In there the directory is bound to
//! where the server may read it once it has given up root, and users and a PAM service of its own
//! hide the machine's. The machine's users and files are not touched.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{absolute, directory, write};
use crate::error::Doing;
use crate::host::Host;
use crate::process::{Process, Transport};
use crate::{Result, tool};

/// What a vsftpd will be. Start with [`Vsftpd::serving`].
#[derive(Debug, Clone)]
pub struct VsftpdBuilder {
    root: PathBuf,
    port: u16,
    user: Option<(String, String)>,
    passive_ports: Option<(u16, u16)>,
    options: String,
}

impl VsftpdBuilder {
    /// The control port; 21 unless said otherwise. Active data connections come from port 20.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Lets a user in with a password, into the same directory.
    pub fn user(mut self, name: &str, password: &str) -> Self {
        self.user = Some((name.to_owned(), password.to_owned()));
        self
    }

    /// The ports for passive data connections.
    pub fn passive_ports(mut self, min: u16, max: u16) -> Self {
        self.passive_ports = Some((min, max));
        self
    }

    /// One more option of vsftpd.conf(5), such as `("pasv_enable", "NO")`.
    pub fn option(mut self, key: &str, value: &str) -> Self {
        self.options.push_str(&format!("{key}={value}\n"));
        self
    }

    /// Starts it on the IPv4 and IPv6 addresses of a host and waits until it listens.
    ///
    /// # Errors
    /// [`LabError::MissingTool`](crate::LabError::MissingTool),
    /// [`LabError::NotReady`](crate::LabError::NotReady) with its log.
    pub fn start(self, host: &Host) -> Result<Vsftpd> {
        let program = tool::find("vsftpd")?;
        let dir = directory(host, "vsftpd")?;
        let (root, empty) = (dir.join("root"), dir.join("empty"));
        for path in [&dir, &root, &empty] {
            fs::create_dir_all(path).doing(|| format!("making {}", path.display()))?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))
                .doing(|| format!("opening up {}", path.display()))?;
        }
        let mut mounts = vec![(absolute(&self.root)?, root.display().to_string())];
        mounts.extend(self.write_user(&dir)?.into_iter().map(|(file, place)| (file, place.to_owned())));
        let config = dir.join("vsftpd.conf");
        write(&config, &self.config(&dir))?;

        // vsftpd says what is wrong with its configuration on file descriptor 0, as if to a client.
        let script = "set -e; program=$1 config=$2; shift 2; \
                      while [ $# -gt 0 ]; do mount --bind \"$1\" \"$2\"; shift 2; done; \
                      exec \"$program\" \"$config\" 0>&1";
        let mut command = host.command("sh")?;
        command.args(["-c", script, "sh"]).arg(program).arg(&config);
        for (what, place) in &mounts {
            command.arg(what).arg(place);
        }
        let mut process = Process::start(host, "vsftpd", &mut command)?;
        process.wait_listening(Transport::Tcp, self.port)?;
        Ok(Vsftpd { process, dir, port: self.port })
    }

    /// What hides the machine's users from the server: users and a PAM service with one user more.
    fn write_user(&self, dir: &Path) -> Result<Vec<(PathBuf, &'static str)>> {
        let Some((user, password)) = &self.user else { return Ok(Vec::new()) };
        let hash = tool::run("openssl", &["passwd", "-6", password])?;
        let users = fs::read_to_string("/etc/passwd").doing(|| "reading /etc/passwd".into())?;
        let files = [
            ("passwd", "/etc/passwd", format!("{users}{user}:x:65533:65533::/:/bin/sh\n")),
            ("shadow", "/etc/shadow", format!("{user}:{}:::::::\n", hash.trim())),
            (
                "pam",
                "/etc/pam.d/vsftpd",
                "auth required pam_unix.so nodelay\naccount required pam_permit.so\n\
                 session required pam_permit.so\n"
                    .to_owned(),
            ),
        ];
        let mut mounts = Vec::new();
        for (name, place, text) in files {
            let file = dir.join(name);
            write(&file, &text)?;
            mounts.push((file, place));
        }
        Ok(mounts)
    }

    fn config(&self, dir: &Path) -> String {
        let at = dir.display();
        let mut config = format!(
            "listen=NO\nlisten_ipv6=YES\nlisten_port={port}\nbackground=NO\nseccomp_sandbox=NO\n\
             secure_chroot_dir={at}/empty\nxferlog_enable=YES\nlog_ftp_protocol=YES\nvsftpd_log_file={at}/log\n\
             syslog_enable=NO\nuse_sendfile=YES\nconnect_from_port_20=YES\nanonymous_enable=YES\n\
             anon_root={at}/root\nno_anon_password=YES\nftp_username=ftp\nanon_world_readable_only=NO\n\
             write_enable=NO\nsession_support=NO\ndirmessage_enable=NO\n",
            port = self.port
        );
        if self.user.is_some() {
            config.push_str(&format!(
                "local_enable=YES\nguest_enable=YES\nguest_username=ftp\nlocal_root={at}/root\n\
                 pam_service_name=vsftpd\nvirtual_use_local_privs=YES\ncheck_shell=NO\n"
            ));
        }
        if let Some((min, max)) = self.passive_ports {
            config.push_str(&format!("pasv_min_port={min}\npasv_max_port={max}\n"));
        }
        config + &self.options
    }
}

/// A running vsftpd.
#[derive(Debug)]
pub struct Vsftpd {
    process: Process,
    dir: PathBuf,
    port: u16,
}

impl Vsftpd {
    /// A vsftpd to be, that serves a directory to anonymous users, in active and passive mode.
    pub fn serving(root: &Path) -> VsftpdBuilder {
        VsftpdBuilder {
            root: root.to_owned(),
            port: 21,
            user: None,
            passive_ports: None,
            options: String::new(),
        }
    }

    /// Its control port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The running program.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Every command and reply, one line each.
    pub fn protocol_log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }
}
