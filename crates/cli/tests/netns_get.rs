//! `bypath get` over the engine and AF_XDP, from servers that somebody else wrote, in network namespaces.
//! Needs root.

mod support;

use std::net::IpAddr;

use bypath_lab::peer::{Dnsmasq, Nginx, Vsftpd};
use bypath_lab::{Capture, Lab, tool};
use support::{Desk, LONG, wait_until};

const MIB: usize = 1 << 20;

#[test]
fn netns_http_arrives_unharmed_over_ipv4_and_ipv6() {
    let desk = Desk::new();
    let file = desk.serve("file", 3 * MIB + 17);
    let _nginx = Nginx::serving(desk.served()).start(desk.far()).unwrap();
    for url in [desk.v4("http", "file"), desk.v6("http", "file")] {
        let run = desk.get(&["-o", "f", &url]);
        run.fetched(&file);
        assert_eq!((&run.json["bytes"], &run.json["status"]), (&file.len.into(), &200.into()));
        let engine = &run.json["engine"];
        assert_eq!((&engine["driver"], &engine["mode"]), (&"veth".into(), &"copy".into()), "{engine}");
        assert_eq!((&engine["xdp"], &engine["mtu"]), (&"native".into(), &1500.into()), "{engine}");
        assert!(engine["rx_packets"].as_u64().unwrap() > file.len / 1500, "{engine}");
    }
    desk.is_clean();
}

#[test]
fn netns_several_urls_share_a_connection() {
    let desk = Desk::new();
    let (a, b) = (desk.serve("a", 100_000), desk.serve("b", 0));
    let _nginx = Nginx::serving(desk.served()).start(desk.far()).unwrap();
    let run = desk.get(&["-O", &desk.v4("http", "a"), &desk.v4("http", "b"), &desk.v4("http", "a")]);
    assert_eq!(run.code, Some(0), "{run:#?}");
    for (i, file) in [&a, &b, &a].into_iter().enumerate() {
        assert_eq!(run.json[i]["sha256"], file.sha256.as_str());
        assert_eq!(run.json[i]["local"], run.json[0]["local"]);
    }
}

#[test]
fn netns_ftp_arrives_unharmed_active_and_passive() {
    let desk = Desk::new();
    let file = desk.serve("file", MIB + 3);
    let ftp = Vsftpd::serving(desk.served()).start(desk.far()).unwrap();
    let (v4, v6) = (desk.v4("ftp", "file"), desk.v6("ftp", "file"));
    for args in [&["-P", "-", &v4][..], &["-P", "-", &v6], &[&v4], &[&v6]] {
        desk.get(&[&["-o", "f"], args].concat()).fetched(&file);
    }
    let log = ftp.protocol_log();
    for command in ["EPRT |2|", "EPSV", "RETR file", "QUIT"] {
        assert!(log.contains(command), "{command} in {log}");
    }
    assert!(log.contains("PORT 198,18,0,1,") || log.contains("EPRT |1|"), "{log}");
    desk.is_clean();
}

#[test]
fn netns_ftp_active_by_port_where_the_server_knows_no_eprt() {
    let desk = Desk::new();
    let file = desk.serve("file", 26_752);
    let allowed = "USER,PASS,TYPE,SIZE,MDTM,REST,PORT,RETR,QUIT,SYST,PWD,CWD,FEAT,OPTS";
    let ftp = Vsftpd::serving(desk.served()).option("cmds_allowed", allowed).start(desk.far()).unwrap();
    desk.get(&["-P", "-", "-o", "f", &desk.v4("ftp", "file")]).fetched(&file);
    assert!(ftp.protocol_log().contains("PORT 198,18,0,1,"), "{}", ftp.protocol_log());
}

#[test]
fn netns_a_name_resolves_after_two_search_list_misses() {
    let desk = Desk::new();
    let file = desk.serve("file", 26_752);
    let dns = Dnsmasq::builder().host("files.c.test", desk.far().ipv4()).start(desk.far()).unwrap();
    let _ftp = Vsftpd::serving(desk.served()).start(desk.far()).unwrap();
    let server = desk.far().ipv4().to_string();
    let run = desk.get(&[
        "--dns",
        &server,
        "--search",
        "a.test,b.test,c.test",
        "-P",
        "-",
        "-o",
        "f",
        "ftp://files/file",
    ]);
    run.fetched(&file);
    assert_eq!(run.json["resolved_name"], "files.c.test");
    let tried: Vec<_> = run.json["names_tried"].as_array().unwrap().iter().collect();
    assert_eq!(tried, ["files.a.test", "files.b.test"]);
    for name in ["files.a.test", "files.b.test", "files.c.test"] {
        assert!(dns.query_log().contains(name));
    }
}

