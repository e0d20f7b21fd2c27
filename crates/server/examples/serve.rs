//! A hub with the default listeners inside another program, until a line comes on standard input.

use std::io::Read;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = trefoil_server::Server::start(&trefoil_config::Config::default())?;
    for listening in server.listening() {
        eprintln!("listening on {}", listening.bind);
    }
    let _ = std::io::stdin().read(&mut [0])?;
    server.stop();
    Ok(())
}
