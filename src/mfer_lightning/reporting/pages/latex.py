"""Escape text for LaTeX, so that the document compiles with any name."""

from __future__ import annotations

import unicodedata

_SPECIAL = {
    "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}", "[": "{[}", "]": "{]}",
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "|": r"\textbar{}",
    "<": r"\textless{}", ">": r"\textgreater{}", '"': r"\textquotedbl{}", "`": r"\textasciigrave{}",
    "±": r"$\pm$", "−": r"$-$", "×": r"$\times$", "·": r"$\cdot$",
    "▲": r"$\blacktriangle$", "▼": r"$\blacktriangledown$", "●": r"$\bullet$", "◆": r"$\blacklozenge$",
    "–": "--", "—": "---", "’": "'", "…": r"\ldots{}",
}  # fmt: skip


def latex(text: object) -> str:
    r"""Escape text for pdflatex.

    Characters other than ASCII, Latin-1 letters and the symbols in the table above become question marks, because the
    standard fonts may lack them.

    Example:
        >>> latex("5% ± 1_a")
        '5\\% $\\pm$ 1\\_a'
    """
    found = []
    for character in unicodedata.normalize("NFC", str(text)):
        if character in _SPECIAL:
            found.append(_SPECIAL[character])
        elif character.isspace():
            found.append(" ")
        elif " " <= character <= "~" or "À" <= character <= "ÿ":
            found.append(character)
        else:
            found.append("?")
    return "".join(found)
