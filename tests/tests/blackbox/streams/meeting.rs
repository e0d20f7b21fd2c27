//! Callers and listeners that come at the same moment, by whichever shard.

use super::{End, listener};
use serde_json::json;
use std::sync::Barrier;
use trefoil_tests::{CONFIG, Hub, wait_until};

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
fn nobody_is_told_of_a_call_within_a_stream() {
    const CALLERS: usize = 12;
    let hub = Hub::with_config(&CONFIG.replace("shards = 2", "shards = 4"));
    for round in 0..ROUNDS {
        let (door, once_name) = (format!("door/{round}"), format!("once/{round}"));
        let mut listens = listener(&hub, &door);
        let mut once = End::new(&hub);
        once.ask(json!({"listen": once_name, "once": true}));
        // Others call at the moment at which it becomes a stream itself.
        let mut callers: Vec<End> = (0..CALLERS).map(|_| End::new(&hub)).collect();
        std::thread::scope(|scope| {
            let (half, rest) = callers.split_at_mut(CALLERS / 2);
            for some in [half, rest] {
                let call = json!({"connect": door});
                scope.spawn(move || some.iter_mut().for_each(|caller| caller.say(call.clone())));
            }
            listens.say(json!({"connect": once_name}));
        });
        while listens.hear().get("stream").is_none() {}
        once.hear();
        once.write("nothing but this");
        once.end();
        assert_eq!(listens.rest().escape_ascii().to_string(), "nothing but this", "in round {round}");
    }
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
