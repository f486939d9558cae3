//! Whole command lines: what they become, and the words and statuses of those that are refused.

use std::collections::HashSet;
use std::ffi::OsString;

use super::command_line::read_as;
use super::getopt::Operands;
use super::row::{Row, Word};
use super::usage::{Live, settings_lines};
use super::*;

fn line(words: &[&str]) -> Reading {
    let program = OsString::from("./memcached-debug");
    let words = words.iter().map(OsString::from);
    read_as(std::iter::once(program).chain(words), Operands::Skip)
}

#[track_caller]
fn run(words: &[&str]) -> Settings {
    match line(words).result {
        Ok(settings) => settings,
        Err(stop) => panic!("{words:?}: {stop:?}"),
    }
}

#[track_caller]
fn refused(words: &[&str], status: ExitStatus, message: &str) {
    match line(words).result {
        Err(Stop::Refuse(refusal)) => {
            assert_eq!(refusal.message, message, "{words:?}");
            assert_eq!(refusal.status, status, "{words:?}");
        }
        other => panic!("{words:?}: {other:?}"),
    }
}

/// Refused with status 1 for `-o list`.
#[track_caller]
fn suboption_refused(list: &str, message: &str) {
    refused(&["-o", list], ExitStatus::Failure, message);
}

#[track_caller]
fn printed(words: &[&str]) -> String {
    match line(words).result {
        Err(Stop::Print(text)) => text,
        other => panic!("{words:?}: {other:?}"),
    }
}

fn shown(settings: &Settings) -> Vec<(String, String)> {
    let tunables = Tunables::new(settings);
    let live = Live {
        oldest: 0,
        crawler_running: settings.storage.lru_crawler,
        maintainer_running: settings.storage.lru_maintainer,
    };
    let mut lines = Vec::new();
    settings_lines(settings, &tunables, live, &mut |name, value| {
        lines.push((name.to_string(), value.to_string()));
    });
    lines
}

#[track_caller]
fn shown_as(settings: &Settings, name: &str) -> String {
    let mut lines = shown(settings).into_iter();
    let found = lines.find(|(shown, _)| shown == name);
    found.unwrap_or_else(|| panic!("no {name}")).1
}

const FAILURE: ExitStatus = ExitStatus::Failure;
const USAGE: ExitStatus = ExitStatus::Usage;

#[test]
fn an_empty_line_is_the_defaults() {
    assert_eq!(run(&[]), Settings::default());
    assert_eq!(run(&["operand", "--", "-Q"]), Settings::default());
    assert_eq!(run(&["-U", "0", "-o", ""]), Settings::default());
}

#[test]
fn options_act_from_left_to_right() {
    assert!(printed(&["-h", "-Q"]).starts_with("memcached "));
    assert!(printed(&["-h", "-c", "0"]).contains("--port"));
    assert!(printed(&["-vVc0"]).starts_with("memcached "));
    let refusal = "Maximum connections must be greater than 0";
    refused(&["-c", "0", "-h"], FAILURE, refusal);
    refused(&["-c", "0", "-Q"], FAILURE, refusal);
}

#[test]
fn mistakes_print_the_program_and_the_letter() {
    refused(
        &["-Q"],
        FAILURE,
        "./memcached-debug: invalid option -- 'Q'\nIllegal argument \"?\"",
    );
    refused(
        &["--p=1"],
        FAILURE,
        "./memcached-debug: option '--p=1' is ambiguous; possibilities: '--port' '--pidfile' '--protocol'\n\
         Illegal argument \"?\"",
    );
}

#[test]
fn posix_mode_stops_at_an_operand() {
    let words = ["memcached", "foo", "-V"].map(OsString::from);
    assert!(read_as(words, Operands::End).result.is_ok());
}

#[cfg(unix)]
#[test]
fn words_that_are_no_text_are_refused() {
    use std::os::unix::ffi::OsStringExt;
    let words = [
        "memcached".into(),
        "-P".into(),
        OsString::from_vec(vec![b'a', 0xff]),
    ];
    assert!(matches!(
        read_as(words, Operands::Skip).result,
        Err(Stop::Refuse(_))
    ));
}

#[test]
fn short_options_fill_their_settings() {
    let settings = run(&[
        "-p=11311",
        "-m",
        "64m",
        "-vvv",
        "--verbose=3",
        "-t",
        " 2",
        "-D",
        "_x",
        "-c",
        "77",
        "-R5",
        "-b",
        "-3",
        "-B",
        "binary",
        "-f",
        "1.5x",
        "-n",
        "80",
        "-P",
        "/tmp/pid",
        "-u",
        "nobody",
        "-l",
        "127.0.0.12",
    ]);
    let expected = Settings {
        process: ProcessSettings {
            verbosity: 4,
            pid_file: Some("/tmp/pid".to_string()),
            user: Some("nobody".to_string()),
            ..ProcessSettings::default()
        },
        network: NetworkSettings {
            port: 0,
            conn_limit: 77,
            backlog: -3,
            protocol: Protocol::Binary,
            listen: Some("127.0.0.12".to_string()),
            ..NetworkSettings::default()
        },
        workers: WorkerSettings {
            threads: 2,
            threads_per_udp: 2,
            reqs_per_event: 5,
            ..WorkerSettings::default()
        },
        commands: CommandSettings {
            prefix_delimiter: b'_',
            detail_enabled: true,
            ..CommandSettings::default()
        },
        storage: StorageSettings {
            growth_factor: 1.5,
            chunk_size: 80,
            ..StorageSettings::default()
        },
        ..Settings::default()
    };
    assert_eq!(settings, expected);
    let settings = run(&["-AdrMkCFXW", "-p", "-1"]);
    let expected = Settings {
        process: ProcessSettings {
            daemonize: true,
            core_dumps: true,
            lock_memory: true,
            ..ProcessSettings::default()
        },
        network: NetworkSettings {
            port: -1,
            ..NetworkSettings::default()
        },
        commands: CommandSettings {
            shutdown_command: true,
            flush_enabled: false,
            dump_enabled: false,
            watch_enabled: false,
            ..CommandSettings::default()
        },
        storage: StorageSettings {
            evict: false,
            cas: false,
            ..StorageSettings::default()
        },
        ..Settings::default()
    };
    assert_eq!(settings, expected);
}

