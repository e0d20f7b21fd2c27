//! One MQTT connection that publishes retained messages and says, through its will, when it is gone.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use trefoil_mqtt::{Connect, Packet, Publish, QoS, ReasonCode, Version, Will, decode, frame};

/// A hub that does not answer is as good as none.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// Nothing the hub sends to a client without subscriptions is longer.
const PACKET_BYTES_MAX: usize = 4096;
/// More than the second between two readings, so that no ping is ever needed.
const KEEP_ALIVE_S: u16 = 10;

/// A connection to the hub.
pub(crate) struct Publisher {
    stream: TcpStream,
    /// What came and makes no whole packet yet.
    input: Vec<u8>,
    out: Vec<u8>,
}

impl Publisher {
    /// Connects and announces itself: `status_topic` says `online` from now on, and `offline` when the connection ends.
    pub(crate) async fn connect(address: &str, client_id: &str, status_topic: &str) -> io::Result<Self> {
        let stream = timeout(ANSWER_MAX, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        let mut publisher = Self { stream, input: Vec::new(), out: Vec::new() };
        let will = Will {
            topic: status_topic,
            payload: b"offline",
            qos: QoS::AtMostOnce,
            retain: true,
            ..Will::default()
        };
        let connect = Connect {
            version: Version::V5,
            clean_start: true,
            keep_alive_s: KEEP_ALIVE_S,
            client_id,
            will: Some(will),
            ..Connect::default()
        };
        connect.encode(Version::V5, &mut publisher.out);
        publisher.flush().await?;
        timeout(ANSWER_MAX, publisher.accepted()).await??;
        publisher.publish(status_topic, b"online");
        publisher.flush().await?;
        Ok(publisher)
    }

    /// Puts a retained message at the end of what [`flush`](Self::flush) sends.
    pub(crate) fn publish(&mut self, topic: &str, payload: &[u8]) {
        Publish { topic, payload, retain: true, ..Publish::default() }.encode(Version::V5, &mut self.out);
    }

    /// Sends all of it in one write.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        timeout(ANSWER_MAX, self.stream.write_all(&self.out)).await??;
        self.out.clear();
        Ok(())
    }

    /// Waits until the hub ends the connection, and gives its reason.
    pub(crate) async fn ended(&mut self) -> io::Error {
        match self.receive().await {
            Ok(bytes) => match decode(&bytes, Version::V5) {
                Ok(Packet::Disconnect(disconnect)) => io::Error::other(disconnect.reason.name()),
                _ => io::Error::other("the hub sent a packet that nobody asked for"),
            },
            Err(error) => error,
        }
    }

    async fn accepted(&mut self) -> io::Result<()> {
        let bytes = self.receive().await?;
        match decode(&bytes, Version::V5).map_err(io::Error::other)? {
            Packet::ConnAck(answer) if answer.reason == ReasonCode::Success => Ok(()),
            Packet::ConnAck(answer) => Err(io::Error::other(answer.reason.name())),
            _ => Err(io::Error::other("the answer is not the one to CONNECT")),
        }
    }

    /// Reads one packet. Loses nothing when it is given up half-way.
    async fn receive(&mut self) -> io::Result<Vec<u8>> {
        loop {
            if let Some(frame) = frame(&self.input, PACKET_BYTES_MAX).map_err(io::Error::other)?
                && self.input.len() >= frame.len
            {
                return Ok(self.input.drain(..frame.len).collect());
            }
            if self.stream.read_buf(&mut self.input).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use tokio::net::TcpListener;
    use trefoil_mqtt::{ConnAck, Disconnect};

    use super::*;

    /// The hub's end of the connection, which reads and writes packets with the publisher's own means.
    async fn accept(listener: &TcpListener, reason: ReasonCode) -> Publisher {
        let (stream, _) = listener.accept().await.unwrap();
        let mut hub = Publisher { stream, input: Vec::new(), out: Vec::new() };
        let bytes = hub.receive().await.unwrap();
        let Packet::Connect(connect) = decode(&bytes, Version::V5).unwrap() else { panic!("not a CONNECT") };
        let will = connect.will.unwrap();
        assert_eq!((will.topic, will.payload, will.retain), ("t/status", b"offline".as_slice(), true));
        ConnAck { reason, ..ConnAck::default() }.encode(Version::V5, &mut hub.out);
        hub.flush().await.unwrap();
        hub
    }

    async fn listen() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    #[tokio::test]
    async fn announces_itself_publishes_and_learns_why_it_ended() {
        let (listener, address) = listen().await;
        let hub = async {
            let mut hub = accept(&listener, ReasonCode::Success).await;
            for expected in [("t/status", b"online".as_slice()), ("t/cpu/0", b"12.5")] {
                let bytes = hub.receive().await.unwrap();
                let Packet::Publish(publish) = decode(&bytes, Version::V5).unwrap() else {
                    panic!("not a PUBLISH")
                };
                assert_eq!((publish.topic, publish.payload), expected);
                assert!(publish.retain);
            }
            let goodbye = Disconnect { reason: ReasonCode::ServerShuttingDown, ..Disconnect::default() };
            goodbye.encode(Version::V5, &mut hub.out);
            hub.flush().await.unwrap();
        };
        let client = async {
            let mut publisher = Publisher::connect(&address, "c", "t/status").await.unwrap();
            publisher.publish("t/cpu/0", b"12.5");
            publisher.flush().await.unwrap();
            assert_eq!(publisher.ended().await.to_string(), ReasonCode::ServerShuttingDown.name());
        };
        tokio::join!(hub, client);
    }

    #[tokio::test]
    async fn tells_why_it_was_refused() {
        let (listener, address) = listen().await;
        let (_, refused) = tokio::join!(
            accept(&listener, ReasonCode::NotAuthorized),
            Publisher::connect(&address, "c", "t/status")
        );
        assert_eq!(refused.err().unwrap().to_string(), ReasonCode::NotAuthorized.name());
    }
}
