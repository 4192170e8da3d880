//! A shop that stays open while half of what it is made of fails, over real sockets.
//!
//! Four upstreams, a shop that asks them over TCP, visitors that come whether the shop answers or
//! not, a script of faults, and one client that would have all for itself. It runs twice: with timeouts alone, and with watertight's layers
//! around the same clients (`protect.rs`) and at the same door (`door.rs`). `--help` says what can be changed.

mod abuse;
mod args;
mod check;
mod client;
mod control;
mod door;
mod extra;
mod fault;
mod incident;
mod latencies;
mod layers;
mod listen;
mod load;
mod page;
mod protect;
mod proxy;
mod report;
mod screen;
mod shop;
mod stage;
mod stats;
mod upstream;

use std::process::ExitCode;

use clap::Parser;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::net::TcpListener;
use tokio::signal::ctrl_c;
use watertight::BoxError;

use crate::args::Args;
use crate::load::PATIENCE;
use crate::report::Report;
use crate::stage::Stage;

/// What a shell says of a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    tokio::select! {
        biased;
        end = storefront(&args) => end.unwrap_or_else(|error| {
            eprintln!("storefront: {error}");
            ExitCode::FAILURE
        }),
        _ = ctrl_c() => {
            eprintln!("stopped before the end");
            ExitCode::from(INTERRUPTED)
        }
    }
}

async fn storefront(args: &Args) -> Result<ExitCode, BoxError> {
    let prometheus = PrometheusBuilder::new().install_recorder()?;
    let listener = listen::bind(args.port).await?;
    let address = listener.local_addr()?;
    println!("shop on http://{address}: /product /checkout /feed /metrics /faults");
    println!(
        "a page counts once its visitor has it, or has waited {} s; times count from when he was due",
        PATIENCE.as_secs()
    );

    let mut outcomes = Vec::new();
    let mut last = None;
    for &side in args.sides() {
        let stage = Stage::set(side, args.length(), prometheus.clone()).await?;
        outcomes.push(stage.run(&listener, address, args).await);
        last = Some(stage);
    }

    let report = Report::new(&outcomes);
    report.print_table();
    let holds = !args.check || check::check(&outcomes);
    if args.json {
        report.print_json()?;
    }
    if args.serve
        && let Some(stage) = last
    {
        keep_open(&stage, &listener).await?;
    }
    Ok(if holds {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Serves until Ctrl-C.
async fn keep_open(stage: &Stage, listener: &TcpListener) -> Result<(), BoxError> {
    let address = listener.local_addr()?;
    eprintln!("\nstill open, until Ctrl-C:");
    eprintln!("  curl -i http://{address}/product");
    eprintln!("  curl -i -X POST http://{address}/checkout");
    eprintln!("  curl -X PUT http://{address}/faults/payments/hang");
    eprintln!("  curl http://{address}/faults");
    tokio::select! {
        never = stage.serve(listener) => match never {},
        end = ctrl_c() => Ok(end?),
    }
}
