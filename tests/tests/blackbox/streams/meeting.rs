//! Callers and listeners that come at the same moment, by whichever shard.

use super::End;
use serde_json::json;
use std::sync::Barrier;
use trefoil_tests::{Hub, wait_until};

/// Pairs that look for each other at the same time.
const PAIRS: usize = 6;
const ROUNDS: usize = 150;

/// What a listener does until it is joined with its caller.
fn listen(hub: &Hub, name: &str, is_once: bool) -> End {
    let mut control = End::new(hub);
    let wish = json!({"listen": name, "once": is_once, "exclusive": !is_once});
    assert_eq!(control.ask(wish), json!({"listen": name}));
    if is_once {
        assert_eq!(control.hear()["stream"], name);
        return control;
    }
    let call = control.hear();
    let mut end = End::new(hub);
    assert_eq!(end.ask(json!({"accept": call["token"]}))["stream"], name);
    end
}

#[test]
fn who_comes_at_the_same_moment_is_joined() {
    let hub = Hub::start();
    std::thread::scope(|scope| {
        for pair in 0..PAIRS {
            let (hub, is_once) = (&hub, pair % 2 == 0);
            scope.spawn(move || {
                let meet = Barrier::new(2);
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        for round in 0..ROUNDS {
                            meet.wait();
                            let mut end = listen(hub, &format!("{pair}/{round}"), is_once);
                            end.write("from who listens");
                            end.expect("from who calls");
                        }
                    });
                    for round in 0..ROUNDS {
                        let mut caller = End::new(hub);
                        meet.wait();
                        let name = format!("{pair}/{round}");
                        assert_eq!(
                            caller.ask(json!({"connect": name, "wait_s": 600})),
                            json!({"stream": name})
                        );
                        caller.write("from who calls");
                        caller.expect("from who listens");
                    }
                });
            });
        }
    });
    for figure in ["trefoil_stream_callers", "trefoil_stream_listeners", "trefoil_streams"] {
        wait_until("all of it is forgotten", || hub.metric(figure) == 0);
    }
}
