//! A private Slurm cluster on this machine: real daemons on the loopback interface, in a folder of their own. A test
//! without Slurm is skipped, except in CI.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::bench::{Bench, skipped, tell};
use crate::processes::{kill, signal};

/// Longest wait for something that Slurm does. The slowest is the loss of a node, after some 30 s.
const PATIENCE: Duration = Duration::from_secs(120);

/// Variable that marks a daemon with the name of its node. Its step managers inherit it.
const NODE_VARIABLE: &str = "SWEEP_TEST_NODE";

/// A running cluster. It stops when it is dropped.
pub(crate) struct Cluster {
    folder: TempDir,
}

impl Cluster {
    /// Starts a cluster with nodes `n1`, `n2`, … of two cores each. `more` is added to its configuration. Returns
    /// nothing if Slurm is not installed; in CI this is a failure.
    pub(crate) fn start(nodes: usize, more: &str) -> Option<Self> {
        let has = |program: &str| find(program).is_some();
        if let Some(missing) = ["munged", "slurmctld", "slurmd", "squeue"].into_iter().find(|program| !has(program)) {
            assert!(std::env::var_os("CI").is_none(), "Slurm must be installed in CI: `{missing}` is missing");
            skipped("Slurm", &format!("`{missing}` is not installed"));
            return None;
        }
        let cluster = Self { folder: tempfile::tempdir().unwrap() };
        for folder in ["etc", "state", "log", "run", "munge"] {
            fs::create_dir(cluster.path(folder)).unwrap();
        }
        cluster.write_configuration(nodes, more);
        let key: Vec<u8> = (0..128_u8).map(|byte| byte.wrapping_mul(7)).collect();
        fs::write(cluster.path("munge/key"), key).unwrap();
        cluster.done(Command::new("chmod").arg("600").arg(cluster.path("munge/key")));
        let option = |name: &str, file: &str| format!("--{name}={}", cluster.path(file).display());
        cluster.done(cluster.tool("munged").args(["--force", "--num-threads=2"]).args([
            option("key-file", "munge/key"),
            option("socket", "munge/munge.sock"),
            option("pid-file", "run/munged.pid"),
            option("log-file", "log/munged.log"),
            option("seed-file", "munge/seed"),
        ]));
        cluster.start_controller();
        (1..=nodes).for_each(|node| cluster.start_node(&format!("n{node}")));
        cluster.wait("all nodes are idle", || {
            let idle = cluster.asked("sinfo", &["--noheader", "--Node", "--states=idle", "--format=%N"]);
            // A node has a line for each of its partitions.
            idle.lines().collect::<BTreeSet<_>>().len() == nodes
        });
        Some(cluster)
    }

    fn write_configuration(&self, nodes: usize, more: &str) {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let (host, folder) = (host.trim().split('.').next().unwrap(), self.folder.path().display());
        let user = Command::new("id").arg("-un").output().unwrap();
        let user = String::from_utf8(user.stdout).unwrap();
        let user = user.trim();
        let ports = free_ports(nodes + 1);
        let mut text = format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser={user}\nSlurmdUser={user}\nSlurmctldPort={}\n\
             AuthType=auth/munge\nCredType=cred/munge\nAuthInfo=socket={folder}/munge/munge.sock,cred_expire=2\n\
             StateSaveLocation={folder}/state\nSlurmctldPidFile={folder}/run/slurmctld.pid\n\
             SlurmctldLogFile={folder}/log/slurmctld.log\nSlurmdPidFile={folder}/run/slurmd-%n.pid\n\
             SlurmdSpoolDir={folder}/spool-%n\nSlurmdLogFile={folder}/log/slurmd-%n.log\n\
             CommunicationParameters=NoInAddrAny,NoCtldInAddrAny\nProctrackType=proctrack/linuxproc\n\
             TaskPlugin=task/none\nJobAcctGatherType=jobacct_gather/none\nSwitchType=switch/none\nMpiDefault=none\n\
             SelectType=select/cons_tres\nSelectTypeParameters=CR_CPU\nSchedulerType=sched/backfill\n\
             SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=100000,batch_sched_delay=0\n\
             SlurmdParameters=config_overrides\nJobRequeue=1\nReturnToService=2\nSlurmctldTimeout=10\n\
             SlurmdTimeout=10\nMessageTimeout=5\nKillWait=3\nMinJobAge=300\nInactiveLimit=0\nOverTimeLimit=0\n\
             AccountingStorageType=accounting_storage/none\n",
            ports[0]
        );
        for (node, port) in (1..=nodes).zip(&ports[1..]) {
            text += &format!(
                "NodeName=n{node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs=2 RealMemory=2000\n"
            );
        }
        text += "PartitionName=main Nodes=ALL Default=YES MaxTime=60 DefaultTime=30 State=UP\n";
        fs::write(self.configuration(), text + more + "\n").unwrap();
        // An empty file is not accepted.
        fs::write(self.path("etc/cgroup.conf"), "# no control groups\n").unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn configuration(&self) -> PathBuf {
        self.path("etc/slurm.conf")
    }

