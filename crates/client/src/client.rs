//! What programs hold in their hands.

use crate::command::{Command, Delivery, Token};
use crate::error::{Error, Peer};
use crate::message::{Answer, Message};
use crate::options::SubscribeOptions;
use crate::random::Random;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OnceCell, mpsc, oneshot};
use trefoil_mqtt::QoS;

/// How long an answer may take at most.
const TIMEOUT_MAX: Duration = Duration::from_secs(trefoil_json::TIMEOUT_S_MAX as u64);

/// A connection to a hub.
///
/// It ends in order by [`close`](Client::close). One that is dropped instead ends like one that breaks: the hub
/// publishes its will, and messages that were not acknowledged may be lost.
///
/// Acknowledgements come in between messages. So a task that waits for one while nobody takes messages out waits for
/// ever once [`Options::queue_messages_max`](crate::Options::queue_messages_max) messages are held: who subscribes to
/// much and publishes much uses [`split`](Client::split) and two tasks.
#[derive(Debug)]
pub struct Client {
    pub(crate) publisher: Publisher,
    pub(crate) receiver: Receiver,
    pub(crate) session_present: bool,
}

/// The half that sends. It can be cloned; the connection stays as long as one of them or the [`Receiver`] does.
#[derive(Clone, Debug)]
pub struct Publisher {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) ended: Arc<OnceLock<Error>>,
    pub(crate) qos_max: QoS,
    /// The hub, by the name that errors call it.
    pub(crate) peer: Peer,
    /// Whether the protocol has words for [`SubscribeOptions::slow_reader`].
    pub(crate) says_slow_reader: bool,
    /// How the protocol asks.
    pub(crate) asking: Asking,
}

/// How a protocol has somebody answer a message.
#[derive(Clone, Debug)]
pub(crate) enum Asking {
    /// JSON has an operation for it.
    Operation,
    /// MQTT 5 has a response topic, which this client makes up and subscribes to when it asks first.
    Topic(Arc<OnceCell<Replies>>),
    /// It has no words for it.
    Never,
}

/// Where the answers go to what one client asks by MQTT.
#[derive(Debug)]
pub(crate) struct Replies {
    topic: String,
    /// What the correlations of its requests begin with.
    nonce: [u8; 16],
    count: AtomicU64,
}

/// The half that receives.
#[derive(Debug)]
pub struct Receiver {
    pub(crate) messages: mpsc::Receiver<Delivery>,
    pub(crate) taken: mpsc::UnboundedSender<Token>,
    pub(crate) ended: Arc<OnceLock<Error>>,
    /// The next connection gets what was not taken in this one.
    pub(crate) keeps_session: bool,
}

/// Resolves when the hub has acknowledged a message as its QoS asks; at QoS 0 at once. Who does not care drops it.
#[derive(Debug)]
#[must_use = "a receipt says whether the hub has accepted the message"]
pub struct Receipt {
    done: Option<oneshot::Receiver<Result<(), Error>>>,
    ended: Arc<OnceLock<Error>>,
}

impl Client {
    /// Parts it in two, so that two tasks can use the two directions.
    pub fn split(self) -> (Publisher, Receiver) {
        (self.publisher, self.receiver)
    }

    /// Whether the hub has kept the session of an earlier connection, and with it its subscriptions.
    pub fn session_present(&self) -> bool {
        self.session_present
    }

    /// As [`Publisher::publish`].
    pub async fn publish(&self, message: Message) -> Result<(), Error> {
        self.publisher.publish(message).await
    }

    /// As [`Publisher::send`].
    pub async fn send(&self, message: Message) -> Result<Receipt, Error> {
        self.publisher.send(message).await
    }

    /// As [`Publisher::request`].
    pub async fn request(&self, message: Message, timeout: Duration) -> Result<Answer, Error> {
        self.publisher.request(message, timeout).await
    }

    /// As [`Publisher::subscribe`].
    pub async fn subscribe(&self, filter: &str, qos: QoS) -> Result<QoS, Error> {
        self.publisher.subscribe(filter, qos).await
    }

    /// As [`Publisher::subscribe_with`].
    pub async fn subscribe_with(&self, filter: &str, options: SubscribeOptions) -> Result<QoS, Error> {
        self.publisher.subscribe_with(filter, options).await
    }

