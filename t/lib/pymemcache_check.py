"""Talks to a server with pymemcache and prints one line a claim, `ok - …` or `not ok - …`.

    pymemcache_check.py PORT [CA_FILE]

With a CA file the connections are TLS, by the tls_context of the library.
"""
import socket
import ssl
import sys
import threading

from pymemcache.client.base import Client, PooledClient
from pymemcache.client.hash import HashClient
from pymemcache.exceptions import MemcacheClientError, MemcacheServerError

port = int(sys.argv[1])
address = ("127.0.0.1", port)
options = {"connect_timeout": 10, "timeout": 10}
if len(sys.argv) > 2:
    options["tls_context"] = ssl.create_default_context(cafile=sys.argv[2])


def claim(holds, what):
    print(("ok" if holds else "not ok") + " - " + what, flush=True)


def raises(kind, call):
    try:
        call()
    except kind:
        return True
    return False


client = Client(address, **options)
client.flush_all()
claim(client.set("k", "value") and client.get("k") == b"value", "set and get")
claim(client.get("none") is None, "a miss")
claim(client.set("k", b"\x00\r\n\xff", noreply=False) and client.get("k") == b"\x00\r\n\xff", "any bytes")
claim(client.add("k", "x", noreply=False) is False, "add of a present key")
claim(client.add("new", "x", noreply=False) is True, "add of an absent key")
claim(client.replace("none", "x", noreply=False) is False, "replace of an absent key")
claim(client.set("a", "b", noreply=False) and client.append("a", "c", noreply=False), "append")
claim(client.prepend("a", "a", noreply=False) and client.get("a") == b"abc", "prepend")
value, cas = client.gets("a")
claim(client.cas("a", "one", cas, noreply=False) is True, "cas with the number")
claim(client.cas("a", "two", cas, noreply=False) is False, "cas with a used number")
claim(client.cas("none", "x", cas, noreply=False) is None, "cas of an absent key")
claim(client.set("n", "10") and client.incr("n", 5) == 15 and client.decr("n", 20) == 0, "incr and decr")
claim(client.incr("none", 1) is None, "incr of an absent key")
claim(client.touch("n", 100, noreply=False) is True and client.touch("none", 1, noreply=False) is False, "touch")
claim(client.get("n") == b"0 ", "a number that got shorter")
claim(client.delete("n", noreply=False) is True and client.delete("n", noreply=False) is False, "delete")
many = {"key%d" % i: ("value%d" % i).encode() * (i % 50) for i in range(2000)}
claim(client.set_many(many, noreply=False) == [], "set_many of two thousand keys")
claim(client.get_many(list(many)) == many, "get_many of two thousand keys")
claim(len(client.gets_many(list(many))) == 2000, "gets_many of two thousand keys")
claim(client.delete_many(list(many), noreply=False) is True and client.get_many(list(many)) == {}, "delete_many")
large = bytes(range(256)) * 4000
claim(client.set("large", large, noreply=False) and client.get("large") == large, "a megabyte")
claim(raises(MemcacheServerError, lambda: client.set("large", b"x" * 2000000, noreply=False)), "a value too large is a server error")
claim(client.get("k") == b"\x00\r\n\xff", "the connection goes on after it")
claim(raises(MemcacheClientError, lambda: client.incr("k", 1)), "incr of text is a client error")
claim(client.stats()[b"curr_items"] >= 3, "stats")
claim(b"maxbytes" in client.stats("settings"), "stats settings")
claim(client.version().count(b".") == 2, "version")
claim(client.raw_command("mg k s") == b"HD s4", "a meta command")
client.close()
claim(client.get("new") == b"x", "a closed client connects anew")
client.quit()

pooled = PooledClient(address, max_pool_size=8, **options)
wrong = []


def work(number):
    for i in range(200):
        key = "t%d-%d" % (number, i)
        pooled.set(key, key, noreply=i % 2 == 0)
        if i % 2 and pooled.get(key) != key.encode():
            wrong.append(key)


threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
claim(wrong == [], "eight threads on a pool")
pooled.close()

# HashClient hands tls_context on to its clients.
hashed = HashClient([address], use_pooling=True, **options)
claim(hashed.set("h", "x") and hashed.get("h") == b"x", "a hashing client")
claim(hashed.set_many({"h1": "1", "h2": "2"}) == [] and hashed.get_many(["h1", "h2"]) == {"h1": b"1", "h2": b"2"}, "its bulk calls")
hashed.flush_all()
claim(hashed.get("h") is None, "flush_all")
hashed.close()

if "tls_context" in options:
    with socket.create_connection(address, timeout=10) as plain:
        plain.sendall(b"get k\r\n")
        try:
            answer = plain.recv(100)
        except ConnectionError:
            answer = b""
        claim(not answer.startswith((b"VALUE", b"END", b"ERROR")), "a client without TLS is not served")
    strangers = ssl.create_default_context()
    stranger = Client(address, connect_timeout=10, timeout=10, tls_context=strangers)
    claim(raises(ssl.SSLError, lambda: stranger.get("k")), "a client that does not know the authority refuses the server")
