"""Any text as a part of a subject, which can hold few characters."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode

PLAIN = re.compile(r"[A-Za-z0-9_-]{1,128}")


def token_of(text: str) -> str:
    """Return *text* as a part of a subject."""
    if PLAIN.fullmatch(text):
        return text
    return f"={urlsafe_b64encode(text.encode('utf-8', 'surrogatepass')).decode().rstrip('=')}"


def text_of(token: str) -> str:
    """Return the text of which `token_of` has made *token*."""
    if not token.startswith("="):
        return token
    coded = token[1:]
    return urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode("utf-8", "surrogatepass")