    fn tool(&self, program: &str) -> Command {
        let mut command = Command::new(find(program).unwrap());
        command.env("SLURM_CONF", self.configuration()).stdin(Stdio::null());
        command
    }

    fn done(&self, command: &mut Command) -> Output {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// Returns the answer of a command of Slurm; empty if it fails.
    pub(crate) fn asked(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.tool(program).args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Returns the states of all tasks, such as `PENDING`, one for each task.
    pub(crate) fn states(&self) -> Vec<String> {
        let text = self.asked("squeue", &["--noheader", "--array", "--states=all", "--format=%T"]);
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until something is so.
    pub(crate) fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_so() {
            assert!(begin.elapsed() <= PATIENCE, "not in time: {what}");
            std::thread::yield_now();
        }
    }

    /// Prints what the cluster is doing, and the ends of its logs.
    fn tell(&self) {
        tell(&self.asked("squeue", &["--array", "--states=all", "--format=%i %T %r %N %o"]));
        tell(&self.asked("sinfo", &["--Node", "--format=%N %T %E"]));
        for log in fs::read_dir(self.path("log")).unwrap().flatten() {
            let text = fs::read_to_string(log.path()).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            tell(&format!("{}:\n{}", log.path().display(), lines[lines.len().saturating_sub(30)..].join("\n")));
        }
    }

    /// Returns the program in a project, as on a login node of this cluster.
    pub(crate) fn command(&self, bench: &Bench, words: &str) -> Command {
        let mut command = bench.command(words);
        command.env("SLURM_CONF", self.configuration());
        command
    }

    /// Starts the controller, and waits until it answers. It leaves its terminal before all of its checks.
    pub(crate) fn start_controller(&self) {
        self.done(&mut self.tool("slurmctld"));
        self.wait("the controller answers", || self.asked("scontrol", &["ping"]).contains("is UP"));
    }

    pub(crate) fn start_node(&self, node: &str) {
        self.done(self.tool("slurmd").args(["-N", node]).env(NODE_VARIABLE, node));
    }

    /// Kills the controller. Tasks go on.
    pub(crate) fn kill_controller(&self) {
        kill(&self.pid("slurmctld"));
    }

    /// Kills the daemon of a node. Its tasks go on, but nobody hears of them: the network is cut, in effect.
    pub(crate) fn cut_off(&self, node: &str) {
        kill(&self.pid(&format!("slurmd-{node}")));
    }

    /// Kills everything on a node: the machine is dead.
    pub(crate) fn crash(&self, node: &str) {
        self.cut_off(node);
        // The step managers come first, so that nobody reports the death of a task.
        kill(&self.processes(&format!("{NODE_VARIABLE}={node}")));
        kill(&self.processes(&format!("SLURMD_NODENAME={node}")));
    }

    fn pid(&self, daemon: &str) -> Vec<Pid> {
        let text = fs::read_to_string(self.path("run").join(format!("{daemon}.pid"))).unwrap_or_default();
        text.trim().parse().ok().and_then(Pid::from_raw).into_iter().collect()
    }

    /// Returns the processes of this cluster with a variable.
    fn processes(&self, variable: &str) -> Vec<Pid> {
        let ours = format!("SLURM_CONF={}", self.configuration().display());
        let is_one = |id: &i32| {
            let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
            let has = |wanted: &str| environment.split(|byte| *byte == 0).any(|found| found == wanted.as_bytes());
            has(&ours) && has(variable)
        };
        let ids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        ids.filter(is_one).filter_map(Pid::from_raw).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.tell();
        }
        let ours = format!("SLURM_CONF={}", self.configuration().display());
        for pid in self.pid("munged").into_iter().chain(self.processes(&ours)) {
            signal(pid, Signal::KILL);
        }
    }
}

/// Returns ports that nobody listens to. The kernel gives none of them to an outgoing connection: a daemon that starts
/// again would find its port taken.
fn free_ports(number: usize) -> Vec<u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(97);
    let mut candidates = std::iter::repeat_with(|| {
        let next = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(first);
        u16::try_from(20_000 + next % 12_000).unwrap()
    });
    // All are kept until the last one is found, so that they differ.
    let free = candidates.by_ref().filter_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).take(number);
    let listeners: Vec<TcpListener> = free.collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// Returns the path of a program. Daemons may lie in a folder that is not searched for users.
fn find(program: &str) -> Option<PathBuf> {
    let searched = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&searched).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(program)).find(|path| is_program(path).unwrap_or(false))
}

fn is_program(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.is_file())
}
