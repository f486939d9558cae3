//! The thread as those who scrape see it, over unix sockets and loopback. With musl libevent serves no unix sockets, and
//! tests that want one are ignored.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::*;
use crate::clock::Clock;
use crate::os::words;
use crate::roster::cards::Cards;
use crate::roster::counts::ConnStats;
use crate::roster::doors::Doors;
use crate::roster::tls_counts::HandshakeStats;
use crate::settings::{MetricsSettings, Tunables};
use crate::stats::nothing::Nothing;
use crate::storage::{self, Engine};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

fn books() -> Books {
    Books {
        cards: Cards::leak(64),
        counts: leak(ConnStats::new()),
        doors: leak(Doors::default()),
        handshakes: HandshakeStats::leak(1),
        latencies: None,
    }
}

fn registry(settings: &'static Settings, crew: &'static Crew) -> &'static Registry {
    let tunables = leak(Tunables::new(settings));
    let clock = leak(Clock::new());
    let services = storage::Services {
        engine: Engine::new(settings, tunables, clock).expect("an engine"),
        settings,
        tunables,
        crew,
    };
    leak(Registry::new(
        services,
        Box::new(Nothing),
        Box::new(Nothing),
    ))
}

fn start(place: MetricsPlace) -> (Result<Option<Metrics>, NoMetrics>, &'static Crew) {
    let settings = leak(Settings {
        metrics: MetricsSettings {
            place: Some(place),
            tls: false,
        },
        ..Settings::default()
    });
    let crew = leak(Crew::default());
    let started = Metrics::start(settings, crew, registry(settings, crew), books(), None);
    (started, crew)
}

/// Metrics at a path of their own.
struct Lab {
    metrics: Metrics,
    crew: &'static Crew,
    path: PathBuf,
}

impl Lab {
    fn new(name: &str) -> Lab {
        let name = format!("mc-metrics-{name}-{}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let (started, crew) = start(MetricsPlace::Unix(path.to_string_lossy().into_owned()));
        Lab {
            metrics: started.expect("a thread").expect("it was asked for"),
            crew,
            path,
        }
    }

    fn connect(&self) -> UnixStream {
        let client = UnixStream::connect(&self.path).expect("it listens");
        client.set_read_timeout(Some(PATIENCE)).expect("set");
        client
    }

    /// What is answered to one request, until the end of the conn.
    fn ask(&self, request: &str) -> String {
        let mut client = self.connect();
        client.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer");
        answer
    }

    fn stop(self) {
        self.metrics.stop();
        assert_eq!(self.crew.running(), 0);
        assert!(!self.path.exists(), "the socket's file is gone");
    }
}

/// One answer of a conn that stays: its head and its body.
fn answer(client: &mut UnixStream) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("text");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .expect("a length");
    let mut body = vec![0; length.parse().expect("a number")];
    client.read_exact(&mut body).expect("a body");
    (head, String::from_utf8(body).expect("text"))
}

#[test]
#[cfg_attr(target_env = "musl", ignore)]
fn a_scrape_gets_the_form_that_it_asks_for() {
    let lab = Lab::new("forms");
    let plain = lab.ask("GET /metrics HTTP/1.0\r\n\r\n");
    assert!(plain.starts_with("HTTP/1.0 200 OK\r\n"), "{plain}");
    assert!(plain.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert!(plain.contains("# TYPE memcached_read_bytes_total counter\n"));
    assert!(plain.contains("\nmemcached_up 1\n") && !plain.contains("# EOF"));
    let open = lab.ask(
        "GET /metrics?x=1 HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text\r\n\
         Connection: close\r\n\r\n",
    );
    assert!(open.starts_with("HTTP/1.1 200 OK\r\n"), "{open}");
    assert!(open.contains("application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"));
    assert!(open.contains("# TYPE memcached_read_bytes counter\n") && open.ends_with("\n# EOF\n"));
    lab.stop();
}

#[test]
#[cfg_attr(target_env = "musl", ignore)]
fn only_metrics_are_served_and_only_to_those_who_look() {
    let lab = Lab::new("paths");
    let ask = |method: &str, path: &str| {
        lab.ask(&format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        ))
    };
    let status = |answer: &str| answer.split(' ').nth(1).unwrap_or_default().to_owned();
    let root = ask("GET", "/");
    assert_eq!(status(&root), "200");
    assert!(
        root.ends_with("\r\n\r\nmemcached: see /metrics\n"),
        "{root}"
    );
    for (method, path, expected) in [
        ("GET", "/metrics/", "404"),
        ("GET", "/metricsx", "404"),
        ("HEAD", "/x", "404"),
        ("POST", "/metrics", "405"),
        ("DELETE", "/metrics", "405"),
        ("OPTIONS", "/", "405"),
        ("BREW", "/metrics", "501"),
    ] {
        assert_eq!(status(&ask(method, path)), expected, "{method} {path}");
    }
    assert!(ask("PUT", "/").contains("\r\nAllow: GET, HEAD\r\n"));
    let head = ask("HEAD", "/metrics");
    let head = head.strip_suffix("\r\n\r\n").expect("no body");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "));
    let length: usize = length.expect("a length").parse().expect("a number");
    assert!(length > 5_000, "{head}");
    lab.stop();
}

