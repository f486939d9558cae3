//! What this room shows of TLS: the lists of `stats ssl` and `stats ssl conns`.
//!
//! Certificates and refreshes are the `tls` room's, counts are those of `tls_counts`, conns are looked at through
//! their cards: an SSL object belongs to its worker alone, so what it had to tell was copied when its handshake
//! ended. Runs on the worker that was asked. (tls.md §16 B8)

#![forbid(unsafe_code)]

use std::os::fd::RawFd;
use std::time::Instant;

use crate::clock::Clock;
use crate::roster::cards::{Cards, TlsLook, TlsPhase};
use crate::roster::tls_counts::HandshakeStats;
use crate::stats::Section;
use crate::tls::{CertificateFacts, Current, RefreshLog, Version};

/// `stats ssl`.
#[derive(Debug)]
pub struct SslSection {
    /// Certificates in use, refreshes, and what went wrong.
    pub current: &'static Current,
    /// How handshakes went.
    pub handshakes: &'static HandshakeStats,
    /// Threads that make handshakes; 0 where workers do.
    pub threads: u32,
    /// What dates are held against.
    pub clock: &'static Clock,
}

impl Section for SslSection {
    fn lines(&self, line: &mut dyn FnMut(&str, &str)) {
        self.certificates(self.current.get().certificate(), line);
        self.refreshes(&self.current.log(), line);
        self.counts(line);
    }
}

impl SslSection {
    fn certificates(&self, facts: &CertificateFacts, line: &mut dyn FnMut(&str, &str)) {
        let left = facts.not_after - self.clock.unix(self.clock.now());
        line("ssl_cert_not_before", &facts.not_before.to_string());
        line("ssl_cert_not_after", &facts.not_after.to_string());
        line("ssl_cert_seconds_left", &left.to_string());
        line("ssl_cert_serial", &facts.serial);
        line("ssl_cert_sha256", &facts.sha256);
        line("ssl_chain_not_after", &facts.chain_not_after.to_string());
        if let Some(end) = facts.ca_not_after {
            line("ssl_ca_not_after", &end.to_string());
        }
    }

    fn refreshes(&self, log: &RefreshLog, line: &mut dyn FnMut(&str, &str)) {
        let loaded_at = self.clock.unix(log.loaded_at);
        line("ssl_last_refresh", &loaded_at.to_string());
        line("ssl_refreshes", &log.refreshes.to_string());
        line("ssl_refresh_failures", &log.failures.to_string());
        if let Some(error) = &log.last_error {
            line("ssl_refresh_last_error", error);
        }
    }

    fn counts(&self, line: &mut dyn FnMut(&str, &str)) {
        let values = self.handshakes.values();
        let faults = self.current.counters();
        for (name, count) in [
            ("ssl_handshakes_started", values.started),
            ("ssl_handshakes_pending", self.handshakes.pending()),
            ("ssl_handshakes_done", values.done),
            ("ssl_handshakes_resumed", values.resumed),
            ("ssl_handshake_threads", self.threads.into()),
            ("ssl_handshakes_waiting", self.handshakes.waiting()),
            ("ssl_handshakes_gone", values.gone),
            ("ssl_handshakes_shed", values.shed),
            ("ssl_handshake_errors", faults.handshake_errors()),
            ("ssl_handshake_timeouts", faults.handshake_timeouts()),
            ("ssl_authz_denied", faults.authz_denied()),
            ("ssl_proto_errors", faults.proto_errors()),
            ("ssl_record_floods", faults.record_floods()),
        ] {
            line(name, &count.to_string());
        }
        for (power, count) in values
            .times
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
        {
            line(
                &format!("ssl_handshake_us_{}", 1_u64 << power),
                &count.to_string(),
            );
        }
        for (version, count) in Version::ALL.iter().zip(values.versions) {
            let name = format!("ssl_version_{}", version.name());
            line(&name, &count.to_string());
        }
        for (cipher, count) in values.ciphers.iter().filter(|(_, count)| **count > 0) {
            line(&format!("ssl_cipher_{cipher}"), &count.to_string());
        }
    }
}

/// `stats ssl conns`.
#[derive(Debug)]
pub struct SslConnsSection {
    /// Every conn's card.
    pub cards: &'static Cards,
}

impl Section for SslConnsSection {
    fn lines(&self, line: &mut dyn FnMut(&str, &str)) {
        let now = Instant::now();
        for (fd, look) in self.cards.tls_looks() {
            conn_lines(fd, &look, now, line);
        }
    }
}

fn conn_lines(fd: RawFd, look: &TlsLook, now: Instant, line: &mut dyn FnMut(&str, &str)) {
    let mut show = |name: &str, value: &str| line(&format!("{fd}:{name}"), value);
    let class = look.class.name();
    match &look.phase {
        TlsPhase::Handshake(accepted) => {
            let under_way = now.saturating_duration_since(*accepted).as_secs();
            show("handshake", &under_way.to_string());
            show("class", class);
        }
        TlsPhase::Established {
            version,
            cipher,
            resumed,
            peer_cn,
        } => {
            show("version", version.name());
            show("cipher", cipher);
            show("resumed", if *resumed { "yes" } else { "no" });
            show("class", class);
            if let Some(name) = peer_cn {
                show("peer_cn", name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::tls::Class;

    fn lines_of(look: &TlsLook, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        conn_lines(7, look, now, &mut |name, value| {
            lines.push(format!("{name} {value}"));
        });
        lines
    }

    #[test]
    fn a_conn_tells_its_handshake_and_then_what_came_of_it() {
        let accepted = Instant::now();
        let mut look = TlsLook {
            class: Class::Basic,
            phase: TlsPhase::Handshake(accepted),
        };
        let now = accepted + Duration::from_millis(2_900);
        assert_eq!(lines_of(&look, now), ["7:handshake 2", "7:class basic"]);
        look.phase = TlsPhase::Established {
            version: Version::Tls13,
            cipher: "TLS_AES_256_GCM_SHA384",
            resumed: false,
            peer_cn: Some("web 7".into()),
        };
        let expected = [
            "7:version tlsv1.3",
            "7:cipher TLS_AES_256_GCM_SHA384",
            "7:resumed no",
            "7:class basic",
            "7:peer_cn web 7",
        ];
        assert_eq!(lines_of(&look, now), expected);
    }
}
