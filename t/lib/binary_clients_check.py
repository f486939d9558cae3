"""Talks binary to a server with a Python client and prints one line a claim, `ok - …` or `not ok - …`.

    binary_clients_check.py pylibmc|bmemcached PORT [CA_FILE]

With a CA file the connections of bmemcached are TLS; pylibmc knows none.
"""
import ssl
import sys
import threading

library, port = sys.argv[1], int(sys.argv[2])
address = "127.0.0.1:%d" % port


def claim(holds, what):
    print(("ok" if holds else "not ok") + " - " + what, flush=True)


def pylibmc_client():
    import pylibmc

    return pylibmc.Client([address], binary=True, behaviors={"cas": True, "tcp_nodelay": True})


def bmemcached_client():
    import bmemcached

    context = ssl.create_default_context(cafile=sys.argv[3]) if len(sys.argv) > 3 else None
    return bmemcached.Client([address], tls_context=context, socket_timeout=10)


new_client = {"pylibmc": pylibmc_client, "bmemcached": bmemcached_client}[library]


def fails(call):
    """What does not succeed is false for one library, and raised by the other."""
    try:
        return not call()
    except Exception as error:
        return type(error).__name__ in ("NotFound", "Error", "NotStored")


client = new_client()
client.flush_all()
claim(client.set("k", "value") and client.get("k") == "value", "set and get")
claim(client.get("none") is None, "a miss")
claim(client.set("k", b"\x00\r\n\xff") and client.get("k") == b"\x00\r\n\xff", "any bytes")
claim(fails(lambda: client.add("k", "x")), "add of a present key")
claim(client.add("a", "x") and client.get("a") == "x", "add of an absent key")
claim(fails(lambda: client.replace("none2", "x")), "replace of an absent key")
claim(client.replace("a", "y") and client.get("a") == "y", "replace of a present key")
claim(bool(client.delete("a")) and client.get("a") is None, "delete")
client.set("n", 10 if library == "pylibmc" else "10")
if library == "pylibmc":
    claim(client.incr("n", 5) == 15 and client.decr("n", 20) == 0, "incr and decr")
    client.set("s", "b")
    claim(client.append("s", "c") and client.prepend("s", "a") and client.get("s") == "abc", "append and prepend")
    claim(client.touch("s", 100), "touch")
    value, cas = client.gets("s")
    claim(value == "abc" and client.cas("s", "new", cas) and client.get("s") == "new", "cas with the right id")
    claim(fails(lambda: client.cas("s", "newer", cas)), "cas with an old id")
else:
    claim(client.incr("count", 1, default=7) == 7, "incr that creates")
    claim(client.incr("count", 5) == 12 and client.decr("count", 20) == 0, "incr and decr")
    value, cas = client.gets("k")
    claim(value == b"\x00\r\n\xff" and client.cas("k", "new", cas) and client.get("k") == "new", "cas with the right id")
    claim(fails(lambda: client.cas("k", "newer", cas)), "cas with an old id")
for size in (0, 1, 1000, 1024, 16_384, 100_000, 1_000_000):
    claim(client.set("size", "x" * size) and client.get("size") == "x" * size, "a value of %d bytes" % size)
claim(client.set("k" * 250, "long") and client.get("k" * 250) == "long", "the longest key")
many = {"many%d" % n: "value %d" % n for n in range(500)}
claim(not client.set_multi(many), "set_multi of 500")
claim(client.get_multi(list(many) + ["none"]) == many, "get_multi of 500 and a miss")
large = {"large%d" % n: "v" * 100_000 for n in range(20)}
claim(not client.set_multi(large) and client.get_multi(list(large)) == large, "large values, many at once")
claim(bool(client.delete_multi(list(many))) and client.get_multi(list(many)) == {}, "delete_multi")
claim(bool(client.set("expires", "x", time=100)) and client.get("expires") == "x", "an expiry ahead")
stats = client.get_stats()[0][1] if library == "pylibmc" else client.stats()[address]
claim(int(stats["curr_items"]) > 0 and "version" in stats, "stats")

bad = []


def work(worker):
    own = new_client()
    for n in range(200):
        key = "worker%d" % worker
        if not own.set(key, "%d.%d" % (worker, n)) or own.get(key) != "%d.%d" % (worker, n):
            bad.append((worker, n))


workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
claim(not bad, "four clients at once")
claim(client.flush_all() is not False and client.get("k") is None, "flush_all")
