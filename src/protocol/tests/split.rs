//! Requests cut anywhere give the same bytes back.

use super::*;

/// Scripts that leave nothing behind that the next run would see, and show no cas number but chosen ones.
const SCRIPTS: &[&str] = &[
    "set k 5 0 5|hello|get k|gat 0 k|append k 0 0 2|!!|get k none k|incr k 1|delete k|",
    "set k 0 0 2 noreply|10|incr k 5|decr k 1|get k|touch k 100|mg k t|delete k|get k|",
    "set k x 0 4|quit|set k 0 0 3|abcXXmn|set k 0 0 3|abcde|ms k 4 m|quit|set k 0 0 -1|mn|",
    "ms k 2 k O9 s c E50 T30|hi|mg k s t f c k Oq v|mg k v|ms k 1 q MA|!|mg k v|md k q|mg k q|mn|",
    "ma n N30 J13 v t|ma n v|ma n MD D20 v|mg n v|md n k|ma n|me n|",
    "ms YWJj 2 b k|hi|mg abc k v|mg k N30 v|mg k|ms k 0||md k I E7|mg k c|md k|md YWJj b|",
    "get a\nmg a\nset a 0 0 3\nabc|get a \ndelete a\n \n\nversion x|bogus|bogus noreply|verbosity 0|",
    "set a 0 0 1|a|get a|get a|gets none|mg a v|mg a|get a|mg a k s|get a|delete a|quit|mn|",
];

#[test]
fn every_cut_gives_the_same_bytes() {
    let env = env(|_| {});
    for script in SCRIPTS {
        let request = wire(script);
        check_every_cut(request.as_bytes(), &env, script);
    }
}

#[test]
fn cut_requests_take_either_road_to_the_same_bytes() {
    let env = env(|_| {});
    for script in SCRIPTS {
        let request = wire(script);
        let on = |road| {
            let mut peer = Peer::new(Env { ..env });
            peer.road = road;
            peer.ask(&request)
        };
        assert_eq!(on(Road::General), on(Road::Direct), "{script}");
    }
}

#[test]
fn large_values_are_cut_at_every_kind_of_place() {
    let env = env(|_| {});
    for len in [2_000, 30_000, 700_000] {
        let value: String = (0..len)
            .map(|n| char::from(b'a' + (n % 23) as u8))
            .collect();
        let request = format!(
            "set k 0 0 {len}\r\n{value}\r\nget k\r\nms k {len} k\r\n{value}\r\nmg k v\r\nmd k\r\n"
        );
        let whole = answer(&env, &[request.as_bytes()]);
        let expected = format!(
            "STORED\r\nVALUE k 0 {len}\r\n{value}\r\nEND\r\nHD kk\r\nVA {len}\r\n{value}\r\nHD\r\n"
        );
        assert!(whole == expected.as_bytes());
        for size in [7, 1_448, 16_383, 16_384, 100_000] {
            let parts: Vec<&[u8]> = request.as_bytes().chunks(size).collect();
            assert!(answer(&env, &parts) == whole, "{len} in parts of {size}");
        }
        for cut in (0..60).chain(len - 5..len + 60) {
            let (one, two) = request.as_bytes().split_at(cut);
            assert!(answer(&env, &[one, two]) == whole, "{len} cut at {cut}");
        }
    }
}
