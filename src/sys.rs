//! What differs between systems, behind one face. Other rooms reach the system through this room or
//! through `std`.
//!
//! Each topic is a module with one face. Where systems differ, the face has a file per system
//! behind it: `linux.rs` for Linux, and `portable.rs` for what every Unix has. The face chooses the
//! file, so that code for one system needs no conditions inside. The types of this room are opaque:
//! no other room knows by what a system identifies a file or a process.

#[cfg(not(unix))]
compile_error!("turnlock does not support this system yet: its module `sys` has no code for it");

mod attributes;
mod dir;
mod errors;
mod file;
pub(crate) mod filesystem;
pub(crate) mod flock;
pub(crate) mod limit;
mod names;
pub(crate) mod note;
pub(crate) mod process;
pub(crate) mod range_lock;
#[cfg(feature = "gateway")]
pub(crate) mod sharers;
#[cfg(feature = "gateway")]
pub(crate) mod sockets;
mod user;
mod writers;

// A descriptor that a child process inherits is the one thing that callers see as it is.
pub(crate) use std::os::fd::{AsFd, BorrowedFd};

pub(crate) use attributes::{keep_flags, replace_like, share, stand_beside};
pub(crate) use dir::{Access, Dir, DirNumber, Mount, Refusal, Users};
#[cfg(feature = "gateway")]
pub(crate) use errors::is_own_failure;
pub(crate) use errors::{
    is_descriptor_limit, is_forbidden_by_owner_or_flag, is_given_up, is_lease_refusal,
    is_link_refusal, is_mount_refusal, is_pipe_refusal, is_stale_handle,
};
pub(crate) use file::{
    FileKind, Found, Pinned, Stat, Trace, hole_at, kind_of, open_to_read, read_at, read_exact_at,
    stat, write_all_at,
};
pub(crate) use names::strip_suffix;
pub(crate) use user::User;
pub(crate) use writers::writers;
