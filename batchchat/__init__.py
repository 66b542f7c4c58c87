"""batchchat: concurrent chat completions over files, with a journal and a true bill."""

__all__ = ["__version__"]

__version__ = "0.1.0"
