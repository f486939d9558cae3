//! What the option tables look like to people: `-h`, `-V`, `-i`, and the answer to `stats settings`.
//!
//! Tools read these: tests look for features by words of `-h`, monitoring reads `stats settings` by name, order
//! and spelling (`NULL` here, `(null)` there). Defaults are shown from `Settings::default`, so they cannot be
//! out of date. (options-and-process.md §1.5, §7)

use std::fmt::Display;
use std::sync::atomic::Ordering;

use crate::settings::flags::{Argument, Flag, OPTIONS};
use crate::settings::suboptions::{CORE, Suboption, TLS};
use crate::settings::{HashAlgorithm, Protocol, Settings, Tunables};

/// The version of this build, as in `-V`, `version` and `stats`.
pub const VERSION: &str = env!("MEMCACHED_VERSION");

/// Column where the words of the help begin.
const WORDS_AT: usize = 32;
/// Columns of the help.
const WIDTH: usize = 100;

/// The answer to `-V`, and the first line of `-h` and `-i`.
pub(super) fn version_line() -> String {
    format!("memcached {VERSION}\n")
}

/// The answer to `-i`.
pub(super) fn license() -> String {
    version_line() + "\n" + include_str!("../../LICENSE")
}

/// The answer to `-h`: options up to `-o`, its suboptions, then the options that stand behind it in the table.
pub(super) fn help() -> String {
    let defaults = Settings::default();
    let mut text = version_line();
    for option in OPTIONS.iter().filter(|option| option.listed) {
        option_entry(&mut text, option, &defaults);
        if option.short == 'o' {
            suboption_block(&mut text, CORE, &defaults);
            if !TLS.is_empty() {
                text.push('\n');
                suboption_block(&mut text, TLS, &defaults);
            }
        }
    }
    text
}

fn option_entry(text: &mut String, option: &Flag, defaults: &Settings) {
    let token = match (option.long, option.argument) {
        (Some(long), Argument::Needed(value)) => format!("-{}, --{long}={value}", option.short),
        (None, Argument::Needed(value)) => format!("-{} {value}", option.short),
        (Some(long), _) => format!("-{}, --{long}", option.short),
        (None, _) => format!("-{}", option.short),
    };
    entry(text, &token, option.words, option.default, defaults);
    for (form, words) in option.forms {
        entry(text, form, words, None, defaults);
    }
}

fn suboption_block(text: &mut String, rows: &[Suboption], defaults: &Settings) {
    for row in rows {
        if let Some(words) = row.words {
            let token = format!("   - {}:", row.name);
            entry(text, &token, words, row.default, defaults);
        }
    }
}

/// One entry: the token, then its words and the default in their column. The default is never broken.
fn entry(
    text: &mut String,
    token: &str,
    words: &str,
    default: Option<fn(&Settings) -> String>,
    defaults: &Settings,
) {
    let default = default.map(|shown| format!("(default: {})", shown(defaults)));
    let mut line = format!("{token:<WORDS_AT$}");
    for word in words.split(' ').chain(default.as_deref()) {
        if line.len() + word.len() > WIDTH {
            push_line(text, &line);
            line = " ".repeat(WORDS_AT);
        }
        line.push_str(word);
        line.push(' ');
    }
    push_line(text, &line);
}

fn push_line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

/// What `stats settings` shows and settings cannot know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Live {
    /// The flush mark, in engine time.
    pub oldest: u32,
    /// Whether the LRU crawler's thread runs.
    pub crawler_running: bool,
    /// Whether the LRU maintainer's thread runs.
    pub maintainer_running: bool,
}

