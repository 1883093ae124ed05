# SPDX-License-Identifier: GPL-3.0-or-later
"""
Round robin, by 10,000 deliveries: each remote host and each local IP gets its share, to the chi-square test.
The remote hosts are addresses in 127/8 of one sink; where mail came to, and from, is what it has seen.
"""
import math

import pytest

from harness import spool
from harness.places import SANITIZED
from peer.everywhere import Everywhere

# A share that is right fails once in a million runs.
LEAST = 1e-6
MESSAGES = 3000 if SANITIZED else 10000


def survival(x, freedom):
    """How likely a chi-square value of x or more is by chance."""
    if freedom % 2 == 0:
        total = term = math.exp(-x / 2)
        for k in range(1, freedom // 2):
            term *= x / 2 / k
            total += term
        return total
    total = math.erfc(math.sqrt(x / 2))
    term = math.sqrt(2 * x / math.pi) * math.exp(-x / 2)
    for k in range(1, (freedom + 1) // 2):
        total += term
        term *= x / (2 * k + 1)
    return total


def chance(counts, shares):
    """How likely counts such as these are when the shares are right; both are dicts."""
    assert set(counts) <= set(shares), (counts, shares)
    total, parts = sum(counts.values()), sum(shares.values())
    x = sum((counts.get(key, 0) - total * part / parts) ** 2 / (total * part / parts) for key, part in shares.items())
    return survival(x, len(shares) - 1)


def test_the_test():
    """A chi-square table, and that it would see a share that is wrong by a twentieth."""
    assert survival(3.841, 1) == pytest.approx(0.05, abs=1e-3)
    assert survival(5.991, 2) == pytest.approx(0.05, abs=1e-3)
    assert survival(11.345, 3) == pytest.approx(0.01, abs=1e-3)
    assert survival(13.277, 4) == pytest.approx(0.01, abs=1e-3)
    assert chance({"a": 2000, "b": 1000}, {"a": 2, "b": 1}) == 1
    assert chance({"a": 1850, "b": 1150}, {"a": 2, "b": 1}) < LEAST


def remote(name):
    """An address for each name of a remote host."""
    return f"127.2.{len(name)}.{1 + sum(name.encode()) % 250}"


# domain: (routes, the share of each remote); routes: (remote, more members); dead ones listen at no port.
GROUPS = {
    # The reference's example.
    "twice.example": ([("big", {}), ("big", {}), ("small", {})], {"big": 2, "small": 1}),
    "equal.example": ([("a", {}), ("b", {}), ("c", {}), ("d", {})], {"a": 1, "b": 1, "c": 1, "d": 1}),
    "weights.example": ([("a", {"weight": 6}), ("b", {"weight": 3}), ("c", {}), ("a", {"weight": 2})],
                        {"a": 8, "b": 3, "c": 1}),
    # Failover and round robin mixed: the main one is down.
    "mixed.example": ([("main", {"dead": True}), ("alt1", {"priority": 2}), ("alt2", {"priority": 2}),
                       ("last", {"priority": 3})], {"alt1": 1, "alt2": 1}),
    # What one of a priority can't take, the others share.
    "down.example": ([("a", {"weight": 5, "dead": True}), ("b", {"weight": 3}), ("c", {})], {"b": 3, "c": 1}),
    "disabled.example": ([("a", {"enabled": False}), ("b", {"weight": 2}), ("c", {})], {"b": 2, "c": 1}),
}
LOCALS = ("127.0.0.11", "127.0.0.12", "127.0.0.13")


def route(sink, domain, name, more):
    more = dict(more)
    port = sink.dead_port if more.pop("dead", False) else sink.port
    return {"destination": domain, "remote_host": remote(name), "remote_port": port, "tls": "none", **more}


def test_shares(make_relayd):
    with Everywhere() as sink:
        relayd = make_relayd()
        domains = [*GROUPS, "local.example"]
        with relayd.control() as control:
            control.call("routes.add", routes=[route(sink, domain, name, more) for domain, (routes, _) in GROUPS.items()
                                               for name, more in routes]
                         + [route(sink, "local.example", "one", {"local_ips": "|".join(LOCALS)})])
        relayd.stop()
        spool.write(relayd.state_dir, [(None, "a@a.example", [f"r@{domains[n % len(domains)]}"])
                                       for n in range(MESSAGES)])
        relayd.start()
        relayd.wait(lambda: sink.message_count >= MESSAGES, "all have come")
        relayd.wait_empty()
        assert not sink.faults and sink.message_count == MESSAGES
        for domain, (_, shares) in GROUPS.items():
            shares = {remote(name): part for name, part in shares.items()}
            counts = {address: count for (where, address), count in sink.at.items() if where == domain}
            assert sum(counts.values()) >= MESSAGES // len(domains)
            assert chance(counts, shares) > LEAST, f"{domain}: {counts} for {shares}"
        counts = {address: count for (where, address), count in sink.by.items() if where == "local.example"}
        assert chance(counts, dict.fromkeys(LOCALS, 1)) > LEAST, counts
        assert {line["attempt"] for line in relayd.fates()} == {"1"}


def test_failover_in_the_addresses(relayd):
    """Remote hosts by priority, local IPs in the order written: each that fails leads to the next."""
    with Everywhere() as sink:
        names = ["first", "second", "third"]
        with relayd.control() as control:
            for dead in range(len(names) + 1):
                control.call("routes.add", routes=[
                    route(sink, f"dead{dead}.example", f"{name}{dead}",
                          {"priority": 1 + at, "dead": at < dead, "local_ips": "192.0.2.1&127.0.0.21&127.0.0.22"})
                    for at, name in enumerate(names)])
        for dead in range(len(names)):
            queue_id = relayd.send(recipients=[f"r@dead{dead}.example"])
            fate = relayd.fate(queue_id, f"r@dead{dead}.example")
            assert fate.event == "delivered" and fate["remote"].startswith(remote(f"{names[dead]}{dead}") + "[")
            assert fate["local"] == "127.0.0.21" and fate["attempt"] == "1"
            # An address that this host has not is tried once in an attempt; those it has, with each remote.
            tried = [(line["remote"].partition("[")[0], line["local"]) for line in relayd.lines("tried", queue_id)]
            expected = [(remote(f"{name}{dead}"), local) for name in names[:dead]
                        for local in ("127.0.0.21", "127.0.0.22")]
            assert tried == [(remote(f"first{dead}"), "192.0.2.1")] + expected
        queue_id = relayd.send(recipients=["r@dead3.example"])
        assert relayd.fate(queue_id, "r@dead3.example").event == "deferred"
