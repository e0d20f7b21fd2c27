//! What a log may hold at any time, by what it has promised.

use std::rc::Rc;

/// One of the ways in which a log may be found.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    /// The first record that counts.
    pub(crate) base: u64,
    /// All records from sequence 1 on; those before the base do not matter.
    pub(crate) line: Rc<Vec<Vec<u8>>>,
    /// Up to here everything has to be there.
    pub(crate) durable: u64,
}

impl Candidate {
    pub(crate) fn matches(&self, found: &Found) -> bool {
        let end = found.first + found.payloads.len() as u64 - 1;
        found.first == self.base.max(1)
            && end >= self.durable
            && end <= self.line.len() as u64
            && found.payloads[..] == self.line[found.first as usize - 1..end as usize]
    }
}

/// What opening has found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) first: u64,
    pub(crate) payloads: Vec<Vec<u8>>,
}

/// A log by its promises. While it heals there are two lines: the one that counts, and the one that will.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    base: u64,
    /// Checkpoints that failed in their last step: nobody knows whether they count.
    maybe_bases: Vec<u64>,
    line: Vec<Vec<u8>>,
    durable: u64,
    healing: Option<Healing>,
}

#[derive(Clone, Debug)]
struct Healing {
    line: Vec<Vec<u8>>,
    /// Checkpoints that failed in their last step, and what was durable then.
    maybe: Vec<(u64, u64)>,
}

impl Model {
    pub(crate) fn new(found: Found) -> Model {
        let mut line = vec![Vec::new(); found.first as usize - 1];
        line.extend(found.payloads);
        let durable = line.len() as u64;
        Model { base: found.first, maybe_bases: Vec::new(), line, durable, healing: None }
    }

    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        let line = Rc::new(self.line.clone());
        let bases = std::iter::once(self.base).chain(self.maybe_bases.iter().copied());
        let mut candidates: Vec<Candidate> =
            bases.map(|base| Candidate { base, line: line.clone(), durable: self.durable }).collect();
        if let Some(healing) = &self.healing {
            let line = Rc::new(healing.line.clone());
            candidates.extend(healing.maybe.iter().map(|(base, durable)| Candidate {
                base: *base,
                line: line.clone(),
                durable: *durable,
            }));
        }
        candidates
    }

    pub(crate) fn appended(&mut self, payload: Vec<u8>) {
        match &mut self.healing {
            Some(healing) => healing.line.push(payload),
            None => self.line.push(payload),
        }
    }

    pub(crate) fn synced(&mut self) {
        if self.healing.is_none() {
            self.durable = self.line.len() as u64;
        }
    }

    pub(crate) fn next(&self) -> u64 {
        self.healing.as_ref().map_or(self.line.len(), |healing| healing.line.len()) as u64 + 1
    }

    pub(crate) fn is_healing(&self) -> bool {
        self.healing.is_some()
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    /// The log goes on behind what it knows to be durable.
    pub(crate) fn healed(&mut self, from: u64) {
        assert!(from > self.durable, "record {from} was durable");
        self.line.truncate(from as usize - 1);
        self.durable = from - 1;
        self.healing = Some(Healing { line: self.line.clone(), maybe: Vec::new() });
    }

    pub(crate) fn checkpoint(&mut self, from: u64, complete: bool) {
        match (&mut self.healing, complete) {
            (Some(healing), false) => healing.maybe.push((from, healing.line.len() as u64)),
            (None, false) => self.maybe_bases.push(from),
            (healing, true) => {
                if let Some(healing) = healing.take() {
                    self.line = healing.line;
                }
                self.base = from;
                self.maybe_bases.retain(|maybe| *maybe > from);
                self.durable = self.line.len() as u64;
            }
        }
    }
}
