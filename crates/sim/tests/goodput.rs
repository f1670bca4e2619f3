//! A table of goodput by loss, delay, queue and algorithm, kept with the source, so that a change of congestion
//! control shows as a change of the table.
//!
//! `BYPATH_SIM_UPDATE=1 cargo test -p bypath-sim --test goodput` writes it anew.

use std::fmt::Write as _;
use std::time::Duration;

use bypath_sim::link::Queue;
use bypath_sim::loss::Loss;
use bypath_sim::measure::Bottleneck;
use bypath_tcp::CongestionControl;

const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots/goodput.txt");
/// A row may differ from the table by so much before the table must be written anew.
const TOLERANCE: f64 = 0.1;
const RATE: u64 = 20_000_000;
const TIME: Duration = Duration::from_secs(30);

const ALGORITHMS: [(&str, CongestionControl); 3] = [
    ("cubic", CongestionControl::Cubic),
    ("newreno", CongestionControl::NewReno),
    ("bbr", CongestionControl::Bbr),
];

struct Row {
    name: String,
    goodput: f64,
    line: String,
}

fn rows() -> Vec<Row> {
    let mut cells = Vec::new();
    for rtt in [10, 50, 200] {
        for queue in [10, 100] {
            for loss in [0.0, 0.001, 0.01, 0.03] {
                for (name, algorithm) in ALGORITHMS {
                    cells.push((rtt, queue, loss, name, algorithm));
                }
            }
        }
    }
    let row = |&(rtt, queue, loss, name, algorithm): &(u64, u32, f64, &str, CongestionControl)| {
        let path = Bottleneck {
            rate: RATE,
            rtt: Duration::from_millis(rtt),
            queue: Queue::Packets(queue),
            loss: if loss > 0.0 { Loss::Random(loss) } else { Loss::None },
            ..Bottleneck::default()
        };
        let goodput = path.alone(algorithm, TIME).flows[0].goodput / 1e6;
        let expected = path.expected(algorithm).map_or("     -".into(), |e| format!("{:6.2}", e / 1e6));
        let key = format!("{:>3} ms  {:>3} packets  {:>4.1} %  {:<7}", rtt, queue, loss * 100.0, name);
        Row { line: format!("{key}  {goodput:6.2}  {expected}"), name: key, goodput }
    };
    // Two halves at once, as in most places there are two cores.
    let half = cells.len() / 2;
    std::thread::scope(|scope| {
        let second = scope.spawn(|| cells[half..].iter().map(row).collect::<Vec<_>>());
        let mut all: Vec<Row> = cells[..half].iter().map(row).collect();
        all.extend(second.join().expect("the second half"));
        all
    })
}

fn render(rows: &[Row]) -> String {
    let mut out = String::from(
        "Goodput of one flow over a link of 20 Mbit/s in its first 30 s, Mbit/s; seed 1.\n\
         Reference: for CUBIC the response function of RFC 9438 section 5 (never less than Reno's), for NewReno\n\
         Mathis' 1.2 / sqrt(p), both as if the flow had always run; or the link's payload rate, if that is less. For BBR\n\
         that rate less what is lost.\n\n\
         RTT     queue        loss    algorithm  goodput  reference\n",
    );
    for row in rows {
        let _ = writeln!(out, "{}", row.line);
    }
    out
}

#[test]
fn goodput_is_what_the_table_says() {
    let rows = rows();
    let table = render(&rows);
    if std::env::var_os("BYPATH_SIM_UPDATE").is_some() {
        std::fs::write(TABLE, &table).expect("the table");
        return;
    }
    let known = std::fs::read_to_string(TABLE).expect("the table");
    let mut wrong = String::new();
    for row in &rows {
        let before = known.lines().find_map(|line| line.strip_prefix(&row.name));
        let before = before.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
        let same = before.is_some_and(|b| (row.goodput - b).abs() <= TOLERANCE * b.max(0.1));
        if !same {
            let _ = writeln!(wrong, "{}   was {before:?}", row.line);
        }
    }
    assert!(
        wrong.is_empty(),
        "goodput has changed; if that is meant: BYPATH_SIM_UPDATE=1 cargo test -p bypath-sim --test goodput\n{wrong}"
    );
}
