//! A real NFS server and two client machines: guests of user-mode Linux, each with a kernel of its
//! own, in a network that goes with the process.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// What Debian calls the packages that are needed.
const PACKAGES: &[&str] = &[
    "user-mode-linux",
    "nfs-kernel-server",
    "nfs-common",
    "rpcbind",
    "kmod",
    "libkmod2",
    "libtirpc3",
    "libnfsidmap1",
    "libevent-core-2.1-7",
    "libwrap0",
    "keyutils",
];

/// The modules that a guest loads, in this order.
const MODULES: &[&str] = &[
    "net/sunrpc/sunrpc",
    "fs/nfs_common/grace",
    "lib/oid_registry",
    "lib/asn1_decoder",
    "net/sunrpc/auth_gss/auth_rpcgss",
    "fs/lockd/lockd",
    "fs/nfs_common/nfs_acl",
    "fs/netfs/netfs",
    "fs/fscache/fscache",
    "fs/nfs/nfs",
    "net/dns_resolver/dns_resolver",
    "fs/nfs/nfsv3",
    "fs/nfs/nfsv4",
    "fs/nfsd/nfsd",
];

/// The lease of the server, and its grace after a start.
pub const LEASE: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(20);

/// Finds the packages in the cache folder, or downloads and unpacks them there.
///
/// # Errors
/// Why there are none, in words.
pub fn packages() -> Result<PathBuf, String> {
    let cache =
        std::env::var_os("TURNLOCK_NETWORK_CACHE").map(PathBuf::from).unwrap_or_else(|| {
            let home = std::env::var_os("HOME").unwrap_or_else(|| "/root".into());
            Path::new(&home).join(".cache/turnlock-network")
        });
    let root = cache.join("root");
    if root.join("usr/bin/linux.uml").exists() {
        return Ok(root);
    }
    let fresh = cache.join(format!("new-{}", std::process::id()));
    fs::create_dir_all(fresh.join("root")).map_err(|e| format!("{}: {e}", fresh.display()))?;
    let unpacked = unpack_into(&fresh);
    if unpacked.is_ok() && fs::rename(fresh.join("root"), &root).is_err() && !root.exists() {
        return Err(format!("{} cannot be made", root.display()));
    }
    let _ = fs::remove_dir_all(&fresh);
    unpacked.map(|()| root)
}

fn unpack_into(fresh: &Path) -> Result<(), String> {
    let run = |command: &mut Command| match command.current_dir(fresh).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(e) => Err(e.to_string()),
    };
    run(Command::new("apt-get").arg("update"))?;
    run(Command::new("apt-get").arg("download").args(PACKAGES))?;
    let files = fs::read_dir(fresh).map_err(|e| e.to_string())?;
    for file in files.flatten().map(|entry| entry.path()) {
        if file.extension().is_some_and(|it| it == "deb") {
            run(Command::new("dpkg").arg("-x").arg(file).arg("root"))?;
        }
    }
    Ok(())
}

/// The machines of a run. They go with it.
pub struct Rig {
    pub server: Guest,
    pub a: Guest,
    pub b: Guest,
    folder: tempfile::TempDir,
    pub version: String,
}

impl Rig {
    /// Sets up the network, boots three machines, serves, and mounts with this version of NFS.
    pub fn start(packages: &Path, version: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("turnlock-network-").tempdir().unwrap();
        prepare(folder.path(), packages);
        set_up_network();
        let boot = |role: &str, address: &str| Guest::boot(folder.path(), packages, role, address);
        let (server, a, b) =
            (boot("s", "10.77.0.1"), boot("a", "10.77.0.2"), boot("b", "10.77.0.3"));
        let rig = Self { server, a, b, folder, version: version.to_owned() };
        for guest in [&rig.server, &rig.a, &rig.b] {
            guest.until_up();
        }
        rig.serve();
        rig.end_grace();
        for guest in [&rig.a, &rig.b] {
            rig.mount(guest, "/mnt/n", "");
        }
        rig
    }

