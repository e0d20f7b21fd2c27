//! A file from one machine to another, with the connection cut in the middle.

use serde_json::Value;
use trefoil_tests::{Example, Hub, binary};

#[test]
fn a_file_arrives_whole_although_the_network_is_cut() {
    let hub = Hub::start();
    let arguments = format!("--trefoil {} --once --mib 12 --rate 6 --cut-at 40", binary().display());
    let text = Example::start("file-drop", &hub, &arguments).wait().success();
    let line = text.lines().last().unwrap_or_default();
    let result: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
    assert_eq!((&result["whole"], &result["cuts"]), (&Value::Bool(true), &Value::from(1)), "{result}");
    // Nothing is left beside it, and what had arrived was not sent again.
    assert_eq!(result["names"], serde_json::json!(["film-1.bin"]), "{result}");
    let carried = result["carried"].as_u64().unwrap();
    assert!((12 << 20..18 << 20).contains(&carried), "{result}");
    // Both have noticed.
    for who in ["ann", "bob"] {
        let lines = result["lines"].as_array().unwrap();
        assert!(
            lines.iter().any(|line| line[0] == who && line[1].as_str().unwrap().contains("broke")),
            "{who}: {result}"
        );
    }
}
