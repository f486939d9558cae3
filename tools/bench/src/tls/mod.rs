//! `bench tls`: what TLS costs, as the page doc/tls-performance.md.
//!
//! The parts: [`price`] of a request, plain against both versions; [`handshakes`] a second with one,
//! two and four workers; against the other server, a [`storm`] of new clients and the [`stall`] of
//! established ones, which are commands of their own, too; and, shared with the other commands,
//! handshakes against the other server, memory of idle connections, reads per request. The page is
//! made whole: its words stand here, its figures come from the run. `bench plot` draws the single
//! figures of the parts that stand here.

pub mod handshakes;
pub mod price;
pub mod stall;
pub mod storm;

use crate::compare;
use crate::counts;
use crate::fail::Outcome;
use crate::findings::Findings;
use crate::footprint;
use crate::lab::{Lab, Mode};
use crate::report;

/// The title and what the reader must know before the figures.
pub fn heading(lab: &Lab) -> Outcome<String> {
    let setting = report::setting(lab)?;
    Ok(format!(
        "# The price of TLS\n\n\
         What encryption costs on this server, measured. `make tls_performance` makes this page and \
         its plot afresh, by `bench tls` and `bench plot` (tools/bench); nothing here is written by \
         hand. Absolute times belong to one machine and one day; ratios and counts carry over. CPU \
         is what the kernel charges all threads of the server, connections and requests are counted \
         by the server, and every reply is checked.\n\n\
         {setting}\n\
         ![CPU per request beside plain, handshakes a second, clients that get in amid a storm, and waits beside \
         handshakes](tls-performance.svg)\n"
    ))
}

/// The title of `bench storm` and `bench stall` when they run by themselves.
pub fn heading_under_load(lab: &Lab) -> Outcome<String> {
    let setting = report::setting(lab)?;
    Ok(format!(
        "# TLS under load\n\n\
         Made by `bench` (tools/bench). The servers take turns, in an order that changes from round to round; \
         medians over the rounds. Absolute times belong to this machine and this day.\n\n{setting}"
    ))
}

/// What to make of the figures.
pub fn ending() -> String {
    "\n## Reading the figures\n\n\
     * A small request over TLS pays for two records, one each way: some 7,000 instructions inside \
       OpenSSL before the first byte is encrypted. Pipelines and multigets share a record among \
       many requests, so that the price of each falls. A large value pays for encryption by the \
       byte and for the copy into records.\n\
     * TLS 1.2 and 1.3 differ little once a connection stands. What differs is the handshake: \
       resuming TLS 1.3 makes a new key exchange, resuming TLS 1.2 does not, so the former is dearer \
       and keeps forward secrecy.\n\
     * Certificates with P-256 keys make full handshakes cheaper than RSA-2048: signing is \
       most of the work of the server.\n\
     * Clients that keep their connections pay for the handshake once. Where they cannot, let them \
       resume: the default configuration issues tickets.\n\
     * The listener only accepts and hands over; threads of their own, as many as workers unless \
       `ssl_handshake_threads` says otherwise, make the handshakes, so that their rate grows with \
       `-t` up to the number of CPUs. The client here uses the same CPUs and needs a good part of \
       them for its own side of the handshakes: a server on a machine of its own does more.\n\
     * Who is served first decides what a storm leaves of the peak. Whoever serves the oldest signs \
       for clients that have given up; these threads serve the newest. A signature on a worker makes \
       all of its clients wait, on a thread of its own it leaves the kernel the choice.\n"
        .to_owned()
}

/// Handshakes of the two servers, in pairs.
pub fn against(lab: &Lab) -> Outcome<Findings> {
    compare::handshakes(&lab.in_modes(&[Mode::Tls12, Mode::Tls]))
}

/// Memory of idle connections of the two servers.
pub fn idle(lab: &Lab) -> Outcome<Findings> {
    footprint::idle(&lab.in_modes(&[Mode::Plain, Mode::Tls12, Mode::Tls]))
}

/// Reads per request of the two servers.
pub fn reads(lab: &Lab) -> Outcome<Findings> {
    counts::reads(&lab.in_modes(&[Mode::Tls12, Mode::Tls]))
}
