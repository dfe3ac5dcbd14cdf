"""Decodes with real models, drafting and verifying."""

from hedgespec.live.decode import Answer, LiveDecoder, Round

__all__ = ["Answer", "LiveDecoder", "Round"]
