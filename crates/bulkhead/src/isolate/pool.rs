use std::io;

use tokio::runtime::{Builder, Handle, Runtime};
use watertight_core::Name;

use super::alarm::drive;
use crate::slots::Room;

/// Where calls run.
#[derive(Debug)]
pub(super) enum Pool {
    /// Each on a thread.
    Threads(Threads),
    /// As the tasks of a runtime of the user's.
    Runtime(Handle),
}

/// Threads of a layer's own. They are those on which its runtime lets calls block: there are as many
/// as are wanted, and those with nothing to do for 10 s end.
#[derive(Debug)]
pub(super) struct Threads {
    handle: Handle,
    /// `None` once it is shut down.
    runtime: Option<Runtime>,
}

impl Pool {
    pub(super) fn of_threads(name: Name) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            // It serves the timers and the sockets of the calls.
            .worker_threads(1)
            // How many run at once, the room says. It can be told another number later.
            .max_blocking_threads(Room::MOST)
            .thread_name(name.as_str())
            .enable_all()
            .build()?;
        Ok(Self::Threads(Threads {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        }))
    }

    /// Runs `job`. If the runtime has been shut down, drops it.
    pub(super) fn run(&self, job: impl Future<Output = ()> + Send + 'static) {
        match self {
            Self::Threads(Threads { handle, .. }) => {
                handle.spawn_blocking(|| drive(job));
            }
            Self::Runtime(handle) => {
                handle.spawn(job);
            }
        }
    }
}

impl Drop for Threads {
    /// The last one to hold it may be a task, where it is not allowed to wait for the threads.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
