//! `trefoil store check` and `trefoil store repair`: the store of a hub that does not run.

use crate::arguments::{Store, StoreAction, StorePlace};
use crate::failure::Failure;
use crate::settings::Settings;
use std::io::Write;
use std::path::PathBuf;
use trefoil_server::store;

pub(crate) fn run(arguments: &Store) -> Result<(), Failure> {
    let (StoreAction::Check(place) | StoreAction::Repair(place)) = &arguments.action;
    let path = path(place)?;
    let (text, is_fine) = match &arguments.action {
        StoreAction::Check(_) => {
            let checked = store::check(&path).map_err(Failure::failed)?;
            (checked.to_string(), checked.is_fine())
        }
        StoreAction::Repair(_) => {
            let repaired = store::repair(&path).map_err(Failure::failed)?;
            (repaired.to_string(), repaired.is_fine())
        }
    };
    if !is_fine {
        return Err(Failure::failed(text));
    }
    writeln!(std::io::stdout().lock(), "{text}")
        .map_err(|error| Failure::failed(format!("cannot write to standard output: {error}")))
}

fn path(place: &StorePlace) -> Result<PathBuf, Failure> {
    match &place.path {
        Some(path) => Ok(path.clone()),
        None => Ok(Settings::read(place.config.as_deref())?.config.store.path),
    }
}
