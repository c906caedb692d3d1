import errno
import sys
from pathlib import Path

import pytest

from export.child import run_child, telling_line
from export.errors import ConversionFailed, DiskFull
from export.space import disk_full_in_one_line, require_space


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_growth_is_heard_and_chatter_is_not_seen(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output, grown = tmp_path / "out", list[int]()
    code = f"print('chatter'); open({str(output)!r}, 'wb').write(b'x' * 1000)"
    run_child(_python(code), what="It", output=output, on_bytes=grown.append)
    assert sum(grown) == 1000
    assert capfd.readouterr() == ("", "")


def test_a_failure_is_one_line_with_what_says_most(tmp_path: Path) -> None:
    code = "import sys; print('ERROR: Model Foo is not supported', file=sys.stderr); print('bye'); sys.exit(3)"
    with pytest.raises(
        ConversionFailed, match=r"It failed \(exit code 3\): ERROR: Model Foo is not supported"
    ) as caught:
        run_child(_python(code), what="It", output=tmp_path / "out")
    assert "\n" not in caught.value.message


def test_a_crash_names_the_signal(tmp_path: Path) -> None:
    with pytest.raises(ConversionFailed, match="signal 4"):
        run_child(_python("import os, signal; os.kill(os.getpid(), signal.SIGILL)"), what="It", output=tmp_path / "out")


def test_an_interrupt_kills_the_child(tmp_path: Path) -> None:
    output = tmp_path / "out"
    code = f"import time; open({str(output)!r}, 'wb').write(b'x'); time.sleep(600)"

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # and not after ten minutes
        run_child(_python(code), what="It", output=output, on_bytes=interrupt)


def test_a_full_disk_is_one_line_wherever_it_is_met(tmp_path: Path) -> None:
    code = "raise OSError(28, 'No space left on device')"
    with pytest.raises(DiskFull):
        run_child(_python(code), what="It", output=tmp_path / "out")
    for error in (OSError(errno.ENOSPC, "x"), RuntimeError("I/O error: No space left on device (os error 28)")):
        with pytest.raises(DiskFull, match="nothing was kept"), disk_full_in_one_line(tmp_path):
            raise error
    with pytest.raises(ValueError, match="other"), disk_full_in_one_line(tmp_path):
        raise ValueError("other")
    with pytest.raises(DiskFull, match="needs about"):
        require_space(tmp_path, 1 << 60)


def test_telling_line() -> None:
    assert telling_line("a\nERROR: b\nc\n") == "ERROR: b"
    assert telling_line("a\n\nb\n") == "b"
    assert telling_line("") == "it said nothing"