#[test]
fn memory_wraps_at_64_bits() {
    assert_eq!(
        run(&["-m", "-1"]).storage.memory_limit,
        18_446_744_073_708_503_040
    );
    assert_eq!(run(&["-m", "2"]).storage.memory_limit, 2 << 20);
    for small in ["0", "1", "x"] {
        refused(
            &["-m", small],
            USAGE,
            "Cannot set item size limit higher than 1/2 of memory max.",
        );
    }
}

#[test]
fn listen_values_join_unless_they_are_part_of_what_stands() {
    let listen = |words: &[&str]| run(words).network.listen.unwrap();
    assert_eq!(
        listen(&["-l", "127.0.0.12", "-l", "127.0.0.1"]),
        "127.0.0.12"
    );
    assert_eq!(
        listen(&["-l", "127.0.0.1", "-l", "127.0.0.12"]),
        "127.0.0.1,127.0.0.12"
    );
    assert_eq!(listen(&["-l", "", "-l", "a"]), ",a");
    assert_eq!(listen(&["-l", ""]), "");
}

#[test]
fn udp_threads_follow_the_comma() {
    assert_eq!(run(&["-l", "a,b"]).workers.threads_per_udp, 1);
    assert_eq!(run(&["-l", "a;b"]).workers.threads_per_udp, 4);
    assert_eq!(run(&["-t", "7"]).workers.threads_per_udp, 7);
}

#[test]
fn a_udp_port_is_the_tcp_port_unless_that_is_given() {
    let ports = |words: &[&str]| {
        let network = run(words).network;
        (network.port, network.udp_port)
    };
    assert_eq!(ports(&["-U", "11300"]), (11_300, 11_300));
    assert_eq!(ports(&["-U", "-1"]), (-1, -1));
    assert_eq!(ports(&["-U", "11300", "-p", "0"]), (0, 11_300));
    assert_eq!(ports(&["-p", "11400", "-U", "70000"]), (11_400, 70_000));
    assert_eq!(ports(&["-U", "0"]), (11_211, 0));
    let message = "ERROR: Invalid port number 70000.";
    refused(&["-U", "70000"], USAGE, message);
}

#[test]
fn values_of_short_options_are_judged_when_reached() {
    let cases: &[(&[&str], ExitStatus, &str)] = &[
        (
            &["-c", "0"],
            FAILURE,
            "Maximum connections must be greater than 0",
        ),
        (
            &["-c", "-4"],
            FAILURE,
            "Maximum connections must be greater than 0",
        ),
        (&["-f", "1.0"], FAILURE, "Factor must be greater than 1"),
        (&["-f", "garbage"], FAILURE, "Factor must be greater than 1"),
        (&["-n", "0"], FAILURE, "Chunk size must be greater than 0"),
        (
            &["-t", "0"],
            FAILURE,
            "Number of threads must be greater than 0",
        ),
        (&["-D", " "], FAILURE, "No delimiter specified"),
        (
            &["-R", "0"],
            FAILURE,
            "Number of requests per event must be greater than 0",
        ),
        (
            &["-N", "0"],
            FAILURE,
            "Maximum number of NAPI IDs must be greater than 0",
        ),
        (
            &["-B", "ASCII"],
            USAGE,
            "Invalid value for binding protocol: ASCII\n -- should be one of auto, binary, or ascii",
        ),
        (&["-e", "/f"], USAGE, "-e: not built yet"),
        (
            &["-N", "5", "-I", "100"],
            USAGE,
            "Number of napi_ids(5) cannot be greater than number of threads(4)",
        ),
    ];
    for (words, status, message) in cases {
        refused(words, *status, message);
    }
}

#[test]
fn many_threads_are_warned_about_even_when_the_line_fails() {
    let warning = "WARNING: Setting a high number of workerthreads is not recommended.\n \
                   Set this value to the number of cores in your machine or less.";
    assert_eq!(line(&["-t", "65"]).warnings, [warning]);
    assert_eq!(run(&["-t", "65"]).workers.threads, 65);
    assert!(line(&["-t", "64"]).warnings.is_empty());
    let reading = line(&["-t", "65", "-o", "resp_obj_mem_limit", "-c0"]);
    assert_eq!(
        reading.warnings,
        [
            warning,
            "DEPRECATED: resp_obj_mem_limit no longer used. See read_buf_mem_limit,"
        ]
    );
    assert!(reading.result.is_err());
}

#[test]
fn item_sizes_keep_the_arithmetic_of_32_bits() {
    let small = "Item max size cannot be less than 1024 bytes.";
    for size in [
        "2048m",
        "4096m",
        "1G",
        "2g",
        "0",
        "1023",
        "3000000000",
        "k",
        "",
    ] {
        refused(&["-I", size], USAGE, small);
    }
    refused(
        &["-I", "1025m", "-m", "4096"],
        USAGE,
        "Cannot set item size limit higher than a gigabyte.",
    );
    refused(
        &["-I", "1024m", "-m", "2047"],
        USAGE,
        "Cannot set item size limit higher than 1/2 of memory max.",
    );
    assert_eq!(
        run(&["-I", "1024m", "-m", "2048"]).storage.item_size_max,
        1 << 30
    );
    assert_eq!(run(&["-I", "512k"]).storage.item_size_max, 512 << 10);
    assert_eq!(run(&["-I", "2M"]).storage.slab_chunk_max, 512 << 10);
    assert_eq!(run(&["-I", "1024K"]), Settings::default());
}

#[test]
fn item_and_chunk_sizes_must_fit_each_other() {
    refused(
        &["-I", "256k"],
        USAGE,
        "slab_chunk_max (bytes: 524288) cannot be larger than -I (item_size_max 262144)",
    );
    refused(
        &["-I", "1536000"],
        USAGE,
        "-I (item_size_max: 1536000) must be evenly divisible by slab_chunk_max (bytes: 524288)",
    );
    refused(
        &["-o", "slab_chunk_max=3", "-I", "3m"],
        USAGE,
        "slab_chunk_max (bytes: 3072) must divide evenly into 1048576 (slab_page_size)",
    );
    assert_eq!(
        run(&["-I", "256k", "-o", "slab_chunk_max=64"])
            .storage
            .slab_chunk_max,
        64 << 10
    );
}

