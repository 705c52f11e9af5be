//! Power cuts: a filesystem on a loop device loses everything that was not synced, at every system call of what writes, and at any
//! moment of a process that writes all the time. What was acknowledged is there afterwards; the rest is mended.

mod cuts;
mod disk;
mod model;
mod script;
mod strace;

use disk::Kind;

#[test]
fn ext4_loses_power_at_every_system_call() {
    disk::in_a_namespace("ext4_loses_power_at_every_system_call", || {
        cuts::at_every_call(Kind::Ext4)
    });
}

#[test]
fn xfs_loses_power_at_every_system_call() {
    disk::in_a_namespace("xfs_loses_power_at_every_system_call", || cuts::at_every_call(Kind::Xfs));
}

#[test]
fn ext4_loses_power_at_any_moment() {
    disk::in_a_namespace("ext4_loses_power_at_any_moment", || cuts::at_any_moment(Kind::Ext4));
}

#[test]
fn xfs_loses_power_at_any_moment() {
    disk::in_a_namespace("xfs_loses_power_at_any_moment", || cuts::at_any_moment(Kind::Xfs));
}

#[test]
fn btrfs_loses_power_at_every_system_call() {
    disk::in_a_namespace("btrfs_loses_power_at_every_system_call", || {
        cuts::at_every_call(Kind::Btrfs)
    });
}

#[test]
fn btrfs_loses_power_at_any_moment() {
    disk::in_a_namespace("btrfs_loses_power_at_any_moment", || cuts::at_any_moment(Kind::Btrfs));
}
