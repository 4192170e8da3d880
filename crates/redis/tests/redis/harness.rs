//! Redis servers of a test's own, on free ports.
#![allow(dead_code, reason = "the tests of the scripts use a part of it")]

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;

use redis::{Client, Connection};

const MISSING: &str = "redis-server is missing; install it, on Debian as root: \
                       apt-get install --yes redis-server";

/// Names another server than the `redis-server` of the path: one of 6.2, or of Valkey.
const SERVER: &str = "WATERTIGHT_REDIS_SERVER";

/// The bus of a cluster node is on a port that is so much higher.
const BUS: u16 = 10_000;

/// Of a cluster, how often it is asked whether it is ready: each time is a process that starts.
const ASKED: usize = 2_000;

/// A Redis server that ends with the test.
#[derive(Debug)]
pub(crate) struct RedisServer {
    child: Child,
    port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
}

impl RedisServer {
    /// Starts a server.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with more arguments.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        // Another process may have taken the port that was free a moment ago.
        let started = (0..10).find_map(|_| {
            let port = free_port();
            let name = format!("watertight-redis-{}-{port}", std::process::id());
            let folder = env::temp_dir().join(name);
            fs::create_dir_all(&folder).expect("a folder for the server");
            let arguments: Vec<_> = arguments.iter().copied().map(String::from).collect();
            let child = spawn(port, &folder, &arguments)?;
            Some(Self {
                child,
                port,
                folder,
                arguments,
            })
        });
        started.expect("a server on a free port")
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Connects for what the test does by hand, where that blocks.
    pub(crate) fn connect(&self) -> Connection {
        let client = Client::open(self.url()).expect("a valid address");
        client.get_connection().expect("a connection")
    }

    /// Stops the server as a machine stops that hangs: connections stay.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// Ends the server at once. What it knew is lost.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("a server that runs");
        self.child.wait().expect("its end");
    }

    /// Starts the server again, on the same port.
    pub(crate) fn restart(&mut self) {
        let child = spawn(self.port, &self.folder, &self.arguments);
        self.child = child.expect("the same port");
    }

    fn signal(&self, signal: &str) {
        let mut kill = Command::new("kill");
        kill.args(["-s", signal]).arg(self.child.id().to_string());
        assert!(kill.status().expect("kill").success());
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // It may have been killed by the test.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Starts a server, and waits until it is ready. `None`: it has ended.
fn spawn(port: u16, folder: &PathBuf, arguments: &[String]) -> Option<Child> {
    let program = env::var_os(SERVER).unwrap_or_else(|| OsString::from("redis-server"));
    let mut command = Command::new(program);
    command
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .args(["--port", &port.to_string()])
        .arg("--dir")
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn().expect(MISSING);
    let said = child.stdout.take().expect("a pipe");
    let mut said = BufReader::new(said);
    if !is_ready(&mut said) {
        child.wait().expect("its end");
        return None;
    }
    // Nobody reads on, and it must not wait for that.
    thread::spawn(move || said.lines().for_each(drop));
    Some(child)
}

fn is_ready(said: &mut BufReader<ChildStdout>) -> bool {
    said.lines()
        .map_while(Result::ok)
        .any(|line| line.contains("Ready to accept connections"))
}

pub(crate) fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its port").port();
        if port < u16::MAX - BUS {
            return port;
        }
    }
}

/// A cluster of three masters.
#[derive(Debug)]
pub(crate) struct RedisCluster {
    pub(crate) nodes: Vec<RedisServer>,
}

impl RedisCluster {
    pub(crate) fn start() -> Self {
        let nodes = [(); 3].map(|()| RedisServer::start_with(&["--cluster-enabled", "yes"]));
        let ports = nodes.each_ref().map(RedisServer::port);
        Self::join(nodes, ports, &[])
    }

