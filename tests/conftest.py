"""What holds for all tests.

Properties try the same examples in every run, so that a gate is red for a reason of the change in front of it. To look
for new counterexamples: `HYPOTHESIS=explore ./botctl test`.
"""

import os

import pytest
from hypothesis import settings

settings.register_profile("gate", derandomize=True, deadline=None)
settings.register_profile("explore", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS", "gate"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long ones; the others keep their order."""
    items.sort(key=lambda each: each.get_closest_marker("long") is None)
