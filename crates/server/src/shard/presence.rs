//! Who is on a topic: what clients ask, and what they are told.

use super::ShardLoop;
use super::connection::{Form, Phase};
use super::deflate::Deflate;
use super::net::{DATAGRAM_BYTES_MAX, Net};
use crate::stats::Kind;
use std::borrow::Cow;
use std::num::NonZeroU32;
use tokio::sync::oneshot;
use trefoil_hub::{
    ClientKind, ConnectionKey, PresenceAnswer, PresenceAsker, PresenceError, PresenceNews, PresenceQuestion,
    PresentClient, SessionKey,
};
use trefoil_json::{Code, RequestError, encode_join, encode_leave, encode_presence, encode_presence_count};
use trefoil_websocket::Opcode;

/// Questions from beside the shards that wait for their answers. There are no more of them than requests over HTTP.
#[derive(Default)]
pub(super) struct Asked {
    last: u64,
    waiting: Vec<(u64, oneshot::Sender<PresenceAnswer>)>,
}

impl ShardLoop {
    /// What a connection's client is, for others to see.
    pub(super) fn client_kind(&self, key: ConnectionKey) -> ClientKind {
        match self.net.get(key).map(|connection| connection.kind) {
            Some(Kind::JsonWebSocket) => ClientKind::WebSocket,
            Some(Kind::JsonTcp) => ClientKind::Tcp,
            Some(Kind::JsonUdp) => ClientKind::Udp,
            Some(Kind::MqttSn) => ClientKind::MqttSn,
            Some(Kind::FramedTcp | Kind::FramedUdp) => ClientKind::Raw,
            Some(Kind::Sse) => ClientKind::Sse,
            Some(Kind::Poll) => ClientKind::Poll,
            _ => ClientKind::Mqtt,
        }
    }

    /// What tells a connection from all others of the shard.
    pub(super) fn connection_tag(&self, key: ConnectionKey) -> NonZeroU32 {
        let serial = self.net.get(key).map_or(0, |connection| connection.serial);
        NonZeroU32::new(serial).unwrap_or(NonZeroU32::MAX)
    }

    /// Answers a client who is on a topic, now or when all shards have answered.
    pub(super) fn json_presence(
        &mut self,
        session: SessionKey,
        topic: &str,
        id: Option<u64>,
    ) -> Result<(), RequestError> {
        self.finish_run();
        let asked = self.hub.ask_presence(self.net.now, session, topic, id, &mut self.net);
        asked.map_err(refused)
    }

    /// Checks that there can be presence of all filters of a subscribe.
    pub(super) fn check_presence(
        &self,
        session: SessionKey,
        filters: &[Cow<'_, str>],
    ) -> Result<(), RequestError> {
        filters.iter().try_for_each(|filter| self.hub.check_presence(session, filter)).map_err(refused)
    }

    /// Has a session that has just subscribed told who is there, and who comes and goes.
    pub(super) fn json_watch(
        &mut self,
        session: SessionKey,
        filters: &[Cow<'_, str>],
    ) -> Result<(), RequestError> {
        filters.iter().try_for_each(|filter| self.hub.watch_presence(session, filter)).map_err(refused)
    }

    /// Somebody beside the shards wants to know who is on a topic.
    pub(super) fn ask_presence(&mut self, topic: &str, reply: oneshot::Sender<PresenceAnswer>) {
        let asked = &mut self.net.asked;
        asked.waiting.retain(|(_, reply)| !reply.is_closed());
        asked.last += 1;
        let number = asked.last;
        asked.waiting.push((number, reply));
        self.hub.ask_presence_from_outside(self.net.now, topic, number, &mut self.net);
    }
}

impl Net {
    /// Tells connections something of who is on a topic, if they have room for it. What goes out in several shapes is
    /// written once in each, and compressed once for each size of window.
    pub(super) fn say_presence(
        &mut self,
        to: &[ConnectionKey],
        name: &str,
        news: &PresenceNews<'_>,
    ) -> Vec<ConnectionKey> {
        let mut full = Vec::new();
        let (mut text, mut datagram, mut frame) = (Vec::new(), Vec::new(), None);
        for &key in to {
            let Some(connection) = self.get(key).filter(|c| c.phase == Phase::Open) else { continue };
            let text = if connection.is_udp() {
                if datagram.is_empty() {
                    encode_news(name, news, DATAGRAM_BYTES_MAX, &mut datagram);
                }
                &datagram
            } else {
                if text.is_empty() {
                    encode_news(name, news, usize::MAX, &mut text);
                }
                &text
            };
            if !self.fits(connection, 1, text.len()) {
                if let Some(connection) = self.get_mut(key) {
                    connection.is_starved = true;
                }
                full.push(key);
                continue;
            }
            match self.frame_for_many(key, text, &mut frame) {
                Some(frame) => self.apart_from_disk(|net| {
                    net.answer(key, |out| out.extend_from_slice(frame));
                }),
                None => self.put_presence(key, text),
            }
        }
        full
    }

    /// The frame in which all connections get a text that have the same window and keep none; none where nothing is
    /// compressed, or something depends on the connection. The last such frame is `known`.
    fn frame_for_many<'a>(
        &mut self,
        key: ConnectionKey,
        text: &[u8],
        known: &'a mut Option<(u8, Vec<u8>)>,
    ) -> Option<&'a [u8]> {
        let connection = self.get(key)?;
        let deflate = &connection.deflate;
        if !matches!(connection.form, Form::JsonText) || deflate.window_bits == 0 || deflate.keeps_context() {
            return None;
        }
        let window_bits = deflate.window_bits;
        // Hardly anybody asks for another size than the others.
        known.take_if(|(bits, _)| *bits != window_bits);
        let (_, frame) = known.get_or_insert_with(|| {
            let mut frame = Vec::new();
            self.deflate.frame(&mut Deflate::shared(window_bits), Opcode::Text, text, &mut frame);
            (window_bits, frame)
        });
        Some(frame)
    }

