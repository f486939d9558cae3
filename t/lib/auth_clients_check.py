"""Logs in with a Python client and prints one line a claim, `ok - …` or `not ok - …`.

    auth_clients_check.py pylibmc|bmemcached|emcache PORT USER PASSWORD [CA_FILE]

pylibmc and bmemcached speak binary and log in by SASL (PLAIN), emcache speaks text. With a CA file the connections of the
latter two are TLS.
"""
import asyncio
import ssl
import sys

library, port, user, password = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
authority = sys.argv[5] if len(sys.argv) > 5 else None


def claim(holds, what):
    print(("ok" if holds else "not ok") + " - " + what, flush=True)


def pylibmc_client(password):
    import pylibmc

    return pylibmc.Client(["127.0.0.1:%d" % port], binary=True, username=user, password=password)


def bmemcached_client(password):
    import bmemcached

    context = ssl.create_default_context(cafile=authority) if authority else None
    return bmemcached.Client(["127.0.0.1:%d" % port], user, password, tls_context=context, socket_timeout=10)


def binary(new_client):
    client = new_client(password)
    claim(client.set("k", "value") and client.get("k") == "value", "set and get")
    many = {"many%d" % n: "value %d" % n for n in range(200)}
    client.set_multi(many)
    claim(client.get_multi(list(many)) == many, "get_multi of 200")
    large = "x" * 500_000
    claim(client.set("large", large) and client.get("large") == large, "a large value")
    try:
        got = new_client(password + "x").get("k")
    except Exception:
        got = None
    claim(got is None, "another password is of no use")
    claim(client.get("k") == "value", "and the first client none the worse")


async def text():
    import emcache

    def new_client(password):
        node = emcache.MemcachedHostAddress("127.0.0.1", port)
        tls = {"ssl": True, "ssl_extra_ca": authority, "ssl_verify": False} if authority else {}
        return emcache.create_client([node], username=user, password=password, timeout=10.0, **tls)

    client = await new_client(password)
    await client.set(b"k", b"value")
    item = await client.get(b"k")
    claim(item.value == b"value", "set and get")
    await asyncio.gather(*(client.set(b"many%d" % n, b"value %d" % n) for n in range(200)))
    items = await client.get_many([b"many%d" % n for n in range(200)])
    claim(len(items) == 200 and items[b"many7"].value == b"value 7", "get_many of 200")
    await client.set(b"large", b"x" * 500_000)
    claim((await client.get(b"large")).value == b"x" * 500_000, "a large value")
    try:
        stranger = await new_client(password + "x")
        got = await asyncio.wait_for(stranger.get(b"k"), 5)
        await stranger.close()
    except Exception:
        got = None
    claim(got is None, "another password is of no use")
    claim((await client.get(b"k")).value == b"value", "and the first client none the worse")
    await client.close()


if library == "emcache":
    asyncio.run(text())
else:
    binary({"pylibmc": pylibmc_client, "bmemcached": bmemcached_client}[library])
