"""Explain errors in the user's YAML files that Hydra reports without naming the file."""

from __future__ import annotations

import traceback

import yaml

_READER, _COMPOSER = "file_config_source.py", "config_loader_impl.py"


def explain_file(error: BaseException) -> str | None:
    """Explain an error that was raised while Hydra read a YAML file, or composed files.

    Args:
        error: the error, with its traceback.

    Returns:
        One message with the file and the line, if known; None if the error was raised elsewhere.
    """
    frames = [(str(frame.f_code.co_filename), frame) for frame, _ in traceback.walk_tb(error.__traceback__)]
    path = next((frame.f_locals.get("full_path") for name, frame in frames if name.endswith(_READER)), None)
    if path is None and not any(name.endswith(_COMPOSER) for name, _ in frames):
        return None
    if path is None:
        return (
            f"The configuration cannot be composed: {_reason(error)}. Compare your YAML files (--config-dir) with "
            "those in conf/."
        )
    line = ""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        line = f", line {error.problem_mark.line + 1}"
    return f"{path}{line}: this is not a valid YAML file ({_reason(error)}). Correct the file, or choose another file."


def _reason(error: BaseException) -> str:
    """Summarise what is wrong in a few words."""
    if isinstance(error, UnicodeError):
        return "it is not UTF-8 text"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    marked = error.problem or error.context if isinstance(error, yaml.MarkedYAMLError) else None
    words = " ".join((marked or str(error)).split()) or type(error).__name__
    return words.rstrip(".") if len(words) <= 160 else f"{words[:157]}..."