/// Gives each line of `stats settings` to `line` as name and value, in the order that clients know.
pub fn settings_lines(
    settings: &Settings,
    tunables: &Tunables,
    live: Live,
    line: &mut dyn FnMut(&str, &str),
) {
    let mut put = |name: &str, value: &dyn Display| line(name, &value.to_string());
    let s = settings;
    let null = "NULL";
    put("maxbytes", &tunables.memory_limit.load(Ordering::Relaxed));
    put("maxconns", &s.network.conn_limit);
    put("tcpport", &s.network.port);
    put("udpport", &s.network.udp_port);
    put("inter", &s.network.listen.as_deref().unwrap_or(null));
    put("verbosity", &tunables.verbosity());
    put("oldest", &live.oldest);
    put("evictions", &if s.storage.evict { "on" } else { "off" });
    put(
        "domain_socket",
        &s.network.socket_path.as_deref().unwrap_or(null),
    );
    put("umask", &format_args!("{:o}", s.network.socket_mode));
    put("shutdown_command", &yes_no(s.commands.shutdown_command));
    put(
        "growth_factor",
        &format_args!("{:.2}", s.storage.growth_factor),
    );
    put("chunk_size", &s.storage.chunk_size);
    put("num_threads", &s.workers.threads);
    put("num_threads_per_udp", &s.workers.threads_per_udp);
    put("stat_key_prefix", &char::from(s.commands.prefix_delimiter));
    let detail_enabled = tunables.detail_enabled.load(Ordering::Relaxed);
    put("detail_enabled", &yes_no(detail_enabled));
    put("reqs_per_event", &s.workers.reqs_per_event);
    put("cas_enabled", &yes_no(s.storage.cas));
    put("tcp_backlog", &s.network.backlog);
    put("binding_protocol", &s.network.protocol.setting_name());
    put("auth_enabled_sasl", &yes_no(s.auth.sasl));
    put(
        "auth_enabled_ascii",
        &s.auth.file.as_deref().unwrap_or("no"),
    );
    put("item_size_max", &s.storage.item_size_max);
    put("maxconns_fast", &yes_no(s.network.maxconns_fast));
    put("hashpower_init", &s.storage.hash_power);
    put("slab_reassign", &yes_no(s.storage.slab_reassign));
    put(
        "slab_automove",
        &tunables.slab_automove.load(Ordering::Relaxed),
    );
    let ratio = tunables.slab_automove_ratio();
    put("slab_automove_ratio", &format_args!("{ratio:.2}"));
    let window = tunables.slab_automove_window.load(Ordering::Relaxed);
    put("slab_automove_window", &window);
    put("slab_chunk_max", &s.storage.slab_chunk_max);
    put("lru_crawler", &yes_no(live.crawler_running));
    let crawler_sleep = tunables.crawler_sleep_usecs.load(Ordering::Relaxed);
    put("lru_crawler_sleep", &crawler_sleep);
    let crawler_tocrawl = tunables.crawler_tocrawl.load(Ordering::Relaxed);
    put("lru_crawler_tocrawl", &crawler_tocrawl);
    put("tail_repair_time", &s.storage.tail_repair_secs);
    put("flush_enabled", &yes_no(s.commands.flush_enabled));
    put("dump_enabled", &yes_no(s.commands.dump_enabled));
    put("hash_algorithm", &s.storage.hash_algorithm.setting_name());
    put("lru_maintainer_thread", &yes_no(live.maintainer_running));
    let segmented = tunables.lru_segmented.load(Ordering::Relaxed);
    put("lru_segmented", &yes_no(segmented));
    put("hot_lru_pct", &tunables.hot_lru_pct.load(Ordering::Relaxed));
    put(
        "warm_lru_pct",
        &tunables.warm_lru_pct.load(Ordering::Relaxed),
    );
    put(
        "hot_max_factor",
        &format_args!("{:.2}", tunables.hot_max_factor()),
    );
    put(
        "warm_max_factor",
        &format_args!("{:.2}", tunables.warm_max_factor()),
    );
    put(
        "temp_lru",
        &yes_no(tunables.temp_lru.load(Ordering::Relaxed)),
    );
    put(
        "temporary_ttl",
        &tunables.temporary_ttl.load(Ordering::Relaxed),
    );
    put("idle_timeout", &s.workers.idle_timeout_secs);
    put("watcher_logbuf_size", &s.logger.watcher_logbuf_size);
    put("worker_logbuf_size", &s.logger.worker_logbuf_size);
    put("read_buf_mem_limit", &s.workers.read_buf_mem_limit);
    put("track_sizes", &yes_no(s.storage.track_sizes));
    put("inline_ascii_response", &"no");
    if cfg!(feature = "tls") {
        tls_lines(s, &mut put);
    }
    put("num_napi_ids", &s.network.napi_ids);
    put(
        "memory_file",
        &s.storage.memory_file.as_deref().unwrap_or("(null)"),
    );
    let flags_size = if cfg!(feature = "large-client-flags") {
        8
    } else {
        4
    };
    put("client_flags_size", &flags_size);
}

