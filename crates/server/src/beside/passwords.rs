//! Passwords are looked at here: each costs up to a tenth of a second, which no shard has to spare.

use crate::access::{self, Origin, Verdict, network};
use crate::context::Context;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use trefoil_auth::Users;

/// Passwords that are looked at at one time.
pub(super) const THREADS: usize = 2;

/// Passwords that wait or are looked at. Whoever comes then is told that the server is busy.
const WAITING_MAX: usize = 1024;

/// How many of them are of one address, so that one alone keeps nobody else waiting for long.
const ADDRESS_WAITING_MAX: usize = 16;

/// Where passwords are handed in.
#[derive(Clone)]
pub(crate) struct Passwords {
    context: Arc<Context>,
    runtime: Handle,
    room: Arc<Semaphore>,
    /// How many wait or are looked at, by address.
    waiting: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// Somebody who says who they are.
pub(crate) struct Question {
    pub(crate) users: Arc<Users>,
    pub(crate) user_name: String,
    pub(crate) password: Vec<u8>,
    /// Where it comes from.
    pub(crate) from: Origin,
    /// Gone when whoever asked is: then no time is spent on it.
    pub(crate) asker: Weak<()>,
}

/// There are as many questions as there may be.
#[derive(Debug)]
pub(crate) struct Busy;

impl Passwords {
    /// `runtime` has [`THREADS`] threads for work that blocks.
    pub(super) fn new(context: Arc<Context>, runtime: Handle) -> Passwords {
        Passwords { context, runtime, room: Arc::new(Semaphore::new(WAITING_MAX)), waiting: Arc::default() }
    }

    /// Whether none waits or is looked at, and all verdicts have been given.
    pub(crate) fn is_idle(&self) -> bool {
        self.room.available_permits() == WAITING_MAX
    }

    /// Does work of the same kind and gives what comes of it.
    ///
    /// # Errors
    /// When too many passwords wait already, or the server stops.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let Ok(permit) = self.room.clone().try_acquire_owned() else { return Err(Busy) };
        let (done, result) = oneshot::channel();
        self.runtime.spawn_blocking(move || {
            // Whoever asked may have gone meanwhile.
            let _ = done.send(work());
            drop(permit);
        });
        result.await.map_err(|_| Busy)
    }

    /// Looks at a password, and then calls `then` on another thread with what it came to, unless whoever asked has gone by then.
    /// Never blocks.
    ///
    /// # Errors
    /// When too many wait already, altogether or of the same address.
    pub(crate) fn ask(
        &self,
        question: Question,
        then: impl FnOnce(Verdict) + Send + 'static,
    ) -> Result<(), Busy> {
        let Ok(permit) = self.room.clone().try_acquire_owned() else { return Err(Busy) };
        let place = Place::take(&self.waiting, question.from.address)?;
        let context = self.context.clone();
        self.runtime.spawn_blocking(move || {
            if question.asker.strong_count() > 0 {
                then(judge(&context, &question));
            }
            drop((place, permit));
        });
        Ok(())
    }
}

/// One of those that an address may have waiting.
struct Place {
    waiting: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: Option<IpAddr>,
}

impl Place {
    fn take(waiting: &Arc<Mutex<HashMap<IpAddr, usize>>>, address: Option<IpAddr>) -> Result<Place, Busy> {
        let address = address.map(network);
        if let Some(address) = address {
            let mut counts = waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(address).or_default();
            if *count >= ADDRESS_WAITING_MAX {
                return Err(Busy);
            }
            *count += 1;
        }
        Ok(Place { waiting: waiting.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(address) = self.address else { return };
        let mut counts = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.get_mut(&address).expect("a place that is taken is counted");
        *count -= 1;
        if *count == 0 {
            counts.remove(&address);
        }
    }
}

fn judge(context: &Context, question: &Question) -> Verdict {
    let check = || question.users.check(&question.user_name, &question.password);
    // Who failed too often while this waited has no more time spent on it.
    if context.failures.is_barred(question.from, context.now()) {
        return Verdict::Barred;
    }
    let user = check();
    access::judge(context, question.from, context.now(), user)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use trefoil_auth::{Record, Secret, scram};

    #[test]
    fn the_queue_is_bounded_and_everybody_in_it_is_answered() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(THREADS)
            .build()
            .expect("a runtime");
        let bench = crate::beside::testing::Bench::new();
        let passwords = Passwords::new(bench.context.clone(), runtime.handle().clone());
        let record = Record::scram("right", b"salt of 16 bytes", scram::ITERATIONS_MIN).expect("a password");
        let users = Users::parse(&format!("ann:{record}"), Secret::new([0; 32])).expect("a file");
        let users = Arc::new(users);
        let (answer, answers) = channel();
        let (release, gate) = channel::<()>();
        let gate = Arc::new(std::sync::Mutex::new(gate));
        let asker = Arc::new(());
        let ask = |password: &str| {
            let (answer, gate) = (answer.clone(), gate.clone());
            let question = Question {
                users: users.clone(),
                user_name: "ann".into(),
                password: password.into(),
                from: None.into(),
                asker: Arc::downgrade(&asker),
            };
            passwords.ask(question, move |verdict| {
                // Held up as if hashing took longer, until the test lets it go on.
                let _ = gate.lock().map(|gate| gate.recv());
                let _ = answer.send(verdict);
            })
        };
        assert!(ask("right").is_ok());
        for _ in 1..WAITING_MAX {
            assert!(ask("wrong").is_ok());
        }
        assert!(ask("right").is_err());
        drop(release);
        let answered: Vec<_> = (0..WAITING_MAX).map(|_| answers.recv().expect("an answer")).collect();
        let right = Verdict::Right("ann".into());
        assert_eq!(answered.iter().filter(|&verdict| *verdict == right).count(), 1);
        assert!(ask("right").is_ok());
        assert_eq!(answers.recv().expect("an answer"), right);
    }
    #[test]
    fn one_address_has_few_in_the_queue_and_who_has_gone_none_that_costs() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(1)
            .build()
            .expect("a runtime");
        let bench = crate::beside::testing::Bench::new();
        let passwords = Passwords::new(bench.context.clone(), runtime.handle().clone());
        let users = Arc::new(Users::parse("", Secret::new([0; 32])).expect("a file"));
        let asker = Arc::new(());
        let (answer, answers) = channel();
        let (release, gate) = channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        let ask = |name: &'static str, address: &str, asker: &Arc<()>| {
            let (answer, gate) = (answer.clone(), gate.clone());
            let question = Question {
                users: users.clone(),
                user_name: name.into(),
                password: Vec::new(),
                from: Some(address.parse().expect("an address")).into(),
                asker: Arc::downgrade(asker),
            };
            passwords.ask(question, move |_| {
                let _ = gate.lock().map(|gate| gate.recv());
                let _ = answer.send(name);
            })
        };
        assert!(ask("first", "192.0.2.1", &asker).is_ok());
        let gone = Arc::new(());
        for _ in 1..ADDRESS_WAITING_MAX {
            assert!(ask("gone", "192.0.2.1", &gone).is_ok());
        }
        assert!(ask("too many", "192.0.2.1", &asker).is_err());
        assert!(ask("another", "192.0.2.2", &asker).is_ok());
        drop(gone);
        drop(release);
        let answered: Vec<_> = (0..2).map(|_| answers.recv().expect("an answer")).collect();
        assert_eq!(answered, ["first", "another"]);
        assert!(ask("again", "192.0.2.1", &asker).is_ok());
        assert_eq!(answers.recv(), Ok("again"));
        assert!(answers.try_recv().is_err(), "nobody else was looked at");
    }
}
