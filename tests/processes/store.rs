//! The example of a session store, beside other writers who are killed: nothing is lost.

use std::fs;
use std::time::Duration;

use serde_json::json;
use turnlock_testing::{room, until};

use crate::child::{Ask, child};

#[path = "../../examples/store.rs"]
mod example;

use example::{Record, Store};

/// Appends, compactions and archives at once, while posters are killed again and again.
#[test]
fn the_example_of_a_store_loses_nothing_beside_posters_that_are_killed() {
    let room = room();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let store = Store::new(&room.dir).unwrap();
    let appends = 300;
    let appender = runtime.spawn({
        let store = store.clone();
        async move {
            for n in 0..appends {
                store.append("s", &format!("own {n}")).await.unwrap();
            }
        }
    });
    let compactor = runtime.spawn({
        let store = store.clone();
        async move {
            let mut kept: Vec<Record> = Vec::new();
            for round in 0..10 {
                let mut read = Vec::new();
                let model = |records: Vec<Record>| {
                    read.clone_from(&records);
                    async move {
                        // A model takes its time. Others append meanwhile.
                        tokio::time::sleep(Duration::from_millis(20)).await;
                        format!("sum {round}")
                    }
                };
                match store.compact("s", model).await {
                    Ok(()) => kept.extend(read),
                    Err(error) => panic!("{error}"),
                }
            }
            kept
        }
    });
    for writer in 0..8 {
        let mut doomed = child(&room);
        doomed.tell(&Ask::Fill(json!({"number": 0, "text": format!("poster {writer}")})));
        let begun = || {
            let text = fs::read_to_string(&room.session).unwrap_or_default();
            text.contains(&format!("poster {writer}"))
        };
        // A compaction may take its lines away before they are seen here.
        let deadline = std::time::Instant::now() + Duration::from_secs(2);
        while !begun() && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        doomed.kill();
    }
    let mut kept = runtime.block_on(async {
        appender.await.unwrap();
        compactor.await.unwrap()
    });
    let archive = runtime.block_on(store.archive("s")).unwrap();
    let text = fs::read_to_string(archive).unwrap();
    kept.extend(text.lines().filter_map(|line| serde_json::from_str::<Record>(line).ok()));
    let own: Vec<_> = kept.iter().filter(|record| record.text.starts_with("own ")).collect();
    let texts: Vec<_> = (0..appends).map(|n| format!("own {n}")).collect();
    assert!(own.iter().map(|record| &record.text).eq(&texts), "{} of {appends}", own.len());

    runtime.block_on(async {
        store.append("s", "anew").await.unwrap();
        assert_eq!(store.list().unwrap(), ["s"]);
        assert_eq!(store.read("s").await.unwrap(), [Record { number: 0, text: "anew".into() }]);
        store.delete("s").await.unwrap();
        assert!(store.list().unwrap().is_empty());
    });
    until("no lock is left", || !room.lock.exists());
    assert_eq!(json!(room.names()), json!(["s.archive.1"]));
}
