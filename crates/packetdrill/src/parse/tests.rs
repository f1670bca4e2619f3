use super::*;
use crate::script::{Body, TcpOption, Tos, Value, flag};

fn one(text: &str) -> Event {
    let script = parse("t.pkt", text).unwrap();
    assert_eq!(script.events.len(), 1, "{text}");
    script.events[0].clone()
}

fn refused(text: &str) -> String {
    let failure = parse("t.pkt", text).unwrap_err();
    format!("{}:{}", failure.line, failure.message)
}

#[test]
fn times_are_exact_and_of_five_kinds() {
    let times = [
        ("0", Time::Absolute(0)),
        ("1.5", Time::Absolute(1_500_000_000)),
        ("+.000001", Time::Relative(1_000)),
        ("*", Time::Any),
        ("0.1~0.2", Time::AbsoluteRange(100_000_000, 200_000_000)),
        ("+.2~+.3", Time::RelativeRange(200_000_000, 300_000_000)),
    ];
    for (text, time) in times {
        assert_eq!(one(&format!("{text} > . 1:1(0) ack 1")).time, time, "{text}");
    }
}

#[test]
fn a_segment_has_flags_numbers_window_and_options() {
    let text = "+0 < [ce] 5000 > 8080 FPU.6 1:1001(1000) ack 3 win 257 urg 5 <nop,TS val 1 ecr 2,sack 1:2 3:4,FO 0aff>";
    let Action::Inbound(packet) = one(text).action else { panic!("not inbound") };
    assert_eq!(packet.ports, Some((5000, 8080)));
    assert_eq!(packet.ip.tos, Some(Tos::Ecn(3)));
    let Body::Tcp(tcp) = packet.body else { panic!("not TCP") };
    assert_eq!(tcp.flags, flag::FIN | flag::PSH | flag::URG | flag::ACK | flag::CWR | flag::AE);
    assert_eq!((tcp.seq, tcp.len, tcp.ack, tcp.window, tcp.urgent), (1, 1000, 3, Some(257), 5));
    let options = vec![
        TcpOption::Nop,
        TcpOption::Timestamps { value: 1, echo: 2 },
        TcpOption::Sack(vec![(1, 2), (3, 4)]),
        TcpOption::FastOpen(vec![0x0a, 0xff]),
    ];
    assert_eq!(tcp.options, Some(options));
}

#[test]
fn no_options_any_options_and_any_rest_are_three_things() {
    let options = |text: &str| match one(&format!("+0 > . 1:1(0) ack 1 {text}")).action {
        Action::Outbound(crate::script::PacketSpec { body: Body::Tcp(tcp), .. }) => tcp.options,
        other => panic!("{other:?}"),
    };
    assert_eq!(options(""), Some(Vec::new()));
    assert_eq!(options("<...>"), None);
    assert_eq!(options("<nop, ...>"), Some(vec![TcpOption::Nop, TcpOption::Rest]));
}

#[test]
fn calls_have_nested_values_results_and_errors() {
    let text = "+0...0.1 poll([{fd=4, events=POLLIN|POLLOUT, revents=0x1}], 1, -1) = -1 EAGAIN (Resource unavailable)";
    let Action::Call(call) = one(text).action else { panic!("not a call") };
    assert_eq!((call.name.as_str(), call.end), ("poll", Some(100_000_000)));
    assert_eq!((call.result, call.errno.as_deref()), (Value::Number(-1), Some("EAGAIN")));
    let Value::List(list) = &call.arguments[0] else { panic!("not a list") };
    let Value::Record(members) = &list[0] else { panic!("not a record") };
    assert_eq!(members[2], ("revents".to_owned(), Value::Number(1)));
}

#[test]
fn options_comments_commands_and_code_are_read() {
    let text =
        "// head\n--ip_version=ipv4\n/* two\nlines */\n`sysctl -q a=1`\n0 %{\nassert 1 == 1\n}%\n+0 `true`\n";
    let script = parse("t.pkt", text).unwrap();
    assert_eq!(script.option("ip_version"), Some("ipv4"));
    let lines: Vec<usize> = script.events.iter().map(|e| e.line).collect();
    assert_eq!(lines, [5, 6, 9]);
}

#[test]
fn what_is_not_of_the_language_is_named_with_its_line() {
    assert!(
        refused("0 socket(..., SOCK_STREAM, 0) = 3\n+0 < X. 1:1(0) ack 1").starts_with("2:`X` is no flag")
    );
    assert!(refused("0 < . 1:2(0) ack 1").contains("do not fit the length"));
    assert!(refused("0 < . 1:1(0) ack 1 <foo 1>").contains("the TCP option `foo` is not known"));
    assert!(refused("+0 > udp (100)").contains("`udp` packets are not spoken here"));
    assert!(refused("hello world").contains("a time begins each"));
    assert!(refused("* < . 1:1(0) ack 1").contains("outbound packets only"));
    assert!(refused("+0 < . 1:1(0) ack 1 <...>").contains("outbound packets only"));
}
