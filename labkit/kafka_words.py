"""What an error of Kafka's protocol says, in words for whoever meets it, whichever client library has brought it.

The numbers are those of the protocol (https://kafka.apache.org/protocol#protocol_error_codes). For those that are not
here, what the library says of them is taken, without its names and numbers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

#: Of each number what it says, and what to do.
SENTENCES: Mapping[int, str] = {
    -1: "the broker met an error of its own; `labkit logs` shows it",
    1: "the offset is not on the topic any more, or not yet",
    2: "the record was damaged on its way, or has no key on a compacted topic; send it again, with a key",
    3: "there is no such topic or partition; `labkit topics list` shows those there are",
    10: "the record is larger than the broker takes (`max.message.bytes` of the topic)",
    16: "another broker looks after this group now; try again in a moment",
    17: "the name is none that a topic may have, or it is one of Kafka's own topics; take letters, digits, dots, "
    "hyphens and underscores",
    18: "the records are more at once than the broker takes; send fewer at a time",
    19: "too few brokers are there to keep a copy each; start the others (`labkit status` shows them)",
    21: "the broker does not know this number of acknowledgements; take LABKIT_ACKS=all, 1 or 0",
    22: "the group was shared out anew meanwhile; join it again",
    23: "the members of the group share its partitions by different rules; end the other program, or take another one",
    24: "the name is none that a group may have",
    25: "the group does not know this member any more; join it again",
    26: "the session time-out is not among those that the broker allows",
    27: "the group is being shared out anew; try again in a moment",
    28: "more text was to be committed than the broker takes (`offset.metadata.max.bytes`)",
    29: "this user may not use the topic; ask for the right to, or log in as another",
    30: "this user may not use the group; ask for the right to, or log in as another",
    31: "this user may not change the cluster; ask for the right to, or log in as another",
    32: "the time of the record is further from now than the topic allows",
    33: "the broker does not know this way to log in; see LABKIT_SASL_MECHANISM",
    34: "the login was cut short; see LABKIT_SECURITY_PROTOCOL",
    35: "the broker is of another version than this needs",
    36: "there is a topic of that name already",
    37: "the number of partitions cannot be; it is 1 or more, and grows only",
    38: "there are fewer brokers than copies were asked for",
    39: "the copies cannot be placed as asked",
    40: "a setting of the topic is none, or has a value that it cannot have",
    41: "this broker does not lead the cluster; try again in a moment",
    42: "the request does not fit the broker, which may be of another version",
    44: "a policy of the cluster does not allow it",
    45: "the records came out of order; send them again",
    46: "a record came twice and was kept once",
    47: "another client works under this transactional id now",
    49: "the broker has forgotten this transactional id; begin again",
    50: "the transaction may not take so long on this broker (`transaction.max.timeout.ms`)",
    51: "a transaction before it is not finished yet; try again in a moment",
    53: "this user may not use the transactional id; ask for the right to, or log in as another",
    54: "this broker checks no rights",
    56: "the broker cannot write to its disk; is it full? `labkit logs` shows it",
    58: "the broker takes this name and password for none; see LABKIT_SASL_USERNAME and LABKIT_SASL_PASSWORD",
    60: "another change of these partitions is not finished yet; try again in a moment",
    67: "the group is not empty, or there is none of that name",
    68: "the group still has members; stop them first",
    69: "there is no group of that name; `labkit groups list` shows those there are",
    73: "the topics may not be deleted on this broker (`delete.topic.enable`)",
    79: "the group waits for this member to join with a number of its own; try again in a moment",
    81: "the group is full (`group.max.size`)",
    82: "another member works under this name now",
    86: "a member still reads this topic; stop it first",
    87: "the record is none that the topic takes; on a compacted topic it needs a key",
    89: "the broker asks for fewer requests at a time; try again in a moment",
    90: "another client works under this transactional id now",
    100: "there is no topic of that id; it was deleted, or made anew",
    111: "another member has taken over; join the group again",
    121: "the record was given to another, or its lock is over",
}

#: How kafka-python begins what it says, and librdkafka what it says of every error of that number.
_HEAD = re.compile(r"^(\[Error [^\]]*\] )?(\w+Error(: |$))?(None$)?")
_OF_NUMBER = re.compile(r"^(Broker|Local): ")
#: What librdkafka says, inside of an exception.
_INSIDE = re.compile(r'KafkaError\{.*?str="(.*)"\}', re.DOTALL)


def in_words(code: int | None, said: str, described: str = "") -> str:
    """What the error of this number says, without a full stop, names and numbers.

    `said` is what the client library has to say of this very error: that goes first, where it is from the broker.
    `described` is what the library says of every error of that number.
    """
    inside = _INSIDE.search(said)
    own = _HEAD.sub("", said if inside is None else inside[1]).strip()
    if own and not _OF_NUMBER.match(own):
        return own.rstrip(".")
    known = None if code is None else SENTENCES.get(code)
    return known or _OF_NUMBER.sub("", own or described).rstrip(".") or "it does not say why; `labkit logs` may"
