"""What the tests of studies share."""

import io

import pytest
from rich.console import Console


@pytest.fixture
def console() -> Console:
    """What is printed can be read with `console.file.getvalue()`."""
    return Console(file=io.StringIO(), width=250)
