//! Who may come in: listens for receivers, lets in who knows the code, and counts those who do not.

use super::channel::{Channel, Cut, PING_EVERY, Pulse};
use super::greet::{Unknown, greet};
use super::patience::Patience;
use crate::failure::Failure;
use crate::streams::may_pass;
use std::net::Shutdown;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use trefoil_client::streams::{Call, Listener};
use trefoil_client::{Code as Refusal, Options};
use trefoil_transfer::{Code, Fault, HandshakeError, Message, Role};

/// After so many wrong codes nobody is let in any more.
pub(crate) const GUESSES_MAX: u32 = 3;

/// No more callers are greeted at a time.
const CALLERS_MAX: usize = 8;

/// Who has the door keeps it against others for so long after it was heard last.
const SILENCE_MAX: Duration = PING_EVERY.saturating_mul(3);

/// Where to listen.
#[derive(Clone)]
pub(crate) struct Door {
    pub(crate) url: String,
    pub(crate) options: Options,
    pub(crate) code: Code,
    /// How long to try to come back when the hub is gone.
    pub(crate) reconnect: Duration,
}

/// What happens at the door.
pub(crate) enum Arrival {
    /// Somebody who knows the code.
    Receiver(Channel),
    /// Somebody who does not. So many more may try.
    Guess { left: u32 },
    /// Somebody whose program speaks otherwise.
    Stranger(String),
    /// The hub cannot be reached for the moment.
    Away(String),
    /// Nobody will come any more.
    Closed(Failure),
}

/// What those who are greeted at the same time share.
struct Shared {
    code: Code,
    guesses: Mutex<u32>,
    callers: AtomicUsize,
    /// Who is inside.
    inside: Mutex<Option<Inside>>,
    arrivals: SyncSender<Arrival>,
}

/// The one who is inside, for as long as that lasts.
type Inside = (Weak<Pulse>, Weak<Cut>);

impl Door {
    /// Listens, with another number while somebody else has this one, if that is allowed.
    pub(crate) fn open(
        &mut self,
        may_change: bool,
        new_number: impl Fn(u32) -> u32,
    ) -> Result<Listener, Failure> {
        let mut patience = Patience::new(self.reconnect);
        for attempt in 0.. {
            let taken = match Listener::bind(&self.url, self.options.clone(), &self.code.stream(), true) {
                Ok(listener) => return Ok(listener),
                Err(error) if error.code() == Some(Refusal::Taken) => error,
                Err(error) => return Err(error.into()),
            };
            if may_change && attempt < 20 {
                self.code = self.code.with_number(new_number(attempt));
            // The process before this one may just have been killed, and the hub not have noticed.
            } else if !patience.pause() {
                return Err(Failure::refused(format!(
                    "{taken}. Somebody sends with this number already: choose another one, or none"
                )));
            }
        }
        unreachable!("the attempts end by themselves")
    }

    /// Watches the door on threads of its own.
    pub(crate) fn watch(self, listener: Listener) -> std::io::Result<Receiver<Arrival>> {
        let (arrivals, arrived) = mpsc::sync_channel(CALLERS_MAX);
        let shared = Arc::new(Shared {
            code: self.code.clone(),
            guesses: Mutex::new(0),
            callers: AtomicUsize::new(0),
            inside: Mutex::new(None),
            arrivals,
        });
        std::thread::Builder::new().name("doorman".into()).spawn(move || self.stand(listener, &shared))?;
        Ok(arrived)
    }

    fn stand(mut self, mut listener: Listener, shared: &Arc<Shared>) {
        loop {
            match listener.next() {
                Ok(call) => shared.clone().take(call),
                Err(error) => {
                    shared.tell(Arrival::Away(error.to_string()));
                    match self.come_back() {
                        Ok(again) => listener = again,
                        Err(failure) => return shared.tell(Arrival::Closed(failure)),
                    }
                }
            }
        }
    }

    fn come_back(&mut self) -> Result<Listener, Failure> {
        let mut patience = Patience::new(self.reconnect);
        loop {
            let error = match Listener::bind(&self.url, self.options.clone(), &self.code.stream(), true) {
                Ok(listener) => return Ok(listener),
                Err(error) => error,
            };
            if !may_pass(&error) || !patience.pause() {
                return Err(error.into());
            }
        }
    }
}

impl Shared {
    fn tell(&self, arrival: Arrival) {
        // If nobody listens any more, the program is about to end.
        let _ = self.arrivals.send(arrival);
    }

    fn take(self: Arc<Self>, call: Call) {
        if self.callers.fetch_add(1, Ordering::Relaxed) >= CALLERS_MAX {
            self.callers.fetch_sub(1, Ordering::Relaxed);
            // A caller that cannot even be refused has gone.
            let _ = call.refuse("too many others call");
            return;
        }
        let shared = self.clone();
        let thread = std::thread::Builder::new().name("greeter".into()).spawn(move || {
            if let Some(arrival) = shared.admit(call) {
                shared.tell(arrival);
            }
            shared.callers.fetch_sub(1, Ordering::Relaxed);
        });
        if thread.is_err() {
            self.callers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn admit(&self, call: Call) -> Option<Arrival> {
        // A caller that has gone meanwhile has said nothing, and so learnt nothing.
        let mut stream = call.accept().ok()?;
        let mut left = None;
        let keys = greet(&mut stream, Role::Sender, &self.code, |handshake, bytes| {
            // One after the other, so that nobody guesses more often by guessing at the same time.
            let mut guesses = self.guesses.lock().unwrap_or_else(PoisonError::into_inner);
            if *guesses >= GUESSES_MAX {
                return Err(HandshakeError::WrongCode);
            }
            let step = handshake.handle(bytes);
            if matches!(step, Err(HandshakeError::WrongCode)) {
                *guesses += 1;
                left = Some(GUESSES_MAX - *guesses);
            }
            step
        });
        let keys = match keys {
            Ok(keys) => keys,
            Err(Unknown::Stranger(HandshakeError::WrongCode)) => {
                return left.map(|left| Arrival::Guess { left });
            }
            Err(Unknown::Stranger(error)) => return Some(Arrival::Stranger(error.to_string())),
            Err(Unknown::Broken { .. }) => return None,
        };
        let channel = Channel::start(stream, keys).ok()?;
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((pulse, cut)) = &*inside
            && let (Some(pulse), Some(cut)) = (pulse.upgrade(), cut.upgrade())
        {
            if pulse.silence() < SILENCE_MAX {
                // Whoever comes next need not wait for this one's last words.
                drop(inside);
                let text = "the sender has another receiver already";
                channel.close(&Message::Fail { fault: Fault::Busy, text });
                return None;
            }
            cut(Shutdown::Both);
        }
        *inside = Some(channel.pulse());
        Some(Arrival::Receiver(channel))
    }
}
