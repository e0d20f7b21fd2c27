//! A counter of tickets at a stop: every now and then somebody buys one, and it says so at QoS 1.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use trefoil_client::{Client, Message, Options, Publisher, QoS};

use super::{Device, State};
use crate::messages::{Ticket, json, stop_topic};
use crate::vehicle::{Phase, leaves};

/// How often somebody buys a ticket.
const PERIOD: Duration = Duration::from_millis(900);
const RETRY: Duration = Duration::from_millis(300);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEP_ALIVE_S: u16 = 10;
/// What is not acknowledged by then is told in another conversation.
const TELL_TIMEOUT: Duration = Duration::from_secs(5);
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(3);

impl Device {
    pub(super) async fn sell(&self, mut phase: watch::Receiver<Phase>) {
        let service = phase.clone();
        let sells = async {
            let mut ticks = tokio::time::interval(PERIOD);
            loop {
                ticks.tick().await;
                if *service.borrow() != Phase::Service {
                    return std::future::pending().await;
                }
                let mut memory = self.memory();
                memory.sold += u64::from(memory.in_service);
            }
        };
        tokio::select! {
            () = sells => {}
            () = self.tell(&mut phase) => {}
        }
        self.enter(State::Gone);
    }

    /// Tells the hub of every ticket, one after the other, each until it is acknowledged.
    async fn tell(&self, phase: &mut watch::Receiver<Phase>) {
        let url = format!("mqtt-sn://{}", self.gateway());
        let options = Options {
            client_id: Some(self.client_id()),
            keep_alive_s: KEEP_ALIVE_S,
            timeout: CONNECT_TIMEOUT,
            ..Options::default()
        };
        while *phase.borrow() != Phase::Leave {
            if let Ok(client) = Client::connect(&url, options.clone()).await {
                self.memory().connections += 1;
                self.enter(State::Awake);
                let (publisher, mut receiver) = client.split();
                tokio::select! {
                    () = self.tell_all(&publisher) => {}
                    // Nothing is subscribed to; that it ends says that the conversation has.
                    _ = receiver.next_message() => {}
                    () = leaves(phase) => drop(timeout(GOODBYE_TIMEOUT, publisher.close()).await),
                }
                self.memory().state = State::Away;
            }
            let _ = timeout(RETRY, leaves(phase)).await;
        }
    }

    async fn tell_all(&self, publisher: &Publisher) {
        loop {
            let (sold, told) = {
                let memory = self.memory();
                (memory.sold, memory.told)
            };
            if told == sold {
                sleep(RETRY).await;
                continue;
            }
            let ticket = json(&Ticket { n: told + 1 });
            let message = Message::new(stop_topic(&self.name, "ticket"), ticket).qos(QoS::AtLeastOnce);
            match timeout(TELL_TIMEOUT, publisher.publish(message)).await {
                Ok(Ok(())) => self.memory().told += 1,
                // In the next conversation.
                _ => return,
            }
        }
    }
}
