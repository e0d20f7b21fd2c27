//! Users: those of a file, one `name:record` a line, and those that were added beside it.

use crate::prepare::prepare;
use crate::record::{Kind, Record};
use crate::scram::{ITERATIONS_DEFAULT, Verifier};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Names are no longer, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// Problems beyond these are not listed.
const PROBLEMS_MAX: usize = 20;

/// Bytes of the salts that are made up when there is no record to look at.
const SALT_BYTES: usize = 16;

/// What the answers for unknown users are made of: 32 bytes of good randomness, the same as long as they are to stay
/// the same.
#[derive(Clone)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes the bytes.
    pub fn new(bytes: [u8; 32]) -> Secret {
        Secret(bytes)
    }

    fn derive(&self, what: &str, name: &str) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(what.as_bytes());
        mac.update(&[0]);
        mac.update(name.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

/// It stays where it is.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Users and what is kept of their passwords.
///
/// Who is not among them is treated like one who is and errs: the same work is done with a record that is made up for
/// the name, at the cost of one of the real records, and it is the same each time for the same name.
///
/// Those of the file go before those that were [added](Users::set): whoever may write the file has the last word.
#[derive(Clone, Debug)]
pub struct Users {
    file: Arc<Table>,
    added: Table,
    secret: Secret,
}

/// Some of the users.
#[derive(Clone, Default, Debug)]
struct Table {
    records: HashMap<Arc<str>, Record>,
    /// All names in their order: what is made up is like the record of one of them.
    names: Vec<Arc<str>>,
    /// Those with a SCRAM verifier.
    scram_names: Vec<Arc<str>>,
}

impl Table {
    fn add(&mut self, name: Arc<str>, record: Record) {
        if record.kind() == Kind::ScramSha256 {
            self.scram_names.push(name.clone());
        }
        self.names.push(name.clone());
        self.records.insert(name, record);
    }

    fn remove(&mut self, name: &str) {
        if self.records.remove(name).is_some() {
            self.names.retain(|known| **known != *name);
            self.scram_names.retain(|known| **known != *name);
        }
    }
}

/// What is wrong with a file of users: line numbers and reasons, at least one. Displayed one to a line. It repeats no
/// records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsersError {
    problems: Vec<(usize, String)>,
}

impl UsersError {
    /// The problems: line, counted from 1, and what is wrong there.
    pub fn problems(&self) -> impl Iterator<Item = (usize, &str)> {
        self.problems.iter().map(|(line, why)| (*line, why.as_str()))
    }
}

impl fmt::Display for UsersError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (line, why)) in self.problems().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            write!(f, "{newline}line {line}: {why}")?;
        }
        Ok(())
    }
}

impl std::error::Error for UsersError {}

/// A user name in its prepared form.
///
/// # Errors
/// Why it cannot be one.
pub fn check_name(name: &str) -> Result<String, String> {
    let prepared = prepare(name).map_err(|why| format!("the user name cannot be used: {why}"))?;
    if prepared.len() > NAME_BYTES_MAX {
        return Err(format!("the user name is longer than {NAME_BYTES_MAX} bytes"));
    }
    if prepared.contains(':') {
        return Err("a user name has no : in it, since that ends it".into());
    }
    if prepared.starts_with('#') || prepared.trim() != prepared {
        return Err("a user name begins with no #, and neither begins nor ends with a space".into());
    }
    Ok(prepared.into_owned())
}

/// The name and the record of a line, as they stand there. None for comments and empty lines.
pub(crate) fn split_line(line: &str) -> Option<(&str, Option<&str>)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    Some(
        line.split_once(':')
            .map_or((line, None), |(name, record)| (name.trim_end(), Some(record.trim_start()))),
    )
}

