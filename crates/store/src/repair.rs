//! Repair: going on without what cannot be read.
//!
//! What a repair puts in place is made in a folder of its own first. Renaming that folder decides on the repair; what
//! follows can be done any number of times, so a crash at any place costs nothing.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use crate::check::{Piece, Report, Survey, survey};
use crate::directory::{Directory as _, Disk};
use crate::error::Error;
use crate::marks::{BASE, END, GAP, HEAL, mark_name};
use crate::record::{SegmentHeader, parse_name, segment_name};

/// The folder of a repair that is not decided on.
const DRAFT: &str = "repair.tmp";
/// The folder of a repair that was decided on and may not be carried out yet.
pub(crate) const READY: &str = "repair.ready";
/// The file in it that says what is moved away, a line for each file: its name and the new one.
const MOVES: &str = "moves";

/// What a repair has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repaired {
    /// What was found, with the records that are lost.
    pub report: Report,
    /// Where the damaged files are now.
    pub moved: Vec<String>,
    /// An earlier repair had been interrupted and was carried out first. What it had lost was reported then.
    pub completed_earlier: bool,
}

/// Makes the log in a folder one that can be opened: keeps all whole records, also behind what cannot be read, and
/// renames damaged files to `*.damaged`. Changes nothing if there is no damage.
///
/// # Errors
///
/// The folder is in use, or cannot be read or written. Repairing again goes on.
pub fn repair(path: &Path) -> Result<Repaired, Error> {
    // A repair must not make a log where there is none, nor leave a lock there.
    let names = Disk::look(path)?.list();
    let names =
        names.map_err(|source| Error::Io { doing: "list", file: path.display().to_string(), source })?;
    if !names.iter().any(|name| name == READY || is_ours(name)) {
        return Ok(Repaired::default());
    }
    let disk = Disk::open(path)?;
    let io = |source| Error::Io { doing: "repair", file: path.display().to_string(), source };
    let completed_earlier = path.join(READY).exists();
    if completed_earlier {
        carry_out(path).map_err(io)?;
    }
    let survey = survey(&disk)?;
    let mut moved = Vec::new();
    if !survey.report.damage.is_empty() {
        moved = prepare(path, &survey).map_err(io)?;
        fs::rename(path.join(DRAFT), path.join(READY)).map_err(io)?;
        disk.sync().map_err(io)?;
        carry_out(path).map_err(io)?;
    }
    Ok(Repaired { report: survey.report, moved, completed_earlier })
}

/// Makes everything that the repair puts in place, and gives where what it replaces goes.
fn prepare(path: &Path, survey: &Survey) -> io::Result<Vec<String>> {
    let draft = path.join(DRAFT);
    if draft.exists() {
        fs::remove_dir_all(&draft)?;
    }
    fs::create_dir(&draft)?;
    let mut names: Vec<String> = Vec::new();
    if survey.pieces.iter().any(|piece| piece.next > survey.base) {
        for piece in &survey.pieces {
            if survey.damaged.contains(&piece.segment) {
                copy(path, &draft.join(segment_name(piece.first)), piece)?;
            }
            if piece.after_gap {
                let mark = draft.join(mark_name(piece.first, GAP));
                let file = File::create(&mark)?;
                make_like(&path.join(segment_name(piece.segment)), &mark)?;
                file.sync_all()?;
            }
        }
        names.extend(survey.damaged.iter().map(|first| segment_name(*first)));
        names.extend(survey.ends.iter().map(|end| mark_name(*end, END)));
    } else {
        // Nothing is left that counts, so the log begins anew. What no longer counted must not come back with that.
        for entry in fs::read_dir(path)? {
            names.extend(entry?.file_name().into_string().ok().filter(|name| is_ours(name)));
        }
    }
    let (mut lines, mut moved) = (String::new(), Vec::new());
    for name in names {
        let to = unused(path, &name);
        lines.push_str(&format!("{name} {to}\n"));
        moved.push(path.join(to).display().to_string());
    }
    let mut moves = File::create(draft.join(MOVES))?;
    moves.write_all(lines.as_bytes())?;
    moves.sync_all()?;
    sync_folder(&draft)?;
    Ok(moved)
}

/// Whether a file of this name is a segment or a mark.
fn is_ours(name: &str) -> bool {
    ["log", BASE, HEAL, GAP, END].iter().any(|kind| parse_name(name, kind).is_some())
}

/// Gives a file that takes the place of another, or belongs beside it, the owner and mode of that one: who repairs may
/// be root, and the hub is not.
#[cfg(unix)]
fn make_like(original: &Path, made: &Path) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, chown};
    let original = original.metadata()?;
    let is = made.metadata()?;
    if (is.uid(), is.gid()) != (original.uid(), original.gid()) {
        chown(made, Some(original.uid()), Some(original.gid()))?;
    }
    fs::set_permissions(made, original.permissions())
}

