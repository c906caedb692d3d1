from _thread import interrupt_main
from functools import partial
from operator import methodcaller

import pytest

pytest.importorskip("llama_cpp")


@pytest.mark.usefixtures("heeds_ctrl_c")
def test_ctrl_c_is_not_lost_in_llama_cpps_log() -> None:
    from export.llama import NO_LOG

    llama_cpp_is_interrupted_and_logs = (interrupt_main, partial(NO_LOG, 0, b"loading", None))
    with pytest.raises(KeyboardInterrupt):
        list(map(methodcaller("__call__"), llama_cpp_is_interrupted_and_logs))  # no line of Python runs between
