"""How much one request may bring."""

from __future__ import annotations

#: The largest body, in bytes; a full batch of messages of ordinary length fits.
MAX_BODY = 1_000_000
#: The most messages in one request.
MAX_BATCH = 500
#: The longest title and body of a message, in characters; any character takes up to 4 bytes, escaped up to 12.
MAX_TITLE, MAX_TEXT = 200, 20_000