    /// As [`Publisher::unsubscribe`].
    pub async fn unsubscribe(&self, filter: &str) -> Result<(), Error> {
        self.publisher.unsubscribe(filter).await
    }

    /// As [`Receiver::next_message`].
    pub async fn next_message(&mut self) -> Option<Message> {
        self.receiver.next_message().await
    }

    /// As [`Receiver::error`].
    pub fn error(&self) -> Option<Error> {
        self.receiver.error()
    }

    /// As [`Publisher::close`].
    pub async fn close(self) -> Result<(), Error> {
        self.publisher.close().await
    }
}

impl Publisher {
    /// Publishes and waits until the hub has acknowledged it as its QoS asks. At QoS 0 nobody acknowledges: it returns
    /// when the message is on its way, and [`close`](Self::close) says whether all of them could be sent.
    ///
    /// To have many on their way at a time, use [`send`](Self::send), or several clones in several tasks.
    pub async fn publish(&self, message: Message) -> Result<(), Error> {
        self.send(message).await?.await
    }

    /// Queues a message behind those before it and returns at once, unless the queue is full. The [`Receipt`] resolves
    /// when the message is acknowledged.
    pub async fn send(&self, message: Message) -> Result<Receipt, Error> {
        message.check()?;
        if message.qos > self.qos_max {
            return Err(Error::usage("JSON has QoS 0 and 1; for QoS 2 use mqtt://, or /mqtt over ws://"));
        }
        let (sender, receiver) = if message.qos == QoS::AtMostOnce {
            (None, None)
        } else {
            let (sender, receiver) = oneshot::channel();
            (Some(sender), Some(receiver))
        };
        self.command(Command::Publish(message, sender)).await?;
        Ok(Receipt { done: receiver, ended: self.ended.clone() })
    }

    /// Publishes a message that somebody is to answer, and waits for the first answer. Who answers is subscribed to the topic,
    /// and sees a response topic and a correlation in the message's properties. Any number of requests may wait at a time.
    ///
    /// Over JSON this is the operation `req`. Over MQTT 5 the client subscribes to a topic of its own when it asks first; at
    /// QoS 1 the hub says at once if nobody could answer.
    ///
    /// # Errors
    /// [`ErrorKind::Refused`](crate::ErrorKind::Refused) when nobody is subscribed, [`ErrorKind::TimedOut`](crate::ErrorKind::TimedOut) when nobody has answered in time
    /// (more than nothing, at most 300 seconds), and [`ErrorKind::Usage`](crate::ErrorKind::Usage) over MQTT 3.1.1 and MQTT-SN, which have no words for it,
    /// and for a message that is to be retained or has a response topic or a correlation already.
    pub async fn request(&self, mut message: Message, timeout: Duration) -> Result<Answer, Error> {
        message.check()?;
        if timeout.is_zero() || timeout > TIMEOUT_MAX {
            return Err(Error::usage(
                "the time for an answer has to be more than nothing and at most 300 seconds",
            ));
        }
        let properties = &message.properties;
        if message.retain || properties.response_topic.is_some() || properties.correlation_data.is_some() {
            return Err(Error::usage(
                "a request is not retained, and gets its response topic and its correlation from the client",
            ));
        }
        if message.qos > self.qos_max {
            return Err(Error::usage("JSON has QoS 0 and 1; for QoS 2 use mqtt://, or /mqtt over ws://"));
        }
        let topic = message.topic.clone();
        let asked = async {
            match &self.asking {
                Asking::Operation => {}
                Asking::Topic(replies) => {
                    let replies = replies.get_or_try_init(|| self.take_replies()).await?;
                    let count = replies.count.fetch_add(1, Ordering::Relaxed);
                    let correlation = [&replies.nonce[..], &count.to_be_bytes()].concat();
                    message.properties.response_topic = Some(replies.topic.clone());
                    message.properties.correlation_data = Some(correlation);
                }
                Asking::Never => {
                    return Err(Error::usage(
                        "only MQTT 5 and JSON have requests; use mqtt:// with version 5, ws://, tcp:// or udp://",
                    ));
                }
            }
            let (done, answer) = oneshot::channel();
            self.command(Command::Ask { message, timeout, done }).await?;
            answer.await.unwrap_or_else(|_| Err(reason(&self.ended)))
        };
        match tokio::time::timeout(timeout, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(self.peer.timed_out(format!("nobody has answered the request to {topic}"))),
        }
    }

