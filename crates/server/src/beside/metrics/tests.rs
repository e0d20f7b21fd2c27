//! The page as a scraper gets it.

use crate::beside::testing::Bench;
use crate::stats::{Drop, Kind};

#[tokio::test]
async fn figures_of_all_shards_are_added_up() {
    let bench = Bench::new();
    let [shard, beside] = &bench.context.stats[..] else { panic!("one shard and what runs beside it") };
    shard.dropped[Drop::OutboxFull as usize].add(7);
    shard.connections[Kind::JsonWebSocket as usize].set(2);
    shard.messages_in.add(40);
    shard.ticks.add(9);
    beside.messages_in.add(2);
    beside.connections[Kind::Http as usize].shared_add(1);

    let page = bench.send("GET /metrics", &[], "").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let accept = [("accept", "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;q=0.3")];
    let open = bench.send("GET /metrics", &accept, "").await;
    assert_eq!(
        open.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    let text = String::from_utf8(page.body).expect("text");
    for line in [
        "# HELP trefoil_dropped Deliveries dropped, by reason.",
        "# TYPE trefoil_dropped counter",
        "trefoil_dropped_total{reason=\"outbox_full\"} 7",
        "trefoil_dropped_total{reason=\"expired\"} 0",
        "trefoil_connections{kind=\"json_ws\"} 2",
        "trefoil_connections{kind=\"http\"} 1",
        "trefoil_messages_in_total 42",
        "trefoil_shard_ticks_total{shard=\"0\"} 9",
        "trefoil_retained_messages 0",
        "trefoil_sessions 0",
        "trefoil_store_state{state=\"off\"} 1",
        "trefoil_store_state{state=\"failed\"} 0",
        concat!("trefoil_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.starts_with("trefoil_") && line.split(' ').count() == 2, "{line}");
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_memory_of_the_process_is_there() {
    let page = Bench::new().send("GET /metrics", &[], "").await;
    let text = String::from_utf8(page.body).expect("text");
    let memory = text.lines().find_map(|line| line.strip_prefix("trefoil_resident_memory_bytes "));
    assert!(
        memory.and_then(|bytes| bytes.parse::<u64>().ok()).is_some_and(|bytes| bytes > 1 << 20),
        "{text}"
    );
}