#[test]
fn large_items_undo_whole_page_chunks() {
    for list in ["no_chunked_items", "no_modern"] {
        assert_eq!(run(&["-o", list]).storage.slab_chunk_max, 1 << 20);
        assert_eq!(
            run(&["-I", "2m", "-o", list]).storage.slab_chunk_max,
            512 << 10
        );
    }
    let explicit = ["-I", "2m", "-o", "slab_chunk_max=1024"];
    assert_eq!(run(&explicit).storage.slab_chunk_max, 1 << 20);
}

#[test]
fn the_earliest_rule_speaks() {
    refused(
        &["-I", "1k", "-m", "0", "-o", "hot_lru_pct=79"],
        USAGE,
        "Cannot set item size limit higher than 1/2 of memory max.",
    );
    refused(
        &["-o", "slab_sizes=1,hot_lru_pct=79", "-p", "70000"],
        USAGE,
        "slab size 1 is out of valid range",
    );
    refused(
        &[
            "-o",
            "hot_lru_pct=79,temporary_ttl=5,no_lru_maintainer",
            "-p",
            "70000",
        ],
        USAGE,
        "hot_lru_pct + warm_lru_pct cannot be more than 80% combined",
    );
    refused(
        &["-o", "temporary_ttl=5,no_lru_maintainer", "-p", "70000"],
        USAGE,
        "temporary_ttl requires lru_maintainer to be enabled",
    );
}

#[test]
fn ports_are_judged_late() {
    refused(&["-p", "65536"], USAGE, "ERROR: Invalid port number 65536.");
    refused(&["-U", "70000"], USAGE, "ERROR: Invalid port number 70000.");
    assert_eq!(run(&["-p", "65535"]).network.port, 65535);
    assert_eq!(run(&["-p", "-7"]).network.port, -7);
}

#[test]
fn sasl_is_for_the_binary_protocol() {
    if !cfg!(feature = "sasl") {
        let text = "This server is not built with SASL support.";
        return refused(&["-S"], USAGE, text);
    }
    for arguments in [&["-S"][..], &["-B", "binary", "-S"]] {
        let settings = run(arguments);
        assert_eq!(settings.network.protocol, Protocol::Binary);
        assert!(settings.auth.demands_login());
    }
    let text = "ERROR: You cannot allow the ASCII protocol while using SASL.";
    for other in [&["-B", "ascii"][..], &["-B", "auto"], &["-Y", "/f"]] {
        refused(&[other, &["-S"]].concat(), USAGE, text);
    }
    refused(
        &["-S", "-Y", "/f", "-B", "binary"],
        USAGE,
        "ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens.",
    );
    refused(
        &["-S", "-U", "11211"],
        USAGE,
        "ERROR: Cannot enable UDP while using binary SASL authentication.",
    );
}

#[test]
fn an_auth_file_is_for_the_text_protocol() {
    let text =
        "ERROR: You cannot allow the BINARY protocol while using ascii authentication tokens.";
    refused(&["-Y", "/f", "-B", "binary"], USAGE, text);
    refused(&["-Y", "/f", "-B", "auto"], USAGE, text);
    for arguments in [&["-Y", "/f", "-B", "ascii"][..], &["-Y", "/f"]] {
        let settings = run(arguments);
        assert_eq!(settings.network.protocol, Protocol::Ascii);
        assert!(settings.auth.demands_login());
    }
    refused(
        &["-Y", "/f", "-U", "11211"],
        USAGE,
        "Cannot use UDP with ascii authentication enabled (-U 0 to disable)",
    );
}

#[test]
fn the_hash_table_outnumbers_its_locks() {
    let text = "Hash table power size (12) cannot be equal to or less than item lock table (12)\n\
                Item lock table grows with `-t N` (worker threadcount)\n\
                Hash table grows with `-o hashpower=N` ";
    refused(&["-o", "hashpower=12"], FAILURE, text);
    assert_eq!(
        run(&["-t", "3", "-o", "hashpower=12"]).storage.hash_power,
        12
    );
    assert_eq!(run(&["-t", "40"]).storage.hash_power, 0);
}

#[test]
fn suboption_lists_follow_getsubopt() {
    assert_eq!(run(&["-o", " modern"]), Settings::default());
    assert_eq!(run(&["-o", "modern,"]), Settings::default());
    assert_eq!(
        run(&["-o", "modern=3,maxconns_fast=7"]),
        Settings::default()
    );
    suboption_refused(",", "Illegal suboption \"\"");
    suboption_refused("modern,,modern", "Illegal suboption \"\"");
    suboption_refused("modern, no_modern", "Illegal suboption \" no_modern\"");
    suboption_refused("Modern", "Illegal suboption \"Modern\"");
    suboption_refused("nosuch=1=2,modern", "Illegal suboption \"nosuch=1=2\"");
    for name in [
        "inline_ascii_response",
        "no_inline_ascii_response",
        "read_obj_mem_limit",
    ] {
        suboption_refused(name, &format!("Illegal suboption \"{name}\""));
    }
    for name in ["ext_path=/f:1g", "proxy_config=f", "ext_page_size"] {
        suboption_refused(name, &format!("Illegal suboption \"{name}\""));
    }
    assert_eq!(
        run(&["-o", "idle_timeout=5", "-o", "idle_timeout=7"])
            .workers
            .idle_timeout_secs,
        7
    );
}

#[test]
fn suboptions_that_change_nothing_are_taken() {
    let list = "modern,inline_ascii_resp,no_inline_ascii_resp,drop_privileges,no_drop_privileges,\
                resp_obj_mem_limit=5,lru_crawler,lru_maintainer,slab_reassign,slab_automove";
    assert_eq!(run(&["-o", list]), Settings::default());
}

