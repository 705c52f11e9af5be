//! What a session survives: the loss of power, and a fault at every system call.

mod cast;
mod faults;
mod model;
mod player;
mod power;
mod script;
mod strace;
