//! Looking at a store that no hub has open, and repairing it.

use std::fmt;
use std::path::{Path, PathBuf};
use trefoil_hub::{Image, ImageSize};
use trefoil_store::{Report, check_with};

/// What was found in a store; displayed, it is some lines for people, of which the last says what follows.
#[derive(Debug)]
pub struct Checked {
    path: PathBuf,
    report: Report,
    held: ImageSize,
    /// What is in a whole record and cannot be used.
    unreadable: Option<String>,
}

/// What a repair has come to; displayed, it is some lines for people.
#[derive(Debug)]
pub struct Repaired {
    repaired: trefoil_store::Repaired,
    now: Checked,
}

/// Looks at a store and changes nothing.
///
/// # Errors
/// A hub has it open, it cannot be read, or it is of another version: the text says what to do about it.
pub fn check(path: &Path) -> Result<Checked, String> {
    // When the hub is started is of no interest here.
    let mut image = Image::new(0);
    let mut unreadable = None;
    let report = check_with(path, |sequence, record| {
        if unreadable.is_none()
            && let Err(error) = image.read(record)
        {
            unreadable = Some(format!("record {sequence} cannot be used: {error}"));
        }
    });
    let report = report.map_err(|error| error.to_string())?;
    Ok(Checked { path: path.to_owned(), report, held: image.size(), unreadable })
}

/// Makes a store one that a hub starts with, without what cannot be read. Files that are damaged stay beside it.
///
/// # Errors
/// A hub has it open, it cannot be read or written, or it is of another version.
pub fn repair(path: &Path) -> Result<Repaired, String> {
    let repaired = trefoil_store::repair(path).map_err(|error| error.to_string())?;
    Ok(Repaired { repaired, now: check(path)? })
}

impl Checked {
    /// Whether a hub starts with it.
    pub fn is_fine(&self) -> bool {
        self.report.damage.is_empty() && self.unreadable.is_none()
    }

    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { segments, records, bytes, torn, unhealed, .. } = &self.report;
        if *segments == 0 {
            return writeln!(f, "There is no store in {} yet.", self.path.display());
        }
        let files = if *segments == 1 { "file" } else { "files" };
        writeln!(f, "{}: {records} records in {segments} {files}, {bytes} bytes.", self.path.display())?;
        let ImageSize { sessions, subscriptions, deliveries, retained, delayed, history } = self.held;
        writeln!(
            f,
            "It holds {sessions} sessions with {subscriptions} subscriptions and {deliveries} messages for them, \
             {retained} retained and {delayed} delayed messages, and {history} in the histories of topics."
        )?;
        if let Some(torn) = torn {
            writeln!(
                f,
                "A crash has left {} bytes half-written at byte {} of {}. Nobody was told of them; the hub cuts them \
                 off when it starts.",
                torn.bytes, torn.offset, torn.file
            )?;
        }
        if let Some(first) = unhealed {
            writeln!(
                f,
                "After a failure of the disk the hub ended before all was written anew. What was written from record \
                 {first} on does not count; nobody was told of it."
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.describe(f)?;
        self.report.damage.iter().try_for_each(|damage| writeln!(f, "{damage}"))?;
        match &self.unreadable {
            Some(why) => write!(
                f,
                "The hub does not start with it: {why}. No repair helps against that; run the version of Trefoil that \
                 wrote it, or choose another folder."
            ),
            None if self.report.damage.is_empty() => f.write_str("It is fine: the hub starts with it."),
            None => write!(
                f,
                "It is damaged, and the hub does not start with it. `trefoil store repair {}` goes on without what is \
                 lost and keeps the damaged files beside the others.",
                self.path.display()
            ),
        }
    }
}

impl Repaired {
    /// Whether a hub starts with what there is now.
    pub fn is_fine(&self) -> bool {
        self.now.is_fine()
    }
}

impl fmt::Display for Repaired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let trefoil_store::Repaired { report, moved, completed_earlier, .. } = &self.repaired;
        if *completed_earlier {
            writeln!(f, "A repair that was interrupted has been completed.")?;
        }
        report.damage.iter().try_for_each(|damage| writeln!(f, "{damage}"))?;
        match report.damage.is_empty() {
            true if !completed_earlier => writeln!(f, "There was nothing to repair.")?,
            true => {}
            false => writeln!(f, "It goes on without that.")?,
        }
        moved.iter().try_for_each(|file| writeln!(f, "What was damaged is now {file}."))?;
        self.now.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trefoil_store::{Log, Options};

    #[test]
    fn a_record_of_another_kind_is_told_of() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        assert!(check(path).expect("it is there").to_string().contains("no store"));
        let (mut log, _) = Log::open(path, Options::default()).expect("an empty folder");
        log.append(&[0xff]).and_then(|_| log.sync()).expect("the disk works");
        assert!(check(path).expect_err("it is open").contains("in use"));
        drop(log);
        let checked = check(path).expect("it can be read");
        assert!(!checked.is_fine());
        assert!(checked.to_string().contains("record 1 cannot be used"), "{checked}");
        let repaired = repair(path).expect("it can be read");
        assert!(!repaired.is_fine() && repaired.to_string().starts_with("There was nothing to repair"));
    }
}
