"""The version of hedgespec, as results name it."""

__version__ = "0.1.0"
