//! `trefoil room`: lines to datagrams, and datagrams to lines.

use crate::arguments::Room as Arguments;
use crate::connection::{self, access_options, stop_signal};
use crate::failure::Failure;
use crate::input::Lines;
use std::io::{self, ErrorKind, Write};
use trefoil_client::{Room, RoomDatagram, RoomEvent, room_token};

/// What ended it.
enum End {
    /// All datagrams that were asked for are there, standard input is at its end, or a person wants it.
    Done,
    /// Time was up.
    Time,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    connection::run(|| take_part(arguments))
}

async fn take_part(arguments: &Arguments) -> Result<(), Failure> {
    let stop = stop_signal()?;
    let token = token(arguments).await?;
    let mut room = Room::join(&arguments.url, &arguments.name, &token, arguments.access.patience).await?;
    if arguments.verbose {
        eprintln!("this is peer {}; others: {:?}", room.number(), room.others());
    }
    let lines = if arguments.listen { None } else { Some(Lines::start()?) };
    let mut printed = 0;
    let time_is_up = async {
        match arguments.timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        biased;
        end = converse(&mut room, lines, arguments, &mut printed) => end,
        () = stop => Ok(End::Done),
        () = time_is_up => Ok(End::Time),
    };
    // The hub notices after a while, too.
    let _ = room.leave().await;
    match end? {
        End::Time => Err(Failure::timed_out(format!("time was up after {printed} datagrams"))),
        End::Done => Ok(()),
    }
}

/// What lets in: what was given, or what the hub gives to a user, or nothing.
async fn token(arguments: &Arguments) -> Result<String, Failure> {
    if arguments.access.user.is_none() {
        return Ok(arguments.token.clone().unwrap_or_default());
    }
    let options = access_options(&arguments.access)?;
    let url = arguments.token_url.clone().unwrap_or_else(|| arguments.url.replacen("udp://", "tcp://", 1));
    Ok(room_token(&url, &options, &arguments.name).await?.token)
}

async fn converse(
    room: &mut Room,
    mut lines: Option<Lines>,
    arguments: &Arguments,
    printed: &mut u64,
) -> Result<End, Failure> {
    loop {
        let line = async {
            match &mut lines {
                Some(lines) => lines.next().await,
                None => std::future::pending().await,
            }
        };
        // What comes goes first, so that the end of the lines does not cut it off.
        let event = tokio::select! {
            biased;
            event = room.next() => event?,
            line = line => {
                let Some(line) = line else { return Ok(End::Done) };
                let line = line.map_err(|error| Failure::failed(format!("cannot read standard input: {error}")))?;
                send(room, &line, arguments).await?;
                continue;
            }
        };
        match event {
            None => return Ok(End::Done),
            Some(RoomEvent::Data(datagram)) => {
                if !print(&datagram, arguments.verbose)? {
                    return Ok(End::Done);
                }
                *printed += 1;
                if arguments.count == Some(*printed) {
                    return Ok(End::Done);
                }
            }
            Some(other) if arguments.verbose => tell(room, &other),
            Some(_) => {}
        }
    }
}

async fn send(room: &mut Room, line: &[u8], arguments: &Arguments) -> Result<(), Failure> {
    match arguments.to {
        Some(peer) => room.send_to(peer, line).await?,
        None if arguments.newest => room.send_newest(line).await?,
        None => room.send(line).await?,
    }
    Ok(())
}

/// Prints a datagram. Returns whether anybody reads it.
fn print(datagram: &RoomDatagram, verbose: bool) -> Result<bool, Failure> {
    let mut text = if verbose { format!("{} ", datagram.from).into_bytes() } else { Vec::new() };
    text.extend_from_slice(&datagram.payload);
    text.push(b'\n');
    let mut out = io::stdout().lock();
    match out.write_all(&text).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::failed(format!("cannot write to standard output: {error}"))),
    }
}

fn tell(room: &Room, event: &RoomEvent) {
    match event {
        RoomEvent::Joined { peer, peers } => eprintln!("peer {peer} has joined; {peers} others are here"),
        RoomEvent::Left { peer, peers, why } => {
            eprintln!("peer {peer} is gone ({why:?}); {peers} others are here");
        }
        RoomEvent::Away => eprintln!("out of the room; joining again"),
        RoomEvent::Back => eprintln!("this is peer {}; others: {:?}", room.number(), room.others()),
        _ => {}
    }
}
