//! Where the program `trefoil` is.

use std::env;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tokio::process::Command;

const NAME: &str = "trefoil";

/// The one that is named, the one beside this program, the one that a shell finds; or, where this program was started by
/// cargo, one that is built now.
///
/// # Errors
/// When there is none and none can be built.
pub(crate) async fn find(named: Option<&Path>) -> io::Result<PathBuf> {
    if let Some(named) = named {
        return named
            .canonicalize()
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", named.display())));
    }
    let own = env::current_exe()?;
    let beside = own.with_file_name(NAME);
    let on_the_path = env::var_os("PATH")
        .into_iter()
        .flat_map(|path| env::split_paths(&path).map(|folder| folder.join(NAME)).collect::<Vec<_>>());
    if let Some(found) = std::iter::once(beside.clone()).chain(on_the_path).find(|path| path.is_file()) {
        return Ok(found);
    }
    let Some(cargo) = env::var_os("CARGO") else {
        return Err(io::Error::other(
            "the program `trefoil` is neither beside this one nor where a shell looks; say --trefoil FILE",
        ));
    };
    writeln!(io::stdout(), "building the program `trefoil`, once")?;
    let mut build = Command::new(cargo);
    build.args(["build", "--quiet", "--package", NAME]);
    if own.parent().is_some_and(|folder| folder.ends_with("release")) {
        build.arg("--release");
    }
    let status = build.status().await?;
    if status.success() && beside.is_file() {
        return Ok(beside);
    }
    Err(io::Error::other(format!("`cargo build --package {NAME}` has not made {}", beside.display())))
}
