//! Power cuts: a filesystem on a loop device loses everything that was not synced, at every system
//! call of a writer, and at any moment of a process that writes all the time. What was acknowledged
//! is there afterwards, and the rest is mended.

use std::fs;
use std::path::Path;
use std::time::Duration;

use turnlock_testing::disk::{Disk, Kind};
use turnlock_testing::env::number;
use turnlock_testing::{in_a_namespace, test_name};

use crate::model::Model;
use crate::player::Player;
use crate::script::{Script, Told, in_short, told};
use crate::strace::{self, Site};

#[test]
fn ext4_loses_power_at_every_system_call() {
    in_a_namespace(&test_name!(), || at_every_call(Kind::Ext4));
}

#[test]
fn xfs_loses_power_at_every_system_call() {
    in_a_namespace(&test_name!(), || at_every_call(Kind::Xfs));
}

#[test]
fn btrfs_loses_power_at_every_system_call() {
    in_a_namespace(&test_name!(), || at_every_call(Kind::Btrfs));
}

#[test]
fn ext4_loses_power_at_any_moment() {
    in_a_namespace(&test_name!(), || at_any_moment(Kind::Ext4));
}

#[test]
fn xfs_loses_power_at_any_moment() {
    in_a_namespace(&test_name!(), || at_any_moment(Kind::Xfs));
}

#[test]
fn btrfs_loses_power_at_any_moment() {
    in_a_namespace(&test_name!(), || at_any_moment(Kind::Btrfs));
}

/// Number of cuts that each of the six tests makes. `TURNLOCK_POWER_CUTS` sets their sum.
fn cuts() -> usize {
    number("TURNLOCK_POWER_CUTS", 600) / 6
}

/// The calls that change something. Between two of them a cut finds what it found before.
const CHANGES: &[&str] = &[
    "open",
    "openat",
    "openat2",
    "write",
    "pwrite64",
    "ftruncate",
    "fsync",
    "fdatasync",
    "linkat",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
    "mkdirat",
    "fchown",
    "fchmod",
    "copy_file_range",
    "sendfile",
    "flock",
];

/// Every call of every script: the player is killed before it, and then the power fails.
fn at_every_call(kind: Kind) {
    if !strace::is_there() {
        return;
    }
    let Some(disk) = Disk::new(kind) else { return };
    let sites: Vec<_> = Script::ALL.into_iter().flat_map(|script| sites(&disk, script)).collect();
    let count = cuts();
    let mut killed = 0;
    for cut in 0..count {
        // A small number of cuts is spread over all calls; a large one goes round again, with other
        // lines.
        let index = if count < sites.len() { cut * sites.len() / count } else { cut % sites.len() };
        let (script, site) = &sites[index];
        killed += usize::from(cut_at(&disk, *script, site, cut / sites.len()));
    }
    assert!(killed * 10 >= count * 9, "only {killed} of {count} were killed at their call");
    eprintln!("{kind:?}: {count} cuts at {} system calls", sites.len());
}

fn sites(disk: &Disk, script: Script) -> Vec<(Script, Site)> {
    let dir = disk.point().join("sites");
    fs::create_dir(&dir).unwrap();
    let mut sites = strace::sites(script, &script.prepare(&dir), &disk.beside("log"));
    fs::remove_dir_all(&dir).unwrap();
    sites.retain(|site| CHANGES.contains(&&*site.call));
    assert!(sites.len() > 5, "{script:?}: {sites:?}");
    sites.into_iter().map(|site| (script, site)).collect()
}

/// Whether the player was killed there.
fn cut_at(disk: &Disk, script: Script, site: &Site, pass: usize) -> bool {
    let dir = disk.point().join("session");
    fs::create_dir(&dir).unwrap();
    let session = script.prepare(&dir);
    disk.sync();
    let played = strace::play(script, &session, pass, site, "signal=SIGKILL");
    disk.cut();
    disk.power_on();
    let told = told(&played.said);
    look(
        &Model::of(script, &told),
        &session,
        &format!("{script:?}, cut at {site:?}, {}", in_short(&told)),
    );
    fs::remove_dir_all(&dir).unwrap();
    !told.contains(&Told::End)
}

/// A player writes as fast as it can, and the power fails beneath it.
fn at_any_moment(kind: Kind) {
    let Some(disk) = Disk::new(kind) else { return };
    let count = cuts();
    let mut acknowledged = 0;
    for cut in 0..count {
        acknowledged += cut_beneath(&disk, cut);
    }
    // There are few where another disk lies beneath and the machine is busy.
    assert!(acknowledged > count / 4, "{acknowledged} acknowledged steps in {count} cuts");
    eprintln!("{kind:?}: {count} cuts, {acknowledged} steps acknowledged before");
}

/// Cuts the power beneath a player; returns the number of steps that were done before.
fn cut_beneath(disk: &Disk, cut: usize) -> usize {
    let dir = disk.point().join("session");
    fs::create_dir(&dir).unwrap();
    let session = Script::Forever.prepare(&dir);
    fs::write(&session, "").unwrap();
    disk.sync();
    let mut player = Player::start(Script::Forever, &session, cut);
    player.let_go();
    // A moment that differs from cut to cut.
    std::thread::sleep(Duration::from_micros(cut as u64 * 7919 % 40_000));
    let before = told(&player.said()).len();
    disk.cut();
    player.kill();
    let all = before_the_cut(told(&player.ended().said));
    disk.power_on();
    // A sync that was under way when the filesystem went down may report success (on ext4 it does
    // in one cut of a hundred): what was heard before must be there, what was heard later may be
    // there.
    let model = |heard: usize| Model::of(Script::Forever, &all[..heard]);
    let fits = |heard: &usize| model(*heard).check(&fs::read(&session).unwrap()).is_ok();
    let heard = (before.min(all.len())..=all.len()).rev().find(fits).unwrap_or(before);
    look(
        &model(heard),
        &session,
        &format!("cut {cut}, {before} messages were heard before, of {}", in_short(&all)),
    );
    fs::remove_dir_all(&dir).unwrap();
    all.iter().take(heard).filter(|told| **told == Told::Done).count()
}

/// What failed did so because the disk was gone.
fn before_the_cut(told: Vec<Told>) -> Vec<Told> {
    told.into_iter().take_while(|told| !matches!(told, Told::Failed(..))).collect()
}

#[track_caller]
fn look(model: &Model, session: &Path, when: &str) {
    let checked = model.check(&fs::read(session).unwrap_or_default());
    let mended = checked.and_then(|()| match session.parent().is_some_and(Path::exists) {
        true => model.mend(session),
        // The directory had not been made yet.
        false => Ok(()),
    });
    if let Err(why) = mended {
        panic!("{why}\n{when}");
    }
}
