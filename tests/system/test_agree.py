# SPDX-License-Identifier: GPL-3.0-or-later
"""
Which rule wins: what is delivered, what `tmail routes explain` says, and a slow model of relayd-routes(7)
that is written here alone, agree on random tables and mails.

Every route has a remote address of its own, 127/8, at which one sink listens; some have a port where nobody
does, so that the plan is followed further. Mail of clients that have authenticated is put into the spool.

AGREE_PAIRS (pairs of table and mail) and AGREE_SEED (environment) change how long and repeat what was.
"""
import os
import random

import pytest

from harness import spool
from harness.places import SANITIZED
from peer.everywhere import Everywhere

PAIRS = int(os.environ.get("AGREE_PAIRS", 2000 if SANITIZED else 10000))
MAILS = 200

# Few names, so that many routes fit one mail.
DOMAINS = ["example", "a.example", "b.a.example", "c.b.a.example", "z.example", "xn--exmple-cua.example",
           "[192.0.2.1]", "[IPv6:2001:db8::1]", "other.net"]
DESTINATIONS = ["*", "*", "*", *DOMAINS, ".example", ".a.example", "*.b.a.example", ".net", ".c.b.a.example"]
LOGINS = ["ann@x.example", "bob@x.example", "ann@y.x.example", "plain", "x.example"]
USERS = [*LOGINS, "y.x.example", "X.Example", "ANN@x.example"]
SENDERS = ["s@p.example", "S@p.example", "t@p.example", "s@sub.p.example", ""]
MAIL_FROMS = [*SENDERS[:-1], "p.example", "P.Example", "sub.p.example"]


# ---- the model ---------------------------------------------------------------------------------------

def user_of(word):
    return None if word is None else word.lower()


def sender_of(word):
    """Domains without case; a local part as it is."""
    if word is None:
        return None
    local, at, domain = word.rpartition("@")
    return local + at + domain.lower()


def destination_of(word):
    word = word.lower()
    return word[1:] if word.startswith("*.") else word


def behind_at(word):
    return [word.rpartition("@")[2]] if "@" in word else []


def suffixes(domain):
    """The exact domain, then the suffixes, the longest first."""
    domain = domain.lower()
    if domain.startswith("["):
        return [domain]
    labels = domain.split(".")
    return [domain] + ["." + ".".join(labels[at:]) for at in range(1, len(labels))]


def model(routes, login, sender, domain):
    """(line, the ids of the group); the nine lines of the manual, one after the other."""
    addresses = [sender_of(sender)] if sender else []
    domains = behind_at(sender_of(sender)) if sender else []
    lines = []
    if login is not None:
        full = [user_of(login)] + behind_at(user_of(login))
        lines += [(full + [None], addresses, suffixes(domain)), (full + [None], domains, suffixes(domain)),
                  (full, [None], suffixes(domain)), (full + [None], addresses, ["*"]), (full + [None], domains, ["*"]),
                  (full, [None], ["*"])]
    else:
        lines += [([], [], [])] * 6
    lines += [([None], [None], suffixes(domain)), ([None], [None], ["*"])]
    for number, (users, senders, destinations) in enumerate(lines, 1):
        for user in users:
            for mail_from in senders:
                for destination in destinations:
                    group = [route["id"] for route in routes if route.get("enabled", True)
                             and user_of(route.get("user")) == user and sender_of(route.get("mail_from")) == mail_from
                             and destination_of(route["destination"]) == destination]
                    if group:
                        return number, group
    return 9, []


# ---- random tables and mails -------------------------------------------------------------------------

def random_route(source, number, port, dead_port):
    route = {"destination": source.choice(DESTINATIONS), "priority": source.choice((1, 1, 1, 2, 3)),
             "weight": source.choice((1, 1, 1, 5)), "enabled": source.random() > 0.15, "tls": "none",
             "remote_host": f"127.1.{number // 250}.{number % 250 + 1}",
             "remote_port": dead_port if source.random() < 0.2 else port}
    if source.random() < 0.5:
        route["user"] = source.choice(USERS)
    if source.random() < 0.4:
        route["mail_from"] = source.choice(MAIL_FROMS)
    return route


