use std::sync::LazyLock;

use redis::Cmd;

/// The one step in which Redis decides.
#[derive(Debug)]
pub(crate) struct Script {
    text: String,
    /// What Redis knows the text by.
    hash: String,
}

/// Token buckets and leaky ones.
pub(crate) static BUCKET: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/bucket.lua")));

/// Sliding windows of counters.
pub(crate) static COUNTERS: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/counters.lua")));

/// Exact sliding windows.
pub(crate) static LOG: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("scripts/log.lua")));

const PRELUDE: &str = include_str!("scripts/prelude.lua");

impl Script {
    fn new(text: &str) -> Self {
        let text = format!("{PRELUDE}\n{text}");
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }

    /// Returns the command that runs the script, which Redis has to know.
    pub(crate) fn by_hash(&self, key: &str, arguments: &[String]) -> Cmd {
        command("EVALSHA", &self.hash, key, arguments)
    }

    /// Returns the command that runs the script, and from which Redis knows it.
    pub(crate) fn by_text(&self, key: &str, arguments: &[String]) -> Cmd {
        command("EVAL", &self.text, key, arguments)
    }

    /// Returns the script as it runs by a clock of the test's own, whose time in microseconds is the
    /// last argument. Since the keys live by the clock of Redis, they live for longer.
    #[cfg(test)]
    pub(crate) fn by_given_clock(&self) -> Self {
        let text = self
            .text
            .replace("redis.call('TIME')", "{ 0, ARGV[#ARGV] }");
        let text = text.replace("local margin = 2", "local margin = 3600000");
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }
}

fn command(name: &str, script: &str, key: &str, arguments: &[String]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(1).arg(key).arg(arguments);
    command
}
