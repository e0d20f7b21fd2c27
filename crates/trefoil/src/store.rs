//! `trefoil store check` and `trefoil store repair`: the store of a hub that does not run.

use crate::arguments::{Store, StoreAction, StorePlace};
use crate::failure::Failure;
use crate::settings::Settings;
use std::io::Write;
use std::path::PathBuf;
use trefoil_server::store;

pub(crate) fn run(arguments: &Store) -> Result<(), Failure> {
    let (StoreAction::Check(place) | StoreAction::Repair(place)) = &arguments.action;
    let (path, is_relative) = path(place)?;
    // The folder is right only where the hub is started, which may be another place than this one.
    let failed = |why: String| match is_relative {
        true => Failure::failed(format!(
            "{why}\n`[store] path` of the configuration is relative: it counts from the folder where the hub is started. \
             Run this there, or name the folder of the store."
        )),
        false => Failure::failed(why),
    };
    let (text, is_fine) = match &arguments.action {
        StoreAction::Check(_) => {
            let checked = store::check(&path).map_err(failed)?;
            (checked.to_string(), checked.is_fine())
        }
        StoreAction::Repair(_) => {
            let repaired = store::repair(&path).map_err(failed)?;
            (repaired.to_string(), repaired.is_fine())
        }
    };
    if !is_fine {
        return Err(failed(text));
    }
    writeln!(std::io::stdout().lock(), "{text}")
        .map_err(|error| Failure::failed(format!("cannot write to standard output: {error}")))
}

/// The folder of the store, and whether it is a relative one out of the configuration.
fn path(place: &StorePlace) -> Result<(PathBuf, bool), Failure> {
    match &place.path {
        Some(path) => Ok((path.clone(), false)),
        None => {
            let path = Settings::read(place.config.as_deref())?.config.store.path;
            let is_relative = path.is_relative();
            Ok((path, is_relative))
        }
    }
}
