//! Ours as tower's own retry takes them.

use tokio::time::{Sleep, sleep};
use tower::retry::backoff;

use crate::{Backoff, Delays};

impl backoff::MakeBackoff for Backoff {
    type Backoff = Delays;

    fn make_backoff(&mut self) -> Delays {
        self.delays()
    }
}

impl backoff::Backoff for Delays {
    type Future = Sleep;

    fn next_backoff(&mut self) -> Sleep {
        sleep(self.next_delay())
    }
}
