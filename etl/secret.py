"""A secret that does not print, and text cleaned of it (promise P10)."""

from __future__ import annotations

MASK = "***"
# Shorter pieces of a key are ordinary words and numbers; masking those would garble every message.
SHORTEST_PIECE = 6


class Secret:
    """A string that shows as `***` wherever it is printed, logged or dumped."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Give the secret itself, for the one header that carries it."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")

    def redact(self, text: str) -> str:
        """
        Mask the secret in `text`, and every piece of it that is six characters or longer.

        In capitals or not: whoever takes it for the name of a host writes it small.
        """
        value = self._value.lower()
        if not value:
            return text
        size = min(SHORTEST_PIECE, len(value))
        start = 0
        while start <= len(text) - size:
            if text[start : start + size].lower() not in value:
                start += 1
                continue
            end = start + size
            while end < len(text) and text[start : end + 1].lower() in value:
                end += 1
            text = f"{text[:start]}{MASK}{text[end:]}"
            start += len(MASK)
        return text
