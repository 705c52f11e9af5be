//! What an adopter does with a session, built with the lowest versions of all dependencies.

use serde_json::{json, Value};
use turnlock::{Error, Sessions};

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let dir = std::env::temp_dir().join(format!("turnlock-adopter-{}", std::process::id()));
    let result = use_a_session(&dir.join("4f2c.jsonl")).await;
    std::fs::remove_dir_all(&dir)?;
    result
}

async fn use_a_session(path: &std::path::Path) -> Result<(), Failure> {
    let sessions = Sessions::new();
    let session = sessions.session(path)?;
    let turn = session.turn().label("adopter").await?;
    let busy = sessions.turn(path).try_acquire().map_err(Error::from);
    assert!(busy.is_err_and(|error| error.is_busy() && error.code() == "timeout"));
    for text in ["one", "two", "three"] {
        turn.append_with(move |tail| {
            let last: Option<Value> = tail.last()?;
            let n = last.map_or(0, |last| last["n"].as_u64().unwrap_or(0) + 1);
            Ok(json!({"n": n, "text": text}))
        })
        .await?;
    }
    let history = turn.read()?;
    session.post(&json!({"note": 1})).await?;
    let sum = tokio::select! {
        sum = async { history.records::<Value>().count() } => sum,
        lost = turn.until_lost() => return Err(lost.into()),
    };
    turn.rewrite_from(history.position(), [json!({"sum": sum})]).await?;
    turn.release().await?;
    let lines: Vec<Value> = session.read().await?.records().collect::<Result<_, _>>()?;
    assert_eq!(lines, [json!({"sum": 3}), json!({"note": 1})]);
    println!("{} lines, as they should be", lines.len());
    Ok(())
}
