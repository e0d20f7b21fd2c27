//! The task behind a client: it alone holds the socket, and moves what is to be moved.

use crate::command::{Command, Delivery, Done, Token};
use crate::error::{Error, Peer};
use crate::keep_alive::{Due, KeepAlive};
use crate::protocol::Protocol;
use crate::transport::{Stage, Transport, in_words};
use crate::units::Units;
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout_at};

/// While more than this waits to be sent, nothing is added to it: publishers wait.
const OUT_BYTES_MAX: usize = 256 << 10;

/// How long the hub may take to close its side after a goodbye.
const LINGER: Duration = Duration::from_secs(1);

/// How long to sleep when nothing is due.
const LONG: Duration = Duration::from_secs(3600);

/// Owns the connection.
pub(crate) struct Driver {
    pub(crate) transport: Transport,
    pub(crate) protocol: Protocol,
    pub(crate) keep_alive: KeepAlive,
    pub(crate) peer: Peer,
    pub(crate) handles: Handles,
    /// What came in and found the queue of the receiver full. It never holds more than one read brings, since nothing is
    /// read before it is empty.
    pub(crate) inbox: VecDeque<Delivery>,
    pub(crate) units: Units,
    /// How long the last acknowledgements are waited for.
    pub(crate) patience: Duration,
}

/// The driver's ends of the queues.
pub(crate) struct Handles {
    pub(crate) commands: mpsc::Receiver<Command>,
    /// Tokens of the messages that were taken. There are never more of them than messages that came in.
    pub(crate) taken: mpsc::UnboundedReceiver<Token>,
    pub(crate) messages: mpsc::Sender<Delivery>,
    /// Why the connection ended, for whoever asks later.
    pub(crate) ended: Arc<OnceLock<Error>>,
}

/// What the loop ends with.
enum End {
    /// Somebody closes the client.
    Close(Done<()>),
    /// All handles are gone: nobody wants the connection any more, and nobody has said goodbye.
    Dropped,
}

impl Driver {
    /// Serves until the client is closed, dropped, or the connection breaks.
    pub(crate) async fn run(mut self) {
        let (error, done) = match self.serve().await {
            Ok(End::Dropped) => (Error::closed(), None),
            Ok(End::Close(done)) => match self.close().await {
                Ok(()) => (Error::closed(), Some((done, Ok(())))),
                Err(error) => (error.clone(), Some((done, Err(error)))),
            },
            Err(error) => (error, None),
        };
        // What was taken up to here counts as taken; nothing can be from here on.
        self.handles.taken.close();
        self.acknowledge_taken();
        // In this order: who finds the queue closed must find the reason, too.
        let _ = self.handles.ended.set(error.clone());
        self.protocol.fail(&error);
        if let Some((done, result)) = done {
            let _ = done.send(result);
        }
    }

    async fn serve(&mut self) -> Result<End, Error> {
        let (mut has_publishers, mut has_receiver) = (true, true);
        let timer = sleep_until(Instant::now() + LONG);
        tokio::pin!(timer);
        while has_publishers || has_receiver {
            self.hand_over();
            self.send()?;
            // Set anew only when it would come too late: it may come early, and then finds nothing due.
            let wake_at = self.wake_at();
            if timer.is_elapsed() || wake_at < timer.deadline() {
                timer.as_mut().reset(wake_at);
            }
            let takes_commands =
                has_publishers && self.protocol.has_room() && self.transport.waiting_bytes() < OUT_BYTES_MAX;
            let writes = self.transport.waiting_bytes() > 0;
            let reads = self.inbox.is_empty();
            tokio::select! {
                ready = self.transport.ready(reads, writes) => {
                    let ready = ready.map_err(|error| self.peer.lost(in_words(&error)))?;
                    if ready.is_readable() && self.receive()? == Stage::Ended {
                        return Err(self.peer.lost("the hub closed it"));
                    }
                }
                command = self.handles.commands.recv(), if takes_commands => match command {
                    Some(command) => {
                        if let Some(done) = self.handle_commands(command) {
                            return Ok(End::Close(done));
                        }
                    }
                    None => has_publishers = false,
                },
                token = self.handles.taken.recv(), if has_receiver => match token {
                    Some(token) => {
                        self.protocol.handle_taken(token, &mut self.units);
                        self.acknowledge_taken();
                    }
                    None => has_receiver = false,
                },
                () = has_room(&self.handles.messages), if !self.inbox.is_empty() => {}
                () = &mut timer => self.handle_timer()?,
            }
        }
        Ok(End::Dropped)
    }