    /// Starts the server's programs.
    pub fn serve(&self) {
        let (lease, version) = (LEASE.as_secs(), &self.version);
        self.server.ok(&format!("LEASE={lease} VERSION={version} . \"$RIG/serve.sh\""));
    }

    /// Nobody has anything to reclaim.
    pub fn end_grace(&self) {
        self.server.ok("echo Y > /proc/fs/nfsd/v4_end_grace");
    }

    /// Mounts the export on a client.
    pub fn mount(&self, guest: &Guest, point: &str, options: &str) {
        let version = &self.version;
        // The server may be on its way up.
        until(Duration::from_secs(120), &format!("{} mounts", guest.role), || {
            let script =
                format!("POINT={point} VERSION={version} OPTIONS={options} . \"$RIG/mount.sh\"");
            guest.run(&script).0 == 0
        });
    }

    /// Cuts a machine off from the network, or connects it again.
    pub fn cut(&self, role: &str, cut: bool) {
        let tap = format!("tap-{role}");
        let end: &[&str] = if cut { &["nomaster"] } else { &["master", BRIDGE] };
        ip(&[&["link", "set", &tap], end].concat());
    }

    /// A machine loses its power, and is started again after a while.
    pub fn power_cycle(&mut self, role: &str, off: Duration) {
        let guest = self.guest(role);
        guest.kill();
        std::thread::sleep(off);
        guest.start();
        guest.until_up();
        match role {
            "s" => self.serve(),
            "a" => self.mount(&self.a, "/mnt/n", ""),
            _ => self.mount(&self.b, "/mnt/n", ""),
        }
    }

    pub fn guest(&mut self, role: &str) -> &mut Guest {
        match role {
            "s" => &mut self.server,
            "a" => &mut self.a,
            _ => &mut self.b,
        }
    }

    /// The bytes of a file of the export, as the server has them.
    pub fn served(&self, path: &str) -> String {
        self.server.ok(&format!("cat /mnt/export/{path}"))
    }

    /// The folder of this run, which all machines see.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// After a test: the network is whole, and nothing of the test runs.
    pub fn set_right(&self) {
        for guest in [&self.server, &self.a, &self.b] {
            guest.pause(false);
            let connected = ["link", "set", &guest.tap(), "master", BRIDGE];
            let _ = Command::new("ip").args(connected).status();
        }
        for guest in [&self.a, &self.b] {
            guest.run("pkill -KILL -f -- --driver; pkill -KILL -x turnlock");
        }
    }

    /// Switches the machines off, so that others can have their places.
    pub fn take_down(self) {
        drop(self);
        let _ = Command::new("ip").args(["link", "del", BRIDGE]).status();
        for role in ["s", "a", "b"] {
            let _ = Command::new("ip").args(["link", "del", &format!("tap-{role}")]).status();
        }
    }
}

const BRIDGE: &str = "turnlock-br";

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {arguments:?}: {error}");
}

/// A bridge and a tap for each machine. This process is in a network namespace of its own.
fn set_up_network() {
    ip(&["link", "set", "lo", "up"]);
    ip(&["link", "add", BRIDGE, "type", "bridge"]);
    ip(&["link", "set", BRIDGE, "up"]);
    for role in ["s", "a", "b"] {
        let tap = format!("tap-{role}");
        ip(&["tuntap", "add", &tap, "mode", "tap"]);
        ip(&["link", "set", &tap, "master", BRIDGE, "up"]);
    }
}

