//! `bypath lab` as a user runs it. The tests with `netns` in their names need root.

use std::process::{Command, Output};

fn lab(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bypath")).arg("lab").args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn netns_lab_goes_up_runs_commands_and_comes_down() {
    let name = format!("c{}", std::process::id());
    let up = lab(&["up", "--name", &name, "--mtu", "9000", "--queues", "2", "--json"]);
    assert!(up.status.success(), "{}", text(&up.stderr));
    let made: serde_json::Value = serde_json::from_slice(&up.stdout).unwrap();
    assert_eq!((&made["mtu"], &made["queues"], &made["up"]), (&9000.into(), &2.into(), &true.into()));

    let status: serde_json::Value = serde_json::from_slice(&lab(&["status", "--json"]).stdout).unwrap();
    assert!(status["labs"].as_array().unwrap().contains(&made), "{status}");

    let inside = lab(&["exec", "--name", &name, "far", "--", "sh", "-c", "ls /sys/class/net; exit 7"]);
    assert_eq!((inside.status.code(), text(&inside.stdout).as_str()), (Some(7), "far0\nlo\n"));

    let twice = lab(&["up", "--name", &name]);
    assert!(!twice.status.success());
    assert!(text(&twice.stderr).contains("already up"), "{}", text(&twice.stderr));

    assert!(lab(&["down", "--name", &name]).status.success());
    let gone = lab(&["exec", "--name", &name, "near", "--", "true"]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(text(&gone.stderr).contains("lab up"), "it says how to make one: {}", text(&gone.stderr));
}

#[test]
fn netns_lab_without_root_says_the_command_to_run() {
    use std::os::unix::process::CommandExt;
    // Nobody may not read the build's directory: the program is started as root, and gives it up.
    let mut command = Command::new("sh");
    command.args(["-c", "exec 3< \"$0\"; exec setpriv --reuid 65534 --clear-groups /proc/self/fd/3 lab up"]);
    command.arg(env!("CARGO_BIN_EXE_bypath")).arg0("sh");
    let refused = command.output().unwrap();
    let error = text(&refused.stderr);
    assert!(!refused.status.success());
    assert!(error.contains("root") && error.contains("sudo"), "{error}");
}
