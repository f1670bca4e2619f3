//! Fields beside tshark, and JSON that is always JSON.

mod peer;

use bypath_trace::read::Capture;
use bypath_trace::style::Style;
use bypath_trace::style::fields::{Field, Fields, Json, find, known};
use peer::{committed, printed, tool};

/// Which packets are ICMP errors: tshark tells of the packets that they quote as well.
fn quoting(capture: &[u8]) -> Vec<bool> {
    let names = ["icmp.type", "icmpv6.type"].map(|name| find(name).unwrap());
    let types = printed(&mut Fields::new(names.to_vec()), capture);
    types.lines().map(|line| matches!(line, "3\t" | "\t1")).collect()
}

#[test]
fn fields_are_those_of_tshark() {
    for name in ["kernel.pcap", "tagged.pcap", "cooked.pcap"] {
        let capture = committed(name);
        let quoting = quoting(&capture);
        for repeats in [false, true] {
            let fields: Vec<&Field> = known().iter().filter(|field| field.repeats() == repeats).collect();
            let ours = printed(&mut Fields::new(fields.clone()), &capture);
            let occurrence = if repeats { "occurrence=a" } else { "occurrence=f" };
            let mut args = vec![
                "-r",
                "-",
                "-n",
                "-o",
                "tcp.desegment_tcp_streams:FALSE",
                "-o",
                "ip.defragment:FALSE",
                "-o",
                "ipv6.defragment:FALSE",
                "-T",
                "fields",
                "-E",
                occurrence,
            ];
            fields.iter().for_each(|field| args.extend(["-e", field.name]));
            let theirs = tool("tshark", &args, &capture);
            assert_eq!(ours.lines().count(), theirs.lines().count());
            for (at, (ours, theirs)) in ours.lines().zip(theirs.lines()).enumerate() {
                if quoting[at] {
                    continue;
                }
                for ((ours, theirs), field) in ours.split('\t').zip(theirs.split('\t')).zip(&fields) {
                    assert_eq!(
                        ours,
                        theirs,
                        "{} of packet {} of {name} (theirs on the right)",
                        field.name,
                        at + 1
                    );
                }
            }
        }
    }
}

#[test]
fn json_is_an_array_also_of_nothing_and_of_half_a_capture() {
    let capture = committed("kernel.pcap");
    let whole: Vec<serde_json::Value> =
        serde_json::from_str(&printed(&mut Json::new(Vec::new()), &capture)).unwrap();
    assert_eq!(whole[0]["frame.number"], 1);
    assert!(whole.iter().any(|packet| packet["tcp.options.mss_val"][0] == 1460));
    let nothing = printed(&mut Json::new(Vec::new()), &capture[..24]);
    assert_eq!(serde_json::from_str::<Vec<serde_json::Value>>(&nothing).unwrap().len(), 0);

    let mut out = Vec::new();
    let mut style = Json::new(vec![find("ip.src").unwrap()]);
    let mut half = Capture::open(&capture[..capture.len() / 2]).unwrap();
    style.begin(&mut out).unwrap();
    let error = loop {
        match half.next_record() {
            Ok(record) => style.record(&record.unwrap(), &mut out).unwrap(),
            Err(error) => break error,
        }
    };
    style.failed(&error.to_string(), &mut out).unwrap();
    style.end(&mut out).unwrap();
    let packets: Vec<serde_json::Value> = serde_json::from_slice(&out).unwrap();
    assert!(packets.len() > 10 && packets.last().unwrap()["error"].as_str().unwrap().contains("cut off"));
}
