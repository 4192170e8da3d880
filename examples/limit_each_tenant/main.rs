//! A service that limits each of its tenants by the plan that it pays for, over real sockets.
//!
//! Who comes is in `callers.rs`, what is let through in `server.rs`. It serves, calls itself as
//! three tenants and as one who guesses keys, and prints what each of them got.

mod callers;
mod server;

use std::net::{Ipv4Addr, SocketAddr};

use tokio::net::TcpListener;
use watertight::BoxError;

use crate::callers::{CALLERS, Received, call};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    println!(
        "{:<8} {:>5} {:>6} {:>4} {:>4}  told at the end",
        "", "asked", "served", "401", "429"
    );
    for (caller, received) in CALLERS.iter().zip(serve_all().await?) {
        let Received {
            served,
            unknown,
            refused,
            rate_limit,
            retry_after,
        } = received;
        println!(
            "{:<8} {:>5} {served:>6} {unknown:>4} {refused:>4}  RateLimit: {}, Retry-After: {}",
            caller.name,
            caller.asks,
            rate_limit.as_deref().unwrap_or("-"),
            retry_after.as_deref().unwrap_or("-"),
        );
    }
    Ok(())
}

/// Serves all callers, one after another, and returns what they received.
async fn serve_all() -> Result<Vec<Received>, BoxError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let service = server::routes().into_make_service_with_connect_info::<SocketAddr>();
    let calls = async {
        let mut all = Vec::new();
        for caller in &CALLERS {
            all.push(call(address, caller).await?);
        }
        Ok(all)
    };
    tokio::select! {
        all = calls => all,
        end = axum::serve(listener, service) => Err(end.map_or_else(Into::into, |()| "the server has ended".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_tenant_gets_what_its_plan_and_the_total_allow() {
        let all = serve_all().await.unwrap();
        let counts = |it: &Received| (it.served, it.unknown, it.refused);
        let [acme, globex, initech, guesser] = all.as_slice() else {
            panic!("{all:?}");
        };

        assert_eq!(counts(acme), (20, 0, 5));
        assert_eq!(counts(globex), (5, 0, 5));
        // The same plan as the first, but the total is taken.
        assert_eq!(counts(initech), (5, 0, 20));
        // Nobody's quota but its own address's.
        assert_eq!(counts(guesser), (0, 6, 4));
    }

    #[tokio::test]
    async fn answers_say_how_much_is_left_and_when_to_come_again() {
        let all = serve_all().await.unwrap();
        let (acme, guesser) = (&all[0], &all[3]);

        assert!(acme.rate_limit.as_ref().unwrap().contains(";r=0;t="));
        let retry_after: u64 = acme.retry_after.as_ref().unwrap().parse().unwrap();
        assert!((1..=180).contains(&retry_after), "{retry_after}");
        assert!(guesser.retry_after.is_some());
    }
}
