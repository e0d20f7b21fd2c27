//! The plant with its machines and workers, watched and meddled with by outsiders: mosquitto_pub, _sub and _rr.

use serde_json::Value;
use trefoil_tests::{Example, Hub, Outcome, Program, Running, wait_until};

const EXAMPLE: &str = "smart-manufacturing";

fn mosquitto(program: &str, port: u16, arguments: &str) -> Program {
    Program::new(program).args(["-V", "5", "-p", &port.to_string()]).words(arguments)
}

fn publish(hub: &Hub, arguments: &str, payload: &str) {
    let publish = mosquitto("mosquitto_pub", hub.tcp_port(), &format!("-q 1 {arguments} -m"));
    publish.args([payload]).run().success();
}

/// The answer of a machine to a request.
fn ask(port: u16, machine: &str, request: &str) -> Value {
    let arguments = format!("-q 1 -t plant/{machine}/request -e plant/answers/test -W 30 -m");
    let answer = mosquitto("mosquitto_rr", port, &arguments).args([request]).run().success();
    serde_json::from_str(&answer).unwrap()
}

/// The summary that stands on the last line.
fn summary(outcome: Outcome) -> Value {
    let text = outcome.success();
    serde_json::from_str(text.lines().next_back().unwrap()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Somebody who reads the reports.
struct Reports(Running);

impl Reports {
    fn new(hub: &Hub) -> Self {
        Self(mosquitto("mosquitto_sub", hub.tcp_port(), "-q 1 -t plant/report").spawn())
    }

    /// Waits until the newest report is as wanted.
    fn show(&self, what: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let mut found = Value::Null;
        wait_until(what, || {
            let text = String::from_utf8_lossy(&self.0.stdout()).into_owned();
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            let Some(last) = whole.lines().next_back() else { return false };
            found = serde_json::from_str(last).unwrap();
            condition(&found)
        });
        found
    }
}

fn sum(report: &Value, figure: &str) -> u64 {
    report["machines"].as_array().unwrap().iter().map(|machine| machine[figure].as_u64().unwrap()).sum()
}

fn workers(report: &Value) -> &[Value] {
    report["workers"].as_array().unwrap()
}

fn standing<'a>(report: &'a Value, worker: &str) -> Option<&'a str> {
    workers(report).iter().find(|it| it["name"] == worker)?["standing"].as_str()
}

fn handled(report: &Value, worker: &str) -> u64 {
    let found = workers(report).iter().find(|it| it["name"] == worker);
    found.and_then(|it| it["handled"].as_u64()).unwrap_or_default()
}

/// Nothing is missing, nothing out of order, and every piece was handled.
fn is_sound(summary: &Value) {
    assert_eq!(summary["ok"], true, "{summary}");
    for figure in ["missing", "out_of_order"] {
        assert_eq!(summary[figure], 0, "{summary}");
    }
    for figure in ["recorded", "handled"] {
        assert_eq!(summary[figure], summary["pieces"], "{summary}");
    }
    let shares: u64 = workers(summary).iter().map(|worker| worker["handled"].as_u64().unwrap()).sum();
    assert_eq!(summary["handled"], shares, "{summary}");
}

#[test]
fn one_command_makes_pieces_and_counts_them() {
    let plant =
        Example::start_alone(EXAMPLE, "--machines 3 --speed 300 --workers 2 --duration 2 --quiet --json");
    let summary = summary(plant.wait());
    is_sound(&summary);
    assert_eq!(summary["repeats"], 0, "{summary}");
    assert_eq!((&summary["machines"], &summary["alarms"]), (&3.into(), &0.into()), "{summary}");
    assert!(summary["pieces"].as_u64() > Some(0), "{summary}");
    for worker in workers(&summary) {
        assert!(worker["handled"].as_u64() > Some(0), "{summary}");
    }
}