    /// Subscribes to a topic that nobody can guess.
    async fn take_replies(&self) -> Result<Replies, Error> {
        let mut random = Random::new();
        let topic = format!("trefoil-reply/{:032x}", u128::from_ne_bytes(random.nonce()));
        self.subscribe(&topic, QoS::AtLeastOnce).await?;
        Ok(Replies { topic, nonce: random.nonce(), count: AtomicU64::new(0) })
    }

    /// Subscribes and waits for the answer: the QoS that the hub grants, which may be lower. Over MQTT a filter
    /// `$share/NAME/FILTER` is a shared subscription.
    pub async fn subscribe(&self, filter: &str, qos: QoS) -> Result<QoS, Error> {
        self.subscribe_with(filter, SubscribeOptions { qos, ..SubscribeOptions::default() }).await
    }

    /// The same with all that can be asked for.
    ///
    /// # Errors
    /// When the hub refuses, the connection ends, or the protocol cannot say what is asked for.
    pub async fn subscribe_with(&self, filter: &str, options: SubscribeOptions) -> Result<QoS, Error> {
        check_filter(filter)?;
        let SubscribeOptions { qos, slow_reader } = options;
        if slow_reader.is_some() && !self.says_slow_reader {
            return Err(Error::usage(
                "only MQTT 5 and JSON can say what happens to messages for which a client is too slow",
            ));
        }
        let (done, answer) = oneshot::channel();
        self.command(Command::Subscribe { filter: filter.to_owned(), qos, slow_reader, done }).await?;
        answer.await.unwrap_or_else(|_| Err(reason(&self.ended)))
    }

    /// Ends a subscription and waits for the answer. Messages that are on their way already still come.
    pub async fn unsubscribe(&self, filter: &str) -> Result<(), Error> {
        check_filter(filter)?;
        let (done, answer) = oneshot::channel();
        self.command(Command::Unsubscribe { filter: filter.to_owned(), done }).await?;
        answer.await.unwrap_or_else(|_| Err(reason(&self.ended)))
    }

    /// Waits until everything sent before is acknowledged, says goodbye, and ends the connection for all clones and the
    /// receiver. Messages that nobody has taken by then are not acknowledged.
    ///
    /// # Errors
    /// When the connection is broken already, when the acknowledgements do not come in time, or when the hub has
    /// refused a message of QoS 0.
    pub async fn close(&self) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        self.command(Command::Close(done)).await?;
        answer.await.unwrap_or_else(|_| Err(reason(&self.ended)))
    }

    async fn command(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).await.map_err(|_| reason(&self.ended))
    }
}

impl Receiver {
    /// The next message; waits for one. At QoS 1 and 2 it is acknowledged by this. `None`: the connection has ended, and
    /// [`error`](Self::error) says why.
    ///
    /// After the connection has ended, what has come before is still given. With an
    /// [`Options::session`](crate::Options::session) only messages of QoS 0 are: the others can no longer be
    /// acknowledged, and come again in the next connection.
    ///
    /// Nothing is lost when the returned future is dropped before it is done.
    pub async fn next_message(&mut self) -> Option<Message> {
        loop {
            let delivery = self.messages.recv().await?;
            let Some(token) = delivery.token else { return Some(delivery.message) };
            if self.taken.send(token).is_ok() || !self.keeps_session {
                return Some(delivery.message);
            }
        }
    }

    /// Why the connection has ended. `None` as long as it has not.
    pub fn error(&self) -> Option<Error> {
        self.ended.get().cloned()
    }
}

impl Future for Receipt {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.done {
            None => Poll::Ready(Ok(())),
            Some(done) => {
                Pin::new(done).poll(context).map(|answer| answer.unwrap_or_else(|_| Err(reason(&self.ended))))
            }
        }
    }
}

fn reason(ended: &OnceLock<Error>) -> Error {
    ended.get().cloned().unwrap_or_else(Error::closed)
}

fn check_filter(filter: &str) -> Result<(), Error> {
    if filter.is_empty() {
        return Err(Error::usage("a topic filter cannot be empty; # is the one for all topics"));
    }
    // The hub would close the whole connection for one that is not well-formed.
    trefoil_mqtt::validate_topic_filter(filter)
        .map_err(|error| Error::usage(format!("the topic filter {filter:?} cannot be sent: {error}")))
}
