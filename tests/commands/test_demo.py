"""`mfer demo` before a page is served."""

from __future__ import annotations

import pytest
from commands.conftest import Mfer


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["checkpoint="], "checkpoint= has no value"),
        (["checkpoint=x", "uncertain=2"], "uncertain=2"),
        (["checkpoint=nowhere"], "There is no nowhere"),
        (["checkpoint=x", "port=0"], "port=0"),
        (["checkpoint=x", "port=http"], "a whole number"),
        (["checkpoint=x", "max_pixels=0"], "max_pixels=0"),
        (["checkpoint=x", "share=true"], "There is no option `share`"),
        (["checkpoint=x,y", "-m"], "does not support -m"),
    ],
)
def test_invalid_arguments_raise_one_clear_error(
    mfer: Mfer, capsys: pytest.CaptureFixture, arguments: list[str], said: str
) -> None:
    assert mfer("demo", *arguments) == 2
    assert said in capsys.readouterr().err
