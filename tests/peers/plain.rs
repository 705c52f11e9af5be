//! `flock(1)`, `rm` and `find -delete` as peers.