    /// Makes a cluster of these nodes, which are asked for that on `ports`, with more arguments.
    pub(crate) fn join(nodes: [RedisServer; 3], ports: [u16; 3], arguments: &[&str]) -> Self {
        let mut create = Command::new("redis-cli");
        create
            .args(arguments)
            .args(["--cluster", "create"])
            .args(ports.map(|port| format!("127.0.0.1:{port}")))
            .arg("--cluster-yes")
            .stdout(Stdio::null());
        assert!(create.status().expect(MISSING).success());
        let nodes = nodes.into();
        let cluster = Self { nodes };
        let is_ready = (0..ASKED).any(|_| cluster.nodes.iter().all(knows_all_slots));
        assert!(is_ready, "the nodes do not find each other");
        cluster
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// Starts a replica of the first node that is up to date, and which all nodes know.
    pub(crate) fn start_replica(&self) -> RedisServer {
        let master = &self.nodes[0];
        let replica = RedisServer::start_with(&["--cluster-enabled", "yes"]);
        let address = |node: &RedisServer| format!("127.0.0.1:{}", node.port);
        let mut add = Command::new("redis-cli");
        add.args([
            "--cluster",
            "add-node",
            &address(&replica),
            &address(master),
        ])
        .args(["--cluster-slave", "--cluster-master-id"])
        .arg(query::<String>(&mut master.connect(), &["CLUSTER", "MYID"]))
        .stdout(Stdio::null());
        assert!(add.status().expect(MISSING).success());
        let is_ready = (0..ASKED).any(|_| follows(&replica));
        assert!(is_ready, "the replica does not follow its master");
        replica
    }

    /// Moves the slot of `key`, with all that is in it, to another node.
    pub(crate) fn move_slot_of(&self, key: &str) {
        let mut first = self.nodes[0].connect();
        let slot: u16 = query(&mut first, &["CLUSTER", "KEYSLOT", key]);
        let owner = self.nodes.iter().position(|node| has_key(node, key));
        let owner = owner.expect("a node that has the key");
        let (from, to) = (&self.nodes[owner], &self.nodes[(owner + 1) % 3]);
        let (mut source, mut target) = (from.connect(), to.connect());
        let source_id: String = query(&mut source, &["CLUSTER", "MYID"]);
        let target_id: String = query(&mut target, &["CLUSTER", "MYID"]);
        let slot = &slot.to_string();
        let set_slot = ["CLUSTER", "SETSLOT", slot];
        run(&mut target, &[&set_slot[..], &["IMPORTING", &source_id]]);
        run(&mut source, &[&set_slot[..], &["MIGRATING", &target_id]]);
        let port = &to.port.to_string();
        let migrate = ["MIGRATE", "127.0.0.1", port, key, "0", "5000"];
        run(&mut source, &[&migrate[..]]);
        run(&mut target, &[&set_slot[..], &["NODE", &target_id]]);
        run(&mut source, &[&set_slot[..], &["NODE", &target_id]]);
        assert!(has_key(to, key) && !has_key(from, key));
    }
}

fn knows_all_slots(node: &RedisServer) -> bool {
    let mut info = Command::new("redis-cli");
    info.args(["-p", &node.port.to_string(), "CLUSTER", "INFO"]);
    let said = info.output().expect("redis-cli").stdout;
    let said = String::from_utf8_lossy(&said);
    said.contains("cluster_state:ok") && said.contains("cluster_known_nodes:3")
}

/// Returns whether a replica has all that its master has. It is asked by a process: one that starts
/// takes long enough not to ask too often.
pub(crate) fn follows(replica: &RedisServer) -> bool {
    let mut info = Command::new("redis-cli");
    info.args(["-p", &replica.port.to_string(), "INFO", "replication"]);
    let said = info.output().expect("redis-cli").stdout;
    String::from_utf8_lossy(&said).contains("master_link_status:up")
}

fn has_key(node: &RedisServer, key: &str) -> bool {
    let slot: u16 = query(&mut node.connect(), &["CLUSTER", "KEYSLOT", key]);
    let keys = ["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "100"];
    let keys: Vec<String> = query(&mut node.connect(), &keys);
    keys.iter().any(|found| found == key)
}

/// Asks a server by hand.
pub(crate) fn query<T: redis::FromRedisValue>(connection: &mut Connection, words: &[&str]) -> T {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    command.query(connection).expect("an answer")
}

fn run(connection: &mut Connection, words: &[&[&str]]) {
    let _: redis::Value = query(connection, &words.concat());
}
