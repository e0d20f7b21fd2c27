//! Good and bad command lines, and whether the manual knows all of them.

#![allow(clippy::unwrap_used)]

use super::*;
use clap::CommandFactory;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(line.split_whitespace())
}

fn refusal(line: &str) -> String {
    parse(line).expect_err("it must be refused").to_string()
}

#[test]
fn the_definition_is_consistent() {
    Arguments::command().debug_assert();
}

#[test]
fn without_a_subcommand_it_serves() {
    let arguments = parse("trefoil --config hub.toml").unwrap();
    assert!(arguments.command.is_none());
    assert_eq!(arguments.serve.config.unwrap().to_str(), Some("hub.toml"));
    let Some(Command::Serve(serve)) = parse("trefoil serve -c hub.toml").unwrap().command else { panic!() };
    assert_eq!(serve.config.unwrap().to_str(), Some("hub.toml"));
    assert!(refusal("trefoil srve").contains("serve"));
}

#[test]
fn a_payload_comes_from_one_place() {
    let publish = |line: &str| match parse(line).unwrap().command {
        Some(Command::Pub(publish)) => publish,
        other => panic!("{other:?}"),
    };
    assert_eq!(publish("trefoil pub home/temp 21.5").payload.as_deref(), Some("21.5"));
    assert_eq!(publish("trefoil pub home/temp -21.5").payload.as_deref(), Some("-21.5"));
    assert_eq!(publish("trefoil pub home/temp -").payload.as_deref(), Some("-"));
    assert!(publish("trefoil pub -l home/temp").lines);
    assert_eq!(publish("trefoil pub -rq2 home/temp x").qos, 2);
    for line in ["trefoil pub t x --lines", "trefoil pub t x --file f", "trefoil pub t --lines --file f"] {
        assert!(refusal(line).contains("cannot be used with"), "{line}");
    }
    assert_eq!(publish("trefoil pub -q -1 --topic-id 7=home/temp home/temp x").qos, -1);
    assert!(refusal("trefoil pub --topic-id home/temp t x").contains("7=home/temp"));
    assert!(refusal("trefoil pub -q 3 t x").contains("-1..=2"));
    assert!(refusal("trefoil pub").contains("<TOPIC>"));
}

#[test]
fn sub_takes_filters_and_says_when_it_ends() {
    let Some(Command::Sub(sub)) = parse("trefoil sub -v -n 3 -W 0.5 a/# b").unwrap().command else {
        panic!()
    };
    assert_eq!(sub.filters, ["a/#", "b"]);
    assert_eq!((sub.count, sub.timeout.unwrap().as_millis(), sub.verbose), (Some(3), 500, true));
    assert_eq!(sub.connection.mqtt, MqttVersion::V5);
    assert!(refusal("trefoil sub").contains("<FILTER>"));
    assert!(refusal("trefoil sub t -n 0").contains('0'));
    for bad in ["x", "-1", "0", "inf", "NaN", "1e300"] {
        assert!(parse(&format!("trefoil sub t --timeout={bad}")).is_err(), "{bad}");
    }
    assert!(refusal("trefoil sub t --raw --json").contains("cannot be used with"));
    assert!(refusal("trefoil sub t --session-expiry 5").contains("--client-id"));
}

#[test]
fn the_page_about_the_command_line_names_everything() {
    let page = include_str!("../../../../docs/cli.md");
    let mut missing = Vec::new();
    let command = Arguments::command();
    for subcommand in command.get_subcommands() {
        let heading = format!("## trefoil {}", subcommand.get_name());
        if !page.lines().any(|line| line == heading) {
            missing.push(heading);
        }
        for argument in subcommand.get_arguments() {
            let names =
                argument.get_long().into_iter().chain(argument.get_visible_aliases().into_iter().flatten());
            missing.extend(
                names.map(|name| format!("--{name}")).filter(|name| !page.contains(&format!("`{name}"))),
            );
        }
    }
    assert!(missing.is_empty(), "docs/cli.md does not mention {missing:?}");
    for line in EXIT_CODES.lines().skip(1) {
        let (code, meaning) = line.trim().split_once("  ").unwrap();
        assert!(
            page.contains(&format!("| {code} | {meaning} |")),
            "docs/cli.md: exit code {code} is not as in --help"
        );
    }
}

#[test]
fn the_examples_of_the_help_can_be_parsed() {
    for page in [TRY_IT, SERVE_EXAMPLES, CHECK_EXAMPLES, PUB_EXAMPLES, SUB_EXAMPLES, PASSWD_EXAMPLES] {
        let examples: Vec<Vec<String>> = page.lines().filter_map(example).collect();
        assert!(examples.len() > 1, "{page}");
        for words in examples {
            Arguments::try_parse_from(&words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
        }
    }
}

/// The words of `trefoil …` in a line such as `  vmstat 1 | trefoil pub load    what it does`.
fn example(line: &str) -> Option<Vec<String>> {
    let command = line.strip_prefix("  ")?.split("  ").next()?;
    let mut parts = command.split(" | ").flat_map(|part| part.split(" > "));
    let words = parts.find(|part| part.starts_with("trefoil"))?.replace('\'', "");
    (!words.contains("COMMAND")).then(|| words.split(' ').map(str::to_owned).collect())
}

#[test]
fn a_stream_takes_no_options_that_mean_nothing_to_it() {
    let lines = ["send a", "receive 7-amber-canoe", "listen a", "connect a", "room a"];
    for line in lines.map(|line| format!("trefoil {line}")) {
        parse(&format!("{line} --user ann --password-file f --ca f --patience 5")).unwrap();
        // With it the password would have been sent all the same.
        assert!(
            refusal(&format!("{line} --auth scram-sha-256")).contains("unexpected argument '--auth'"),
            "{line}"
        );
    }
}
