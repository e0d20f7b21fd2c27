//! `trefoil sub`: prints what comes.

use crate::arguments::{SlowReader, Sub};
use crate::connection::{self, connect, stop_signal};
use crate::failure::Failure;
use std::io::{self, ErrorKind, Write};
use trefoil_client::{Client, Message, SubscribeOptions};
use trefoil_json::{ExtrasRef, MessageView, encode_message};

/// How a message is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The payload and a line end.
    Line,
    /// The topic, a space, the payload and a line end.
    WithTopic,
    /// The payload and nothing else.
    Raw,
    /// The object of the JSON protocol and a line end.
    Json,
}

/// What ended the printing.
enum End {
    /// All messages that were asked for are there.
    Count,
    /// Nobody reads standard output any more.
    NobodyReads,
    /// A person wants it.
    Signal,
    /// Time was up.
    Time,
}

pub(crate) fn run(arguments: &Sub) -> Result<(), Failure> {
    connection::run(|| subscribe(arguments))
}

async fn subscribe(arguments: &Sub) -> Result<(), Failure> {
    let stop = stop_signal()?;
    let mut client = connect(&arguments.connection).await?;
    let slow_reader = arguments.slow_reader.map(policy);
    let options = SubscribeOptions { qos: connection::qos(arguments.qos), slow_reader };
    for filter in &arguments.filters {
        client.subscribe_with(filter, options).await?;
    }
    let mut printed = 0;
    let time_is_up = async {
        match arguments.timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        // Messages first: those that are here before time is up count.
        biased;
        end = print_all(&mut client, arguments, &mut printed) => end?,
        () = stop => End::Signal,
        () = time_is_up => End::Time,
    };
    let closed = client.close().await;
    match end {
        End::Time => Err(Failure::timed_out(match arguments.count {
            Some(count) => format!("time was up after {printed} of {count} messages"),
            None => format!("time was up after {printed} messages"),
        })),
        // Who has got what was asked for does not mind how the goodbye went.
        End::Count | End::NobodyReads => Ok(()),
        End::Signal => Ok(closed?),
    }
}

fn policy(wanted: SlowReader) -> trefoil_client::SlowReader {
    match wanted {
        SlowReader::DropNewest => trefoil_client::SlowReader::DropNewest,
        SlowReader::DropOldest => trefoil_client::SlowReader::DropOldest,
        SlowReader::LatestPerTopic => trefoil_client::SlowReader::LatestPerTopic,
        SlowReader::Disconnect => trefoil_client::SlowReader::Disconnect,
    }
}

async fn print_all(client: &mut Client, arguments: &Sub, printed: &mut u64) -> Result<End, Failure> {
    let form = match arguments {
        Sub { json: true, .. } => Form::Json,
        Sub { raw: true, .. } => Form::Raw,
        Sub { verbose: true, .. } => Form::WithTopic,
        _ => Form::Line,
    };
    let mut text = Vec::new();
    while let Some(message) = client.next_message().await {
        text.clear();
        format(&message, form, &mut text);
        let mut out = io::stdout().lock();
        match out.write_all(&text).and_then(|()| out.flush()) {
            Ok(()) => *printed += 1,
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(End::NobodyReads),
            Err(error) => return Err(Failure::failed(format!("cannot write to standard output: {error}"))),
        }
        if arguments.count == Some(*printed) {
            return Ok(End::Count);
        }
    }
    Err(client.error().map_or_else(|| Failure::failed("the connection ended"), Failure::from))
}

fn format(message: &Message, form: Form, out: &mut Vec<u8>) {
    match form {
        Form::Line => {}
        Form::WithTopic => {
            out.extend_from_slice(message.topic.as_bytes());
            out.push(b' ');
        }
        Form::Raw => return out.extend_from_slice(&message.payload),
        Form::Json => {
            encode_json(message, out);
            return out.push(b'\n');
        }
    }
    out.extend_from_slice(&message.payload);
    out.push(b'\n');
}

fn encode_json(message: &Message, out: &mut Vec<u8>) {
    let properties = &message.properties;
    let pairs = properties.user_properties.iter();
    let pairs: Vec<(&str, &str)> = pairs.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let view = MessageView {
        place: None,
        topic: &message.topic,
        payload: &message.payload,
        retain: message.retain,
        extras: ExtrasRef {
            content_type: properties.content_type.as_deref(),
            response_topic: properties.response_topic.as_deref(),
            correlation: properties.correlation_data.as_deref(),
            expiry_s: properties.expiry_s,
            user_properties: &pairs,
        },
    };
    // The delivery is acknowledged already: its QoS and id say nothing to whoever reads this.
    encode_message(&view, None, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_prints_what_it_says() {
        let message = Message::new("home/temp", &b"21.5"[..]).retain(true);
        for (form, printed) in [
            (Form::Line, "21.5\n"),
            (Form::WithTopic, "home/temp 21.5\n"),
            (Form::Raw, "21.5"),
            (Form::Json, "{\"topic\":\"home/temp\",\"data\":21.5,\"retain\":true}\n"),
        ] {
            let mut out = Vec::new();
            format(&message, form, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), printed);
        }
    }
}
