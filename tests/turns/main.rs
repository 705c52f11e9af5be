//! The library in one process: taking turns, what a turn can do, posts, and gateways.

mod architecture;
mod attributes;
mod basics;
mod contents;
mod documents;
mod gateway;
mod manifest;
mod parts;
mod post_beside_foreign;
mod quarantine;
mod repair;
mod sessions;
mod under;
