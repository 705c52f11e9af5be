//! Cut the power, switch it on again, look.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::disk::{Disk, Kind};
use crate::model::Model;
use crate::script::{Player, Script, Told, in_short, told};
use crate::strace::{self, Site};

/// How many cuts the six tests make together.
fn cuts() -> usize {
    match std::env::var("TURNLOCK_POWER_CUTS") {
        Ok(number) => number.parse().expect("TURNLOCK_POWER_CUTS is a number"),
        Err(_) => 600,
    }
}

/// The calls that change something; between two of them a cut finds what it found before.
const CHANGES: &[&str] = &[
    "open",
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
    "fchown",
    "fchmod",
    "copy_file_range",
    "sendfile",
    "flock",
];

/// A player is killed before its n-th call, and then the power fails: so for every call of every script.
pub fn at_every_call(kind: Kind) {
    if !strace::is_there() {
        return;
    }
    let Some(disk) = Disk::new(kind) else { return };
    let sites: Vec<_> = Script::ALL.into_iter().flat_map(|script| sites(&disk, script)).collect();
    let count = cuts() / 6;
    let mut killed = 0;
    for cut in 0..count {
        // A small number is spread over all of them; a large one comes round again, with other lines.
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
pub fn at_any_moment(kind: Kind) {
    let Some(disk) = Disk::new(kind) else { return };
    let count = cuts() / 6;
    let mut acknowledged = 0;
    for cut in 0..count {
        acknowledged += cut_beneath(&disk, cut);
    }
    // Not many where a drive lies under the disk and the machine is busy.
    assert!(acknowledged > count / 4, "{acknowledged} acknowledged steps in {count} cuts");
    eprintln!("{kind:?}: {count} cuts, {acknowledged} steps acknowledged before");
}

/// Says how many steps were done before the cut.
fn cut_beneath(disk: &Disk, cut: usize) -> usize {
    let dir = disk.point().join("session");
    fs::create_dir(&dir).unwrap();
    let session = Script::Forever.prepare(&dir);
    fs::write(&session, "").unwrap();
    disk.sync();
    let mut player = Player::start(Script::Forever, &session, cut);
    player.let_go();
    // Any moment is as good as another.
    std::thread::sleep(Duration::from_micros(cut as u64 * 7919 % 40_000));
    let before = told(&player.said()).len();
    disk.cut();
    player.kill();
    let all = before_the_cut(told(&player.ended().said));
    disk.power_on();
    // A sync that was under way when the filesystem went down may say that it is done (ext4 does, in one cut of a hundred): what was heard
    // before must be there, and what was heard from then on may be.
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

/// What fails, fails because there is no disk any more.
fn before_the_cut(told: Vec<Told>) -> Vec<Told> {
    told.into_iter().take_while(|told| !matches!(told, Told::Failed(..))).collect()
}

#[track_caller]
fn look(model: &Model, session: &Path, when: &str) {
    let checked = model.check(&fs::read(session).unwrap_or_default());
    let mended = checked.and_then(|()| match session.parent().is_some_and(Path::exists) {
        true => model.mend(session),
        // Not even the directory had been made.
        false => Ok(()),
    });
    if let Err(why) = mended {
        panic!("{why}\n{when}");
    }
}
