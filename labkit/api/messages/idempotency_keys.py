"""The store of Idempotency-Keys, after draft-ietf-httpapi-idempotency-key-header-07.

no key --begin--> in flight, renewed while this process lives --finish--> answered, for `KEPT` seconds
   ^                |
   +---- give back, or the process has died
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from uuid import uuid4

from labkit.api.messages.redis_client import AsyncScript, asynchronous, close
from labkit.api.messages.topic_log import api_prefix
from labkit.errors import RedisRefused, RedisUnreachable
from labkit.lab.lab import Lab
from labkit.outage import Outage
from labkit.settings import Settings

log = logging.getLogger("labkit.api")

#: How long an answer is kept, in seconds.
KEPT = 24 * 3600.0
#: How long a key is in flight when its process has died, and how often a living process renews it, in seconds.
IN_FLIGHT, RENEWAL = 3.0, 1.0

# KEYS: key. ARGV: fingerprint, token, ms in flight. What is found, or "begun": also of one's own mark, which begins
# anew, and is set again where it has run out, as while Redis was away. A mark that would last longer than any was made
# before the clock was set back.
_BEGIN = """
local found = redis.call('HMGET', KEYS[1], 'fingerprint', 'token', 'answer')
if found[1] then
  if found[1] ~= ARGV[1] then return {'mismatch'} end
  if found[3] then return {'replay', found[3]} end
  if found[2] ~= ARGV[2] then
    if redis.call('PTTL', KEYS[1]) > tonumber(ARGV[3]) then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
    return {'in flight'}
  end
end
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'token', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return {'begun'}
"""

# KEYS: key. ARGV: fingerprint, token, answer, ms to keep it. Also where the mark has run out and nobody else has begun.
_FINISH = """
local found = redis.call('HMGET', KEYS[1], 'token', 'answer')
if found[2] or (found[1] and found[1] ~= ARGV[2]) then return 0 end
redis.call('HSET', KEYS[1], 'fingerprint', ARGV[1], 'token', ARGV[2], 'answer', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
"""

# KEYS: key. ARGV: token.
_GIVE_BACK = """
if redis.call('HGET', KEYS[1], 'token') ~= ARGV[1] or redis.call('HEXISTS', KEYS[1], 'answer') == 1 then return 0 end
return redis.call('DEL', KEYS[1])
"""


@dataclass(frozen=True, slots=True)
class Begun:
    """The request is to be performed, and then finished or given back."""


@dataclass(frozen=True, slots=True)
class Replay:
    """The request was performed before, and this was the answer."""

    answer: str


@dataclass(frozen=True, slots=True)
class InFlight:
    """The first request under this key is still being performed."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The key was used for another request."""


class IdempotencyKeys:
    """The keys, as one process sees them. Every call may raise `RedisUnreachable`. `aclose` at the end."""

    def __init__(self, lab: Lab, settings: Settings) -> None:
        self._client = asynchronous(lab.redis_url)
        self._prefix = f"{api_prefix(settings.topic_prefix)}key:"
        self._begin = AsyncScript(self._client, _BEGIN)
        self._finish = AsyncScript(self._client, _FINISH)
        self._give_back = AsyncScript(self._client, _GIVE_BACK)
        #: fingerprint and token of the request under each key that this process has, or is about to begin
        self._ours: dict[str, tuple[str, str]] = {}
        self._outage = Outage(log, "The store of Idempotency-Keys", "Redis", meanwhile="keys in flight run out")
        self._renewing: asyncio.Task[None] | None = None

    async def begin(self, key: str, fingerprint: str) -> Begun | Replay | InFlight | Mismatch:
        """Whether the request with this key is to be performed; `fingerprint` is what tells requests apart."""
        ours = self._ours.get(key)  # also where Redis has lost its mark
        if ours is None:
            return await self._begin_first(key, fingerprint)
        if ours[0] != fingerprint:
            return Mismatch()
        found = await self._ask(key, *ours)
        return InFlight() if isinstance(found, Begun) else found

    async def finish(self, key: str, answer: str) -> None:
        """Keep the answer. One that another process has given meanwhile, taking this one for dead, stays."""
        try:
            await self._finish([self._prefix + key], *self._ours[key], answer, round(KEPT * 1000))
        finally:
            del self._ours[key]  # not before: until the answer is there, no second one may begin

    async def give_back(self, key: str) -> None:
        """The request left nothing behind: the key may be used again; if Redis is away, when its time has run out."""
        _, token = self._ours.pop(key)
        await self._let_go(key, token)

    async def aclose(self) -> None:
        """Let go of the connection; what is in flight runs out."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        await close(self._client)

    async def _begin_first(self, key: str, fingerprint: str) -> Begun | Replay | InFlight | Mismatch:
        ours = self._ours[key] = (fingerprint, uuid4().hex)  # before Redis is asked, so that no second one begins
        try:
            found = await self._ask(key, *ours)
        except BaseException:
            del self._ours[key]
            raise
        if isinstance(found, Begun):
            self._keep_renewing()
        else:
            del self._ours[key]
        return found

    async def _let_go(self, key: str, token: str) -> None:
        try:
            await self._give_back([self._prefix + key], token)
        except (RedisUnreachable, RedisRefused) as error:  # why the request failed is what is to be told
            self._outage.begins(error)

    async def _ask(self, key: str, fingerprint: str, token: str) -> Begun | Replay | InFlight | Mismatch:
        """Set the mark, or let it begin anew; or what else is found."""
        found = await self._begin([self._prefix + key], fingerprint, token, round(IN_FLIGHT * 1000))
        if self._ours.get(key) != (fingerprint, token):  # it was given back meanwhile, and this has set it again
            await self._let_go(key, token)
        match found[0]:
            case b"begun":
                return Begun()
            case b"replay":
                return Replay(found[1].decode())
        return InFlight() if found[0] == b"in flight" else Mismatch()

    def _keep_renewing(self) -> None:
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.create_task(self._renew_all(), name="idempotency keys")

    async def _renew_all(self) -> None:
        while self._ours:
            await asyncio.sleep(RENEWAL)
            for key, ours in list(self._ours.items()):
                try:
                    await self._ask(key, *ours)
                except Exception as error:  # noqa: BLE001 - whatever it is, the others are to be renewed
                    self._outage.begins(error)
                else:
                    self._outage.ends()