#[test]
fn suboptions_fill_their_settings() {
    let settings = run(&[
        "-o",
        "no_maxconns_fast,hashpower=20,no_hashexpand,no_slab_reassign,slab_automove=2,slab_automove_ratio=1.0,\
         slab_automove_window=1800,tail_repair_time=10,hash_algorithm=xxh3,no_lru_crawler,lru_crawler_sleep=1000000,\
         lru_crawler_tocrawl=5,hot_lru_pct=1,warm_lru_pct=79,hot_max_factor=0.5,warm_max_factor=3,temporary_ttl=90,\
         idle_timeout=-3,watcher_logbuf_size=1,worker_logbuf_size=2,track_sizes,slab_chunk_max=1024,\
         read_buf_mem_limit=3,sock_cookie_id=9,slab_sizes=100-200",
    ]);
    let expected = Settings {
        network: NetworkSettings {
            maxconns_fast: false,
            sock_cookie_id: 9,
            ..NetworkSettings::default()
        },
        workers: WorkerSettings {
            idle_timeout_secs: -3,
            read_buf_mem_limit: 3 << 20,
            ..WorkerSettings::default()
        },
        logger: LoggerSettings {
            watcher_logbuf_size: 1 << 10,
            worker_logbuf_size: 2 << 10,
        },
        storage: StorageSettings {
            hash_power: 20,
            hash_expand: false,
            slab_reassign: false,
            slab_automove: 2,
            slab_automove_ratio: 1.0,
            slab_automove_window: 1800,
            tail_repair_secs: 10,
            hash_algorithm: HashAlgorithm::Xxh3,
            lru_crawler: false,
            crawler_sleep_usecs: 1_000_000,
            crawler_tocrawl: 5,
            hot_lru_pct: 1,
            warm_lru_pct: 79,
            hot_max_factor: 0.5,
            warm_max_factor: 3.0,
            temp_lru: true,
            temporary_ttl: 90,
            track_sizes: true,
            slab_chunk_max: 1 << 20,
            slab_sizes: Some(vec![100, 200]),
            ..StorageSettings::default()
        },
        ..Settings::default()
    };
    assert_eq!(settings, expected);
}

#[test]
fn numbers_of_suboptions_wrap_and_fall_back_as_known() {
    assert_eq!(
        run(&["-o", "read_buf_mem_limit=4096"])
            .workers
            .read_buf_mem_limit,
        0
    );
    assert_eq!(run(&["-o", "sock_cookie_id=x"]).network.sock_cookie_id, 0);
    assert_eq!(run(&["-o", "temporary_ttl=x"]).storage.temporary_ttl, 0);
    assert_eq!(
        run(&["-o", "slab_automove,no_slab_automove"])
            .storage
            .slab_automove,
        0
    );
    assert_eq!(
        run(&["-o", "no_slab_automove,slab_automove"])
            .storage
            .slab_automove,
        1
    );
}

#[test]
fn suboptions_refuse_missing_and_wrong_values() {
    let cases = [
        ("hashpower", "Missing numeric argument for hashpower"),
        (
            "hashpower=11",
            "Initial hashtable multiplier of 11 is too low",
        ),
        (
            "hashpower=-2",
            "Initial hashtable multiplier of -2 is too low",
        ),
        (
            "hashpower=33",
            "Initial hashtable multiplier of 33 is too high\n\
             Choose a value based on \"STAT hash_power_level\" from a running instance",
        ),
        ("slab_automove=3", "slab_automove must be between 0 and 2"),
        ("slab_automove=-1", "slab_automove must be between 0 and 2"),
        (
            "slab_automove_ratio",
            "Missing slab_automove_ratio argument",
        ),
        (
            "slab_automove_ratio=0",
            "slab_automove_ratio must be > 0 and < 1",
        ),
        (
            "slab_automove_ratio=1.1",
            "slab_automove_ratio must be > 0 and < 1",
        ),
        (
            "slab_automove_window",
            "Missing slab_automove_window argument",
        ),
        (
            "slab_automove_window=2",
            "slab_automove_window must be > 2 and < 1800",
        ),
        (
            "slab_automove_window=1801",
            "slab_automove_window must be > 2 and < 1800",
        ),
        (
            "tail_repair_time",
            "Missing numeric argument for tail_repair_time",
        ),
        (
            "tail_repair_time=9",
            "Cannot set tail_repair_time to less than 10 seconds",
        ),
        ("hash_algorithm", "Missing hash_algorithm argument"),
        (
            "hash_algorithm=md5",
            "Unknown hash_algorithm option (jenkins, murmur3, xxh3, ahash)",
        ),
        ("lru_crawler_sleep", "Missing lru_crawler_sleep value"),
        (
            "lru_crawler_sleep=1000001",
            "LRU crawler sleep must be between 0 and 1 second",
        ),
        (
            "lru_crawler_sleep=-1",
            "LRU crawler sleep must be between 0 and 1 second",
        ),
        ("lru_crawler_tocrawl", "Missing lru_crawler_tocrawl value"),
        (
            "lru_crawler_tocrawl=x",
            "lru_crawler_tocrawl takes a numeric 32bit value",
        ),
        ("hot_lru_pct", "Missing hot_lru_pct argument"),
        ("hot_lru_pct=0", "hot_lru_pct must be > 1 and < 80"),
        ("warm_lru_pct", "Missing warm_lru_pct argument"),
        ("warm_lru_pct=80", "warm_lru_pct must be > 1 and < 80"),
        ("hot_max_factor", "Missing hot_max_factor argument"),
        ("hot_max_factor=0", "hot_max_factor must be > 0"),
        ("warm_max_factor", "Missing warm_max_factor argument"),
        ("warm_max_factor=x", "warm_max_factor must be > 0"),
        ("temporary_ttl", "Missing temporary_ttl argument"),
        ("idle_timeout", "Missing numeric argument for idle_timeout"),
        (
            "watcher_logbuf_size",
            "Missing watcher_logbuf_size argument",
        ),
        (
            "watcher_logbuf_size=x",
            "could not parse argument to watcher_logbuf_size",
        ),
        ("worker_logbuf_size", "Missing worker_logbuf_size argument"),
        (
            "worker_logbuf_size=-1",
            "could not parse argument to worker_logbuf_size",
        ),
        ("slab_sizes", "Missing slab_sizes argument"),
        ("slab_chunk_max", "Missing slab_chunk_max argument"),
        (
            "slab_chunk_max=x",
            "could not parse argument to slab_chunk_max",
        ),
        ("slab_chunk_max=0", "slab_chunk_max must be >= 0"),
        ("slab_chunk_max=-5", "slab_chunk_max must be >= 0"),
        (
            "slab_chunk_max=1025",
            "slab_chunk_max must be specified in kilobytes.",
        ),
        ("read_buf_mem_limit", "Missing read_buf_mem_limit argument"),
        (
            "read_buf_mem_limit=x",
            "could not parse argument to read_buf_mem_limit",
        ),
        ("sock_cookie_id", "Missing sock_cookie_id argument"),
    ];
    for (list, message) in cases {
        suboption_refused(list, message);
    }
}