/// A machine with the speed of the story, seen by an outsider: a thousand pieces, in order, without a gap.
#[test]
fn an_outsider_hears_every_piece_in_order() {
    let hub = Hub::start();
    // It makes nothing before it is asked to, so that the outsider hears the first piece.
    let plant = Example::start(EXAMPLE, &hub, "--machines 1 --speed 0 --quiet --json");
    let outsider =
        mosquitto("mosquitto_sub", hub.tcp_port(), "-q 1 -t plant/press-1/pieces -t ready").spawn();
    wait_until("the outsider hears", || {
        publish(&hub, "-t ready", "ready");
        !outsider.stdout().is_empty()
    });
    assert_eq!(ask(hub.tcp_port(), "press-1", r#"{"set_speed":1000}"#)["speed"], 1000);
    let numbers = || {
        let text = String::from_utf8_lossy(&outsider.stdout()).into_owned();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let piece = |line: &str| serde_json::from_str::<Value>(line).ok()?["n"].as_u64();
        whole.lines().filter_map(piece).collect::<Vec<u64>>()
    };
    wait_until("a thousand pieces are heard", || numbers().len() >= 1000);
    let numbers = numbers();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    is_sound(&summary(plant.stop()));
}

#[test]
fn workers_come_and_go_and_no_piece_is_lost() {
    let hub = Hub::start();
    let plant = Example::start(EXAMPLE, &hub, "--machines 4 --speed 250 --workers 3 --quiet --json");
    let reports = Reports::new(&hub);
    reports.show("all work", |it| (1..=3).all(|n| handled(it, &format!("worker-{n}")) > 50));
    publish(&hub, "-t plant/crew", "kill worker-2");
    let killed = reports.show("one is killed", |it| standing(it, "worker-2") == Some("killed"));
    publish(&hub, "-t plant/crew", "hire");
    reports.show("the new one works", |it| handled(it, "worker-4") > 50);
    publish(&hub, "-t plant/crew", "release worker-1");
    let released = reports.show("one is released", |it| standing(it, "worker-1") == Some("released"));
    let at_least = handled(&released, "worker-3") + 50;
    let last = reports.show("the others go on", |it| handled(it, "worker-3") > at_least);
    // Who is gone does nothing any more.
    assert_eq!(handled(&last, "worker-2"), handled(&killed, "worker-2"));
    assert_eq!(handled(&last, "worker-1"), handled(&released, "worker-1"));
    let summary = summary(plant.stop());
    is_sound(&summary);
    assert_eq!(workers(&summary).len(), 4, "{summary}");
}

/// Who says goodbye has acknowledged what it has handled: nobody gets that again.
#[test]
fn a_released_worker_leaves_no_piece_to_be_handled_twice() {
    let hub = Hub::start();
    let plant = Example::start(EXAMPLE, &hub, "--machines 4 --speed 500 --workers 5 --quiet --json");
    let reports = Reports::new(&hub);
    reports.show("all work", |it| (1..=5).all(|n| handled(it, &format!("worker-{n}")) > 50));
    for worker in ["worker-1", "worker-4", "worker-5"] {
        publish(&hub, "-t plant/crew", &format!("release {worker}"));
        reports.show("it is released", |it| standing(it, worker) == Some("released"));
    }
    let summary = summary(plant.stop());
    is_sound(&summary);
    assert_eq!(summary["repeats"], 0, "{summary}");
}

/// With no worker left the pieces wait, and the next one that is hired gets them.
#[test]
fn pieces_wait_while_there_is_no_worker() {
    let hub = Hub::start();
    let plant = Example::start(EXAMPLE, &hub, "--machines 2 --speed 200 --workers 2 --quiet --json");
    let reports = Reports::new(&hub);
    reports.show("both work", |it| handled(it, "worker-1") > 0 && handled(it, "worker-2") > 0);
    publish(&hub, "-t plant/crew", "release worker-1");
    publish(&hub, "-t plant/crew", "kill worker-2");
    reports.show("pieces pile up", |it| sum(it, "made") > sum(it, "handled") + 500);
    publish(&hub, "-t plant/crew", "hire");
    reports.show("they are handled", |it| handled(it, "worker-3") > 500);
    is_sound(&summary(plant.stop()));
}

/// Who comes late hears of the alarms that are still of interest, and of no others. So does who was away.
#[test]
fn alarms_expire() {
    let hub = Hub::start();
    let plant = Example::start(EXAMPLE, &hub, "--machines 2 --speed 1 --quiet --json");
    let away = "-c -i operator -x 600 -q 1 -t plant/alarms/#";
    mosquitto("mosquitto_sub", hub.tcp_port(), &format!("{away} -E")).run().success();
    for (kind, valid_s) in [("door-open", 1), ("smoke", 600)] {
        let request = format!(r#"{{"raise_alarm":{{"kind":"{kind}","valid_s":{valid_s}}}}}"#);
        assert_eq!(ask(hub.tcp_port(), "mill-1", &request)["ok"], true);
    }
    // Retained messages come before anything that is published later, so that the end is known.
    let late = || {
        let subscriber =
            mosquitto("mosquitto_sub", hub.tcp_port(), "-q 1 -t plant/alarms/# -t end -v -F %t:%E").spawn();
        wait_until("the end is heard", || {
            publish(&hub, "-t end", "end");
            String::from_utf8_lossy(&subscriber.stdout()).contains("end:")
        });
        let text = String::from_utf8_lossy(&subscriber.stdout()).into_owned();
        text.lines().filter(|line| !line.starts_with("end:")).map(str::to_owned).collect::<Vec<_>>()
    };
    let mut heard = Vec::new();
    wait_until("the short alarm is over", || {
        heard = late();
        !heard.iter().any(|line| line.starts_with("plant/alarms/mill-1/door-open:"))
    });
    assert_eq!(heard.len(), 1, "{heard:?}");
    let left = heard[0].strip_prefix("plant/alarms/mill-1/smoke:").unwrap();
    assert!((1..=600).contains(&left.parse::<u32>().unwrap()), "{heard:?}");
    // The session of the operator had both in its queue.
    let back = mosquitto("mosquitto_sub", hub.tcp_port(), &format!("{away} -C 1 -F %t")).run().success();
    assert_eq!(back, "plant/alarms/mill-1/smoke\n");
    assert_eq!(summary(plant.stop())["alarms"], 2);
}

/// A machine that is driven too fast raises an alarm by itself.
#[test]
fn haste_raises_an_alarm() {
    let hub = Hub::start();
    let _plant = Example::start(EXAMPLE, &hub, "--machines 1 --speed 10 --quiet");
    let operator =
        mosquitto("mosquitto_sub", hub.tcp_port(), "-q 1 -t plant/alarms/+/overheating -C 1").spawn();
    assert_eq!(ask(hub.tcp_port(), "press-1", r#"{"set_speed":1501}"#)["ok"], true);
    let alarm: Value = serde_json::from_str(&operator.wait().success()).unwrap();
    assert_eq!((&alarm["machine"], &alarm["valid_s"]), (&"press-1".into(), &20.into()));
}

#[test]
fn requests_are_answered_to_whom_and_as_they_were_asked() {
    let hub = Hub::start();
    let plant = Example::start(EXAMPLE, &hub, "--machines 2 --speed 10 --quiet --json");
    assert_eq!(
        ask(hub.tcp_port(), "mill-1", r#"{"set_speed":77}"#),
        serde_json::json!({ "machine": "mill-1", "ok": true, "speed": 77 })
    );
    // The other one goes on as it was.
    assert_eq!(ask(hub.tcp_port(), "press-1", r#""status""#)["speed"], 10);
    for nonsense in [r#"{"set_speed":1000000}"#, "faster!", r#"{"explode":true}"#] {
        let answer = ask(hub.tcp_port(), "mill-1", nonsense);
        assert_eq!((&answer["ok"], &answer["speed"]), (&false.into(), &77.into()), "{answer}");
        assert!(answer["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{answer}");
    }
    // The correlation data come back as they were sent.
    let asker = mosquitto("mosquitto_sub", hub.tcp_port(), "-q 1 -t desk/7 -t ready -F %t:%D").spawn();
    wait_until("the asker hears", || {
        publish(&hub, "-t ready", "ready");
        !asker.stdout().is_empty()
    });
    let properties = "-D publish response-topic desk/7 -D publish correlation-data question-12";
    publish(&hub, &format!("-t plant/mill-1/request {properties}"), r#""status""#);
    let answered =
        || String::from_utf8_lossy(&asker.stdout()).lines().any(|line| line == "desk/7:question-12");
    wait_until("the answer is there", answered);
    assert_eq!(summary(plant.stop())["requests"], 6);
}
