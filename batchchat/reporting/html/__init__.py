"""The report as one page: what it shows, and how it is put together."""
