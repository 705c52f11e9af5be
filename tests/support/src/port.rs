//! Ports that no other test takes.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::Mutex;

/// A port that is this process's for as long as it lives: no other test takes it, nor does the
/// kernel for a connection, which takes higher ones.
pub fn free_port() -> u16 {
    static MINE: Mutex<Vec<UnixListener>> = Mutex::new(Vec::new());
    for port in 20_000..32_000 {
        let name = SocketAddr::from_abstract_name(format!("turnlock-test-port-{port}")).unwrap();
        // Reserved by its name, which goes with the process; then looked at, for strangers.
        if let Ok(mine) = UnixListener::bind_addr(&name) {
            MINE.lock().unwrap().push(mine);
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        }
    }
    panic!("no port is free");
}
