//! `turnlock gateway probe`: tells four facts about a gateway apart, and a remote one beside it.

mod look;
mod rpc;
mod target;

use std::process::ExitCode;
use std::time::Duration;

use anstyle::AnsiColor;
use serde::Serialize;
use turnlock::gateway::Condition;

use super::Which;
use crate::failure::Failure;
use crate::output::{self, Schema, printable};
use look::Facts;
use rpc::Rpc;
use target::Target;

/// Tell whether a gateway listens, upgrades to a WebSocket, is healthy, and answers its RPC
///
/// Looks at the local gateway, and at the remote one that the config names (gateway.remote.url).
/// The RPC is that of OpenClaw's gateways. The token is the given one, else that of the config; a
/// gateway that refuses it is degraded, and not down.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  turnlock gateway probe
  turnlock gateway probe --require-rpc --url ws://10.0.0.7:18789 --token \"$TOKEN\"

Exit codes: 0 a gateway is there, and says nothing wrong or only that this command is not authorised
(with --require-rpc: one answers its RPC); 1 not so; 2 usage.")]
pub(super) struct Args {
    #[command(flatten)]
    which: Which,
    /// The port of the local gateway [default: the one that its owner recorded, else gateway.port
    /// of the config, else 18789]
    #[arg(long)]
    port: Option<u16>,
    /// Probe this gateway, and no other; can be repeated
    #[arg(long = "url", value_name = "URL", value_parser = target::url)]
    urls: Vec<ureq::http::Uri>,
    /// The token of the gateway [default: gateway.auth.token or gateway.remote.token of the config]
    #[arg(long, env = "OPENCLAW_GATEWAY_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// How long each gateway may take to answer
    #[arg(
        long,
        default_value = "3s",
        value_parser = humantime::parse_duration,
        value_name = "DURATION"
    )]
    timeout: Duration,
    /// Fail unless a gateway answers its RPC
    #[arg(long)]
    require_rpc: bool,
    /// Answer in JSON
    #[arg(long)]
    json: bool,
}

/// What was found out about one gateway.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Probed {
    target: &'static str,
    url: String,
    condition: Condition,
    reasons: Vec<String>,
    #[serde(flatten)]
    facts: Facts,
}

#[derive(Serialize)]
struct Answer<'a> {
    gateways: &'a [Probed],
}

pub(super) fn main(args: Args) -> Result<ExitCode, Failure> {
    let targets = Target::all(&args)?;
    let limit = args.timeout;
    let probed: Vec<_> = std::thread::scope(|scope| {
        let looks: Vec<_> =
            targets.iter().map(|target| scope.spawn(|| probe(target, limit))).collect();
        looks.into_iter().filter_map(|look| look.join().ok()).collect()
    });
    if args.json {
        output::answer_json(Schema::GatewayProbe, &Answer { gateways: &probed })?;
    } else {
        output::answer(&probed.iter().map(table).collect::<String>())?;
    }
    let is_well = |probed: &Probed| match args.require_rpc {
        true => matches!(probed.facts.rpc, Rpc::Ok),
        false => {
            let is_locked_out = matches!(probed.facts.rpc, Rpc::NotAuthorised(_));
            probed.condition == Condition::Healthy || is_locked_out
        }
    };
    Ok(if probed.iter().any(is_well) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn probe(target: &Target, limit: Duration) -> Probed {
    let facts = look::at(target, limit);
    let (condition, reasons) = judge(&facts);
    Probed { target: target.name, url: target.url.to_string(), condition, reasons, facts }
}

/// The state that follows from the facts, and what is wrong.
fn judge(facts: &Facts) -> (Condition, Vec<String>) {
    use turnlock::gateway::Health;
    match (&facts.health, &facts.rpc) {
        (Health::Refused, _) => (Condition::Gone, vec![facts.health.to_string()]),
        (Health::Unknown(reason), _) => (Condition::Unknown, vec![reason.clone()]),
        (Health::Silent, Rpc::NoAnswer | Rpc::NotAsked) => {
            (Condition::LockedUp, vec![facts.health.to_string()])
        }
        (_, Rpc::NotAuthorised(reason)) => {
            (Condition::Degraded, vec![format!("not authorised: {reason}")])
        }
        (Health::Healthy, Rpc::Ok | Rpc::NotAsked) => (Condition::Healthy, Vec::new()),
        (health, rpc) => {
            let mut reasons = Vec::new();
            if !health.is_healthy() {
                reasons.push(format!("/healthz: {health}"));
            }
            if !matches!(rpc, Rpc::Ok | Rpc::NotAsked) {
                reasons.push(format!("RPC: {rpc}"));
            }
            (Condition::Degraded, reasons)
        }
    }
}

fn table(probed: &Probed) -> String {
    let facts = &probed.facts;
    let yes_or = |is_so: bool, reason: &Option<String>| match (is_so, reason) {
        (true, _) => "yes".to_owned(),
        (false, Some(reason)) => format!("no ({reason})"),
        (false, None) => "no".to_owned(),
    };
    let colour = match probed.condition {
        Condition::Healthy => AnsiColor::Green,
        Condition::Degraded => AnsiColor::Yellow,
        _ => AnsiColor::Red,
    };
    let style = colour.on_default();
    let reasons = probed.reasons.join("; ");
    let reasons = if reasons.is_empty() { reasons } else { format!(": {}", printable(&reasons)) };
    let (target, url) = (probed.target, printable(&probed.url));
    let mut text = format!("{target} {url} is {style}{}{style:#}{reasons}\n", probed.condition);
    for (name, fact) in [
        ("listens", yes_or(facts.listens, &facts.not_listening)),
        ("WebSocket", yes_or(facts.upgrades, &facts.not_upgraded)),
        ("/healthz", facts.health.to_string()),
        ("RPC", facts.rpc.to_string()),
    ] {
        text += &format!("  {name:<10} {}\n", printable(&fact));
    }
    text
}
