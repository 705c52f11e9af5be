//! Cut the power, switch it on again, look.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use crate::disk::{Disk, Kind};
use crate::model::Model;
use crate::script::{Script, Told, player, told};
use crate::strace::{self, Site};

/// How many cuts the four tests make together.
fn cuts() -> usize {
    match std::env::var("TURNLOCK_POWER_CUTS") {
        Ok(number) => number.parse().expect("TURNLOCK_POWER_CUTS is a number"),
        Err(_) => 400,
    }
}

/// A player is killed before its n-th call, and then the power fails: so for every call of every script.
pub fn at_every_call(kind: Kind) {
    if !strace::is_there() {
        return;
    }
    let Some(disk) = Disk::new(kind) else { return };
    let sites: Vec<_> = Script::ALL.into_iter().flat_map(|script| sites(&disk, script)).collect();
    let count = cuts() / 4;
    for cut in 0..count {
        // A small number is spread over all of them; a large one comes round again, with other lines.
        let index = if count < sites.len() { cut * sites.len() / count } else { cut % sites.len() };
        let (script, site) = &sites[index];
        cut_at(&disk, *script, site, cut / sites.len());
    }
    eprintln!("{kind:?}: {count} cuts at {} system calls", sites.len());
}

fn sites(disk: &Disk, script: Script) -> Vec<(Script, Site)> {
    let dir = disk.point().join("sites");
    fs::create_dir(&dir).unwrap();
    let sites = strace::sites(script, &script.prepare(&dir), &disk.beside("log"));
    assert!(sites.len() > 20, "{script:?}: {sites:?}");
    fs::remove_dir_all(&dir).unwrap();
    sites.into_iter().map(|site| (script, site)).collect()
}

fn cut_at(disk: &Disk, script: Script, site: &Site, pass: usize) {
    let dir = disk.point().join("session");
    fs::create_dir(&dir).unwrap();
    let session = script.prepare(&dir);
    disk.sync();
    let output = strace::play(script, &session, pass, site, "signal=SIGKILL");
    disk.cut();
    disk.power_on();
    look(script, &session, &output.stdout, &format!("{script:?}, cut at {site:?}"));
    fs::remove_dir_all(&dir).unwrap();
}

/// A player writes as fast as it can, and the power fails beneath it.
pub fn at_any_moment(kind: Kind) {
    let Some(disk) = Disk::new(kind) else { return };
    let count = cuts() / 4;
    let mut acknowledged = 0;
    for cut in 0..count {
        acknowledged += cut_beneath(&disk, cut);
    }
    assert!(acknowledged > count, "{acknowledged} acknowledged steps in {count} cuts");
    eprintln!("{kind:?}: {count} cuts, {acknowledged} steps acknowledged before");
}

/// Says how many steps were done before the cut.
fn cut_beneath(disk: &Disk, cut: usize) -> usize {
    let dir = disk.point().join("session");
    fs::create_dir(&dir).unwrap();
    let session = Script::Forever.prepare(&dir);
    fs::write(&session, "").unwrap();
    disk.sync();
    let mut child = player(&[], Script::Forever, &session, cut).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut said = Vec::new();
    while !said.ends_with(b"@\"Ready\"\n") {
        assert!(output.read_until(b'\n', &mut said).unwrap() > 0, "the player ended");
    }
    let rest = std::thread::spawn(move || {
        let mut rest = Vec::new();
        output.read_to_end(&mut rest).unwrap();
        rest
    });
    // Any moment is as good as another.
    std::thread::sleep(Duration::from_micros(cut as u64 * 7919 % 40_000));
    disk.cut();
    child.kill().unwrap();
    child.wait().unwrap();
    said.extend(rest.join().unwrap());
    disk.power_on();
    look(Script::Forever, &session, &said, &format!("cut {cut}"));
    fs::remove_dir_all(&dir).unwrap();
    before_the_cut(told(&said)).iter().filter(|told| **told == Told::Done).count()
}

/// What fails, fails because there is no disk any more.
fn before_the_cut(told: Vec<Told>) -> Vec<Told> {
    told.into_iter().take_while(|told| !matches!(told, Told::Failed(..))).collect()
}

#[track_caller]
fn look(script: Script, session: &Path, said: &[u8], when: &str) {
    let model = Model::of(script, &before_the_cut(told(said)));
    let file = fs::read(session).unwrap_or_default();
    let checked = model.check(&file).and_then(|()| match session.parent().is_some_and(Path::exists) {
        true => model.mend(session),
        // Not even the directory had been made.
        false => Ok(()),
    });
    if let Err(why) = checked {
        panic!("{when}: {why}\nit had told: {}", String::from_utf8_lossy(said));
    }
}
