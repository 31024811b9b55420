"""Ids of messages: the model, what is drawn, and the ways to make one that does not last."""

import json
from datetime import UTC, datetime, timedelta, timezone
from uuid import NAMESPACE_URL, UUID, uuid3, uuid5

FIELDS = ["timestamp", "title", "body", "author", "topic"]
PLAIN = ["Order {}", "Invoice {}", "Report {}"], ["Two coffees", "One tea", "Nothing", "To whom it may concern"]
LETTERED = (
    ["Bestellung Nr. {} für Zoë", "№ {}", "注文 {}"],
    ["Zwei Kaffee, süß", 'Ein Stück "Torte" — 3 €', "Пирог", ""],
)


def drawn(rng, texts, zones, microseconds):
    titles, bodies = texts
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=rng.randrange(500_000))
    moment = moment.replace(second=rng.randrange(60), microsecond=microseconds)
    message = {
        "timestamp": moment.astimezone(timezone(timedelta(hours=rng.choice(zones)))).isoformat(),
        "title": rng.choice(titles).format(rng.randrange(1, 1000)),
        "body": rng.choice(bodies),
        "author": str(UUID(int=rng.getrandbits(128), version=4)),
        "topic": rng.choice(["orders", "invoices", "mails"]),
    }
    return str(UUID(int=rng.getrandbits(128), version=4)), {name: message[name] for name in rng.sample(FIELDS, 5)}


def plain_message(rng):
    return drawn(rng, PLAIN, [0], rng.randrange(1, 1_000_000))


def any_message(rng):
    return drawn(rng, rng.choice([PLAIN, LETTERED]), [0, 1, 2, -5, 9], rng.choice([0, rng.randrange(1_000_000)]))


def moment_of(message, zone=UTC, timespec="microseconds"):
    return datetime.fromisoformat(message["timestamp"]).astimezone(zone).isoformat(timespec=timespec)


def canonical(message):
    return {**message, "timestamp": moment_of(message)}


def made(namespace, value, version=uuid5, **options):
    options = {"ensure_ascii": False, "separators": (",", ":"), **options}
    return str(version(UUID(namespace), json.dumps(value, **options)))


def listed(message, names=FIELDS):
    message = canonical(message)
    return [message[name] for name in names]


def answer(namespace, message):
    return made(namespace, listed(message))


def in_the_order_they_came(namespace, message):
    return made(namespace, list(canonical(message).values()))


def as_it_came(namespace, message):
    return made(namespace, message)


def sorted_by_name(namespace, message):
    return made(namespace, canonical(message), sort_keys=True)


def moment_as_written(namespace, message):
    return made(namespace, [message[name] for name in FIELDS])


def moment_in_its_zone(namespace, message):
    moment = datetime.fromisoformat(message["timestamp"]).isoformat(timespec="microseconds")
    return made(namespace, [moment, *listed(message)[1:]])


def short_moment(namespace, message):
    return made(namespace, [moment_of(message, timespec="auto"), *listed(message)[1:]])


def with_blanks(namespace, message):
    return made(namespace, listed(message), separators=(", ", ": "))


def escaped(namespace, message):
    return made(namespace, listed(message), ensure_ascii=True)


def without_topic(namespace, message):
    return made(namespace, listed(message, FIELDS[:4]))


def of_the_text(namespace, message):
    return made(namespace, listed(message, ["title", "body", "topic"]))


def version_3(namespace, message):
    return made(namespace, listed(message), uuid3)


def in_another_namespace(namespace, message):
    return made(str(NAMESPACE_URL), listed(message))
