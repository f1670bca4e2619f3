//! `bypath lab`: two hosts in network namespaces, made, shown, used and removed. All of it is in
//! `bypath-lab`; this turns arguments into calls and results into text or JSON.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

use bypath_lab::{HostRecord, Lab, LabError, LabRecord};
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

/// What lab commands call a lab that is given no name.
const DEFAULT_NAME: &str = "bypath";
/// A lab command failed: none of curl's meanings fits.
const FAILED: u8 = 1;

/// The two-host lab: network namespaces joined by a veth pair, without any NIC.
#[derive(Debug, Args)]
pub(crate) struct LabArgs {
    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Debug, Subcommand)]
enum LabCommand {
    /// Make the lab and leave it standing.
    Up {
        #[command(flatten)]
        name: Name,
        /// MTU of the wire in bytes.
        #[arg(long, value_name = "BYTES", default_value_t = 1500)]
        mtu: u32,
        /// Receive and transmit queues of each interface.
        #[arg(long, value_name = "N", default_value_t = 1)]
        queues: u32,
        /// The kernel's offloads. On: the kernel at its fastest, but only kernel hosts can talk to each
        /// other, because checksums are left to a NIC that is not there.
        #[arg(long, value_name = "on|off", default_value = "off")]
        offloads: Switch,
        /// Receive merging, with the other offloads off. A veth interface whose kernel receives takes frames from the pump
        /// (--tx pump) only with it.
        #[arg(long, value_name = "on|off", default_value = "off")]
        gro: Switch,
        /// Print the lab as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Remove the lab and end what runs in it.
    Down {
        #[command(flatten)]
        name: Name,
    },
    /// Run a command in one of the hosts.
    Exec {
        #[command(flatten)]
        name: Name,
        /// Which host.
        host: Side,
        /// The command and its arguments.
        #[arg(last = true, required = true, value_name = "CMD")]
        command: Vec<OsString>,
    },
    /// Show the labs on this machine. Exits with 1 when there is none.
    Status {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
struct Name {
    /// Name of the lab; its namespaces are NAME-near and NAME-far.
    #[arg(long, default_value = DEFAULT_NAME)]
    name: String,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Side {
    /// Where the engine runs.
    Near,
    /// Where the servers run.
    Far,
}

/// Runs a lab command to its end.
pub(crate) fn run(args: LabArgs) -> ExitCode {
    match dispatch(args.command) {
        Ok(code) => code,
        Err(error) => {
            crate::complain!("bypath: {error}");
            ExitCode::from(FAILED)
        }
    }
}

fn dispatch(command: LabCommand) -> Result<ExitCode, LabError> {
    match command {
        LabCommand::Up { name, mtu, queues, offloads, gro, json } => {
            let (offloads, gro) = (matches!(offloads, Switch::On), matches!(gro, Switch::On));
            let builder = Lab::builder().name(&name.name).mtu(mtu).queues(queues).offloads(offloads);
            let lab = builder.gro(gro).keep(true).up()?;
            if json {
                println!("{:#}", describe(lab.record()));
            } else {
                print!("{}", show(lab.record()));
            }
            Ok(ExitCode::SUCCESS)
        }
        LabCommand::Down { name } => Lab::down(&name.name).map(|()| ExitCode::SUCCESS),
        LabCommand::Exec { name, host, command } => exec(&name.name, host, &command),
        LabCommand::Status { json } => status(json),
    }
}

fn exec(name: &str, side: Side, command: &[OsString]) -> Result<ExitCode, LabError> {
    bypath_lab::tool::check_prerequisites()?;
    let lab = Lab::open(name)?;
    let host = match side {
        Side::Near => lab.near(),
        Side::Far => lab.far(),
    };
    let mut run = bypath_lab::tool::command("ip")?;
    run.args(["netns", "exec", host.netns()]).args(command);
    // Its exit code, its signals and its terminal are the command's own: this process becomes it.
    let source = run.exec();
    Err(LabError::Io { action: "starting the command".into(), source })
}

fn status(json: bool) -> Result<ExitCode, LabError> {
    let labs = LabRecord::all()?;
    if json {
        let labs: Vec<_> = labs.iter().map(describe).collect();
        println!("{:#}", json!({ "labs": labs }));
    } else if labs.is_empty() {
        println!("no lab is up; make one with: sudo bypath lab up");
    } else {
        for lab in &labs {
            print!("{}", show(lab));
        }
    }
    Ok(if labs.iter().any(LabRecord::is_up) { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn describe(lab: &LabRecord) -> serde_json::Value {
    let host = |host: &HostRecord| {
        json!({
            "netns": host.netns,
            "dev": host.interface,
            "mac": host.mac,
            "ipv4": format!("{}/24", host.ipv4),
            "ipv6": format!("{}/64", host.ipv6),
        })
    };
    json!({
        "name": lab.name,
        "up": lab.is_up(),
        "owner_pid": lab.owner.map(|owner| owner.pid),
        "mtu": lab.mtu,
        "queues": lab.queues,
        "offloads": lab.offloads,
        "gro": lab.gro,
        "box": lab.middle,
        "near": host(&lab.near),
        "far": host(&lab.far),
    })
}

fn show(lab: &LabRecord) -> String {
    let state = if lab.is_up() { "up" } else { "broken: remove it with `bypath lab down`" };
    let offloads = match (lab.offloads, lab.gro) {
        (true, _) => "on",
        (false, true) => "off but GRO",
        (false, false) => "off",
    };
    let mut text =
        format!("{}: {state}, MTU {}, {} queue(s), offloads {offloads}\n", lab.name, lab.mtu, lab.queues);
    for (side, host) in [("near", &lab.near), ("far", &lab.far)] {
        text += &format!(
            "  {side:<4} netns {}  dev {}  {}/24  {}/64\n",
            host.netns, host.interface, host.ipv4, host.ipv6
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        lab: LabArgs,
    }

    #[test]
    fn a_command_keeps_its_own_options() {
        let cli = Cli::try_parse_from(["lab", "exec", "near", "--", "ping", "-c", "1"]).unwrap();
        let LabCommand::Exec { command, host: Side::Near, name } = cli.lab.command else { panic!() };
        assert_eq!((command, name.name.as_str()), (vec!["ping".into(), "-c".into(), "1".into()], "bypath"));
    }

    #[test]
    fn a_lab_has_offloads_off_unless_told_otherwise() {
        let cli = Cli::try_parse_from(["lab", "up", "--mtu", "9000"]).unwrap();
        assert!(matches!(
            cli.lab.command,
            LabCommand::Up { mtu: 9000, queues: 1, offloads: Switch::Off, json: false, .. }
        ));
        assert!(Cli::try_parse_from(["lab", "up", "--offloads", "maybe"]).is_err());
        assert!(Cli::try_parse_from(["lab", "exec", "near"]).is_err());
    }
}