#[cfg(not(unix))]
fn make_like(_: &Path, _: &Path) -> io::Result<()> {
    Ok(())
}

/// Makes a segment of one piece of another.
fn copy(path: &Path, to: &Path, piece: &Piece) -> io::Result<()> {
    let mut segment = File::create(to)?;
    make_like(&path.join(segment_name(piece.segment)), to)?;
    segment.write_all(&SegmentHeader { first_sequence: piece.first, salt: piece.salt }.encode())?;
    let mut from = File::open(path.join(segment_name(piece.segment)))?;
    from.seek(SeekFrom::Start(piece.from))?;
    let copied = io::copy(&mut from.take(piece.to - piece.from), &mut segment)?;
    if copied != piece.to - piece.from {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    segment.sync_all()
}

fn unused(path: &Path, name: &str) -> String {
    let names =
        std::iter::once(format!("{name}.damaged")).chain((2..).map(|i| format!("{name}.damaged.{i}")));
    names.into_iter().find(|name| !path.join(name).exists()).expect("some number is not in use")
}

/// Moves the damaged files away and the new ones in. Whatever of it is done already is passed over.
fn carry_out(path: &Path) -> io::Result<()> {
    let ready = path.join(READY);
    let moves = ready.join(MOVES);
    if moves.exists() {
        for line in fs::read_to_string(&moves)?.lines() {
            let Some((from, to)) = line.split_once(' ') else { continue };
            // Once it is there, a file with the old name is the new one.
            if !path.join(to).exists() && path.join(from).exists() {
                fs::rename(path.join(from), path.join(to))?;
            }
        }
        sync_folder(path)?;
        let mut made: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(&ready)? {
            made.extend(Some(entry?.path()).filter(|made| *made != moves));
        }
        for made in made {
            if let Some(name) = made.file_name() {
                fs::rename(&made, path.join(name))?;
            }
        }
        sync_folder(path)?;
        sync_folder(&ready)?;
        fs::remove_file(&moves)?;
    }
    fs::remove_dir(&ready)?;
    sync_folder(path)
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Only Unix has folders that can be synced; elsewhere the file system sees to it.
#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Log, Options, check};

    /// The folder of a log with a damaged record 2, of which a repair is decided on.
    fn decided() -> Result<tempfile::TempDir, Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path();
        let mut log = Log::open(path, Options::default())?.0;
        for record in [b"one", b"two", b"six"] {
            log.append(record)?;
            log.sync()?;
        }
        drop(log);
        let file = path.join(segment_name(1));
        let mut bytes = fs::read(&file)?;
        bytes[24 + 23 + 20] ^= 1;
        fs::write(file, bytes)?;
        let survey = survey(&Disk::look(path)?)?;
        prepare(path, &survey)?;
        fs::rename(path.join(DRAFT), path.join(READY))?;
        Ok(folder)
    }

    fn is_repaired(path: &Path) -> Result<(), Box<dyn std::error::Error>> {
        assert!(matches!(check(path), Err(Error::RepairUnfinished { .. })));
        assert!(matches!(Log::open(path, Options::default()), Err(Error::RepairUnfinished { .. })));
        assert!(repair(path)?.completed_earlier);
        let (log, recovery) = Log::open(path, Options::default())?;
        assert_eq!(recovery.records, 2);
        let sequences: Result<Vec<u64>, Error> =
            log.read(1).map(|record| record.map(|record| record.sequence)).collect();
        assert_eq!(sequences?, [1, 3]);
        assert!(path.join("00000000000000000001.log.damaged").exists());
        assert!(!path.join(READY).exists());
        Ok(())
    }

    #[test]
    fn a_repair_that_was_interrupted_is_completed() -> Result<(), Box<dyn std::error::Error>> {
        // Right after it was decided on,
        is_repaired(decided()?.path())?;
        // after the damaged file was moved away,
        let folder = decided()?;
        let path = folder.path();
        fs::rename(path.join(segment_name(1)), path.join("00000000000000000001.log.damaged"))?;
        is_repaired(path)?;
        // after one or all of the new ones were moved in,
        for last in [1, 3] {
            let folder = decided()?;
            let path = folder.path();
            fs::rename(path.join(segment_name(1)), path.join("00000000000000000001.log.damaged"))?;
            for first in (1..=last).step_by(2) {
                let name = segment_name(first);
                fs::rename(path.join(READY).join(&name), path.join(name))?;
            }
            is_repaired(path)?;
        }
        // and when only the empty folder was left.
        let folder = decided()?;
        carry_out(folder.path())?;
        fs::create_dir(folder.path().join(READY))?;
        is_repaired(folder.path())
    }
}
