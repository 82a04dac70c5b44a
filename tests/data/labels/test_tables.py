"""The reader of all label files: encodings, separators, headers, lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from data.layout_trees import write_affectnet_csv, write_rafdb
from data.trees import write_ferplus, write_ferplus_pair

from mfer_lightning.data.datasets.affectnet import read_affectnet
from mfer_lightning.data.datasets.ferplus import read_ferplus
from mfer_lightning.data.datasets.rafdb import read_rafdb
from mfer_lightning.data.labels.columns import find_columns
from mfer_lightning.data.labels.table_head import HEAD, read_head, read_lines
from mfer_lightning.data.labels.tables import Table, check_name, read_table
from mfer_lightning.errors import UserError


def read(path: Path, content: str | bytes, **options) -> Table:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    head = read_head(path)
    return read_table(head, skip_header=head.has_header, **options)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", " "])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("header", ["image{s}label", ""])
def test_separators_and_line_endings(tmp_path: Path, separator: str, end: str, header: str) -> None:
    lines = [header.format(s=separator), "a.jpg{s}sad", "", "b.jpg{s}happy"][not header :]
    table = read(tmp_path / "t", end.join(line.format(s=separator) for line in lines))
    assert table.head.separator == separator
    assert list(table.columns.values()) == [["a.jpg", "b.jpg"], ["sad", "happy"]]
    assert list(table.lines) == ([2, 4] if header else [1, 3])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    table = read(tmp_path / "t", "image;label\nZoë.jpg;Überraschung\n".encode(encoding))
    assert list(table.columns.values()) == [["Zoë.jpg"], ["Überraschung"]]
    assert table.notes == (
        ("t is not UTF-8 and was read as Latin-1: check its accented letters",) * (encoding == "latin-1")
    )
    assert read_lines(tmp_path / "t")[1] == "Zoë.jpg;Überraschung"


def test_invalid_utf8_far_into_the_file_is_read_as_latin1(tmp_path: Path) -> None:
    rows = "".join(f"{i:06d}.jpg,sad\n" for i in range(HEAD // 10)).encode()
    table = read(tmp_path / "t", b"image,label\n" + rows + "Zoë.jpg,joy\n".encode("latin-1"))
    assert table.columns[0][-1] == "Zoë.jpg"
    assert table.notes


def test_multibyte_character_at_the_end_of_the_head_is_read(tmp_path: Path) -> None:
    start = b"image,label\n" + b"a" * (HEAD - 12 - 5 - 1) + b".jpg,"
    assert len(start) == HEAD - 1
    assert read(tmp_path / "t", start + "ü\nb.jpg,sad\n".encode()).columns[1] == ["ü", "sad"]


def test_values_are_kept_as_text(tmp_path: Path) -> None:
    table = read(tmp_path / "t", "image,a,b,c,d\n1.jpg,007,1e3,NA,None\n2.jpg,True,3.0,,null\n")
    assert [table.columns[i] for i in range(1, 5)] == [["007", "True"], ["1e3", "3.0"], ["NA", ""], ["None", "null"]]


def test_quoted_fields_may_contain_separators_and_quotes(tmp_path: Path) -> None:
    table = read(tmp_path / "t", 'image,label\n"a, b.jpg","say ""x"""\n')
    assert [table.columns[0], table.columns[1]] == [["a, b.jpg"], ['say "x"']]


