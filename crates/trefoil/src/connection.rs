//! From the arguments to a connected client, and the runtime that it lives in.

use crate::arguments::{Access, AuthMethod, Connection, MqttVersion};
use crate::failure::Failure;
use crate::passwd::first_line;
use std::fs::File;
use std::future::Future;
use tokio::signal::unix::{SignalKind, signal};
use trefoil_client::{Authentication, Client, Options, QoS, Version};

/// Runs a command to its end. The client has a thread of its own: while this one is held up by standard input or
/// output, pings and acknowledgements go on.
pub(crate) fn run<F: Future<Output = Result<(), Failure>>>(
    command: impl FnOnce() -> F,
) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::failed(format!("cannot start a thread: {error}")))?;
    let result = runtime.block_on(command());
    // A thread that still reads standard input must not hold up the end.
    runtime.shutdown_background();
    result
}

/// Connects as the arguments say.
pub(crate) async fn connect(arguments: &Connection) -> Result<Client, Failure> {
    Ok(Client::connect(&arguments.url, options(arguments)?).await?)
}

/// The options that the arguments stand for.
pub(crate) fn options(arguments: &Connection) -> Result<Options, Failure> {
    Ok(Options {
        version: match arguments.mqtt {
            MqttVersion::V3_1_1 => Version::V3_1_1,
            MqttVersion::V5 => Version::V5,
        },
        client_id: arguments.client_id.clone(),
        authentication: match arguments.auth {
            AuthMethod::Password => Authentication::Password,
            AuthMethod::ScramSha256 => Authentication::ScramSha256,
        },
        clean_start: arguments.session_expiry.is_none(),
        session_expiry_s: arguments.session_expiry.unwrap_or(0),
        keep_alive_s: arguments.keep_alive,
        predefined_topics: arguments.topic_id.clone(),
        ..access_options(&arguments.access)?
    })
}

/// The options that mean something whatever is spoken.
pub(crate) fn access_options(access: &Access) -> Result<Options, Failure> {
    Ok(Options {
        user_name: access.user.clone(),
        password: password(access)?,
        timeout: access.patience,
        tls_ca: access.ca.clone(),
        tls_insecure: access.insecure,
        ..Options::default()
    })
}

/// A password, or the first line of a file.
fn password(access: &Access) -> Result<Option<Vec<u8>>, Failure> {
    let Some(file) = &access.password_file else {
        return Ok(access.password.clone().map(String::into_bytes));
    };
    let read = File::open(file).map_err(|error| error.to_string()).and_then(first_line);
    let line = read.map_err(|why| Failure::usage(format!("{}: {why}", file.display())))?;
    Ok(Some(line.into_bytes()))
}

/// The QoS of a number that was checked to be one.
pub(crate) fn qos(number: u8) -> QoS {
    QoS::from_bits(number).unwrap_or(QoS::ExactlyOnce)
}

/// Resolves when a person or a service manager wants an end.
pub(crate) fn stop_signal() -> Result<impl Future<Output = ()>, Failure> {
    let watch =
        |kind| signal(kind).map_err(|error| Failure::failed(format!("cannot watch for signals: {error}")));
    let (mut interrupt, mut terminate) = (watch(SignalKind::interrupt())?, watch(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
