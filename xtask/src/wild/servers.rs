//! The servers: how each is started, and what load of its own kind it gets.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use super::http::Client;
use crate::{
    go::{Go, create_folder},
    processes::Running,
    user,
};

/// The newest release: what people build with next.
const NEWEST: &str = "1.27.3";
const UP_WITHIN: Duration = Duration::from_secs(30);
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// One request of the load; an error is a request that was not answered as it should be.
pub(super) type Request = Box<dyn FnMut() -> Result<()>>;
/// Makes what one worker of the load does, from its number.
pub(super) type Worker = Arc<dyn Fn(usize) -> Result<Request> + Send + Sync>;

/// A server that runs; ended when dropped, and its folder removed.
pub(super) struct Server {
    pub(super) running: Running,
    pub(super) worker: Worker,
    /// Address and path of its own heap profile, where it offers one.
    pub(super) pprof: Option<(String, &'static str)>,
    _folder: Folder,
}

/// Something to start.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) from: From,
    pub(super) start: fn(&Path, Folder) -> Result<Server>,
}

/// Where a server comes from.
#[derive(Clone, Copy)]
pub(super) enum From {
    /// Debian's package, with the program it brings.
    Debian(&'static str, &'static str),
    /// A folder of `tests/programs/wild`, built with these flags.
    Ours(&'static str, &'static [&'static str]),
}

pub(super) const KINDS: [Kind; 7] = [
    Kind {
        name: "caddy",
        from: From::Debian("caddy", "caddy"),
        start: caddy,
    },
    Kind {
        name: "prometheus",
        from: From::Debian("prometheus", "prometheus"),
        start: prometheus,
    },
    Kind {
        name: "etcd",
        from: From::Debian("etcd-server", "etcd"),
        start: etcd,
    },
    Kind {
        name: "nats-server",
        from: From::Debian("nats-server", "nats-server"),
        start: nats,
    },
    Kind {
        name: "victoria-metrics",
        from: From::Debian("victoria-metrics", "victoria-metrics"),
        start: victoria,
    },
    Kind {
        name: "grpc",
        from: From::Ours("grpc", &["-buildmode=pie", "-ldflags=-s -w"]),
        start: grpc,
    },
    Kind {
        name: "redisapi",
        from: From::Ours("redisapi", &["-ldflags=-s -w"]),
        start: redisapi,
    },
];

impl Kind {
    /// The program, built where it is ours; `None` where Debian's is not installed.
    pub(super) fn program(&self, go: &Go) -> Result<Option<PathBuf>> {
        match self.from {
            From::Debian(_, program) => {
                // Servers lie in /usr/sbin, which is not in everybody's PATH.
                let sbin = Path::new("/usr/sbin").join(program);
                Ok(user::in_path(program).or_else(|| sbin.is_file().then_some(sbin)))
            }
            From::Ours(folder, flags) => {
                let out = crate::target_dir().join("wild").join(folder);
                let source = format!("wild/{folder}");
                go.build("wild", &source, Some(NEWEST), flags, &out)?;
                Ok(Some(out))
            }
        }
    }
}

/// A folder for a server's files, removed when dropped.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(name: &str) -> Result<Self> {
        let path = crate::target_dir().join(format!("wild/{name}-{}", std::process::id()));
        create_folder(&path)?;
        Ok(Self(path))
    }

    fn join(&self, name: &str) -> String {
        self.0.join(name).display().to_string()
    }

