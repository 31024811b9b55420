"""Values of a declared type, read by msgspec in any thread.

msgspec works out how a struct is read when it is first to be read, and lets another thread use what is only half
worked out: that ends the whole process by SIGSEGV (`StructInfo_Convert` of msgspec 0.22, a Python call of which lets
other threads run). So everything here works out a type under a lock, once, before it is used.
"""

from __future__ import annotations

from typing import Any, TypeVar, overload

import msgspec

from labkit.fork_lock import lock_of_module

T = TypeVar("T")

# A process that is forked in the middle would have the half of it for ever.
_LOCK = lock_of_module()
_WORKED_OUT: set[Any] = set()


def _work_out(kind: Any) -> None:
    if kind not in _WORKED_OUT:
        with _LOCK:
            msgspec.json.Decoder(kind)
            _WORKED_OUT.add(kind)


def json_decoder(kind: type[T]) -> msgspec.json.Decoder[T]:
    """A decoder of JSON to this type."""
    _work_out(kind)
    return msgspec.json.Decoder(kind)


def msgpack_decoder(kind: type[T]) -> msgspec.msgpack.Decoder[T]:
    """A decoder of MessagePack to this type."""
    _work_out(kind)
    return msgspec.msgpack.Decoder(kind)


@overload
def typed(values: object, kind: type[T]) -> T: ...
@overload
def typed(values: object, kind: Any) -> Any: ...
def typed(values: object, kind: Any) -> Any:
    """Plain values as one of this type; raises `msgspec.ValidationError`."""
    _work_out(kind)
    return msgspec.convert(values, kind)


@overload
def typed_json(content: bytes | str, kind: type[T]) -> T: ...
@overload
def typed_json(content: bytes | str, kind: Any) -> Any: ...
def typed_json(content: bytes | str, kind: Any) -> Any:
    """JSON as one of this type; raises `msgspec.DecodeError` and `UnicodeDecodeError`."""
    _work_out(kind)
    return msgspec.json.decode(content, type=kind)


def typed_toml(content: bytes, kind: type[T]) -> T:
    """TOML as one of this type; raises `msgspec.DecodeError` and `UnicodeDecodeError`."""
    _work_out(kind)
    return msgspec.toml.decode(content, type=kind)
