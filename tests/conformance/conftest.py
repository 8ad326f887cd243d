"""What tests of conformance share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.pure_stage import PureStage
from tests.conformance.real_stage import RealStage
from tests.conformance.stage import Stage


@pytest.fixture(params=["pure", pytest.param("real", marks=pytest.mark.process)])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A stage for a scene about a supervisor: every scene is played on both."""
    if request.param == "pure":
        yield PureStage()
        return
    real = RealStage(tmp_path)
    yield real
    real.close()