#[test]
fn netns_dns_over_ipv6_and_an_address_of_ipv6() {
    let desk = Desk::new();
    let file = desk.serve("file", 5_000);
    let _dns = Dnsmasq::builder()
        .host("www.test", desk.far().ipv6())
        .alias("alias.test", "www.test")
        .start(desk.far())
        .unwrap();
    let _nginx = Nginx::serving(desk.served()).start(desk.far()).unwrap();
    let server = desk.far().ipv6().to_string();
    desk.get(&["--dns", &server, "http://alias.test/file"]).fetched(&file);
}

#[test]
fn netns_an_address_of_its_own_answers_arp_ndp_and_ping() {
    let desk = Desk::new();
    let file = desk.serve("file", 2 * MIB);
    let _nginx = Nginx::serving(desk.served()).directives("limit_rate 2m;").start(desk.far()).unwrap();
    let (v4, v6) = (desk.near().spare_ipv4(10), desk.near().spare_ipv6(0x10));
    let own = ["--ip", &*format!("{v4}/24"), "--ip", &*format!("{v6}/64"), "-o", "f"];
    let (over_v4, over_v6) = (desk.v4("http", "file"), desk.v6("http", "file"));
    for (source, url) in [(IpAddr::V4(v4), &over_v4), (IpAddr::V6(v6), &over_v6)] {
        let run = desk.start(&[&own[..], &[url]].concat());
        desk.wait_for_len(".f.part", 1);
        // What the far host has learned from our questions is forgotten: it must ask.
        for family in ["-4", "-6"] {
            tool::run("ip", &["-n", desk.far().netns(), family, "neigh", "flush", "dev", "far0"]).unwrap();
        }
        desk.far().ping(v4.into(), LONG).unwrap();
        desk.far().ping(v6.into(), LONG).unwrap();
        // The kernel's own addresses work meanwhile.
        desk.far().ping(desk.near().ipv4().into(), LONG).unwrap();
        let run = run.outcome();
        run.fetched(&file);
        let local: std::net::SocketAddr = run.json["local"].as_str().unwrap().parse().unwrap();
        assert_eq!(local.ip(), source);
    }
    desk.is_clean();
}

#[test]
fn netns_ftp_active_from_an_address_of_its_own() {
    let desk = Desk::new();
    let file = desk.serve("file", 300_000);
    let _ftp = Vsftpd::serving(desk.served()).start(desk.far()).unwrap();
    let own = format!("{}/24", desk.near().spare_ipv4(10));
    desk.get(&["--ip", &own, "-P", "-", "-o", "f", &desk.v4("ftp", "file")]).fetched(&file);
}

#[test]
fn netns_the_kernel_uses_the_same_address_at_the_same_time() {
    let desk = Desk::new();
    let file = desk.serve("file", 2 * MIB);
    let _nginx = Nginx::serving(desk.served()).directives("limit_rate 2m;").start(desk.far()).unwrap();
    let run = desk.start(&["-o", "f", &desk.v4("http", "file")]);
    desk.wait_for_len(".f.part", 1);
    for url in [desk.v4("http", "file"), desk.v6("http", "file")] {
        let theirs = desk.path("theirs");
        desk.near().output("curl", &["-gsS", "-o", theirs.to_str().unwrap(), &url]).unwrap();
        assert_eq!(std::fs::metadata(theirs).unwrap().len(), file.len);
    }
    desk.far().ping(desk.near().ipv4().into(), LONG).unwrap();
    run.outcome().fetched(&file);
    desk.is_clean();
}

#[test]
fn netns_another_network_behind_a_gateway() {
    let desk = Desk::new();
    let file = desk.serve("file", 300_000);
    let far = desk.far().netns();
    tool::run("ip", &["-n", far, "addr", "add", "203.0.113.5/32", "dev", "lo"]).unwrap();
    let _nginx =
        Nginx::serving(desk.served()).directives("listen 203.0.113.5:80;").start(desk.far()).unwrap();
    let url = "http://203.0.113.5/file";
    // Without a route there is no way.
    desk.get(&[url]).fails(7, &["203.0.113.5", "no route"]);
    let (own, gateway) = (format!("{}/24", desk.near().spare_ipv4(10)), desk.far().ipv4().to_string());
    desk.get(&["--ip", &own, "--gateway", &gateway, url]).fetched(&file);
    // The kernel's routes hold for its own addresses.
    let near = desk.near().netns();
    tool::run("ip", &["-n", near, "route", "add", "203.0.113.0/24", "via", &gateway]).unwrap();
    desk.get(&[url]).fetched(&file);
}

