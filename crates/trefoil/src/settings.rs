//! Where the settings come from: a file, and over it the environment.

use crate::failure::Failure;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use trefoil_config::Config;

/// The file that is read when none is named and it lies in the current folder.
const DEFAULT_FILE: &str = "trefoil.toml";

/// A configuration is written by hand. What is larger than this is some other file.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Variables that the command line reads itself; `trefoil_config` would take them for mistaken settings.
const OTHER_VARIABLES: [&str; 4] = ["TREFOIL_LOG", "TREFOIL_URL", "TREFOIL_USER", "TREFOIL_PASSWORD"];

/// A configuration and the file that it came from.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    /// `None` when there was no file.
    pub(crate) file: Option<PathBuf>,
}

impl Settings {
    /// Reads the named file, or the default one if it is there, and the environment of this process.
    pub(crate) fn read(named: Option<&Path>) -> Result<Settings, Failure> {
        let file = match named {
            Some(path) => Some((path, read(path).map_err(|error| cannot_read(path, &error))?)),
            None => read_default()?,
        };
        let mut environment = trefoil_config::process_environment()
            .filter(|(name, _)| !OTHER_VARIABLES.contains(&name.as_str()));
        let text = file.as_ref().map(|(path, text)| (*path, text.as_str()));
        let config = trefoil_config::load(text, &mut environment).map_err(Failure::usage)?;
        Ok(Settings { config, file: file.map(|(path, _)| path.to_owned()) })
    }

    /// The file's name, for a sentence.
    pub(crate) fn source(&self) -> String {
        match &self.file {
            Some(path) => path.display().to_string(),
            None => format!("the built-in defaults (there is no {DEFAULT_FILE} in this folder)"),
        }
    }
}

fn read_default() -> Result<Option<(&'static Path, String)>, Failure> {
    let path = Path::new(DEFAULT_FILE);
    match read(path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(cannot_read(path, &error)),
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(std::io::Error::other("it is larger than 4 MiB, which no configuration is"));
    }
    Ok(text)
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    let path = path.display();
    Failure::usage(match error.kind() {
        ErrorKind::NotFound => format!("{path}: there is no such file"),
        ErrorKind::InvalidData => format!("{path}: it is not text in UTF-8"),
        ErrorKind::IsADirectory => format!("{path}: it is a folder; name a file in it"),
        _ => format!("{path}: cannot read it: {error}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_cannot_be_read_is_an_error_of_usage_that_names_it() {
        let failure = Settings::read(Some(Path::new("no/such.toml"))).expect_err("there is no such file");
        assert!(format!("{failure:?}").contains("no/such.toml: there is no such file"), "{failure:?}");
        let failure = Settings::read(Some(Path::new("src"))).expect_err("it is a folder");
        assert!(format!("{failure:?}").contains("src: it is a folder"), "{failure:?}");
    }
}