#[test]
fn no_modern_is_a_macro_that_later_suboptions_refine() {
    let settings = run(&["-o", "no_modern"]);
    let expected = Settings {
        network: NetworkSettings {
            maxconns_fast: false,
            ..NetworkSettings::default()
        },
        storage: StorageSettings {
            slab_chunk_max: 1 << 20,
            slab_reassign: false,
            slab_automove: 0,
            lru_segmented: false,
            hash_algorithm: HashAlgorithm::Jenkins,
            lru_crawler: false,
            lru_maintainer: false,
            ..StorageSettings::default()
        },
        ..Settings::default()
    };
    assert_eq!(settings, expected);
    let settings = run(&[
        "-o",
        "slab_chunk_max=64,no_modern",
        "-o",
        "lru_maintainer,maxconns_fast",
    ]);
    let expected = Settings {
        network: NetworkSettings {
            maxconns_fast: true,
            ..expected.network
        },
        storage: StorageSettings {
            slab_chunk_max: 64 << 10,
            lru_maintainer: true,
            lru_segmented: true,
            ..expected.storage
        },
        ..expected
    };
    assert_eq!(settings, expected);
}

#[test]
fn slab_sizes_ascend_within_bounds() {
    let sizes = |list: &str| format!("slab_sizes={list}");
    let ok = |list: &str| run(&["-o", &sizes(list)]).storage.slab_sizes.unwrap();
    assert_eq!(ok("100-109"), [100, 109]);
    assert_eq!(ok("48"), [48]);
    let many = |count: u32| {
        let words: Vec<String> = (1..=count).map(|n| (n * 100).to_string()).collect();
        words.join("-")
    };
    assert_eq!(ok(&many(62)).len(), 62);
    let cases = [
        (
            "100-108",
            "slab size 108 must be at least 8 bytes larger than previous class",
        ),
        (
            "100-100",
            "slab size 100 cannot be lower than or equal to a previous class size",
        ),
        (
            "200-100",
            "slab size 100 cannot be lower than or equal to a previous class size",
        ),
        ("47", "slab size 47 is out of valid range"),
        ("524289", "slab size 524289 is out of valid range"),
        ("100-x", "slab size 0 is out of valid range"),
        ("", ""),
    ];
    for (list, message) in cases {
        refused(&["-o", &sizes(list)], USAGE, message);
    }
    refused(
        &["-o", &sizes(&many(63))],
        USAGE,
        "too many slab classes specified",
    );
}

#[cfg(feature = "unix-socket")]
#[test]
fn the_socket_mode_is_kept_whole() {
    let settings = run(&["-s", "/tmp/s", "-a", "1777"]);
    assert_eq!(settings.network.socket_path.as_deref(), Some("/tmp/s"));
    assert_eq!(shown_as(&settings, "umask"), "1777");
    assert_eq!(shown_as(&settings, "domain_socket"), "/tmp/s");
    assert_eq!(shown_as(&settings, "tcpport"), "11211");
    assert_eq!(run(&["-a", "rwx"]).network.socket_mode, 0);
}

#[cfg(not(feature = "unix-socket"))]
#[test]
fn without_unix_sockets_their_options_say_so() {
    let text = "This server is not built with unix socket support.";
    refused(&["-s", "/tmp/s"], USAGE, text);
    refused(&["-a", "700"], USAGE, text);
}

#[cfg(not(feature = "tls"))]
#[test]
fn without_tls_its_options_do_not_exist() {
    refused(&["-Z"], USAGE, "This server is not built with TLS support.");
    suboption_refused("ssl_key=x", "Illegal suboption \"ssl_key=x\"");
}

#[cfg(feature = "tls")]
#[test]
fn tls_options_are_kept_without_tls_switched_on() {
    let settings = run(&[
        "-o",
        "ssl_chain_cert=/nowhere/c.pem,ssl_key=k.pem,ssl_verify_mode=3,ssl_session_cache=0,ssl_min_version=3",
        "-o",
        "ssl_keyformat=9,ssl_wbuf_size=64,ssl_ciphers=A:B,ssl_ca_cert=ca.pem,ssl_min_version=1",
    ]);
    let expected = TlsSettings {
        enabled: false,
        chain_cert: Some("/nowhere/c.pem".to_string()),
        key: Some("k.pem".to_string()),
        key_format: 9,
        verify_mode: 3,
        ca_cert: Some("ca.pem".to_string()),
        ciphers: Some("A:B".to_string()),
        min_version: 1,
        wbuf_size: 65536,
        session_cache: true,
        kernel_tls: false,
        ..TlsSettings::default()
    };
    assert_eq!(settings.tls, expected);
    assert_eq!(shown_as(&settings, "ssl_verify_mode"), "7");
    assert_eq!(shown_as(&settings, "ssl_key"), "k.pem");
    assert_eq!(shown_as(&settings, "ssl_min_version"), "tlsv1.1");
}

#[cfg(feature = "tls")]
#[test]
fn tls_options_refuse_missing_and_wrong_values() {
    for name in [
        "ssl_chain_cert",
        "ssl_key",
        "ssl_ciphers",
        "ssl_ca_cert",
        "ssl_verify_mode",
        "ssl_keyformat",
        "ssl_wbuf_size",
        "ssl_min_version",
        "ssl_handshake_timeout",
        "ssl_handshake_threads",
        "ssl_handshake_backlog",
        "ssl_refresh_interval",
        "ssl_client_allow",
        "ssl_client_allow_file",
        "ssl_ciphersuites",
        "ssl_crl",
        "ssl_ticket_key_file",
        "ssl_ticket_rotation",
        "ssl_session_tickets",
    ] {
        suboption_refused(name, &format!("Missing {name} argument"));
    }
    for name in [
        "ssl_verify_mode",
        "ssl_keyformat",
        "ssl_wbuf_size",
        "ssl_min_version",
        "ssl_handshake_timeout",
        "ssl_handshake_threads",
        "ssl_handshake_backlog",
        "ssl_refresh_interval",
        "ssl_ticket_rotation",
        "ssl_session_tickets",
    ] {
        let text = format!("could not parse argument to {name}");
        suboption_refused(&format!("{name}=TLS"), &text);
        suboption_refused(&format!("{name}="), &text);
    }
    suboption_refused(
        "ssl_handshake_timeout=-1",
        "could not parse argument to ssl_handshake_timeout",
    );
    for list in [
        "ssl_verify_mode=4",
        "ssl_verify_mode=-1",
        "ssl_min_version=4",
        "ssl_wbuf_size=0",
        "ssl_wbuf_size=1048577",
        "ssl_handshake_timeout=3601",
        "ssl_handshake_threads=65",
        "ssl_refresh_interval=86401",
        "ssl_ticket_rotation=86401",
        "ssl_session_tickets=9",
        "ssl_client_allow=",
        "ssl_client_allow=web",
        "ssl_client_allow=CN:",
        "ssl_client_allow=DNS:a|cn:b",
    ] {
        let name = list.split('=').next().unwrap();
        suboption_refused(
            list,
            &format!("Invalid {name}. Use help to see valid options."),
        );
    }
    suboption_refused(
        "no_ssl_session_cache",
        "Illegal suboption \"no_ssl_session_cache\"",
    );
    refused(
        &["-Z", "-p", "0"],
        USAGE,
        "ERROR: You cannot enable SSL without a TCP port.",
    );
    assert_eq!(run(&["-o", "ssl_wbuf_size=1048576"]).tls.wbuf_size, 1 << 30);
}