def random_mail(source):
    login = source.choice(LOGINS) if source.random() < 0.75 else None
    if login and source.random() < 0.2:
        login = login.upper()
    domain = source.choice(DOMAINS)
    if source.random() < 0.2 and not domain.startswith("["):
        domain = domain.upper()
    return login, source.choice(SENDERS), f"r@{domain}"


@pytest.fixture
def sink():
    with Everywhere() as made:
        yield made
    assert not made.faults


def explained(control, mails):
    """What explain says of each mail, asked for in one go."""
    return control.call_many("routes.explain", [
        {"sender": sender, "recipient": recipient, **({"login": login} if login else {})}
        for login, sender, recipient in mails])


def shares(group, routes):
    """{id: its share of what is tried first}: by weight."""
    best = min(routes[route]["priority"] for route in group)
    first = [route for route in group if routes[route]["priority"] == best]
    total = sum(routes[route]["weight"] for route in first)
    return {route: routes[route]["weight"] / total for route in first}


def misexplained(said, line, group, routes):
    """What is wrong with an explanation; None: nothing."""
    if said["line"] != line:
        return f"line {said['line']}"
    if line == 9:
        return None
    hit = said["verdicts"][-1]
    if hit["reason"] != "hit" or sorted(hit["routes"]) != sorted(group):
        return f"the verdict {hit}"
    if sorted(route for entry in said["plan"] for route in entry["routes"]) != sorted(group):
        return f"the plan {said['plan']}"
    if [entry["priority"] for entry in said["plan"]] != sorted(entry["priority"] for entry in said["plan"]):
        return f"the order of {said['plan']}"
    expected = shares(group, routes)
    for entry in said["plan"]:
        share = sum(expected.get(route, 0) for route in entry["routes"])
        if share and abs(entry["share"] - share) > 1e-4:
            return f"the share of {entry}, which is {share}"
        remote = routes[entry["routes"][0]]
        if (entry["remote_host"], entry["remote_port"]) != (remote["remote_host"], remote["remote_port"]):
            return f"the remote of {entry}"
    return None


def expected(group, routes, port):
    """The remotes of which one must have it: of the lowest priority at which somebody listens."""
    alive = [route for route in group if routes[route]["remote_port"] == port]
    best = min((routes[route].get("priority", 1) for route in alive), default=None)
    return {routes[route]["remote_host"] for route in alive if routes[route].get("priority", 1) == best}


def disagreements(relayd, sink, source, size):
    """One table, MAILS mails."""
    routes = [random_route(source, number, sink.port, sink.dead_port) for number in range(size)]
    # An address literal without a route would be connected to.
    routes += [dict(random_route(source, size, sink.port, sink.dead_port), destination=literal, user=None,
                    mail_from=None, enabled=True) for literal in DOMAINS if literal.startswith("[")]
    mails = [random_mail(source) for _ in range(MAILS)]
    with relayd.control() as control:
        for route, added in zip(routes, control.call("routes.add", routes=routes)["routes"]):
            route["id"] = added["id"]
        explanations = explained(control, mails)
    relayd.stop()
    spool.write(relayd.state_dir, [(login, sender, [recipient.lower()])
                                   for login, sender, recipient in mails])
    relayd.log_file.write_bytes(b"")
    sink.came.clear()
    relayd.start()
    relayd.wait(lambda: {line.id for line in relayd.fates()} >= set(range(1, MAILS + 1)), "a fate for each mail")
    by_id = {route["id"]: route for route in routes}
    fates = {line.id: line for line in relayd.fates()}
    for number, (mail, said) in enumerate(zip(mails, explanations), 1):
        login, sender, recipient = mail
        line, group = model(routes, login, sender, recipient.rpartition("@")[2])
        what = misexplained(said, line, group, by_id)
        if what:
            yield f"{mail}: the model says line {line}, {group}; explain: {what}"
        hosts = expected(group, by_id, sink.port)
        came = sink.came.get(number, [])
        if len(came) > 1 or set(came) - hosts or (hosts and not came):
            yield f"{mail}: the model says line {line}, {group}, one of {hosts}; it came to {came}"
        event = "delivered" if hosts else "deferred" if group else None
        if event and fates[number].event != event:
            yield f"{mail}: {event} was expected: {fates[number].fields}"
        if (fates[number]["route"] == "mx") != (line == 9):
            yield f"{mail}: the model says line {line}: {fates[number].fields}"