/// Writes what the guests find in the folder of the run.
fn prepare(folder: &Path, packages: &Path) {
    let write = |name: &str, text: &str| {
        use std::os::unix::fs::PermissionsExt;
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    for (name, text) in [
        ("init.sh", include_str!("guest/init.sh")),
        ("etc.sh", include_str!("guest/etc.sh")),
        ("serve.sh", include_str!("guest/serve.sh")),
        ("mount.sh", include_str!("guest/mount.sh")),
    ] {
        write(name, text);
    }
    // A build may put others in their places.
    fs::copy(env!("CARGO_BIN_EXE_turnlock"), folder.join("turnlock")).unwrap();
    fs::copy(std::env::current_exe().unwrap(), folder.join("driver")).unwrap();
    let root = packages.display();
    let libraries = format!("{root}/usr/lib/x86_64-linux-gnu:{root}/lib/x86_64-linux-gnu");
    let run = "#!/bin/bash\nprogram=$1\nshift\n";
    write("run", &format!("{run}LD_LIBRARY_PATH={libraries} exec \"{root}/$program\" \"$@\"\n"));
    write(
        "insmod",
        &format!(
            "#!/bin/bash\nLD_LIBRARY_PATH={libraries} exec -a insmod \"{root}/bin/kmod\" \"$@\"\n"
        ),
    );
    let kernels = packages.join("usr/lib/uml/modules");
    let kernel = fs::read_dir(kernels).unwrap().next().unwrap().unwrap().path();
    let path = |module: &&str| format!("{}/kernel/{module}.ko\n", kernel.display());
    write("modules", &MODULES.iter().map(path).collect::<String>());
    let disk = fs::File::create(folder.join("disk.img")).unwrap();
    disk.set_len(256 << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(folder.join("disk.img")).status();
    assert!(made.unwrap().success());
}

/// One machine.
pub struct Guest {
    role: String,
    address: String,
    folder: PathBuf,
    packages: PathBuf,
    running: Option<(Child, ChildStdin)>,
    next: std::cell::Cell<u32>,
}

/// A script that runs on a machine.
pub struct Job {
    stem: PathBuf,
    script: String,
}

impl Guest {
    fn boot(folder: &Path, packages: &Path, role: &str, address: &str) -> Self {
        let mut guest = Self {
            role: role.to_owned(),
            address: address.to_owned(),
            folder: folder.to_owned(),
            packages: packages.to_owned(),
            running: None,
            next: std::cell::Cell::new(0),
        };
        fs::create_dir(guest.files()).unwrap();
        guest.start();
        guest
    }

    pub fn role(&self) -> &str {
        &self.role
    }

    /// A name that nothing else on this machine has.
    pub fn unique(&self, what: &str) -> String {
        let number = self.next.get();
        self.next.set(number + 1);
        format!("{what}-{number}")
    }

    fn files(&self) -> PathBuf {
        self.folder.join(&self.role)
    }

    fn tap(&self) -> String {
        format!("tap-{}", self.role)
    }

    /// Switches the machine on.
    pub fn start(&mut self) {
        let _ = fs::remove_file(self.files().join("up"));
        let folder = self.folder.display();
        let last = self.address.rsplit('.').next().unwrap();
        let mut kernel = Command::new(self.packages.join("usr/bin/linux.uml"));
        kernel
            .args(["mem=256M", "root=/dev/root", "rootfstype=hostfs", "rw", "quiet"])
            .args(["con0=fd:0,fd:1", "con=null", "ssl=null"])
            .arg(format!("init={folder}/init.sh"))
            .arg(format!("eth0=tuntap,{},02:77:00:00:00:0{last}", self.tap()))
            .arg(self.umid())
            .arg(format!("ROLE={}", self.role))
            .arg(format!("ADDRESS={}", self.address))
            .arg(format!("RIG={folder}"))
            .arg(format!("PACKAGES={}", self.packages.display()))
            .env("HOME", self.files())
            .env("TMPDIR", "/dev/shm")
            .current_dir(&self.folder);
        if self.role == "s" {
            kernel.arg(format!("ubd0={folder}/disk.img"));
        }
        let log = fs::File::create(self.files().join("console")).unwrap();
        let mut child = kernel
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        self.running = Some((child, input));
    }

    fn until_up(&self) {
        until(Duration::from_secs(60), &format!("{} boots", self.role), || {
            self.files().join("up").exists()
        });
    }

    /// The machine loses its power.
    pub fn kill(&mut self) {
        let Some((mut child, _)) = self.running.take() else { return };
        let _ = child.kill();
        let _ = child.wait();
        // Its kernel has one process of the host for each of its processors and address spaces.
        until(Duration::from_secs(20), &format!("{} is off", self.role), || {
            let rest = self.processes();
            rest.iter().for_each(|pid| signal("KILL", pid));
            rest.is_empty()
        });
    }

    /// The processes of the host that are this machine.
    fn processes(&self) -> Vec<String> {
        let umid = self.umid();
        let is_ours = |pid: &String| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|argument| argument == umid.as_bytes())
        };
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let pids = names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
        pids.filter(is_ours).collect()
    }

    fn umid(&self) -> String {
        format!("umid=turnlock-{}-{}", std::process::id(), self.role)
    }

    /// The machine stops for a while, as when its memory is moved to another host.
    pub fn pause(&self, pause: bool) {
        if let Some((child, _)) = &self.running {
            signal(if pause { "STOP" } else { "CONT" }, &child.id().to_string());
        }
    }

    /// Starts a script.
    pub fn begin(&self, script: &str) -> Job {
        let number = self.next.get();
        self.next.set(number + 1);
        // The guest keeps what it has seen of a name, so that each is used once.
        let stem = self.files().join(format!("{}-{number}", std::process::id()));
        let text = format!("export LD_LIBRARY_PATH=\n{script}\n");
        fs::write(stem.with_extension("sh"), text).unwrap();
        let (_, input) = self.running.as_ref().expect("the machine is on");
        let mut input = input;
        let name = stem.file_name().unwrap().to_string_lossy().into_owned();
        writeln!(input, "{name}").unwrap();
        Job { stem, script: format!("{}: {script}", self.role) }
    }

    /// Runs a script to its end. Returns its code and its output.
    pub fn run(&self, script: &str) -> (i32, String) {
        self.begin(script).wait(Duration::from_secs(120))
    }

    /// Runs a script that succeeds. Returns its output.
    #[track_caller]
    pub fn ok(&self, script: &str) -> String {
        let (code, output) = self.run(script);
        assert_eq!(code, 0, "{}: {script}: {output}", self.role);
        output
    }
}