def test_fields_may_contain_other_separators(tmp_path: Path) -> None:
    assert read(tmp_path / "t", "1/a b.jpg,1.0;2.0;3.0,3\n1/c d.jpg,1.0;2.0;3.0,4\n").width == 3
    assert read(tmp_path / "t", "a.jpg;0,5\nb.jpg;0,25\n").columns[1] == ["0,5", "0,25"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a.jpg,1\nb.jpg,2,3\n", "line 2: expected 2 fields, but got '3 fields'"),
        ("a.jpg,1\n" * 200 + "b.jpg,2,3\n", "line 201: expected 2 fields, but got '3 fields'"),
        ("a.jpg,1\n" * 200 + "b.jpg,2,3,4\n", "line 201: expected 2 fields, but got '4 fields'"),
        ("image,label\na.jpg,1,2,3\n", "line 2: expected 2 fields, but got '4 fields'"),
        ('a.jpg,1\n"b.jpg,2\n', "line 2: not a csv row"),
        ("", "is empty"),
        (" \n\n", "is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0", "not a text file"),
        (b"PK\x03\x04abc", "not a text file"),
        (b"\xff\xfea", "not a text file"),
        (b"\xff\xd8\xff\xe0\xff", "not a text file"),
    ],
)
def test_invalid_tables_are_rejected(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(tmp_path / "t", content)


def test_first_row_of_numbers_is_not_a_header(tmp_path: Path) -> None:
    assert read(tmp_path / "t", "00001,3\n00002,4\n").columns == {0: ["00001", "00002"], 1: ["3", "4"]}
    assert len(read(tmp_path / "t", "0,1\na.jpg,4\n")) == 1  # a header: pandas numbers columns that have no names


def test_header_without_rows_is_empty(tmp_path: Path) -> None:
    assert len(read(tmp_path / "t", "image,label\n")) == 0


def test_trailing_separator_is_allowed(tmp_path: Path) -> None:
    assert read(tmp_path / "t", "image,label,\na.jpg,sad,\nb.jpg,joy,\n").columns[1] == ["sad", "joy"]


def test_unused_columns_are_skipped(tmp_path: Path) -> None:
    table = read(tmp_path / "t", "image,big,label\na.jpg,1;2,sad\nb.jpg,1;2,joy\n", use=[0, 2])
    assert table.columns == {0: ["a.jpg", "b.jpg"], 2: ["sad", "joy"]}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("image,label,Usage\n1,2,3\n", {"path": 0, "label": 1, "split": 2}),
        ("Emotion Label;Image_Name\n", {"path": 1, "label": 0}),
        ("sad 1.jpg\n", {"path": 1, "label": 0}),
        ("1.jpg,train,3\n2.jpg,test,4\n", {"path": 0, "split": 1, "label": 2}),
    ],
)
def test_column_roles_are_detected(tmp_path: Path, content: str, expected: dict) -> None:
    (tmp_path / "t").write_text(content)
    assert find_columns(read_head(tmp_path / "t")) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [("./a.jpg", "a.jpg"), ("a//b.jpg", "a/b.jpg"), ("a\\b.jpg", "a/b.jpg"), (" a b.jpg ", "a b.jpg"), ("", "")],
)
def test_file_names_are_normalised(name: str, expected: str) -> None:
    assert check_name(name, Path("t"), 1) == expected


def rewrite(path: Path, separator: str, encoding: str, header: str = "") -> None:
    lines = [header] * bool(header) + path.read_text().splitlines()
    path.write_bytes("\r\n".join(line.replace(" ", separator) for line in lines).encode(encoding))


@pytest.mark.parametrize("form", [("\t", "utf-16"), (",", "utf-8-sig"), (";", "utf-8", "image label"), (" ", "utf-8")])
def test_rafdb_list_is_read_with_the_table_reader(tmp_path: Path, form: tuple) -> None:
    before = read_rafdb(write_rafdb(tmp_path))
    rewrite(tmp_path / "EmoLabel" / "list_patition_label.txt", *form)
    assert read_rafdb(tmp_path).fingerprint() == before.fingerprint()


def test_ferplus_lists_are_read_with_the_table_reader(tmp_path: Path) -> None:
    root = write_ferplus(tmp_path / "f", {"train": 16, "val": 8})
    before = read_ferplus(root).fingerprint()
    for path in root.glob("*/label.csv"):
        rows = [line.replace('"(0, 0, 48, 48)"', "box").replace(",", "\t") for line in path.read_text().splitlines()]
        path.write_bytes("\n".join(rows).replace("\t7\t", "\t7.0\t").encode("utf-16"))
    assert read_ferplus(root).fingerprint() == before
    write_ferplus_pair(tmp_path / "p")
    before = read_ferplus(tmp_path / "p").fingerprint()
    rewrite(tmp_path / "p" / "fer2013new.csv", " ", "utf-8-sig")
    assert read_ferplus(tmp_path / "p").fingerprint() == before


def test_affectnet_lists_are_read_with_the_table_reader(tmp_path: Path) -> None:
    before = read_affectnet(write_affectnet_csv(tmp_path, 16, 8)).fingerprint()
    for name in ("training.csv", "validation.csv"):
        path = tmp_path / name
        rows = [line.split(",") for line in path.read_text().splitlines()]
        for row in rows[1:]:
            row[6] += ".0"  # as pandas writes integers in a column with missing values
            row[0] = f"{tmp_path}/Manually_Annotated_Images/{row[0]}"
        path.write_bytes("\r\n".join("\t".join(row) for row in rows).encode("utf-16"))
    assert read_affectnet(tmp_path).fingerprint() == before


@pytest.mark.parametrize("header", ["image;emotion\n", ""])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_excel_separator_line_is_skipped(tmp_path: Path, header: str, encoding: str) -> None:
    text = f"sep=;\n{header}a,b.jpg;anger\nc.jpg;fear\n"
    table = read(tmp_path / "labels.csv", text.encode(encoding))
    assert table.columns == {0: ["a,b.jpg", "c.jpg"], 1: ["anger", "fear"]}
    assert table.lines == ([3, 4] if header else [2, 3])
