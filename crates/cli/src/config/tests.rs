//! Tests of configuration files on a command made for them, which has one option of each kind.

use std::ffi::OsString;
use std::io::Write;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use proptest::prelude::*;

use super::{Outcome, read, with_options};

#[derive(Debug, Parser, PartialEq)]
#[command(name = "tool", version)]
struct Tool {
    #[command(subcommand)]
    command: Verb,
}

#[derive(Debug, PartialEq, Subcommand)]
enum Verb {
    Work(WorkArgs),
    /// Commands below a command.
    Nested {
        #[command(subcommand)]
        inner: Inner,
    },
    /// Has no options.
    Plain {
        word: Option<String>,
    },
}

#[derive(Debug, PartialEq, Subcommand)]
enum Inner {
    Deep {
        #[arg(long, default_value_t = 3)]
        depth: u32,
        #[arg(last = true)]
        command: Vec<String>,
    },
}

#[derive(Args, Debug, Clone, PartialEq)]
struct WorkArgs {
    #[arg(value_name = "PATTERN")]
    pattern: String,
    targets: Vec<String>,
    #[arg(short, long, default_value_t = 1)]
    connections: u32,
    #[arg(short = 't', long, visible_alias = "time")]
    duration: Option<f64>,
    #[arg(long)]
    header: Vec<String>,
    #[arg(long, value_delimiter = ',')]
    sizes: Vec<u32>,
    #[arg(long, num_args = 0..=1, default_missing_value = "-")]
    json: Option<String>,
    #[arg(long, value_enum, default_value_t = Mode::Fast)]
    mode: Mode,
    #[arg(short, long, action = clap::ArgAction::Count)]
    verbose: u8,
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    ipv4: bool,
    #[arg(short = '6', long)]
    ipv6: bool,
    #[arg(long, help_heading = "Names", allow_hyphen_values = true)]
    name: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Mode {
    Fast,
    Slow,
}

fn go(args: &[&str]) -> Result<Outcome, String> {
    let args: Vec<OsString> =
        std::iter::once("tool").chain(args.iter().copied()).map(OsString::from).collect();
    read(&with_options(Tool::command()), &args).map_err(|error| error.render().to_string())
}

fn parsed(args: &[&str]) -> Verb {
    match go(args) {
        Ok(Outcome::Run(matches)) => Tool::from_arg_matches(&matches).unwrap().command,
        Ok(Outcome::Print(text)) => panic!("printed {text}"),
        Err(error) => panic!("{error}"),
    }
}

fn printed(args: &[&str]) -> String {
    match go(args) {
        Ok(Outcome::Print(text)) => text,
        Ok(Outcome::Run(_)) => panic!("ran"),
        Err(error) => panic!("{error}"),
    }
}

fn refusal(args: &[&str]) -> String {
    match go(args) {
        Err(error) => error,
        Ok(_) => panic!("accepted"),
    }
}

fn file(text: &str) -> (tempfile::NamedTempFile, String) {
    let mut file = tempfile::Builder::new().prefix("c").suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    (file, path)
}

fn work(args: &[&str]) -> WorkArgs {
    match parsed(args) {
        Verb::Work(work) => work,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_says_what_the_command_line_would() {
    let (_file, path) = file(
        "pattern = \"rr\"\ntargets = [\"a\", \"b\"]\nconnections = 1_000\ntime = 2.5\nheader = [\"A: 1\", \"B: 2\"]\n\
         sizes = [1, 2]\njson = true\nmode = \"slow\"\nverbose = 2\nipv4 = true\nipv6 = false\nname = \"-x\"\n",
    );
    let by_file = work(&["work", "--config", &path]);
    let by_hand = work(&[
        "work",
        "rr",
        "a",
        "b",
        "-c",
        "1000",
        "-t",
        "2.5",
        "--header",
        "A: 1",
        "--header",
        "B: 2",
        "--sizes",
        "1,2",
        "--mode",
        "slow",
        "-vv",
        "-4",
        "--name=-x",
        "--json",
    ]);
    assert_eq!(by_file, by_hand);
}

#[test]
fn the_command_line_wins_over_the_file() {
    let (_file, path) = file("connections = 5\nheader = [\"A\", \"B\"]\nmode = \"slow\"\npattern = \"rr\"\n");
    let args = work(&["work", "stream", "x", "--header", "C", "--config", &path, "-c", "9"]);
    assert_eq!((args.connections, args.header, args.mode), (9, vec!["C".to_owned()], Mode::Slow));
    assert_eq!((args.pattern.as_str(), args.targets), ("stream", vec!["x".to_owned()]));
}

#[test]
fn what_conflicts_with_the_command_line_gives_way() {
    let (_file, path) = file("ipv4 = true\n");
    let args = work(&["work", "rr", "-6", "--config", &path]);
    assert!(args.ipv6 && !args.ipv4);
}

#[test]
fn what_conflicts_within_the_file_is_an_error_that_names_the_file() {
    let (_file, path) = file("ipv4 = true\nipv6 = true\n");
    let error = refusal(&["work", "rr", "--config", &path]);
    assert!(error.contains("cannot be used with") && error.contains(&path), "{error}");
}

#[test]
fn an_option_whose_value_may_be_left_out_takes_no_neighbour() {
    let (_file, path) = file("json = true\n");
    let args = work(&["work", "--config", &path, "rr"]);
    assert_eq!((args.json.as_deref(), args.pattern.as_str()), (Some("-"), "rr"));
    let (_file, path) = file("pattern = \"rr\"\n");
    let args = work(&["work", "--config", &path, "--json"]);
    assert_eq!((args.json.as_deref(), args.pattern.as_str()), (Some("-"), "rr"));
}

#[test]
fn tables_are_for_the_commands_they_name() {
    let text = "[work]\npattern = \"rr\"\n[nested.deep]\ndepth = 7\ncommand = [\"-l\"]\n";
    let (_file, path) = file(text);
    assert_eq!(work(&["work", "--config", &path]).pattern, "rr");
    let Verb::Nested { inner: Inner::Deep { depth, command } } =
        parsed(&["nested", "deep", "--config", &path])
    else {
        panic!()
    };
    assert_eq!((depth, command), (7, vec!["-l".to_owned()]));
}

#[test]
fn a_table_goes_before_what_stands_above_it() {
    for text in ["connections = 1\n[work]\nconnections = 2\n", "[work]\nconnections = 2\n[nested]\nx = 1\n"] {
        let (_file, path) = file(text);
        assert_eq!(work(&["work", "rr", "--config", &path]).connections, 2, "{text}");
    }
}

#[test]
fn a_typo_names_line_column_and_the_nearest_key() {
    let (_file, path) = file("# load\nheader = [\"é\"]\n  conections = 5\n");
    let error = refusal(&["work", "rr", "--config", &path]);
    let expected =
        format!("{path}:3:3: \"conections\" is not an option of `tool work`; the nearest is \"connections\"");
    assert!(error.contains(&expected), "{error}");
    assert!(error.contains("3 |   conections = 5\n  |   ^^^^^^^^^^\n"), "{error}");
}

#[test]
fn a_short_name_is_answered_with_the_long_one() {
    let (_file, path) = file("c = 5\n");
    assert!(refusal(&["work", "rr", "--config", &path]).contains("write \"connections\""));
}

#[test]
fn a_table_of_no_command_is_an_error() {
    let (_file, path) = file("\n[wrok]\nmode = \"slow\"\n");
    let error = refusal(&["work", "rr", "--config", &path]);
    assert!(error.contains(":2:2: \"wrok\" is not a command; the nearest is \"work\""), "{error}");
}

#[test]
fn a_bad_value_names_its_line() {
    for (text, place, words) in [
        ("a = 1\n", ":1:1:", "not an option"),
        ("\nconnections = \"many\"\n", ":2:15:", "invalid value 'many'"),
        ("mode = \"brisk\"\n", ":1:8:", "it is one of fast, slow"),
        ("ipv4 = 1\n", ":1:8:", "\"ipv4\" is true or false"),
        ("connections = [1, 2]\n", ":1:15:", "takes one value"),
        ("connections = 1979-05-27\n", ":1:15:", "a string or a number"),
        ("connections = true\n", ":1:15:", "a string or a number"),
        ("sizes = [1, [2]]\n", ":1:9:", "strings and numbers"),
        ("verbose = 256\n", ":1:11:", "0 to 255"),
        ("connections = \n", ":1:1", "not TOML"),
        ("connections = 1\nconnections = 2\n", ":2:1:", "duplicate key"),
        ("config = \"other.toml\"\n", ":1:1:", "not an option"),
    ] {
        let (_file, path) = file(text);
        let error = refusal(&["work", "rr", "--config", &path]);
        assert!(error.contains(&format!("{path}{place}")) && error.contains(words), "{text:?}: {error}");
    }
}

#[test]
fn a_file_that_is_not_there_is_an_error() {
    let error = refusal(&["work", "rr", "--config", "/nonexistent.toml"]);
    assert!(error.contains("cannot read the configuration file /nonexistent.toml"), "{error}");
}

#[test]
fn errors_of_the_command_line_are_what_they_were() {
    assert!(refusal(&["work", "rr", "--nothing"]).contains("unexpected argument '--nothing'"));
    assert!(refusal(&["work"]).contains("<PATTERN>"));
    assert!(refusal(&["work", "rr", "--config"]).contains("--config <FILE>"));
    assert!(refusal(&["work", "--help"]).contains("--print-config"));
    assert!(refusal(&[]).contains("Usage"));
}

#[test]
fn commands_without_options_take_no_file() {
    assert!(refusal(&["plain", "--config", "x"]).contains("unexpected argument '--config'"));
    assert_eq!(parsed(&["plain", "config"]), Verb::Plain { word: Some("config".to_owned()) });
}

#[test]
fn what_is_printed_is_toml_with_defaults_and_placeholders() {
    let text = printed(&["work", "rr", "--print-config", "--sizes", "1,2", "--json"]);
    for line in [
        "[work]",
        "pattern = \"rr\"",
        "# targets = [\"TARGETS\"]",
        "connections = 1",
        "sizes = [1, 2]",
        "json = \"-\"",
        "mode = \"fast\"",
        "verbose = 0",
        "ipv4 = false",
        "# Names",
    ] {
        assert!(text.lines().any(|it| it == line), "{line:?} is not in\n{text}");
    }
    assert!(!text.contains("print-config"), "{text}");
}

#[test]
fn a_configuration_can_be_printed_before_it_is_complete() {
    assert!(printed(&["work", "--print-config", "-c", "4"]).contains("# pattern = \"PATTERN\"\n"));
    assert!(refusal(&["work", "--print-config", "-c", "four"]).contains("invalid value 'four'"));
}

#[test]
fn a_file_is_part_of_what_is_printed() {
    let (_file, path) = file("connections = 5\n");
    assert!(printed(&["work", "--config", &path, "--print-config"]).contains("\nconnections = 5\n"));
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9./=:-]{1,8}",
        any::<String>()
            .prop_filter("no value can be empty or hold NUL here", |s| !s.is_empty() && !s.contains('\0')),
        any::<f64>().prop_map(|n| n.to_string()),
    ]
}

proptest! {
    /// Whatever is printed reads back to the same, and prints the same.
    #[test]
    fn what_is_printed_reads_back(
        pattern in word(),
        targets in prop::collection::vec(word(), 0..3),
        header in prop::collection::vec(word(), 0..3),
        sizes in prop::collection::vec(any::<u32>(), 0..3),
        connections in any::<u32>(),
        duration in prop::option::of(0.0..1e9f64),
        json in prop::option::of(prop::option::of(word())),
        name in prop::option::of(word()),
        verbose in 0..4usize,
        slow: bool,
        ipv6: bool,
    ) {
        let mut args: Vec<String> = vec!["work".into(), format!("--connections={connections}")];
        args.extend(header.iter().map(|h| format!("--header={h}")));
        args.extend(sizes.iter().map(|s| format!("--sizes={s}")));
        args.extend(duration.map(|d| format!("--duration={d}")));
        args.extend(json.map(|j| j.map_or("--json".into(), |j| format!("--json={j}"))));
        args.extend(name.map(|n| format!("--name={n}")));
        args.extend(std::iter::repeat_n("-v".to_owned(), verbose));
        args.push(format!("--mode={}", if slow { "slow" } else { "fast" }));
        if ipv6 { args.push("-6".into()); }
        args.push("--".into());
        args.push(pattern);
        args.extend(targets);
        let given: Vec<&str> = args.iter().map(String::as_str).collect();
        let before = parsed(&given);
        let with_print: Vec<&str> = std::iter::once(given[0]).chain(["--print-config"]).chain(given[1..].iter().copied()).collect();
        let (_file, path) = file(&printed(&with_print));
        prop_assert_eq!(before, parsed(&["work", "--config", &path]));
        prop_assert_eq!(printed(&with_print), printed(&["work", "--config", &path, "--print-config"]));
    }
}
