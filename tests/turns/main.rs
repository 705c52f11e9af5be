//! The library in one process: taking turns, what a turn can do, and posts.

mod attributes;
mod basics;
mod contents;
mod post_beside_foreign;
mod repair;
mod sessions;
mod under;