#[test]
fn netns_a_transfer_continues_after_the_server_was_killed() {
    let desk = Desk::new();
    let file = desk.serve("file", 2 * MIB);
    let nginx = Nginx::serving(desk.served()).directives("limit_rate 1m;").start(desk.far()).unwrap();
    let url = desk.v4("http", "file");
    let run = desk.start(&["-o", "f", &url]);
    desk.wait_for_len(".f.part", 300_000);
    drop(nginx);
    let run = run.outcome();
    run.fails(18, &["of 2097152"]);
    assert_eq!((&run.json["part"], desk.names()), (&".f.part".into(), vec![".f.part".to_owned()]));
    let kept = std::fs::metadata(desk.path(".f.part")).unwrap().len();
    assert_eq!(run.json["bytes"], kept);

    let _nginx = Nginx::serving(desk.served()).start(desk.far()).unwrap();
    let run = desk.get(&["-C", "-", "-o", "f", &url]);
    run.fetched(&file);
    assert_eq!((&run.json["resumed_from"], &run.json["bytes"]), (&kept.into(), &(file.len - kept).into()));
    assert_eq!(desk.names(), ["f"]);
}

#[test]
fn netns_two_workers_on_two_queues() {
    let desk = Desk::in_lab(Lab::builder().name_prefix("g").queues(2).up().unwrap());
    let file = desk.serve("file", 400_000);
    let _nginx = Nginx::serving(desk.served()).start(desk.far()).unwrap();
    let _ftp = Vsftpd::serving(desk.served()).start(desk.far()).unwrap();
    let (http, ftp) = (desk.v4("http", "file"), desk.v6("ftp", "file"));
    let both = ["--queues", "0-1", "--cores", "0,1"];
    // Each transfer by FTP makes connections that fall to one worker or the other.
    let urls = [&*ftp, &http, &ftp, &http, &ftp, &ftp];
    for mode in [&[][..], &["-P", "-"]] {
        let run = desk.get(&[&both[..], mode, &urls].concat());
        assert_eq!(run.code, Some(0), "{run:#?}");
        for record in run.json.as_array().unwrap() {
            assert_eq!(record["sha256"], file.sha256.as_str(), "{record:#}");
            assert_eq!((&record["engine"]["queues"], &record["engine"]["workers"]), (&2.into(), &2.into()));
        }
    }
    // One worker serves both queues by default.
    let run = desk.get(&[&*http]);
    run.fetched(&file);
    assert_eq!((&run.json["engine"]["queues"], &run.json["engine"]["workers"]), (&2.into(), &1.into()));
    desk.is_clean();
}

#[test]
fn netns_mtus_of_one_frame_and_of_several() {
    for mtu in [1500, 3498, 9000] {
        let desk = Desk::in_lab(Lab::builder().name_prefix("g").mtu(mtu).up().unwrap());
        let file = desk.serve("file", 2 * MIB + 1);
        let _nginx = Nginx::serving(desk.served()).start(desk.far()).unwrap();
        for url in [desk.v4("http", "file"), desk.v6("http", "file")] {
            let run = desk.get(&[&url]);
            run.fetched(&file);
            let engine = &run.json["engine"];
            assert_eq!((&engine["mtu"], &engine["xdp"]), (&mtu.into(), &"native".into()), "{engine}");
            // Segments fill the MTU.
            let packets = engine["rx_packets"].as_u64().unwrap();
            assert!(packets < file.len / u64::from(mtu - 100) + 40, "{packets} packets at MTU {mtu}");
        }
        desk.is_clean();
    }
}

#[test]
fn netns_every_way_to_run_the_engine_fetches_the_same() {
    let desk = Desk::new();
    let file = desk.serve("file", MIB);
    let _nginx = Nginx::serving(desk.served()).start(desk.far()).unwrap();
    let url = desk.v4("http", "file");
    for (args, xdp) in [
        (&["--xdp", "generic"][..], "generic"),
        (&["--xdp", "native", "--mode", "copy"], "native"),
        (&["--poll", "busy"], "native"),
        (&["--cc", "newreno", "--poll", "adaptive"], "native"),
    ] {
        let run = desk.get(&[args, &[&url]].concat());
        run.fetched(&file);
        let engine = &run.json["engine"];
        assert_eq!((&engine["xdp"], &engine["mode"]), (&xdp.into(), &"copy".into()), "{args:?}: {engine}");
    }
    desk.is_clean();
}

#[test]
fn netns_a_result_names_its_congestion_control_and_a_fixed_window() {
    let desk = Desk::new();
    let file = desk.serve("file", MIB);
    let _nginx = Nginx::serving(desk.served()).start(desk.far()).unwrap();
    let url = desk.v4("http", "file");
    for (choice, name, window) in [
        ("cubic", "cubic", None),
        ("bbr", "bbr", None),
        ("dctcp", "dctcp", None),
        ("none:65536", "none", Some(65_536)),
    ] {
        let run = desk.get(&["--cc", choice, &url]);
        run.fetched(&file);
        let engine = &run.json["engine"];
        assert_eq!(engine["congestion_control"], name);
        assert_eq!(engine["fixed_window"].as_u64(), window, "{choice}");
    }
    desk.is_clean();
}