    /// Takes all that waits, so that it leaves in one write. Returns where to tell the end, if that is asked for.
    fn handle_commands(&mut self, first: Command) -> Option<Done<()>> {
        let now = Instant::now();
        let mut next = Some(first);
        let mut bytes = 0;
        while let Some(command) = next {
            match command {
                Command::Close(done) => return Some(done),
                command => self.protocol.handle_command(command, now, &mut self.units),
            }
            self.units.drain(|unit| {
                bytes += unit.len();
                self.transport.push(unit);
            });
            let goes_on = self.protocol.has_room() && self.transport.waiting_bytes() < OUT_BYTES_MAX;
            next = goes_on.then(|| self.handles.commands.try_recv().ok()).flatten();
        }
        if bytes > 0 {
            self.keep_alive.sent(now);
        }
        None
    }

    fn acknowledge_taken(&mut self) {
        while let Ok(token) = self.handles.taken.try_recv() {
            self.protocol.handle_taken(token, &mut self.units);
        }
    }

    /// Reads once.
    fn receive(&mut self) -> Result<Stage, Error> {
        self.keep_alive.heard(Instant::now());
        let Driver { transport, protocol, units, inbox, .. } = self;
        transport.receive(&mut |unit| protocol.handle_unit(unit, units, inbox))
    }

    /// Gives messages to the receiver, as far as its queue has room.
    fn hand_over(&mut self) {
        while !self.inbox.is_empty() {
            match self.handles.messages.try_reserve() {
                Ok(permit) => match self.inbox.pop_front() {
                    Some(delivery) => permit.send(delivery),
                    None => return,
                },
                Err(mpsc::error::TrySendError::Full(())) => return,
                // There is no receiver any more. What nobody takes is not acknowledged and stays with the hub.
                Err(mpsc::error::TrySendError::Closed(())) => self.inbox.clear(),
            }
        }
    }

    /// Sends what the protocol wants sent and what still waits.
    fn send(&mut self) -> Result<(), Error> {
        if !self.units.is_empty() {
            self.keep_alive.sent(Instant::now());
            self.units.drain(|unit| self.transport.push(unit));
        }
        self.transport.flush()
    }

    fn wake_at(&self) -> Instant {
        let due = self.keep_alive.deadline().into_iter().chain(self.protocol.resend_at()).min();
        due.unwrap_or_else(|| Instant::now() + LONG)
    }

    fn handle_timer(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        self.protocol.resend(now, &mut self.units);
        if !self.inbox.is_empty() {
            // Nothing is read until the receiver takes what is here: the silence is not the hub's.
            self.keep_alive.heard(now);
        }
        match self.keep_alive.due(now) {
            Due::Nothing => {}
            Due::Ping => self.protocol.ping(&mut self.units),
            Due::Dead => return Err(self.peer.lost("nothing was heard from the hub for too long")),
        }
        Ok(())
    }

    /// Waits for the last acknowledgements and says goodbye. What comes in meanwhile goes nowhere: it was not
    /// acknowledged, so that a session that is kept still has it.
    async fn close(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + self.patience;
        self.acknowledge_taken();
        self.protocol.begin_end(Instant::now(), &mut self.units);
        while !self.is_settled()? {
            if self.move_on(deadline).await? == Stage::Ended {
                return Err(self.peer.lost("the hub closed it before it had acknowledged everything"));
            }
        }
        let said = self.protocol.say_goodbye(&mut self.units);
        self.send()?;
        self.transport.say_goodbye();
        self.send()?;
        while self.transport.waiting_bytes() > 0 {
            self.move_on(deadline).await?;
        }
        if self.transport.shut_down(self.protocol.hub_closes()).await {
            // When the hub closes its side it has read everything. Otherwise nothing is lost but this certainty.
            let _ = self.linger().await;
        }
        said
    }

    /// Whether nothing waits any more, to be sent or to be answered.
    fn is_settled(&mut self) -> Result<bool, Error> {
        self.send()?;
        Ok(self.protocol.is_settled() && self.transport.waiting_bytes() == 0)
    }

    async fn linger(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + LINGER;
        while self.move_on(deadline).await? == Stage::Open {}
        Ok(())
    }

    /// One step towards the end, no later than `deadline`.
    async fn move_on(&mut self, deadline: Instant) -> Result<Stage, Error> {
        self.send()?;
        let writes = self.transport.waiting_bytes() > 0;
        let wake_at = self.wake_at().min(deadline);
        let mut stage = Stage::Open;
        if let Ok(ready) = timeout_at(wake_at, self.transport.ready(true, writes)).await {
            let ready = ready.map_err(|error| self.peer.lost(in_words(&error)))?;
            if ready.is_readable() {
                stage = self.receive()?;
                self.inbox.clear();
            }
        } else if Instant::now() >= deadline {
            return Err(self.peer.timed_out("it has not acknowledged everything"));
        } else {
            self.handle_timer()?;
        }
        Ok(stage)
    }
}

/// Waits until the receiver's queue has room, or is gone.
async fn has_room(messages: &mpsc::Sender<Delivery>) {
    let _ = messages.reserve().await;
}
