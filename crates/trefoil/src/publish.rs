//! `trefoil pub`: a message, a file, or one message for each line of standard input.

use crate::arguments::Pub;
use crate::connection::{self, connect, stop_signal};
use crate::failure::Failure;
use crate::input::{self, Lines};
use std::collections::VecDeque;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use trefoil_client::{Client, Message, Receipt};

/// How many messages may be on their way before the first of them is waited for.
const RECEIPTS_MAX: usize = 1024;

/// Where payloads come from.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    Argument(String),
    File(PathBuf),
    Lines,
}

pub(crate) fn run(arguments: &Pub) -> Result<(), Failure> {
    match source(arguments, std::io::stdin().is_terminal())? {
        Source::Argument(payload) => connection::run(|| publish_one(arguments, payload.into_bytes())),
        Source::File(path) => {
            // Before anything is connected: a file that cannot be read is no reason to trouble the hub.
            let payload = input::whole(&path).map_err(|error| cannot_read(&path, &error))?;
            connection::run(|| publish_one(arguments, payload))
        }
        Source::Lines => connection::run(|| publish_lines(arguments)),
    }
}

fn source(arguments: &Pub, at_terminal: bool) -> Result<Source, Failure> {
    if let Some(path) = &arguments.file {
        return Ok(Source::File(path.clone()));
    }
    match &arguments.payload {
        Some(dash) if dash == "-" => Ok(Source::Lines),
        Some(payload) => Ok(Source::Argument(payload.clone())),
        None if arguments.lines || !at_terminal => Ok(Source::Lines),
        None => Err(Failure::usage(format!(
            "what is to be published to {0}? Give a payload: trefoil pub {0} 21.5; or --file FILE; or --lines to type \
             lines, each of which is a message",
            arguments.topic
        ))),
    }
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot read {}: {error}", path.display()))
}

fn message(arguments: &Pub, payload: Vec<u8>) -> Message {
    let qos = connection::qos(arguments.qos.max(0).cast_unsigned());
    Message::new(&arguments.topic, payload).qos(qos).retain(arguments.retain)
}

/// Sends messages without a connection.
async fn publish_unconnected(arguments: &Pub, payload: Vec<u8>) -> Result<(), Failure> {
    let options = connection::options(&arguments.connection)?;
    let message = message(arguments, payload);
    Ok(trefoil_client::publish_unconnected(&arguments.connection.url, &options, &message).await?)
}

async fn publish_one(arguments: &Pub, payload: Vec<u8>) -> Result<(), Failure> {
    if arguments.qos < 0 {
        return publish_unconnected(arguments, payload).await;
    }
    let client = connect(&arguments.connection).await?;
    let patience = arguments.connection.access.patience;
    match tokio::time::timeout(patience, client.publish(message(arguments, payload))).await {
        Ok(published) => published?,
        Err(_) => return Err(Failure::timed_out("the hub has not acknowledged the message in time")),
    }
    Ok(client.close().await?)
}

async fn publish_lines(arguments: &Pub) -> Result<(), Failure> {
    let stop = stop_signal()?;
    if arguments.qos < 0 {
        let mut lines = Lines::start()?;
        while let Some(line) = lines.next().await {
            let line = line.map_err(|error| cannot_read(Path::new("standard input"), &error))?;
            publish_unconnected(arguments, line).await?;
        }
        return Ok(());
    }
    let client = connect(&arguments.connection).await?;
    let mut lines = Lines::start()?;
    // After a signal the close still waits for what is on its way.
    tokio::select! {
        result = publish_each(&client, arguments, &mut lines) => result?,
        () = stop => {}
    }
    Ok(client.close().await?)
}

async fn publish_each(client: &Client, arguments: &Pub, lines: &mut Lines) -> Result<(), Failure> {
    let mut receipts: VecDeque<Receipt> = VecDeque::new();
    while let Some(line) = lines.next().await {
        let line = line.map_err(|error| cannot_read(Path::new("standard input"), &error))?;
        if receipts.len() == RECEIPTS_MAX
            && let Some(oldest) = receipts.pop_front()
        {
            oldest.await?;
        }
        let receipt = client.send(message(arguments, line)).await?;
        // At QoS 0 there is nothing to wait for.
        if arguments.qos > 0 {
            receipts.push_back(receipt);
        } else {
            receipt.await?;
        }
    }
    for receipt in receipts {
        receipt.await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Arguments, Command};
    use clap::Parser;

    fn source_of(line: &str, at_terminal: bool) -> Result<Source, Failure> {
        match Arguments::try_parse_from(line.split(' ')).map(|arguments| arguments.command) {
            Ok(Some(Command::Pub(publish))) => source(&publish, at_terminal),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_payload_is_looked_for_in_one_place() {
        for at_terminal in [true, false] {
            let source = |line: &str| source_of(line, at_terminal).expect("it is a good line");
            assert_eq!(source("trefoil pub t x"), Source::Argument("x".into()));
            assert_eq!(source("trefoil pub t "), Source::Argument(String::new()));
            assert_eq!(source("trefoil pub t -"), Source::Lines);
            assert_eq!(source("trefoil pub t --lines"), Source::Lines);
            assert_eq!(source("trefoil pub t --file -"), Source::File("-".into()));
        }
        assert_eq!(source_of("trefoil pub t", false).expect("there is standard input"), Source::Lines);
        let failure = source_of("trefoil pub t", true).expect_err("nobody would know what it waits for");
        assert!(format!("{failure:?}").contains("trefoil pub t 21.5"), "{failure:?}");
    }
}
