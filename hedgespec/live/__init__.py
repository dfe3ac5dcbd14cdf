"""Decodes with real models, drafting and verifying."""

from hedgespec.live.decode import speculative_decode

__all__ = ["speculative_decode"]