#[cfg(feature = "tls")]
#[test]
fn tls_options_take_names_for_their_numbers() {
    for (list, format) in [
        ("ssl_keyformat=PEM", 1),
        ("ssl_keyformat=der", 2),
        ("ssl_keyformat=7", 7),
    ] {
        let settings = run(&["-o", list]);
        assert_eq!(settings.tls.key_format, format, "{list}");
        let number = format.to_string();
        assert_eq!(shown_as(&settings, "ssl_keyformat"), number);
    }
    for (list, version) in [
        ("ssl_min_version=tlsv1.0", 0),
        ("ssl_min_version=TLSv1.1", 1),
        ("ssl_min_version=tlsv1.2", 2),
        ("ssl_min_version=2", 2),
    ] {
        let settings = run(&["-o", list]);
        assert_eq!(settings.tls.min_version, version, "{list}");
        let shown = format!("tlsv1.{version}");
        assert_eq!(shown_as(&settings, "ssl_min_version"), shown);
    }
    if cfg!(ossl111) {
        assert_eq!(run(&["-o", "ssl_min_version=tlsv1.3"]).tls.min_version, 3);
    } else {
        let text = "Invalid ssl_min_version. Use help to see valid options.";
        suboption_refused("ssl_min_version=tlsv1.3", text);
    }
    for list in ["ssl_min_version=tlsv1.4", "ssl_min_version=tlsv1"] {
        suboption_refused(list, "could not parse argument to ssl_min_version");
    }
}

#[cfg(feature = "tls")]
#[test]
fn tls_options_beyond_the_known_lines_are_shown_when_given() {
    let names_behind = |settings: &Settings| -> String {
        let lines = shown(settings);
        lines
            .iter()
            .map(|(name, value)| format!("{name} {value};"))
            .skip_while(|line| !line.starts_with("ssl_min_version"))
            .skip(1)
            .take_while(|line| line.starts_with("ssl_"))
            .collect()
    };
    assert_eq!(names_behind(&run(&["-Z"])), "");
    let list = "ssl_session_tickets=0,ssl_ticket_rotation=60,ssl_ticket_key_file=k,ssl_crl=c,\
                ssl_ciphersuites=TLS_AES_128_GCM_SHA256,ssl_client_allow_file=f,\
                ssl_client_allow=CN:a|DNS:*.b,ssl_refresh_interval=0,ssl_handshake_backlog=0,\
                ssl_handshake_threads=64,ssl_handshake_timeout=3600";
    assert_eq!(
        names_behind(&run(&["-o", list])),
        "ssl_handshake_timeout 3600;ssl_handshake_threads 64;ssl_handshake_backlog 0;ssl_refresh_interval 0;ssl_client_allow CN:a|DNS:*.b;\
         ssl_client_allow_file f;ssl_ciphersuites TLS_AES_128_GCM_SHA256;ssl_crl c;ssl_ticket_key_file k;\
         ssl_ticket_rotation 60;ssl_session_tickets 0;"
    );
    let again = run(&["-o", "ssl_crl=a,ssl_crl=b"]);
    assert_eq!(names_behind(&again), "ssl_crl b;");
}

#[cfg(feature = "tls")]
#[test]
fn handshakes_have_as_many_threads_as_there_are_workers_unless_told_otherwise() {
    let threads = |line: &[&str]| {
        let settings = run(line);
        settings.tls.handshake_threads(settings.workers.threads)
    };
    let tls = "ssl_chain_cert=a,ssl_key=b";
    assert_eq!(threads(&["-o", tls]), 0, "there is no TLS");
    assert_eq!(threads(&["-Z", "-o", tls]), 4);
    assert_eq!(threads(&["-Z", "-t", "1", "-o", tls]), 1);
    assert_eq!(threads(&["-Z", "-t", "100", "-o", tls]), 64);
    assert_eq!(threads(&["-Z", "-o", "ssl_handshake_threads=0"]), 0);
    assert_eq!(threads(&["-Z", "-o", "ssl_handshake_threads=64"]), 64);
    let backlog = |list| run(&["-o", list]).tls.handshake_backlog();
    assert_eq!(backlog(tls), 1_024);
    assert_eq!(backlog("ssl_handshake_backlog=1"), 1);
    assert_eq!(backlog("ssl_handshake_backlog=0"), usize::MAX);
}

#[cfg(feature = "tls")]
#[test]
fn the_key_log_belongs_to_the_debug_server() {
    if cfg!(feature = "debug-server") {
        let settings = run(&["-o", "ssl_keylog_file=secrets"]);
        assert_eq!(settings.tls.keylog_file.as_deref(), Some("secrets"));
        suboption_refused("ssl_keylog_file", "Missing ssl_keylog_file argument");
    } else {
        suboption_refused(
            "ssl_keylog_file=a",
            "Illegal suboption \"ssl_keylog_file=a\"",
        );
    }
}

#[test]
fn privileges_are_dropped_where_that_can_be_done() {
    let dropped = |list: &str| run(&["-o", list]).process.drop_privileges;
    assert_eq!(dropped("drop_privileges"), cfg!(feature = "seccomp"));
    assert!(!dropped("drop_privileges,no_drop_privileges"));
    assert_eq!(
        dropped("no_drop_privileges,drop_privileges"),
        cfg!(feature = "seccomp")
    );
}