impl Job {
    /// Waits for its end. Returns its code and its output.
    #[track_caller]
    pub fn wait(&self, limit: Duration) -> (i32, String) {
        let code = self.stem.with_extension("code");
        until(limit, &self.script, || code.exists());
        let code = fs::read_to_string(code).unwrap().trim().parse().unwrap();
        (code, self.output())
    }

    /// Where its output is, also after the machine is gone.
    pub fn output_file(&self) -> PathBuf {
        self.stem.with_extension("out")
    }

    /// Its output so far.
    pub fn output(&self) -> String {
        fs::read(self.output_file())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    pub fn is_over(&self) -> bool {
        self.stem.with_extension("code").exists()
    }

    /// Waits until its output contains this.
    #[track_caller]
    pub fn until_it_says(&self, words: &str, limit: Duration) {
        until(limit, &format!("{}: {words}", self.script), || {
            self.output().contains(words) || self.is_over()
        });
        let output = self.output();
        assert!(output.contains(words), "{}: no {words:?} in: {output}", self.script);
    }
}

fn signal(signal: &str, whom: &str) {
    let _ = Command::new("kill").args(["-s", signal, "--", whom]).stderr(Stdio::null()).status();
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits for something to happen.
#[track_caller]
pub fn until(limit: Duration, what: &str, happened: impl Fn() -> bool) {
    let began = Instant::now();
    while !happened() {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(POLL);
    }
}

/// Why there can be no rig here, if there cannot.
pub fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("it takes root".into());
    }
    if let Err(e) = fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        return Some(format!("/dev/net/tun: {e}"));
    }
    if cfg!(not(target_arch = "x86_64")) {
        return Some("the packages are for x86_64".into());
    }
    ["unshare", "ip", "mkfs.ext4", "dpkg"]
        .iter()
        .find(|tool| which(tool).is_err())
        .map(|tool| format!("there is no `{tool}`"))
}

fn which(tool: &str) -> io::Result<()> {
    Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status()?;
    Ok(())
}
