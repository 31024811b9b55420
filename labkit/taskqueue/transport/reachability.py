"""Why a cluster cannot be reached, in words.

Client libraries only say that time is up. These functions try the addresses with plain sockets and tell a wrong
name from a closed port, and a certificate that is not trusted from a server that speaks no TLS.
"""

from __future__ import annotations

import socket
import ssl

from labkit.errors import BrokerUnreachable, NotAuthorized, SettingsError, TransportError
from labkit.lab.connection import Connection

#: How long one address may take to answer when the reason for a failure is looked for, in seconds.
_ADDRESS_TIMEOUT = 2.0


#: What to do about a broker that does not acknowledge in time.
SLOW_BROKER = (
    "Is the broker away, or does it have too much to do (`labkit status`)? Wait once more; what it has not "
    "acknowledged after LABKIT_DELIVERY_TIMEOUT seconds is refused."
)


def ssl_context(connection: Connection) -> ssl.SSLContext | None:
    """What TLS to speak, None for none; raises `SettingsError` for files that do not fit."""
    if not connection.security_protocol.endswith("SSL"):
        return None
    try:
        context = ssl.create_default_context(cafile=connection.ssl_ca_file)
        if connection.ssl_cert_file is not None:
            context.load_cert_chain(connection.ssl_cert_file, connection.ssl_key_file)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(
            f"The certificates could not be read: {error}. LABKIT_SSL_CA_FILE, LABKIT_SSL_CERT_FILE and "
            "LABKIT_SSL_KEY_FILE must name PEM files."
        ) from error
    return context


def reason(connection: Connection) -> str | None:
    """Why none of the addresses can be reached, one sentence for each; None when one of them can."""
    sentences = []
    for address in connection.bootstrap_servers.split(","):
        sentence = _try(address.strip(), ssl_context(connection))
        if sentence is None:
            return None
        sentences.append(sentence)
    return " ".join(sentences)


def unreachable(connection: Connection) -> BrokerUnreachable:
    """The error for a cluster that did not answer in time, with the address and what to do."""
    why = reason(connection) or (
        "It accepts connections, but gave no answer in time. It may be starting or overloaded (see `labkit status` and "
        f"`labkit logs`), or its listener does not speak {connection.security_protocol} (LABKIT_SECURITY_PROTOCOL)."
    )
    return BrokerUnreachable(f"Kafka at {connection.bootstrap_servers} does not answer. {why}")


def refused(connection: Connection, error: object) -> NotAuthorized:
    """The error for a cluster that does not let this user in."""
    user = f" for the user {connection.sasl_username!r}" if connection.sasl_username else ""
    return NotAuthorized(
        f"Kafka at {connection.bootstrap_servers} refused the request{user}: {error}. "
        "Check LABKIT_SASL_MECHANISM, LABKIT_SASL_USERNAME and LABKIT_SASL_PASSWORD, and the user's rights."
    )


def other_rule(connection: Connection) -> TransportError:
    """The error for a group that shares out partitions by another rule, which its first member has brought, or in which
    every member reads all of them.
    """
    return TransportError(
        f"Kafka at {connection.bootstrap_servers} refused the request: the group has members of another program, which "
        "share its partitions by another rule than round robin, or it is a share group. End them, or take a group of "
        "another name."
    )


def _try(where: str, context: ssl.SSLContext | None) -> str | None:
    host, _, port = where.rpartition(":")
    host = host.strip("[]")  # around an IPv6 address
    if not host or not port.isdecimal():
        return f"{where!r} is not an address; write host:port."
    try:
        with socket.create_connection((host, int(port)), timeout=_ADDRESS_TIMEOUT) as sock:
            if sock.getsockname() == sock.getpeername():  # TCP has connected it to itself, as nobody listens
                raise ConnectionRefusedError
            if context is not None:
                context.wrap_socket(sock, server_hostname=host).close()
    except socket.gaierror as error:
        return f"The name {host!r} is not known here ({error.strerror})."
    except ConnectionRefusedError:
        return f"Nothing listens at {where}. Is the lab running? `labkit status` tells."
    except TimeoutError:
        return f"Nothing answered at {where} within {_ADDRESS_TIMEOUT:g} s. Is the address right?"
    except ssl.SSLCertVerificationError as error:
        return (
            f"The certificate of {where} is not trusted: {error.verify_message}. Set LABKIT_SSL_CA_FILE to the "
            "certificate of the authority that signed it, and use the host name that stands in it."
        )
    except ssl.SSLError as error:
        return f"{where} could not agree on TLS ({error.reason}). Is LABKIT_SECURITY_PROTOCOL right?"
    except OSError as error:
        return f"{where} cannot be reached: {error}."
    return None
