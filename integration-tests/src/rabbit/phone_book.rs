//! The port mapper of one node, instead of Erlang's `epmd`: it tells where the other nodes are, and those ports may be
//! proxies that cut the cluster. Nothing is left running after it.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Requests and responses of the protocol (Erlang's "Distribution Protocol", "EPMD Protocol").
const ALIVE2_REQ: u8 = 120;
const ALIVE2_X_RESP: u8 = 118;
const PORT_PLEASE2_REQ: u8 = 122;
const PORT2_RESP: u8 = 119;
const NAMES_REQ: u8 = 110;

/// The part of a registration before its name: tag, port, type, protocol and two versions.
const BEFORE_NAME: usize = 9;

/// Names without a host, and their distribution ports.
type Names = Arc<Mutex<BTreeMap<String, u16>>>;

/// A running port mapper. Ends when it is dropped. It has threads of its own, because `rabbitmqctl` needs it while a
/// test waits for `rabbitmqctl`.
pub(super) struct PhoneBook {
    pub(super) port: u16,
    ended: Arc<AtomicBool>,
}

impl PhoneBook {
    /// Starts one that knows some nodes from the start; the others register.
    pub(super) fn start(known: BTreeMap<String, u16>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let ended = Arc::new(AtomicBool::new(false));
        let (registered, over) = (Names::default(), Arc::clone(&ended));
        let known = Arc::new(known);
        thread::spawn(move || {
            for caller in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (known, registered) = (Arc::clone(&known), Arc::clone(&registered));
                thread::spawn(move || drop(answer(caller, port, &known, &registered)));
            }
        });
        Self { port, ended }
    }
}

impl Drop for PhoneBook {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // Wakes the thread that accepts.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

fn answer(
    mut caller: TcpStream,
    port: u16,
    known: &BTreeMap<String, u16>,
    registered: &Names,
) -> io::Result<()> {
    let mut length = [0; 2];
    caller.read_exact(&mut length)?;
    let mut request = vec![0; u16::from_be_bytes(length).into()];
    caller.read_exact(&mut request)?;
    let names = || registered.lock().unwrap_or_else(PoisonError::into_inner);
    match request.split_first() {
        Some((&ALIVE2_REQ, rest)) if rest.len() > BEFORE_NAME + 2 => {
            let length = usize::from(u16::from_be_bytes([rest[BEFORE_NAME - 1], rest[BEFORE_NAME]]));
            let name =
                rest.get(BEFORE_NAME + 1..BEFORE_NAME + 1 + length).ok_or(io::ErrorKind::InvalidData)?;
            let name = String::from_utf8_lossy(name).into_owned();
            names().insert(name.clone(), u16::from_be_bytes([rest[0], rest[1]]));
            // Tag, success, and a number that tells one start of a node from the next.
            let mut response = vec![ALIVE2_X_RESP, 0];
            response.extend(rand::random::<u32>().max(4).to_be_bytes());
            caller.write_all(&response)?;
            // A node is registered as long as its connection is open.
            io::copy(&mut caller, &mut io::sink())?;
            names().remove(&name);
            Ok(())
        }
        Some((&PORT_PLEASE2_REQ, name)) => {
            let name = String::from_utf8_lossy(name).into_owned();
            let found = names().get(&name).or_else(|| known.get(&name)).copied();
            let Some(port) = found else { return caller.write_all(&[PORT2_RESP, 1]) };
            let mut response = vec![PORT2_RESP, 0];
            response.extend(port.to_be_bytes());
            // An Erlang node, TCP, and the versions 6 to 5 of the protocol.
            response.extend([77, 0, 0, 6, 0, 5]);
            response.extend(u16::try_from(name.len()).unwrap_or(0).to_be_bytes());
            response.extend(name.as_bytes());
            response.extend([0, 0]);
            caller.write_all(&response)
        }
        Some((&NAMES_REQ, _)) => {
            let mut response = u32::from(port).to_be_bytes().to_vec();
            for (name, port) in names().iter() {
                response.extend(format!("name {name} at port {port}\n").into_bytes());
            }
            caller.write_all(&response)
        }
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