#[test]
#[cfg_attr(target_env = "musl", ignore)]
fn a_conn_is_kept_for_the_next_scrape() {
    let lab = Lab::new("kept");
    let mut client = lab.connect();
    for _ in 0..3 {
        client
            .write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("sent");
        let (head, body) = answer(&mut client);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(body.contains("memcached_threads 4\n"));
    }
    // A stop closes it.
    lab.stop();
    assert_eq!(client.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
#[cfg_attr(target_env = "musl", ignore)]
fn what_is_too_large_is_refused() {
    let lab = Lab::new("large");
    for request in [
        format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(20_000)),
        format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(20_000)),
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n".to_owned(),
        "rubbish\r\n\r\n".to_owned(),
    ] {
        let mut client = lab.connect();
        // It may have been refused before all was sent.
        let _ = client.write_all(request.as_bytes());
        let _ = client.shutdown(Shutdown::Write);
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let is_refused =
            answer.is_empty() || answer.contains(" 4") && answer.starts_with("HTTP/1.");
        assert!(is_refused, "{answer}");
    }
    lab.stop();
}

#[test]
#[cfg_attr(target_env = "musl", ignore)]
fn a_client_that_asks_and_does_not_read_is_not_listened_to() {
    let lab = Lab::new("greedy");
    let mut greedy = lab.connect();
    greedy
        .set_write_timeout(Some(Duration::from_millis(300)))
        .expect("set");
    let line = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1_000);
    let mut sent = 0;
    while let Ok(count) = greedy.write(line.as_bytes()) {
        sent += count;
        assert!(sent < 16 << 20, "it reads without end");
    }
    assert!(lab.ask("GET / HTTP/1.0\r\n\r\n").contains("see /metrics"));
    lab.stop();
}

#[test]
#[cfg_attr(target_env = "musl", ignore)]
fn strangers_who_say_nothing_keep_nobody_out() {
    let lab = Lab::new("crowd");
    let mut crowd: Vec<UnixStream> = (0..5 * METRICS_GUESTS_MAX).map(|_| lab.connect()).collect();
    assert!(lab.ask("GET / HTTP/1.0\r\n\r\n").contains("see /metrics"));
    let deadline = Instant::now() + PATIENCE;
    let mut gone = 0;
    for client in &mut crowd {
        client.set_nonblocking(true).expect("set");
    }
    while gone < 4 * METRICS_GUESTS_MAX {
        assert!(Instant::now() < deadline, "{gone} were sent away");
        gone = crowd
            .iter_mut()
            .filter_map(|client| client.read(&mut [0]).ok())
            .count();
        std::thread::yield_now();
    }
    lab.stop();
}

#[test]
fn what_cannot_be_had_is_told_with_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound");
    let refusal = |place: MetricsPlace| {
        let (started, _) = start(place);
        started
            .map(|_| ())
            .expect_err("it cannot be had")
            .to_string()
    };
    let told = refusal(MetricsPlace::Inet(address));
    let expected = format!(
        "{}: use another port, or stop who has this one",
        words(libc::EADDRINUSE)
    );
    assert_eq!(told, format!("metrics={address}: {expected}"));
    if !http::serves_unix_clients() {
        let told = refusal(MetricsPlace::Unix("/tmp".to_owned()));
        assert_eq!(told, format!("metrics=unix:/tmp: {NO_UNIX_CLIENTS}"));
        return;
    }
    let long = format!("/tmp/{}", "x".repeat(200));
    let told = refusal(MetricsPlace::Unix(long.clone()));
    let expected = format!(
        "{}: use a path of at most {UNIX_PATH_MAX} bytes",
        words(libc::ENAMETOOLONG)
    );
    assert_eq!(told, format!("metrics=unix:{long}: {expected}"));
    let told = refusal(MetricsPlace::Unix("/nonexistent/x".to_owned()));
    let expected = "No such file or directory: use a path where a file can be made";
    assert_eq!(told, format!("metrics=unix:/nonexistent/x: {expected}"));
    let told = refusal(MetricsPlace::Unix("/tmp".to_owned()));
    assert!(told.ends_with("what lies there is no socket: use another path, or remove it"));
}

#[test]
fn rows_of_a_metric_stand_together_and_agree() {
    let rows = || office::LISTS.iter().flat_map(|(_, rows)| *rows);
    let rows = || rows().filter(|row| row.kind != table::Kind::Elsewhere);
    let mut met: Vec<&str> = Vec::new();
    for row in rows() {
        let first = rows()
            .find(|other| other.metric == row.metric)
            .expect("itself");
        assert_eq!(
            (row.kind, row.help),
            (first.kind, first.help),
            "{}",
            row.metric
        );
        if met.last() != Some(&row.metric) {
            assert!(
                !met.contains(&row.metric),
                "{} is in two places",
                row.metric
            );
            met.push(row.metric);
        }
    }
    assert!(met.len() > 130, "{}", met.len());
}

#[test]
fn names_and_words_are_such_as_both_forms_take() {
    for row in office::LISTS.iter().flat_map(|(_, rows)| *rows) {
        if row.kind == table::Kind::Elsewhere {
            continue;
        }
        let is_plain = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        assert!(
            is_plain(row.metric) && row.metric.starts_with("memcached_"),
            "{}",
            row.metric
        );
        for suffix in ["_total", "_bucket", "_sum", "_count", "_created", "_info"] {
            assert!(
                !row.metric.ends_with(suffix),
                "{} ends in {suffix}",
                row.metric
            );
        }
        assert!(
            row.labels
                .iter()
                .all(|(name, value)| is_plain(name) && is_plain(value))
        );
        assert!(
            row.help.ends_with('.') && !row.help.contains(['\\', '"', '\n']),
            "{}",
            row.help
        );
        let has_place = row.stat.matches('*').count();
        let wants_place = matches!(row.reading, table::Reading::Tail(_) | table::Reading::Times);
        assert_eq!(has_place, usize::from(wants_place), "{}", row.stat);
    }
}