    /// A file of the server's configuration.
    fn write(&self, name: &str, text: &str) -> Result<String> {
        let path = self.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {path}"))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// An address of this machine that nobody listens at now.
fn address() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no port is free")?;
    Ok(listener.local_addr()?.to_string())
}

fn port(address: &str) -> &str {
    address.rsplit(':').next().unwrap_or_default()
}

/// Starts a server. Should this task be killed, the kernel kills the server.
fn spawn(
    name: &'static str,
    program: &Path,
    arguments: &[&str],
    variables: &[(&str, &str)],
    folder: &Folder,
) -> Result<Running> {
    let log = File::create(folder.join("log")).context("cannot make a log")?;
    let mut command = match user::in_path("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
        None => Command::new(program),
    };
    command
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(&folder.0)
        .stdin(Stdio::piped())
        .stderr(log);
    Running::start(name, user::as_user(&mut command))
}

/// Waits until somebody listens there.
fn wait_for(running: &mut Running, address: &str, folder: &Folder) -> Result<()> {
    let begin = Instant::now();
    while TcpStream::connect(address).is_err() {
        if let Some(status) = running.wait(Duration::ZERO)? {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            let last: Vec<&str> = log.lines().rev().take(5).collect();
            bail!("it ended with {status}: {}", last.join(" | "));
        }
        ensure!(begin.elapsed() < UP_WITHIN, "nobody listens at {address}");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// A worker that sends requests of HTTP, each made from a number that is never the same.
fn http(
    address: &str,
    one: impl Fn(&mut Client, usize) -> Result<()> + Send + Sync + 'static,
) -> Worker {
    /// No worker makes so many requests.
    const EACH: usize = 1 << 32;
    let (address, one) = (address.to_owned(), Arc::new(one));
    Arc::new(move |worker| {
        let (mut client, one) = (Client::new(&address), Arc::clone(&one));
        let mut n = worker * EACH;
        Ok(Box::new(move || {
            n += 1;
            one(&mut client, n)
        }))
    })
}

fn caddy(program: &Path, folder: Folder) -> Result<Server> {
    let (at, admin) = (address()?, address()?);
    fs::create_dir_all(folder.0.join("files")).context("cannot make a folder")?;
    folder.write(
        "files/index.html",
        &"<p>one of many lines</p>\n".repeat(400),
    )?;
    folder.write("files/page.html", "{{range $i, $e := (splitList \",\" \"a,b,c,d,e,f,g\")}}<li>{{$i}} {{$e}} {{now}}</li>{{end}}\n")?;
    let config = folder.write(
        "Caddyfile",
        &format!(
            "{{\n\tadmin {admin}\n\tauto_https off\n}}\nhttp://{at} {{\n\troot * {}\n\tencode gzip\n\ttemplates\n\tfile_server\n}}\n",
            folder.join("files")
        ),
    )?;
    let home = folder.join("home");
    let mut running = spawn(
        "caddy",
        program,
        &["run", "--config", &config, "--adapter", "caddyfile"],
        &[
            ("HOME", &home),
            ("XDG_DATA_HOME", &home),
            ("XDG_CONFIG_HOME", &home),
        ],
        &folder,
    )?;
    wait_for(&mut running, &at, &folder)?;
    Ok(Server {
        running,
        worker: http(&at, |client, n| {
            let page = if n % 2 == 0 { "/" } else { "/page.html" };
            let body = client.get(page)?;
            ensure!(body.len() > 100, "{page} is {} bytes", body.len());
            Ok(())
        }),
        pprof: Some((admin, "/debug/pprof/heap")),
        _folder: folder,
    })
}

fn prometheus(program: &Path, folder: Folder) -> Result<Server> {
    let at = address()?;
    let config = folder.write(
        "prometheus.yml",
        &format!(
            "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: own\n    static_configs:\n      - targets: ['{at}']\n"
        ),
    )?;
    let mut running = spawn(
        "prometheus",
        program,
        &[
            &format!("--config.file={config}"),
            &format!("--storage.tsdb.path={}", folder.join("data")),
            &format!("--web.listen-address={at}"),
        ],
        &[],
        &folder,
    )?;
    wait_for(&mut running, &at, &folder)?;
    let mut client = Client::new(&at);
    let begin = Instant::now();
    while client.get("/-/ready").is_err() {
        ensure!(begin.elapsed() < UP_WITHIN, "it does not become ready");
        thread::sleep(Duration::from_millis(100));
    }
    Ok(Server {
        running,
        worker: http(&at, |client, n| {
            let path = match n % 3 {
                0 => "/metrics",
                1 => {
                    "/api/v1/query?query=sum(rate(prometheus_http_requests_total%5B1m%5D))by(handler)"
                }
                _ => "/api/v1/labels",
            };
            client.get(path).map(drop)
        }),
        pprof: Some((at, "/debug/pprof/heap")),
        _folder: folder,
    })
}

fn etcd(program: &Path, folder: Folder) -> Result<Server> {
    let (at, peer) = (address()?, address()?);
    let (at_url, peer_url) = (format!("http://{at}"), format!("http://{peer}"));
    let mut running = spawn(
        "etcd",
        program,
        &[
            "--data-dir",
            &folder.join("data"),
            "--listen-client-urls",
            &at_url,
            "--advertise-client-urls",
            &at_url,
            "--listen-peer-urls",
            &peer_url,
            "--initial-advertise-peer-urls",
            &peer_url,
            "--initial-cluster",
            &format!("default={peer_url}"),
            "--enable-pprof",
            // A disk that is slow is not what is looked at.
            "--unsafe-no-fsync",
        ],
        &[],
        &folder,
    )?;
    wait_for(&mut running, &at, &folder)?;
    Ok(Server {
        running,
        worker: http(&at, |client, n| {
            let key = base64(format!("key-{}", n % 5000).as_bytes());
            let (path, body) = if n % 3 == 0 {
                ("/v3/kv/range", format!("{{\"key\":\"{key}\"}}"))
            } else {
                let value = base64(&[b'v'; 256]);
                (
                    "/v3/kv/put",
                    format!("{{\"key\":\"{key}\",\"value\":\"{value}\"}}"),
                )
            };
            let answer = client.request("POST", path, "application/json", body.as_bytes())?;
            ensure!(answer.starts_with(b"{\"header\""), "{path} is not answered");
            Ok(())
        }),
        pprof: Some((at, "/debug/pprof/heap")),
        _folder: folder,
    })
}

fn nats(program: &Path, folder: Folder) -> Result<Server> {
    let (at, profile) = (address()?, address()?);
    let mut running = spawn(
        "nats-server",
        program,
        &[
            "-a",
            "127.0.0.1",
            "-p",
            port(&at),
            "--profile",
            port(&profile),
        ],
        &[],
        &folder,
    )?;
    wait_for(&mut running, &at, &folder)?;
    let to = at.clone();
    let worker: Worker = Arc::new(move |worker| {
        let mut stream = BufReader::new(TcpStream::connect(&to)?);
        stream.get_ref().set_read_timeout(Some(ANSWER_WITHIN))?;
        let subject = format!("worker.{worker}");
        let hello = format!("CONNECT {{\"verbose\":false}}\r\nSUB {subject} 1\r\n");
        stream.get_mut().write_all(hello.as_bytes())?;
        let payload = "m".repeat(300);
        let mut line = String::new();
        Ok(Box::new(move || {
            const AT_ONCE: usize = 16;
            let one = format!("PUB {subject} {}\r\n{payload}\r\n", payload.len());
            stream.get_mut().write_all(one.repeat(AT_ONCE).as_bytes())?;
            let mut seen = 0;
            while seen < AT_ONCE {
                line.clear();
                ensure!(stream.read_line(&mut line)? > 0, "it closed the connection");
                match line.split_whitespace().next() {
                    Some("MSG") => {
                        line.clear();
                        stream.read_line(&mut line)?;
                        ensure!(line.trim_end() == payload, "a message is not what was sent");
                        seen += 1;
                    }
                    Some("PING") => stream.get_mut().write_all(b"PONG\r\n")?,
                    Some("-ERR") => bail!("it says {line:?}"),
                    _ => {}
                }
            }
            Ok(())
        }))
    });
    Ok(Server {
        running,
        worker,
        pprof: Some((format!("127.0.0.1:{}", port(&profile)), "/debug/pprof/heap")),
        _folder: folder,
    })
}

fn victoria(program: &Path, folder: Folder) -> Result<Server> {
    let at = address()?;
    let mut running = spawn(
        "victoria-metrics",
        program,
        &[
            &format!("-storageDataPath={}", folder.join("data")),
            &format!("-httpListenAddr={at}"),
        ],
        &[],
        &folder,
    )?;
    wait_for(&mut running, &at, &folder)?;
    Ok(Server {
        running,
        worker: http(&at, |client, n| {
            if n % 10 == 0 {
                let path = "/api/v1/query?query=sum(load_value)by(host)";
                return client.get(path).map(drop);
            }
            let mut lines = String::new();
            for i in 0..20 {
                let host = (n + i * 7) % 2000;
                writeln!(lines, "load,host=h{host} value={}", n % 97)?;
            }
            client
                .request("POST", "/write", "text/plain", lines.as_bytes())
                .map(drop)
        }),
        pprof: Some((at, "/debug/pprof/heap")),
        _folder: folder,
    })
}

/// Its load is a client in a process of its own, in turns of half a second.
fn grpc(program: &Path, folder: Folder) -> Result<Server> {
    let mut running = spawn("grpc", program, &[], &[], &folder)?;
    let words = running.ready()?;
    let at = words.get(1).context("it names its address")?.clone();
    let program = program.to_owned();
    Ok(Server {
        running,
        worker: Arc::new(move |_| {
            let (program, at) = (program.clone(), at.clone());
            Ok(Box::new(move || {
                let mut command = Command::new(&program);
                let output = user::as_user(command.args(["load", &at, "500"])).output()?;
                let said = String::from_utf8_lossy(&output.stdout);
                ensure!(
                    said.trim_end().ends_with(" errors 0") && !said.starts_with("calls 0 "),
                    "its client says {said:?}"
                );
                Ok(())
            }))
        }),
        pprof: None,
        _folder: folder,
    })
}

fn redisapi(program: &Path, folder: Folder) -> Result<Server> {
    let mut running = spawn("redisapi", program, &[], &[], &folder)?;
    let words = running.ready()?;
    let at = words.get(1).context("it names its address")?;
    Ok(Server {
        worker: http(at, |client, n| {
            // Written, and by the same worker's next request read again.
            let path = format!("/session/user-{}", n.div_ceil(2) % 3000);
            if n % 2 == 1 {
                let body = format!("data of {n} ").repeat(20);
                return client
                    .request("PUT", &path, "text/plain", body.as_bytes())
                    .map(drop);
            }
            client.get(&path).map(drop)
        }),
        running,
        pprof: None,
        _folder: folder,
    })
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits: usize, i| {
            bits << 8 | usize::from(three.get(i).copied().unwrap_or(0))
        });
        for digit in 0..4 {
            text.push(if digit <= three.len() {
                char::from(DIGITS[bits >> (18 - 6 * digit) & 63])
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_everybody_has_it() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
