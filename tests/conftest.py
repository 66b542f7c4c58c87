"""What all tests share: machines are noisy, so that no example of a property has a deadline."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("house", deadline=None)
settings.load_profile("house")
