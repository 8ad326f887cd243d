import math

import pytest

from beethoven import clock
from beethoven.runtime.deadlines import call_by, pack_moment, request_in_time, unpack_moment


@pytest.mark.parametrize("moment", [0.0, -1.5, 12345.678, math.inf])
def test_a_moment_comes_back_as_it_was(moment):
    assert unpack_moment(pack_moment(moment)) == moment
    assert unpack_moment(bytearray(call_by(moment, b"request"))) == moment


def test_a_request_in_time_is_there_without_being_copied():
    payload = call_by(clock.elapsed() + 60, b"request")
    request = request_in_time(payload)
    assert request is not None
    assert bytes(request) == b"request"
    assert request.obj is payload


def test_one_that_is_late_is_not_there():
    assert request_in_time(call_by(clock.elapsed() - 0.001, b"request")) is None
    assert request_in_time(call_by(-math.inf, b"request")) is None


def test_a_moment_that_is_no_number_never_comes():
    assert request_in_time(call_by(math.nan, b"request")) is not None


@pytest.mark.parametrize("payload", [b"", b"1234567", bytearray(7)])
def test_what_is_too_short_for_a_moment_is_refused(payload):
    with pytest.raises(ValueError, match="expected a moment of 8 bytes"):
        request_in_time(payload)
