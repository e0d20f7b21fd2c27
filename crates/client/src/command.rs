//! What the handles ask of the driver.

use crate::error::Error;
use crate::message::{Answer, Message};
use std::time::Duration;
use tokio::sync::oneshot;
use trefoil_json::SlowReader;
use trefoil_mqtt::QoS;

/// Where the outcome goes. Whether anybody still waits for it does not matter.
pub(crate) type Done<T> = oneshot::Sender<Result<T, Error>>;

/// One thing to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// Without a `Done` at QoS 0, which nobody acknowledges.
    Publish(Message, Option<Done<()>>),
    Subscribe {
        filter: String,
        qos: QoS,
        slow_reader: Option<SlowReader>,
        done: Done<QoS>,
    },
    Unsubscribe {
        filter: String,
        done: Done<()>,
    },
    /// Publish a message that somebody is to answer within a time. Over MQTT it has its response topic and correlation
    /// already.
    Ask {
        message: Message,
        timeout: Duration,
        done: Done<Answer>,
    },
    /// Say goodbye once everything before it is acknowledged.
    Close(Done<()>),
}

/// A message that came in, and what to tell the driver when it is taken.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) message: Message,
    /// `None` at QoS 0.
    pub(crate) token: Option<Token>,
}

/// Which of the messages that the hub waits for an acknowledgement of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) id: u64,
    pub(crate) qos: QoS,
}
