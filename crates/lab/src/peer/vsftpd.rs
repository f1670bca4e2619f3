//! vsftpd serving a directory to anonymous users and, when asked for, to one user with a password.
//!
//! `ip netns exec` gives the program a mount namespace of its own. In there the directory is bound to
//! where the server may read it once it has given up root, and a PAM service that knows the one
//! password hides the machine's own. The machine's users and files are not touched.

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
        let pam = self.write_pam(&dir)?;
        let config = dir.join("vsftpd.conf");
        write(&config, &self.config(&dir))?;

        // vsftpd says what is wrong with its configuration on file descriptor 0, as if to a client.
        let script = "mount --bind \"$1\" \"$2\" && { [ -z \"$3\" ] || mount --bind \"$3\" /etc/pam.d/vsftpd; } \
                      && exec \"$5\" \"$4\" 0>&1";
        let mut command = host.command("sh")?;
        command.args(["-c", script, "sh"]).arg(absolute(&self.root)?).arg(&root);
        command.arg(pam.unwrap_or_default()).arg(&config).arg(program);
        let mut process = Process::start(host, "vsftpd", &mut command)?;
        process.wait_listening(Transport::Tcp, self.port)?;
        Ok(Vsftpd { process, dir, port: self.port })
    }

    /// A PAM service that asks a script, which reads the password from its standard input.
    fn write_pam(&self, dir: &Path) -> Result<Option<PathBuf>> {
        let Some((user, password)) = &self.user else { return Ok(None) };
        let (script, service, expected) = (dir.join("check"), dir.join("pam"), dir.join("password"));
        write(&expected, &format!("{user}\n{password}\n"))?;
        let lines = format!(
            "#!/bin/sh\ngiven=$(tr -d '\\000')\n{{ read -r user; read -r password; }} < '{}'\n\
             [ \"$PAM_USER\" = \"$user\" ] && [ \"$given\" = \"$password\" ]\n",
            expected.display()
        );
        write(&script, &lines)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
            .doing(|| "marking a script as a program".into())?;
        let lines = format!(
            "auth required pam_exec.so quiet expose_authtok {}\naccount required pam_permit.so\n\
             session required pam_permit.so\n",
            script.display()
        );
        write(&service, &lines)?;
        Ok(Some(service))
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
