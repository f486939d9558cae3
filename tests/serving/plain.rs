//! Clients in the clear: who sees whom, limits, lists, silence, the end.

use std::io::Read;

use memcached::roster::gauges::BufferValues;
use memcached::settings::{NetworkSettings, Settings, WorkerSettings};

use crate::harness::{Client, Server, eventually};

#[test]
fn clients_of_all_workers_see_each_other() {
    let mut server = Server::start(Settings {
        workers: WorkerSettings {
            threads: 3,
            ..WorkerSettings::default()
        },
        ..Settings::default()
    });
    let mut clients: Vec<Client> = (0..7).map(|_| server.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.ask(&format!("set k{n} 0 0 1\r\n{n}\r\n"), "STORED\r\n");
    }
    for client in &mut clients {
        client.ask(
            "get k0 k6\r\n",
            "VALUE k0 0 1\r\n0\r\nVALUE k6 0 1\r\n6\r\nEND\r\n",
        );
    }
    assert_eq!(server.stats.clients(), 7);
    eventually("buffers go back", || {
        BufferValues::of(server.gauges).response_objects == 0
    });
    let values = BufferValues::of(server.gauges);
    assert!(values.count <= 6, "two buffers a worker at most");
    assert_eq!(values.free, values.count);
    server.stop();
    for client in &mut clients {
        assert_eq!(client.until_closed(), "");
    }
    assert_eq!(server.stats.clients(), 0);
}

#[test]
fn the_limit_means_the_number_of_clients_it_always_meant() {
    let server = Server::start(Settings {
        network: NetworkSettings {
            conn_limit: 40,
            ..NetworkSettings::default()
        },
        workers: WorkerSettings {
            threads: 2,
            ..WorkerSettings::default()
        },
        ..Settings::default()
    });
    let mut clients: Vec<Client> = (0..22).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.ask("mn\r\n", "MN\r\n");
    }
    let mut rejected = server.connect();
    assert_eq!(
        rejected.until_closed(),
        "ERROR Too many open connections\r\n"
    );
    assert_eq!(server.stats.rejected(), 1);
    clients[0].ask("quit\r\n", "");
    assert_eq!(clients[0].until_closed(), "");
    eventually("the place is free", || server.stats.clients() == 21);
    server.connect().ask("mn\r\n", "MN\r\n");
}

#[test]
fn without_maxconns_fast_clients_wait_for_a_place() {
    let server = Server::start(Settings {
        network: NetworkSettings {
            conn_limit: 14,
            maxconns_fast: false,
            ..NetworkSettings::default()
        },
        workers: WorkerSettings {
            threads: 1,
            ..WorkerSettings::default()
        },
        ..Settings::default()
    });
    let (mut first, mut second) = (server.connect(), server.connect());
    first.ask("mn\r\n", "MN\r\n");
    second.ask("mn\r\n", "MN\r\n");
    let mut third = server.connect();
    third.send("mn\r\n");
    eventually("accepting stops", || !server.stats.accepting());
    drop(first);
    third.expect("MN\r\n");
    assert!(server.stats.accepting());
    assert_eq!(server.stats.listen_disabled(), 1);
}

#[test]
fn stats_conns_shows_listener_and_clients() {
    let server = Server::start(Settings::default());
    let mut client = server.connect();
    let peer = client.socket.local_addr().expect("an address");
    client.send("stats conns\r\n");
    let mut text = String::new();
    let mut part = [0; 4096];
    while !text.ends_with("END\r\n") {
        let n = client.socket.read(&mut part).expect("an answer");
        assert!(n > 0, "{text}");
        text += &String::from_utf8_lossy(&part[..n]);
    }
    assert!(text.contains(":state conn_listening\r\n"), "{text}");
    assert!(
        text.contains(&format!(":addr tcp:127.0.0.1:{}\r\n", server.ports[0])),
        "{text}"
    );
    assert!(text.contains(&format!(":addr tcp:{peer}\r\n")), "{text}");
    assert!(
        text.contains(&format!(
            ":listen_addr tcp:127.0.0.1:{}\r\n",
            server.ports[0]
        )),
        "{text}"
    );
    assert!(text.contains(":state conn_parse_cmd\r\n"), "{text}");
    assert_eq!(text.matches(":secs_since_last_cmd ").count(), 2, "{text}");
}

#[test]
fn silent_clients_are_closed() {
    let server = Server::start(Settings {
        workers: WorkerSettings {
            idle_timeout_secs: 1,
            ..WorkerSettings::default()
        },
        ..Settings::default()
    });
    let (mut idle, mut uploading) = (server.connect(), server.connect());
    idle.ask("mn\r\n", "MN\r\n");
    uploading.send("set k 0 0 10\r\nabc");
    server.clock.hold();
    server.clock.shift(60);
    assert_eq!(idle.until_closed(), "");
    uploading.ask("defghij\r\n", "STORED\r\n");
}