/// The lines of a build with TLS, switched on or not.
fn tls_lines(settings: &Settings, put: &mut dyn FnMut(&str, &dyn Display)) {
    let tls = &settings.tls;
    let path = |given: &Option<String>| given.clone().unwrap_or_else(|| "(null)".to_string());
    let text = |given: &Option<String>| given.clone().unwrap_or_else(|| "NULL".to_string());
    // OpenSSL's bits: 1 ask, 2 demand, 4 only once.
    let verify_bits = match tls.verify_mode {
        0 => 0,
        1 => 1,
        2 => 3,
        _ => 7,
    };
    put("ssl_enabled", &yes_no(tls.enabled));
    put("ssl_chain_cert", &path(&tls.chain_cert));
    put("ssl_key", &path(&tls.key));
    put("ssl_verify_mode", &verify_bits);
    put("ssl_keyformat", &tls.key_format);
    put("ssl_ciphers", &text(&tls.ciphers));
    put("ssl_ca_cert", &text(&tls.ca_cert));
    put("ssl_wbuf_size", &tls.wbuf_size);
    put("ssl_session_cache", &yes_no(tls.session_cache));
    put("ssl_kernel_tls", &yes_no(tls.kernel_tls));
    put(
        "ssl_min_version",
        &format_args!("tlsv1.{}", tls.min_version),
    );
    // Lines that clients do not know of yet are for those who gave the option.
    let mut given = |name: &str, value: Option<&dyn Display>| {
        if let Some(value) = value {
            put(name, value);
        }
    };
    given("ssl_handshake_timeout", shown(&tls.handshake_timeout_secs));
    given("ssl_refresh_interval", shown(&tls.refresh_interval_secs));
    given("ssl_client_allow", shown(&tls.client_allow));
    given("ssl_client_allow_file", shown(&tls.client_allow_file));
    given("ssl_ciphersuites", shown(&tls.ciphersuites));
    given("ssl_crl", shown(&tls.crl));
    given("ssl_ticket_key_file", shown(&tls.ticket_key_file));
    given("ssl_ticket_rotation", shown(&tls.ticket_rotation_secs));
    given("ssl_session_tickets", shown(&tls.session_tickets));
    given("ssl_keylog_file", shown(&tls.keylog_file));
}

fn shown<T: Display>(value: &Option<T>) -> Option<&dyn Display> {
    value.as_ref().map(|value| value as &dyn Display)
}

fn yes_no(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}

impl Protocol {
    /// As `stats settings` and `-vv` spell it.
    #[must_use]
    pub fn setting_name(self) -> &'static str {
        match self {
            Protocol::Negotiate => "auto-negotiate",
            Protocol::Ascii => "ascii",
            Protocol::Binary => "binary",
        }
    }
}

impl HashAlgorithm {
    /// Every algorithm.
    pub const ALL: [HashAlgorithm; 3] = [
        HashAlgorithm::Jenkins,
        HashAlgorithm::Murmur3,
        HashAlgorithm::Xxh3,
    ];

    /// As the option and `stats settings` spell it.
    #[must_use]
    pub fn setting_name(self) -> &'static str {
        match self {
            HashAlgorithm::Murmur3 => "murmur3",
            HashAlgorithm::Jenkins => "jenkins",
            HashAlgorithm::Xxh3 => "xxh3",
        }
    }

    /// The algorithm of that name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<HashAlgorithm> {
        HashAlgorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.setting_name() == name)
    }
}