#[cfg(all(feature = "seccomp", feature = "sasl"))]
#[test]
fn no_filter_could_be_made_for_the_plug_ins_of_sasl() {
    refused(
        &["-S", "-o", "drop_privileges"],
        USAGE,
        "ERROR: You cannot drop privileges while using SASL.",
    );
    assert!(run(&["-S", "-o", "no_drop_privileges"]).auth.sasl);
}

#[test]
fn relaxed_privileges_belong_to_the_debug_server() {
    if cfg!(feature = "debug-server") {
        assert!(
            run(&["-o", "relaxed_privileges"])
                .process
                .relaxed_privileges
        );
    } else {
        suboption_refused(
            "relaxed_privileges",
            "Illegal suboption \"relaxed_privileges\"",
        );
    }
}

#[test]
fn version_and_licence_share_their_first_line() {
    let version = format!("memcached {}\n", usage::VERSION);
    assert_eq!(printed(&["-V"]), version);
    let licence = printed(&["-i"]);
    assert!(licence.starts_with(&format!("{version}\n")));
    assert!(licence.contains("Redistribution"));
}

#[test]
fn help_has_an_entry_a_line_in_the_known_order() {
    let help = printed(&["-h"]);
    let tokens: Vec<&str> = help
        .lines()
        .filter(|line| line.starts_with('-'))
        .map(|line| line.split([',', ' ']).next().unwrap())
        .collect();
    let unix = if cfg!(feature = "unix-socket") {
        "-s -a "
    } else {
        ""
    };
    let tls = if cfg!(feature = "tls") { "-Z " } else { "" };
    let sasl = if cfg!(feature = "sasl") { "-S " } else { "" };
    let order = format!(
        "-p -U {unix}-A -l -d -r -u -m -M -c -k -v -vv -vvv -h -i -V -P -f -n -L -D -t -R -C -b -B -I {sasl}-F -X -W -Y {tls}-o -N"
    );
    assert_eq!(tokens.join(" "), order);
    let names: Vec<&str> = help
        .lines()
        .filter_map(|line| line.strip_prefix("   - "))
        .map(|line| line.split(':').next().unwrap())
        .collect();
    let core = "maxconns_fast hashpower tail_repair_time hash_algorithm no_lru_crawler lru_crawler_sleep \
                lru_crawler_tocrawl read_buf_mem_limit no_lru_maintainer hot_lru_pct warm_lru_pct hot_max_factor \
                warm_max_factor temporary_ttl idle_timeout slab_chunk_max watcher_logbuf_size worker_logbuf_size \
                track_sizes no_hashexpand modern no_modern ";
    let privileges = match (cfg!(feature = "seccomp"), cfg!(feature = "debug-server")) {
        (true, true) => "drop_privileges no_drop_privileges relaxed_privileges ",
        (true, false) => "drop_privileges no_drop_privileges ",
        (false, _) => "",
    };
    let ssl = " ssl_chain_cert ssl_key ssl_verify_mode ssl_keyformat ssl_ciphers ssl_ca_cert ssl_wbuf_size \
               ssl_session_cache ssl_kernel_tls ssl_min_version ssl_handshake_timeout ssl_handshake_threads \
               ssl_handshake_backlog ssl_refresh_interval \
               ssl_client_allow ssl_client_allow_file ssl_ciphersuites ssl_crl ssl_ticket_key_file \
               ssl_ticket_rotation ssl_session_tickets";
    let ssl = if cfg!(feature = "tls") { ssl } else { "" };
    let metrics_tls = if cfg!(feature = "metrics-tls") {
        " metrics_tls"
    } else {
        ""
    };
    assert_eq!(
        names.join(" "),
        format!("{core}{privileges}sock_cookie_id latency_stats metrics{ssl}{metrics_tls}")
    );
}

#[test]
fn help_shows_the_defaults_that_scripts_look_for() {
    let help = printed(&["--help"]);
    let mut rows = vec![
        ("-p, --port=<num>", "11211"),
        ("-U, --udp-port=<num>", "0, off"),
        ("-m, --memory-limit=<num>", "64"),
        ("-c, --conn-limit=<num>", "1024"),
        ("-f, --slab-growth-factor=<num>", "1.25"),
        ("-n, --slab-min-size=<bytes>", "48"),
        ("-t, --threads=<num>", "4"),
        ("-R, --max-reqs-per-event=<num>", "20"),
        ("-b, --listen-backlog=<num>", "1024"),
        ("-B, --protocol=<name>", "auto-negotiate"),
        ("-I, --max-item-size=<num>", "1m, min: 1k, max: 1024m"),
    ];
    if cfg!(feature = "unix-socket") {
        rows.push(("-a, --unix-mask=<mask>", "700"));
    }
    for (token, default) in rows {
        let entry = help.lines().find(|line| line.starts_with(token));
        let entry = entry.unwrap_or_else(|| panic!("no {token}"));
        assert!(
            entry.ends_with(&format!(" (default: {default})")),
            "{entry}"
        );
    }
}

#[test]
fn help_names_only_what_is_built() {
    let help = printed(&["-h"]).to_lowercase();
    for absent in ["ext_path", "proxy_config", "memory-file"] {
        assert!(!help.contains(absent), "{absent}");
    }
    assert_eq!(help.contains("enable-ssl"), cfg!(feature = "tls"));
    assert_eq!(help.contains("privileges"), cfg!(feature = "seccomp"));
    assert_eq!(help.contains("sasl"), cfg!(feature = "sasl"));
    assert_eq!(help.contains("ssl"), cfg!(feature = "tls"));
    assert_eq!(help.contains("unix"), cfg!(feature = "unix-socket"));
    assert_eq!(help.contains("unix-socket"), cfg!(feature = "unix-socket"));
    for line in help.lines() {
        assert!(line.len() <= 100, "{line}");
    }
}

