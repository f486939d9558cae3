"""Reads the metrics of a server with prometheus_client and prints one line a claim, `ok - …` or `not ok - …`.

    metrics_check.py PORT
"""
import re
import sys
from urllib.request import Request, urlopen

from prometheus_client import parser
from prometheus_client.openmetrics import parser as open_parser

url = f"http://127.0.0.1:{sys.argv[1]}/metrics"


def claim(holds, what):
    print(("ok" if holds else "not ok") + " - " + what, flush=True)


def fetch(accept):
    with urlopen(Request(url, headers={"Accept": accept}), timeout=20) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


kind, text = fetch("application/openmetrics-text; version=1.0.0")
claim(kind == "application/openmetrics-text; version=1.0.0; charset=utf-8", "OpenMetrics is served")
families = list(open_parser.text_string_to_metric_families(text))
claim(len(families) > 100, f"{len(families)} metrics in OpenMetrics")
by_name = {family.name: family for family in families}
claim(len(by_name) == len(families), "each of them once")
claim(all(family.documentation for family in families), "with their help")
claim(all(family.type in ("counter", "gauge", "histogram") for family in families), "and their kind")
units = {name for name, family in by_name.items() if family.unit}
claim(all(family.name.endswith("_" + family.unit) for family in families if family.unit), "units stand in names")
claim({"memcached_uptime_seconds", "memcached_current_bytes", "memcached_read_bytes"} <= units, "and are told")
classes = {sample.labels["slab"] for sample in by_name["memcached_slab_current_items"].samples}
claim(len(classes) > 3, f"{len(classes)} slab classes")

kind, text = fetch("text/plain")
claim(kind == "text/plain; version=0.0.4; charset=utf-8", "the older form is served")
older = list(parser.text_string_to_metric_families(text))
claim({family.name for family in older} == set(by_name), "with the same metrics")


def values(all_families):
    found = {}
    for family in all_families:
        for sample in family.samples:
            found[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return found


one, other = values(families), values(older)
claim(set(one) == set(other), "and the same values")
# What moves from one page to the next.
moving = re.compile("time|age|duration|cpu|bytes|lru|juggles|current_connections|states")
differ = [key for key in one if one[key] != other.get(key) and not moving.search(key[0])]
claim(not differ, f"none of which differs without reason: {differ}")