#[test]
fn netns_every_packet_we_send_has_the_right_checksum() {
    let desk = Desk::new();
    let file = desk.serve("file", MIB);
    let _nginx = Nginx::serving(desk.served()).start(desk.far()).unwrap();
    let _ftp = Vsftpd::serving(desk.served()).start(desk.far()).unwrap();
    let _dns = Dnsmasq::builder().host("www.test", desk.far().ipv4()).start(desk.far()).unwrap();
    let dns = desk.far().ipv4().to_string();
    let (v4, v6) = (desk.near().spare_ipv4(10), desk.near().spare_ipv6(0x10));
    let own = ["--ip", &*format!("{v4}/24"), "--ip", &*format!("{v6}/64")];
    let ours = format!("src host {v4} or src host {v6}");
    let capture = Capture::start(desk.far(), &desk.path("pcap"), &ours).unwrap();
    let urls = [
        "http://www.test/file".to_owned(),
        desk.v6("http", "file"),
        desk.v4("ftp", "file"),
        desk.v6("ftp", "file"),
    ];
    for mode in [&[][..], &["-P", "-"]] {
        for url in &urls {
            desk.get(&[&own[..], mode, &["--dns", &dns, url]].concat()).fetched(&file);
        }
    }
    let report = capture.check().unwrap();
    assert_eq!(report.wrong, []);
    assert!(report.right > 100, "{report:?}");
}

#[test]
fn netns_a_link_that_goes_down_and_up_loses_no_transfer() {
    let desk = Desk::new();
    let file = desk.serve("file", 3 * MIB);
    let _nginx = Nginx::serving(desk.served()).directives("limit_rate 2m;").start(desk.far()).unwrap();
    for (host, own) in [(desk.near(), false), (desk.far(), false), (desk.near(), true)] {
        let address = format!("{}/24", desk.near().spare_ipv4(10));
        let mut args = vec!["-o", "f"];
        if own {
            args.extend(["--ip", &address]);
        }
        let url = desk.v4("http", "file");
        args.push(&url);
        let run = desk.start(&args);
        desk.wait_for_len(".f.part", 500_000);
        let link = |state| tool::run("ip", &["-n", host.netns(), "link", "set", host.interface(), state]);
        link("down").unwrap();
        wait_until("the near link to be down", || !desk.link().contains("LOWER_UP"));
        link("up").unwrap();
        run.outcome().fetched(&file);
    }
}

#[test]
fn netns_a_change_of_the_mtu_loses_no_transfer() {
    let desk = Desk::new();
    let file = desk.serve("file", 3 * MIB);
    let _nginx = Nginx::serving(desk.served()).directives("limit_rate 2m;").start(desk.far()).unwrap();
    let mtu = |mtu: &str| {
        for host in [desk.far(), desk.near()] {
            tool::run("ip", &["-n", host.netns(), "link", "set", host.interface(), "mtu", mtu]).unwrap();
        }
    };
    let run = desk.start(&["-o", "f", &desk.v4("http", "file")]);
    for (at, size) in [(300_000, "1400"), (900_000, "1300"), (1_500_000, "1500")] {
        desk.wait_for_len(".f.part", at);
        mtu(size);
    }
    run.outcome().fetched(&file);
    mtu("1300");
    let run = desk.get(&["-r", "0-99999", &desk.v4("http", "file")]);
    assert_eq!((run.code, &run.json["bytes"]), (Some(0), &100_000.into()), "{run:#?}");
    assert_eq!(run.json["engine"]["mtu"], 1300);
}

#[test]
fn netns_the_story_of_a_transfer_is_told_live() {
    let desk = Desk::new();
    let file = desk.serve("file", 100_000);
    let _nginx = Nginx::serving(desk.served()).start(desk.far()).unwrap();
    // Stdout is for the JSON, so the story is on stderr.
    let run = desk.get(&["--story", "--detail", "short", "-o", "f", &desk.v4("http", "file")]);
    run.fetched(&file);
    let told = run.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "asks for a connection from 198.18.0.1:",
        "the connection stands,",
        "asks \"GET /file HTTP/1.1\"",
        "answers \"HTTP/1.1 200 OK\"",
        "A body of 100,000 bytes follows.",
        "That completes the body of 100,000 bytes.",
        "1 TCP connection.",
    ] {
        assert!(told.contains(said), "no {said:?} in {told}");
    }
    desk.is_clean();
}