impl Users {
    /// Reads the text of a file.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn parse(text: &str, secret: Secret) -> Result<Users, UsersError> {
        let mut file = Table::default();
        let mut lines: HashMap<Arc<str>, usize> = HashMap::new();
        let mut problems = Vec::new();
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            let number = index + 1;
            match read_line(line) {
                Ok(None) => {}
                Ok(Some((name, record))) => match lines.get(&name) {
                    Some(first) => problems.push((number, format!("{name} stands in line {first} already"))),
                    None => {
                        lines.insert(name.clone(), number);
                        file.add(name, record);
                    }
                },
                Err(why) => problems.push((number, why)),
            }
        }
        if problems.is_empty() {
            return Ok(Users { file: Arc::new(file), added: Table::default(), secret });
        }
        if problems.len() > PROBLEMS_MAX {
            let line = problems[PROBLEMS_MAX].0;
            problems.truncate(PROBLEMS_MAX);
            problems.push((line, "there is more of this kind from here on".into()));
        }
        Err(UsersError { problems })
    }

    /// Adds a user beside the file, or gives one another record, or takes one out.
    ///
    /// # Errors
    /// Why the name cannot be one.
    pub fn set(&mut self, name: &str, record: Option<Record>) -> Result<(), String> {
        let name = check_name(name)?;
        self.added.remove(&name);
        if let Some(record) = record {
            self.added.add(name.into(), record);
        }
        Ok(())
    }

    /// These, with those that others have beside their file.
    #[must_use]
    pub fn with_added_of(self, others: &Users) -> Users {
        Users { added: others.added.clone(), ..self }
    }

    /// Those of the file, in its order.
    pub fn in_file(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, Kind)> {
        self.file.names.iter().map(|name| (name, self.file.records[name].kind()))
    }

    /// Those beside the file, in the order in which they were added.
    pub fn added(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, Kind)> {
        self.added.names.iter().map(|name| (name, self.added.records[name].kind()))
    }

    /// Whether the file has this name, which is prepared.
    pub fn is_in_file(&self, name: &str) -> bool {
        self.file.records.contains_key(name)
    }

    /// Whether this name, which is prepared, was added beside the file.
    pub fn is_added(&self, name: &str) -> bool {
        self.added.records.contains_key(name)
    }

    /// Whether a user, whose name is prepared, has the same record here as among `others`, and has one.
    pub fn agree_on(&self, name: &str, others: &Users) -> bool {
        self.find(name).is_some_and(|(_, record)| others.find(name).is_some_and(|(_, other)| other == record))
    }

    fn find(&self, name: &str) -> Option<(&Arc<str>, &Record)> {
        let file = self.file.records.get_key_value(name);
        file.or_else(|| self.added.records.get_key_value(name))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        let hidden = self.added.names.iter().filter(|name| self.is_in_file(name)).count();
        self.file.records.len() + self.added.records.len() - hidden
    }

    /// Whether there are none, so that nobody can be let in.
    pub fn is_empty(&self) -> bool {
        self.file.records.is_empty() && self.added.records.is_empty()
    }

    /// The user with this name, if it is one.
    pub fn get(&self, name: &str) -> Option<Arc<str>> {
        Some(self.find(&prepare(name).ok()?)?.0.clone())
    }

    /// Checks a password that was sent. Returns the user's name in its prepared form, or nothing, whatever is wrong. It
    /// costs some ten milliseconds, for unknown users too.
    pub fn check(&self, name: &str, password: &[u8]) -> Option<Arc<str>> {
        let (name, password) = (prepare(name), std::str::from_utf8(password).ok().map(prepare));
        let known = name.as_deref().ok().and_then(|name| self.find(name));
        let made_up = self.made_up(name.as_deref().unwrap_or_default());
        let record = known.map_or(&made_up, |(_, record)| record);
        // Also for a password that cannot be one, so that its time says nothing about the name.
        let fits = record.check(password.as_ref().and_then(|p| p.as_deref().ok()).unwrap_or_default());
        let (known, _) = known?;
        (fits && matches!(password, Some(Ok(_)))).then(|| known.clone())
    }

    /// What SCRAM needs to know of a user, whose name is prepared. For users that are not there, and for those with
    /// another kind of record, it is made up, and no proof fits it.
    pub fn verifier(&self, name: &str) -> Verifier {
        let made_up = self.made_up_verifier(name);
        match self.find(name) {
            Some((_, Record::Scram(verifier))) => verifier.clone(),
            _ => made_up,
        }
    }

    fn made_up(&self, name: &str) -> Record {
        match self.pattern(name, |table| &table.names) {
            Some(Record::Argon2id(pattern)) => {
                let (salt, hash) = (self.secret.derive("salt", name), self.secret.derive("hash", name));
                Record::Argon2id(pattern.made_up(&salt, &hash))
            }
            _ => Record::Scram(self.made_up_verifier(name)),
        }
    }

    fn made_up_verifier(&self, name: &str) -> Verifier {
        let pattern = self.pattern(name, |table| &table.scram_names);
        let (iterations, salt_bytes) = match pattern {
            Some(Record::Scram(verifier)) => (verifier.iterations(), verifier.salt().len()),
            _ => (ITERATIONS_DEFAULT, SALT_BYTES),
        };
        let salt = self.secret.derive("salt", name);
        let (stored_key, server_key) =
            (self.secret.derive("stored", name), self.secret.derive("server", name));
        Verifier::made_up(iterations, &salt[..salt_bytes.min(salt.len())], stored_key, server_key)
    }

    /// The record of one of these names, always the same for a name.
    fn pattern(&self, name: &str, among: fn(&Table) -> &[Arc<str>]) -> Option<&Record> {
        let (file, added) = (among(&self.file), among(&self.added));
        let digest = self.secret.derive("pattern", name);
        let number = digest.iter().take(8).fold(0_u64, |number, &byte| number << 8 | u64::from(byte));
        let count = u64::try_from(file.len() + added.len()).ok().filter(|count| *count > 0)?;
        let place = (number % count) as usize;
        match file.get(place) {
            Some(name) => self.file.records.get(name),
            None => self.added.records.get(added.get(place - file.len())?),
        }
    }
}

fn read_line(line: &str) -> Result<Option<(Arc<str>, Record)>, String> {
    let Some((name, record)) = split_line(line) else { return Ok(None) };
    let record = record.ok_or("a line is a user name, a colon and a record; `trefoil passwd` writes them")?;
    let name = check_name(name)?;
    let record = Record::parse(record).map_err(|why| why.to_string())?;
    Ok(Some((name.into(), record)))
}
