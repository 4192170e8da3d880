//! The retry storm: an outage is over, and the retries of those who gave up keep the service down.
//!
//! The service answers 300 calls a second, one after another. Calls come evenly spaced, and give up
//! after a second; each is made again once, at once. For ten seconds no call arrives, and then all
//! that were sent arrive together.

mod ablations;
mod bounded;
mod load;
mod stack;
mod unbounded;
