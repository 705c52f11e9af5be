//! What differs between systems, behind one face. No other room makes a system call.
//!
//! Each topic is a module. Where systems differ behind its face, it has a file per system beside
//! it: `linux.rs` for what only Linux has, `portable.rs` for what every Unix has. Types of this
//! room are opaque, so that no other room knows what a system identifies a file by.

#[cfg(not(unix))]
compile_error!("turnlock has no implementation of its room `sys` for this system yet");

mod attributes;
mod dir;
mod errors;
mod file;
pub(crate) mod filesystem;
pub(crate) mod flock;
pub(crate) mod limit;
mod names;
pub(crate) mod process;
pub(crate) mod range_lock;

/// A borrowed descriptor, as a child process can inherit it.
pub(crate) use std::os::fd::{AsFd, BorrowedFd};

pub(crate) use attributes::{give_owner_of, take_after};
pub(crate) use dir::{Access, Dir};
pub(crate) use errors::{is_descriptor_limit, is_link_refusal, is_pipe_refusal};
pub(crate) use file::{
    Device, FileId, FileKind, Stat, kind_of, open_to_read, read_at, read_exact_at, set_mode, stat,
    stat_path, write_all_at,
};
pub(crate) use names::strip_suffix;
