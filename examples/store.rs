//! A session store, as agents have them: sessions are appended to, listed, compacted with a model
//! in between, archived and deleted, while others post to them.
//!
//! ```text
//! cargo run --example store
//! ```

use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use turnlock::{Appended, Error, Result, Sessions};

/// A record of a session. Its number is one more than that of the record before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its place in the order.
    pub number: u64,
    /// What was said.
    pub text: String,
}

/// All sessions of one agent, in one directory.
#[derive(Debug, Clone)]
pub struct Store {
    sessions: Sessions,
    dir: PathBuf,
}

impl Store {
    /// A store in this directory.
    pub fn new(dir: impl Into<PathBuf>) -> Result<Self> {
        let sessions = Sessions::builder().acquire_timeout(Duration::from_secs(10)).build()?;
        Ok(Self { sessions, dir: dir.into() })
    }

    fn path(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}.jsonl"))
    }

    /// The identities of all sessions, in order.
    pub fn list(&self) -> std::io::Result<Vec<String>> {
        let names = std::fs::read_dir(&self.dir)?
            .map(|entry| entry.map(|entry| PathBuf::from(entry.file_name())))
            .collect::<std::io::Result<Vec<_>>>()?;
        let is_session = |name: &&PathBuf| name.extension().is_some_and(|it| it == "jsonl");
        let mut ids: Vec<String> = (names.iter().filter(is_session))
            .filter_map(|name| Some(name.file_stem()?.to_str()?.to_owned()))
            .collect();
        ids.sort();
        Ok(ids)
    }

    /// Appends a record, whoever has the turn. It is numbered under the lock. The first one begins
    /// the session.
    pub async fn append(&self, id: &str, text: &str) -> Result<Appended> {
        let text = text.to_owned();
        let session = self.sessions.session(self.path(id))?;
        session
            .post_creating_with(move |tail| {
                let last: Option<Record> = tail.last()?;
                Ok(Record { number: last.map_or(0, |last| last.number + 1), text })
            })
            .await
    }

    /// The records of a session. What a crash has damaged is left out.
    pub async fn read(&self, id: &str) -> Result<Vec<Record>> {
        let records = self.sessions.session(self.path(id))?.records().await?;
        Ok(records.into_iter().filter_map(std::result::Result::ok).collect())
    }

    /// Replaces the history by what a model makes of it. What others append while it thinks comes
    /// behind that. Gives up at once if the turn is taken away.
    pub async fn compact<F: Future<Output = String>>(
        &self,
        id: &str,
        model: impl FnOnce(Vec<Record>) -> F,
    ) -> Result<()> {
        let turn = self.sessions.session(self.path(id))?.turn().label("compact").await?;
        let history = turn.read()?;
        let records: Vec<Record> = history.records().filter_map(|it| it.ok()).collect();
        let Some(last) = records.last().map(|record| record.number) else { return Ok(()) };
        let text = tokio::select! {
            text = model(records) => text,
            lost = turn.until_lost() => return Err(lost),
        };
        turn.rewrite_from(history.position(), [Record { number: last, text }]).await?;
        turn.release().await
    }

    /// Puts a session away. The next append begins a new one.
    pub async fn archive(&self, id: &str) -> Result<PathBuf> {
        let turn = self.sessions.session(self.path(id))?.turn().label("archive").await?;
        for n in 1_u32.. {
            let path = self.dir.join(format!("{id}.archive.{n}"));
            match turn.rename_to(&path).await {
                Err(Error::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::AlreadyExists => {}
                renamed => return renamed.map(|()| path),
            }
        }
        Ok(self.path(id))
    }

    /// Deletes a session.
    pub async fn delete(&self, id: &str) -> Result<()> {
        let turn = self.sessions.session(self.path(id))?.turn().label("delete").await?;
        turn.remove().await?;
        turn.release().await
    }
}

#[allow(dead_code, reason = "the tests use the store alone")]
#[tokio::main]
async fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let store = Store::new(dir.path())?;
    for text in ["hello", "how are you?", "bye"] {
        store.append("4f2c", text).await?;
    }
    let other = store.clone();
    let model = |records: Vec<Record>| async move {
        // Somebody else writes while the model thinks.
        let posted = other.append("4f2c", "one more thing").await;
        format!("{} records, then {} bytes", records.len(), posted.map_or(0, |it| it.bytes))
    };
    store.compact("4f2c", model).await?;
    for record in store.read("4f2c").await? {
        println!("{record:?}");
    }
    let archived = store.archive("4f2c").await?;
    println!("sessions: {:?}, archive: {}", store.list()?, name(&archived));
    store.append("other", "hello").await?;
    store.delete("other").await?;
    Ok(())
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
