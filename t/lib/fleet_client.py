"""A client of several servers, which does what it is told line by line and answers each line with one.

    fleet_client.py ketama|default|libmemcached|proxy CA_FILE|- ADDRESS=NAME...

ketama and default are pymemcache, the first with the ring of doc/fleet.md, which is the module fleet_ring, the second as it
comes; over TLS with a CA file. libmemcached is pylibmc. proxy is one connection to ADDRESS, the path of a socket, which knows
the servers. A ring is made of the names of the servers, which need not be their addresses.

    fill PREFIX COUNT    stores so many keys: filled STORED
    read PREFIX COUNT    asks for them, one by one: what it found
    start PREFIX COUNT   from now on asks for any of them, and stores what it misses: started
    counts               what it found since it was asked last
    stop                 ends that: what it found since it was asked last

What it found is five numbers: hits, misses, wrong values, servers that could not be reached, and other failures.
"""
import random
import ssl
import sys
import threading
import time

kind, authority, *servers = sys.argv[1:]
names = dict(server.rsplit("=", 1) for server in servers)


def pair(address):
    host, port = address.rsplit(":", 1)
    return host, int(port)


def ring():
    from fleet_ring import Ketama

    return Ketama(names)


def pymemcache_client(**more):
    from pymemcache.client.hash import HashClient

    context = None if authority == "-" else ssl.create_default_context(cafile=authority)
    patience = {"connect_timeout": 5, "timeout": 5, "retry_attempts": 0, "dead_timeout": 1}
    return HashClient([pair(address) for address in names], tls_context=context, ignore_exc=True, **patience, **more)


class Libmemcached:
    """pylibmc with pymemcache's words."""

    def __init__(self):
        import pylibmc

        behaviors = {"ketama_weighted": True, "hash": "md5", "auto_eject": True, "failure_limit": 1, "retry_timeout": 1, "dead_timeout": 1}
        self.client = pylibmc.Client(list(names), behaviors=behaviors | {"connect_timeout": 5000, "receive_timeout": 5_000_000, "tcp_nodelay": True})
        self.get = self.client.get

    def set(self, key, value, noreply):
        return self.client.set(key, value)


def proxy_client():
    from pymemcache.client.base import Client

    return Client(next(iter(names)), connect_timeout=5, timeout=5)


client = {
    "ketama": lambda: pymemcache_client(hasher=ring),
    "default": pymemcache_client,
    "libmemcached": Libmemcached,
    "proxy": proxy_client,
}[kind]()

# What the libraries raise when a server does not answer: for a cache, another way to miss.
AWAY = {
    "ConnectionError", "ConnectionRefusedError", "ConnectionResetError", "BrokenPipeError",
    "HostLookupError", "ServerDead", "ServerDown", "ReadError", "WriteError", "SocketCreateError", "UnknownReadFailure", "SomeErrors",
    "ServerError", "MemcacheServerError", "MemcacheUnexpectedCloseError",
}
HITS, MISSES, WRONG, GONE, FAILED = range(5)
found = [0] * 5
lock = threading.Lock()
running = False


def value_of(key):
    return b"value of " + key.encode()


def note(what, amount=1):
    with lock:
        found[what] += amount


def carefully(call):
    """The answer, or None when there is none."""
    try:
        return call()
    except Exception as error:
        note(GONE if type(error).__name__ in AWAY else FAILED)
        if type(error).__name__ not in AWAY:
            print("%s: %r" % (kind, error), file=sys.stderr, flush=True)
        return None


def store(key):
    return carefully(lambda: client.set(key, value_of(key), noreply=False) or None)


def ask(key):
    before = found[GONE] + found[FAILED]
    value = carefully(lambda: client.get(key))
    if value is not None:
        note(HITS if value == value_of(key) else WRONG)
    elif before == found[GONE] + found[FAILED]:
        note(MISSES)
    return value


def load(prefix, count):
    while running:
        key = "%s%d" % (prefix, random.randrange(count))
        if ask(key) is None:
            store(key)
        time.sleep(0.0003)


def told():
    with lock:
        numbers = " ".join(map(str, found))
        found[:] = [0] * 5
    return numbers


for line in sys.stdin:
    order, *words = line.split()
    prefix, count = (words[0], int(words[1])) if words else ("", 0)
    if order == "fill":
        answer = "filled %d" % sum(bool(store("%s%d" % (prefix, n))) for n in range(count))
    elif order == "read":
        told()
        for n in range(count):
            ask("%s%d" % (prefix, n))
        answer = told()
    elif order == "start":
        told()
        running = True
        worker = threading.Thread(target=load, args=(prefix, count))
        worker.start()
        answer = "started"
    elif order == "counts":
        answer = told()
    elif order == "stop":
        running = False
        worker.join()
        answer = told()
    print(answer, flush=True)
running = False
