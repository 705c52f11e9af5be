//! A process that plays a script, from the test's side.

use std::io::Read;
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use turnlock_testing::Doomed;
use turnlock_testing::alone::this_binary;

use crate::cast::{Part, ROLE};
use crate::script::Script;

/// This test binary again, which plays a script. It begins when it is let go.
pub struct Player {
    process: Doomed,
    leash: UnixStream,
    said: Arc<Mutex<Vec<u8>>>,
    listener: JoinHandle<()>,
}

/// A player that has ended.
pub struct Played {
    /// All its output.
    pub said: Vec<u8>,
    pub status: ExitStatus,
}

impl Player {
    /// Starts a player. `pass` varies its lines.
    pub fn start(script: Script, session: &Path, pass: usize) -> Self {
        let (leash, stdin) = UnixStream::pair().unwrap();
        let (mut output, stdout) = std::io::pipe().unwrap();
        let part = Part { script, session: session.to_owned(), pass };
        let mut command = this_binary("cast::role");
        command.env(ROLE, serde_json::to_string(&part).unwrap());
        command.stdin(OwnedFd::from(stdin)).stderr(stdout.try_clone().unwrap()).stdout(stdout);
        let process = Doomed(command.spawn().unwrap());
        // From now on only the child has the other end of the pipe.
        drop(command);
        let mut ready = [0];
        (&leash).read_exact(&mut ready).expect("the player is ready");
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let listener = std::thread::spawn(move || {
            let mut piece = vec![0; 1 << 16];
            loop {
                match output.read(&mut piece).unwrap() {
                    0 => return,
                    n => heard.lock().unwrap().extend(&piece[..n]),
                }
            }
        });
        Self { process, leash, said, listener }
    }

    /// Its output so far.
    pub fn said(&self) -> Vec<u8> {
        self.said.lock().unwrap().clone()
    }

    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub fn let_go(&self) {
        self.leash.shutdown(Shutdown::Write).unwrap();
    }

    pub fn kill(&mut self) {
        self.process.0.kill().unwrap();
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Played {
        let status = self.process.wait().unwrap();
        self.listener.join().unwrap();
        let said = std::mem::take(&mut *self.said.lock().unwrap());
        Played { said, status }
    }
}
