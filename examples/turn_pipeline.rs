//! The pipeline of a small gateway. Messages arrive for several sessions. A model answers each of
//! them in a turn of its session, and takes its time. A cron task posts to the sessions meanwhile.
//!
//! ```text
//! cargo run --example turn_pipeline
//! ```

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc;
use turnlock::{Error, Session, Sessions};

/// A message to a session, given by its index.
struct Message {
    session: usize,
    text: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let paths: Vec<PathBuf> =
        (0..3).map(|n| dir.path().join(format!("agents/main/sessions/{n}.jsonl"))).collect();
    let sessions = Sessions::builder()
        .acquire_timeout(Duration::from_secs(10))
        .max_hold(Duration::from_millis(200))
        .on_long_hold(|hold| println!("  (held long: {:?}, {:?})", hold.label, hold.held))
        .build()?;

    // At the start, remove the stale locks that a former run left.
    std::fs::create_dir_all(paths[0].parent().unwrap_or(dir.path()))?;
    println!("swept: {} locks", sessions.sweep(paths[0].parent().unwrap_or(dir.path()))?.len());

    let (queue, mut messages) = mpsc::channel(16);
    let cron = tokio::spawn(cron(sessions.clone(), paths.clone()));
    tokio::spawn(async move {
        for n in 0..9 {
            let message = Message { session: n % 3, text: format!("question {n}") };
            if queue.send(message).await.is_err() {
                return;
            }
        }
    });

    let mut turns = tokio::task::JoinSet::new();
    while let Some(message) = messages.recv().await {
        let session = sessions.session(&paths[message.session])?;
        turns.spawn(async move { answer(&session, &message).await });
    }
    while let Some(turn) = turns.join_next().await {
        turn??;
    }
    cron.abort();

    for path in &paths {
        let text = std::fs::read_to_string(path)?;
        println!("{}: {} lines", path.display(), text.lines().count());
        assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    }
    Ok(())
}

/// One turn: appends the message, calls the model, and appends its answer. Others wait in order. If
/// the turn is taken away while the model thinks, its answer is not waited for.
async fn answer(session: &Session, message: &Message) -> turnlock::Result<()> {
    let turn = session.turn().label(format!("answer to {:?}", message.text)).await?;
    turn.append(&json!({"type": "message", "role": "user", "text": message.text})).await?;
    let reply = tokio::select! {
        reply = model(&message.text) => reply,
        lost = turn.until_lost() => return Err(lost),
    };
    let appended =
        turn.append(&json!({"type": "message", "role": "assistant", "text": reply})).await?;
    if appended.intervening > 0 {
        println!(
            "  {:?}: {} bytes were posted while the model was at work",
            message.text, appended.intervening
        );
    }
    turn.release().await
}

/// A model, which takes its time.
async fn model(question: &str) -> String {
    tokio::time::sleep(Duration::from_millis(if question.ends_with('8') { 300 } else { 50 })).await;
    format!("an answer to {question:?}")
}

/// A side writer. It posts lines without waiting for a turn.
async fn cron(sessions: Sessions, paths: Vec<PathBuf>) {
    for tick in 0_u32.. {
        tokio::time::sleep(Duration::from_millis(30)).await;
        for path in &paths {
            match sessions
                .post(path, &json!({"type": "custom", "from": "cron", "tick": tick}))
                .await
            {
                Ok(_) | Err(Error::NoSession { .. }) => {}
                Err(error) => println!("  cron: {error}"),
            }
        }
    }
}
