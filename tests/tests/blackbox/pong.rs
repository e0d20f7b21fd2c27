//! A game over datagrams of which some get lost: both players have to end with the same score.

use serde_json::Value;
use trefoil_tests::Example;

/// Plays a game to its end, much faster than it is played for people.
fn played(loss: u32, seed: u32) -> Value {
    let arguments = format!("--points 5 --speed 8 --loss {loss} --seed {seed}");
    let text = Example::start_alone("pong", &arguments).wait().success();
    let line = text.lines().last().unwrap_or_default();
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"))
}

fn count(result: &Value, path: &str) -> u64 {
    result.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {path} in {result}"))
}

#[test]
fn players_agree_although_datagrams_get_lost() {
    for (loss, seed) in [(5, 1), (30, 2)] {
        let result = played(loss, seed);
        assert_eq!(result["agreed"], true, "{result}");
        let points = [count(&result, "/score/0"), count(&result, "/score/1")];
        assert_eq!(points.iter().max(), Some(&5), "{result}");
        for side in ["left", "right"] {
            for something in ["passed", "lost", "late", "received", "missed"] {
                assert!(
                    count(&result, &format!("/net/{side}/{something}")) > 0,
                    "{side} {something}: {result}"
                );
            }
        }
    }
}

#[test]
fn without_loss_only_what_was_overtaken_is_missed() {
    let result = played(0, 3);
    for side in ["left", "right"] {
        assert_eq!(count(&result, &format!("/net/{side}/lost")), 0, "{result}");
    }
    // A datagram can be overtaken on each of its two ways.
    let late = count(&result, "/net/left/late") + count(&result, "/net/right/late");
    let missed = count(&result, "/net/left/missed") + count(&result, "/net/right/missed");
    assert!(missed <= late, "{result}");
}