#[test]
fn stats_settings_keep_names_order_and_defaults() {
    let flags_size = if cfg!(feature = "large-client-flags") {
        8
    } else {
        4
    };
    let tls = if cfg!(feature = "tls") {
        "ssl_enabled no\nssl_chain_cert (null)\nssl_key (null)\nssl_verify_mode 0\nssl_keyformat 1\n\
         ssl_ciphers NULL\nssl_ca_cert NULL\nssl_wbuf_size 16384\nssl_session_cache no\nssl_kernel_tls no\n\
         ssl_min_version tlsv1.2\n"
    } else {
        ""
    };
    let privileges = if cfg!(feature = "seccomp") {
        "drop_privileges no\n"
    } else {
        ""
    };
    let hash = HashAlgorithm::default().setting_name();
    let expected = format!(
        "maxbytes 67108864\nmaxconns 1024\ntcpport 11211\nudpport 0\ninter NULL\nverbosity 0\noldest 0\n\
         evictions on\ndomain_socket NULL\numask 700\nshutdown_command no\ngrowth_factor 1.25\nchunk_size 48\n\
         num_threads 4\nnum_threads_per_udp 4\nstat_key_prefix :\ndetail_enabled no\nreqs_per_event 20\n\
         cas_enabled yes\ntcp_backlog 1024\nbinding_protocol auto-negotiate\nauth_enabled_sasl no\n\
         auth_enabled_ascii no\nitem_size_max 1048576\nmaxconns_fast yes\nhashpower_init 0\nslab_reassign yes\n\
         slab_automove 1\nslab_automove_ratio 0.80\nslab_automove_window 10\nslab_chunk_max 524288\n\
         lru_crawler yes\nlru_crawler_sleep 100\nlru_crawler_tocrawl 0\ntail_repair_time 0\nflush_enabled yes\n\
         dump_enabled yes\nhash_algorithm {hash}\nlru_maintainer_thread yes\nlru_segmented yes\nhot_lru_pct 20\n\
         warm_lru_pct 40\nhot_max_factor 0.20\nwarm_max_factor 2.00\ntemp_lru no\ntemporary_ttl 61\n\
         idle_timeout 0\nwatcher_logbuf_size 262144\nworker_logbuf_size 65536\nread_buf_mem_limit 0\n\
         track_sizes no\ninline_ascii_response no\n{privileges}{tls}num_napi_ids 0\nmemory_file (null)\n\
         client_flags_size {flags_size}\n"
    );
    let mut lines = String::new();
    for (name, value) in shown(&run(&[])) {
        lines.push_str(&format!("{name} {value}\n"));
    }
    assert_eq!(lines, expected);
}

#[test]
fn stats_settings_show_what_commands_changed() {
    let settings = run(&["-M", "-C", "-D", "/"]);
    assert_eq!(shown_as(&settings, "evictions"), "off");
    let tunables = Tunables::new(&settings);
    tunables.verbosity.store(2, Ordering::Relaxed);
    tunables.memory_limit.store(128 << 20, Ordering::Relaxed);
    tunables.set_temp_limit(Some(61));
    tunables.slab_automove.store(0, Ordering::Relaxed);
    let live = Live {
        oldest: 71,
        ..Live::default()
    };
    let mut lines = String::new();
    settings_lines(&settings, &tunables, live, &mut |name, value| {
        lines.push_str(&format!("{name} {value};"));
    });
    for shown in [
        "maxbytes 134217728;",
        "verbosity 2;",
        "oldest 71;",
        "cas_enabled no;",
        "stat_key_prefix /;",
        "detail_enabled yes;",
        "temp_lru yes;",
        "slab_automove 0;",
        "lru_crawler no;",
        "lru_maintainer_thread no;",
    ] {
        assert!(lines.contains(shown), "{shown}");
    }
}

/// Whether `text` holds `word` with nothing before or behind it that could belong to it.
fn has_word(text: &str, word: &str) -> bool {
    let belongs = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let behind = text[at + word.len()..].chars().next();
        !before.is_some_and(belongs) && !behind.is_some_and(belongs)
    })
}

/// What an operator writes for the option.
fn spellings(row: &Row) -> Vec<String> {
    match row.word {
        Word::Sub(name) => vec![name.to_string()],
        Word::Flag(flag) => {
            let mut words = vec![format!("-{}", flag.letter)];
            words.extend(flag.long.map(|long| format!("--{long}")));
            words
        }
    }
}

#[test]
fn metrics_are_for_this_machine() {
    let place = run(&["-o", "metrics=127.0.0.1:9150"]).metrics.place;
    let expected = MetricsPlace::Inet(([127, 0, 0, 1], 9150).into());
    assert_eq!(place, Some(expected));
    assert_eq!(Settings::default().metrics.place, None);
    let lines = shown(&run(&["-o", "metrics=[::1]:9150"]));
    assert!(lines.contains(&("metrics".to_owned(), "[::1]:9150".to_owned())));
    let no_port = "no port: use one from 1 to 65535, as in 127.0.0.1:9150";
    suboption_refused("metrics", "Missing metrics argument");
    suboption_refused("metrics=::1", &format!("metrics=::1: {no_port}"));
    suboption_refused(
        "metrics=127.0.0.1:0",
        &format!("metrics=127.0.0.1:0: {no_port}"),
    );
    suboption_refused(
        "metrics=localhost:9150",
        "metrics=localhost:9150: no address: use ADDRESS:PORT such as 127.0.0.1:9150 or \
         [::1]:9150, or unix:PATH",
    );
    for place in ["0.0.0.0:9150", "[::]:9150", "10.0.0.1:9150"] {
        let advice = "use a loopback address such as 127.0.0.1:9150, or unix:PATH";
        let or_tls = if cfg!(feature = "metrics-tls") {
            ", or -Z and metrics_tls"
        } else {
            ""
        };
        let told = format!("metrics={place}: other machines would reach it: {advice}{or_tls}");
        suboption_refused(&format!("metrics={place}"), &told);
    }
}

#[test]
fn no_two_rows_share_a_spelling_or_a_line() {
    let mut seen = HashSet::new();
    for row in flags::OPTIONS.iter().chain(suboptions::rows()) {
        for word in spellings(row) {
            assert!(seen.insert(word.clone()), "{word}");
        }
    }
    let mut seen = HashSet::new();
    for (name, _) in shown(&Settings::default()) {
        assert!(seen.insert(name.clone()), "{name}");
    }
}

#[test]
fn the_manual_page_has_every_option() {
    let page = include_str!("../../doc/memcached.1").replace("\\-", "-");
    for row in flags::OPTIONS.iter().chain(suboptions::rows()) {
        for word in spellings(row) {
            assert!(has_word(&page, &word), "{word}");
        }
    }
}
