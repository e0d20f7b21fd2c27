//! `trefoil passwd`: adds users to the file that `[auth] users` names, changes their passwords, and takes them out.

use crate::arguments::{Passwd, RecordKind};
use crate::failure::Failure;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use trefoil_auth::{Change, Editor, PASSWORD_BYTES_MAX, Record, check_name};

pub(crate) fn run(arguments: &Passwd) -> Result<(), Failure> {
    let (file, user) = (&arguments.file, &arguments.user);
    // Before anybody types a password in vain.
    check_name(user).map_err(Failure::usage)?;
    // What a link leads to is changed, and not the link.
    let path = fs::canonicalize(file).unwrap_or_else(|_| file.clone());
    let before = match fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !arguments.delete => None,
        Err(error) => return Err(Failure::usage(format!("{}: cannot read it: {error}", file.display()))),
    };
    let mut editor = Editor::new(before.as_deref().unwrap_or_default());
    let done = if arguments.delete {
        if !editor.remove(user) {
            return Err(Failure::failed(format!("{}: there is no user {user:?}", file.display())));
        }
        "deleted"
    } else {
        let record = record(arguments, &password(arguments)?)?;
        match editor.set(user, &record).map_err(Failure::usage)? {
            Change::Added => "added",
            Change::Replaced => "changed",
        }
    };
    write(&path, editor.text().as_bytes())
        .map_err(|error| Failure::failed(format!("{}: cannot write it: {error}", file.display())))?;
    eprintln!("{}: {user} is {done}; a hub that runs reads the file again at SIGHUP", file.display());
    Ok(())
}

fn record(arguments: &Passwd, password: &str) -> Result<Record, Failure> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt)
        .map_err(|error| Failure::failed(format!("the system gives no randomness: {error}")))?;
    let record = match arguments.kind {
        RecordKind::ScramSha256 => Record::scram(password, &salt, arguments.iterations),
        RecordKind::Argon2id => Record::argon2id(password, &salt),
    };
    record.map_err(|why| Failure::usage(format!("the password cannot be used: {why}")))
}

/// From a person who cannot see what is typed, and so types it twice, or from standard input.
fn password(arguments: &Passwd) -> Result<String, Failure> {
    if arguments.stdin {
        return first_line(io::stdin().lock()).map_err(Failure::usage);
    }
    if !io::stdin().is_terminal() {
        let why = "standard input is no terminal: with --stdin the password is read from its first line";
        return Err(Failure::usage(why));
    }
    let ask = |prompt: &str| {
        rpassword::prompt_password(prompt)
            .map_err(|error| Failure::failed(format!("cannot ask for the password: {error}")))
    };
    let password = ask("Password: ")?;
    if ask("The same again: ")? != password {
        return Err(Failure::usage("these were two passwords; nothing is changed"));
    }
    Ok(password)
}

/// The first line of a file or of standard input, without its end: a password.
pub(crate) fn first_line(input: impl Read) -> Result<String, String> {
    let mut bytes = Vec::new();
    input
        .take(PASSWORD_BYTES_MAX as u64 + 2)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot read the password: {error}"))?;
    let text = String::from_utf8(bytes).map_err(|_| "the password is not UTF-8")?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Writes the file anew beside the old one and puts it in its place, so that nobody ever reads half of it. Only its owner
/// can read it, and that is who owned it before.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = beside(path);
    // Left over from a run that was killed.
    let _ = fs::remove_file(&beside);
    let result = write_new(&beside, bytes, fs::metadata(path).ok()).and_then(|()| fs::rename(&beside, path));
    if result.is_err() {
        let _ = fs::remove_file(&beside);
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    result.and_then(|()| File::open(folder)?.sync_all())
}

fn write_new(path: &Path, bytes: &[u8], old: Option<fs::Metadata>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    if let Some(old) = old {
        // Root may change a file for the user that the hub runs as. Whoever may not own it for another owns it already.
        let _ = chown(path, Some(old.uid()), Some(old.gid()));
    }
    file.write_all(bytes)?;
    file.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_the_first_line() {
        for (input, password) in [("secret\n", "secret"), ("two words\r\nmore", "two words"), ("", "")] {
            assert_eq!(first_line(input.as_bytes()).expect("text"), password);
        }
        assert!(first_line(&b"\xff\n"[..]).is_err());
    }
}
