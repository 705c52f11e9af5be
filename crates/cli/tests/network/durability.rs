//! What was acknowledged is on the server's disk, and nothing else was acknowledged (I20).

use std::time::Duration;

use crate::checks::{Holder, SOON, fresh_directory, texts};
use crate::ledger::Ledger;
use crate::rig::{LEASE, Rig};

/// The server loses its power while both hosts write. An append that has begun waits until the
/// server is back, and for its grace.
pub fn no_line_is_lost_with_the_servers_power(rig: &mut Rig) {
    let inside = fresh_directory(rig, "power");
    let jobs = [&rig.a, &rig.b].map(|guest| {
        let who = guest.role();
        guest.begin(&format!("{inside}; driver loop s.jsonl {who} 60 40 3 1"))
    });
    for job in &jobs {
        job.until_it_says("TURN 3", SOON);
    }
    rig.power_cycle("s", Duration::from_secs(1));
    let outputs = jobs.map(|job| job.wait(LEASE * 12).1);
    let ledger = Ledger::of(&rig.served("power/s.jsonl"), &outputs);
    println!("    {}", ledger.summary());
    assert!(ledger.is_clean(), "{ledger:?}");
    let most = ledger.appends.last().copied().unwrap_or_default();
    let outage = ledger.gaps.first().map(|gap| gap.seconds()).unwrap_or_default();
    assert!(most <= outage + 1.0, "an append took {most} s, the outage {outage} s");
    // Turns of both go on afterwards.
    let last = ledger.gaps.first().map(|gap| gap.to).unwrap_or_default();
    for output in &outputs {
        let acknowledged = output.lines().filter(|line| line.contains(" ACK "));
        let times = acknowledged.filter_map(|line| line.split(' ').next()?.parse::<f64>().ok());
        assert!(times.into_iter().any(|time| time > last), "{output}");
    }
}

/// The server's disk is full. The client learns that from the sync alone, and only once.
pub fn a_failed_sync_acknowledges_nothing(rig: &mut Rig) {
    let inside = fresh_directory(rig, "full");
    let mut holder = Holder::start(&rig.a, &inside, "s.jsonl", 10);
    holder.acquire();
    holder.ask_well("append one");
    rig.server.run("cat /dev/zero > /mnt/export/fill; sync");
    let failed = holder.ask("big");
    assert!(failed.contains("ERR"), "{failed}");
    // The error was told. That the next sync succeeds proves nothing of what was written before.
    let refused = holder.ask("append two");
    assert!(refused.contains("ERR"), "{refused}");
    rig.server.ok("rm /mnt/export/fill; sync");
    let refused = holder.ask("append three");
    assert!(
        refused.contains("ERR"),
        "a turn whose sync has failed acknowledges no more: {refused}"
    );
    holder.ask("release");
    holder.acquire();
    holder.ask_well("append four");
    holder.ask_well("release");
    let file = rig.served("full/s.jsonl");
    // What the server had room for may be there, as the error has said: a line of its own, or a
    // piece of one.
    let (unacknowledged, acknowledged): (Vec<_>, Vec<_>) =
        file.lines().partition(|line| line.contains("xxx") || line.is_empty());
    assert!(unacknowledged.len() <= 1, "{file:.2000}");
    assert_eq!(texts(&acknowledged.join("\n")), ["one", "four"]);
    // So it is for the other host.
    assert_eq!(rig.b.ok("cat /mnt/n/full/s.jsonl"), file);
}
