//! `trefoil req`: asks whoever is subscribed to a topic, and prints the answer.

use crate::arguments::Req;
use crate::connection::{self, connect, stop_signal};
use crate::failure::Failure;
use crate::input;
use std::io::Write;
use std::path::Path;
use trefoil_client::Message;

pub(crate) fn run(arguments: &Req) -> Result<(), Failure> {
    // Before anything is connected: what cannot be read is no reason to trouble the hub.
    let data = data(arguments)?;
    connection::run(|| ask(arguments, data))
}

fn data(arguments: &Req) -> Result<Vec<u8>, Failure> {
    let path = match (&arguments.file, arguments.data.as_deref()) {
        (Some(path), _) => path.as_path(),
        (None, Some("-")) => Path::new("-"),
        (None, data) => return Ok(data.unwrap_or_default().into()),
    };
    input::whole(path).map_err(|error| Failure::failed(format!("cannot read {}: {error}", path.display())))
}

async fn ask(arguments: &Req, data: Vec<u8>) -> Result<(), Failure> {
    let stop = stop_signal()?;
    let client = connect(&arguments.connection).await?;
    let message = Message::new(&arguments.topic, data).qos(connection::qos(arguments.qos));
    let answer = tokio::select! {
        answer = client.request(message, arguments.timeout) => answer?,
        () = stop => return Err(Failure::failed("interrupted before there was an answer")),
    };
    let mut bytes = answer.payload;
    if !arguments.raw {
        bytes.push(b'\n');
    }
    let mut output = std::io::stdout().lock();
    output
        .write_all(&bytes)
        .and_then(|()| output.flush())
        .map_err(|error| Failure::failed(format!("cannot write the answer: {error}")))?;
    Ok(client.close().await?)
}
