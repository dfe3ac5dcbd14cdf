"""Bridges to serving engines: recording from running servers, exports, imports. No torch here."""
