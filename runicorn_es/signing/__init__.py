"""Signed heads of the log: the note they are written in, the keys that sign them, and whom to believe."""

from runicorn_es.signing.checkpoint import Head, Trust, claimed_head
from runicorn_es.signing.keys import Keys, Retired, Signer

__all__ = ["Head", "Keys", "Retired", "Signer", "Trust", "claimed_head"]