    /// Gives an answer to whom it is for.
    pub(super) fn reply_presence(&mut self, question: &PresenceQuestion, answer: &PresenceAnswer) {
        match question.asker {
            PresenceAsker::Client { connection: key, id } => {
                let is_datagram = self.get(key).is_some_and(|connection| connection.is_udp());
                let bytes_max = if is_datagram { DATAGRAM_BYTES_MAX } else { usize::MAX };
                let clients = answer.clients.iter().map(view);
                let mut text = Vec::new();
                encode_presence(&question.topic, answer.count, clients, id, bytes_max, &mut text);
                self.put_presence(key, &text);
            }
            PresenceAsker::Outside(number) => {
                let waiting = &mut self.asked.waiting;
                if let Some(at) = waiting.iter().position(|(asked, _)| *asked == number) {
                    // Whoever asked may have gone meanwhile.
                    drop(waiting.swap_remove(at).1.send(answer.clone()));
                }
            }
        }
    }

    fn put_presence(&mut self, key: ConnectionKey, text: &[u8]) {
        self.apart_from_disk(|net| net.put_json(key, |out| out.extend_from_slice(text)));
    }

    /// What `put` puts into outboxes rests on nothing that has to be on disk, but stands behind what does.
    fn apart_from_disk(&mut self, put: impl FnOnce(&mut Net)) {
        let before = std::mem::replace(&mut self.waits_for, 0);
        put(self);
        self.waits_for = before;
    }
}

fn encode_news(name: &str, news: &PresenceNews<'_>, bytes_max: usize, out: &mut Vec<u8>) {
    match *news {
        PresenceNews::List(clients) => {
            let views = clients.iter().map(|client| view(client));
            encode_presence(name, clients.len(), views, None, bytes_max, out);
        }
        PresenceNews::Count(count) => encode_presence_count(name, count, out),
        PresenceNews::Came(client, count) => encode_join(name, &view(client), count, out),
        PresenceNews::Went(client_id, connection, count) => {
            encode_leave(name, client_id, &connection.to_string(), count, out);
        }
    }
}

/// A client as the JSON protocol has it.
pub(crate) fn view(client: &PresentClient) -> trefoil_json::PresentClient<'_> {
    trefoil_json::PresentClient {
        client: Cow::Borrowed(&client.client_id),
        connection: Cow::Owned(client.connection.to_string()),
        kind: Cow::Borrowed(client.kind.name()),
        user: client.user.as_deref().map(Cow::Borrowed),
        info: client.info.as_deref().map(Cow::Borrowed),
    }
}

fn refused(why: PresenceError) -> RequestError {
    let code = if why == PresenceError::NotATopic { Code::BadField } else { Code::Quota };
    RequestError::new(code, why.to_string()).field("presence")
}