@pytest.mark.parametrize("half", (1, 2))
def test_agree(make_relayd, sink, half):
    seed = os.environ.get("AGREE_SEED") or str(random.SystemRandom().randrange(1 << 32))
    print(f"AGREE_SEED={seed} AGREE_PAIRS={PAIRS}")
    source = random.Random(f"{seed}/{half}")
    relayd = make_relayd()
    lines = 0
    for _ in range(max(1, PAIRS // MAILS // 2)):
        size = source.choice((3, 10, 40, 120))
        wrong = list(disagreements(relayd, sink, source, size))
        assert not wrong, "\n".join(wrong[:20])
        with relayd.control() as control:
            ids = [route["id"] for route in control.call("routes.list", limit=1000)["routes"]]
            control.call("routes.del", ids=ids)
        lines += MAILS
    print(f"{lines} pairs agree")


# ---- the nine lines, one after the other -------------------------------------------------------------

def order(number):
    """
    All rules that fit the mail of client ann@x.example from s@p.example to r@b.a.d.example (with a number in each
    name), the first to win first: (line, what a route says).
    """
    login, user_domain = f"ann@x{number}.example", f"x{number}.example"
    sender, sender_domain = f"s@p{number}.example", f"p{number}.example"
    exact = [{"destination": name.format(number)} for name in ("b.a.d{}.example", ".a.d{}.example", ".d{}.example")]
    full, domain, any_login = {"user": login}, {"user": user_domain}, {}
    rules = []
    for line, users, more, destinations in (
            (1, (full, domain, any_login), {"mail_from": sender}, exact),
            (2, (full, domain, any_login), {"mail_from": sender_domain}, exact),
            (3, (full, domain), {}, exact),
            (4, (full, domain, any_login), {"mail_from": sender}, [{"destination": "*"}]),
            (5, (full, domain, any_login), {"mail_from": sender_domain}, [{"destination": "*"}]),
            (6, (full, domain), {}, [{"destination": "*"}]),
            (7, ({},), {}, exact)):
        rules += [(line, {**user, **more, **destination}) for user in users for destination in destinations]
    return rules


def test_each_rule_wins_where_those_before_it_are_missing(make_relayd, sink):
    """The table of relayd-routes(7), line by line: the mail with number n has no route for the first n rules."""
    count = len(order(0))
    assert count == 35
    routes, mails = [{"destination": "*", "remote_host": "127.1.255.1", "remote_port": sink.port}], []
    for number in range(count + 1):
        # The last to be added is the first to win: ids say nothing about order.
        routes += [{**rule, "remote_host": f"127.1.{number}.{place + 1}", "remote_port": sink.port}
                   for place, (_, rule) in reversed(list(enumerate(order(number)))) if place >= number]
        mails.append((f"Ann@X{number}.example", f"s@p{number}.example", f"r@b.a.d{number}.example"))
    relayd = make_relayd()
    with relayd.control() as control:
        control.call("routes.add", routes=[dict(route, tls="none") for route in routes])
        explanations = explained(control, mails)
    relayd.stop()
    spool.write(relayd.state_dir, [(login, sender, [recipient]) for login, sender, recipient in mails])
    relayd.start()
    relayd.wait(lambda: len(sink.came) == len(mails), "all have come")
    for number, said in enumerate(explanations):
        line, rule = order(number)[number] if number < count else (8, None)
        place = f"127.1.{number}.{number + 1}" if number < count else "127.1.255.1"
        assert sink.came[number + 1] == [place], (line, rule)
        assert said["line"] == line and said["plan"][0]["remote_host"] == place, (line, rule, said)


def test_whoever_has_not_logged_in_uses_three_lines(make_relayd, sink):
    """No route with a user or a sender is for them, whatever else fits."""
    routes = [{**rule, "remote_host": f"127.1.0.{place + 1}", "remote_port": sink.port, "tls": "none"}
              for place, (line, rule) in enumerate(order(0))]
    relayd = make_relayd()
    with relayd.control() as control:
        control.call("routes.add", routes=routes)
    queue_id = relayd.send(sender="s@p0.example", recipients=["r@b.a.d0.example"])
    seventh = next(place for place, (line, _) in enumerate(order(0)) if line == 7)
    assert relayd.fate(queue_id, "r@b.a.d0.example", "delivered")["remote"].startswith(f"127.1.0.{seventh + 1}[")
