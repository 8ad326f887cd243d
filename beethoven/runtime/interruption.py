"""Whether an exception is a signal handler's, which may come in the middle of anything."""

import signal


def is_of_handler(error: BaseException) -> bool:
    """Return whether an exception has left a handler of signals that is set in this process."""
    codes = {
        getattr(signal.getsignal(number), "__code__", None) for number in signal.valid_signals()
    } - {None}
    frames = error.__traceback__
    while frames is not None:
        if frames.tb_frame.f_code in codes:
            return True
        frames = frames.tb_next
    return False
