//! `trefoil completions` and `trefoil man`: made from the arguments, so that they cannot be out of date.

use crate::arguments::{Arguments, Completions, Man};
use crate::failure::Failure;
use clap::CommandFactory;
use std::io::{self, ErrorKind, Write};

/// Prints a completion script.
pub(crate) fn completions(arguments: &Completions) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "trefoil", &mut script);
    print(&script)
}

/// Prints a manual page.
pub(crate) fn man(arguments: &Man) -> Result<(), Failure> {
    print(&page(arguments.subcommand.as_deref())?)
}

fn page(subcommand: Option<&str>) -> Result<Vec<u8>, Failure> {
    let mut command = Arguments::command();
    // Gives subcommands their full names, such as trefoil-pub.
    command.build();
    let command = match subcommand {
        None => command,
        Some(name) => command.find_subcommand(name).cloned().ok_or_else(|| {
            let names: Vec<&str> = command.get_subcommands().map(clap::Command::get_name).collect();
            Failure::usage(format!("there is no subcommand {name}; there are {}", names.join(", ")))
        })?,
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|error| Failure::failed(format!("cannot write the manual page: {error}")))?;
    Ok(page)
}

fn print(text: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_each_subcommand() {
        for (subcommand, heading) in [(None, ".TH trefoil 1"), (Some("pub"), ".TH trefoil-pub 1")] {
            let page = String::from_utf8(page(subcommand).expect("it exists")).expect("it is text");
            assert!(page.contains(heading), "{page}");
        }
        let failure = page(Some("srve")).expect_err("there is no such subcommand");
        assert!(format!("{failure:?}").contains("serve"));
    }
}
