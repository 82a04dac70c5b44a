"""Heads: counts, which channels each sees, legal arguments."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import gelu, linear

from mfer_lightning.nn.head import LinearHead, MultiscaleHead


def test_paper_heads_have_1_918_997_parameters():
    widths = (512, 768, 1024)
    assert sum(p.numel() for p in MultiscaleHead(1024, 7).parameters()) == sum(n * n + n + 7 * n + 7 for n in widths)
    assert sum(n * n + n + 7 * n + 7 for n in widths) == 1_918_997


def naive(head: MultiscaleHead, shares: list[torch.Tensor]) -> list[torch.Tensor]:
    p = head.state_dict()
    return [
        linear(
            gelu(linear(share, p[f"heads.{i}.fc1.weight"], p[f"heads.{i}.fc1.bias"])),
            p[f"heads.{i}.fc2.weight"],
            p[f"heads.{i}.fc2.bias"],
        )
        for i, share in enumerate(shares)
    ]


def test_prefixes_are_two_three_and_four_quarters():
    head, f = MultiscaleHead(16, 5), torch.randn(3, 16)
    for out, expected in zip(head(f), naive(head, [f[:, :8], f[:, :12], f]), strict=True):
        torch.testing.assert_close(out, expected)


def test_pairs_are_the_first_quarter_with_each_other_one():
    head, f = MultiscaleHead(16, 5, grouping="pair"), torch.randn(3, 16)
    g = f.chunk(4, dim=1)
    shares = [torch.cat([g[0], g[i]], 1) for i in (1, 2, 3)]
    for out, expected in zip(head(f), naive(head, shares), strict=True):
        torch.testing.assert_close(out, expected)


def test_single_scale_uses_the_whole_feature():
    head, f = MultiscaleHead(10, 3, groups=1, scales=1), torch.randn(2, 10)
    torch.testing.assert_close(head(f)[0], naive(head, [f])[0])


@pytest.mark.parametrize("width", [13, 30, 1282])
def test_indivisible_widths_are_split_to_within_one_channel(width):
    head = MultiscaleHead(width, 3)
    widths = [h.fc1.in_features for h in head.heads]
    assert widths[-1] == width
    assert all(abs(n - width * q / 4) < 1 for n, q in zip(widths, (2, 3, 4), strict=True))
    assert [o.shape for o in head(torch.randn(2, width))] == [(2, 3)] * 3


def test_linear_head_is_one_layer():
    head, f = LinearHead(6, 4), torch.randn(2, 6)
    (out,) = head(f)
    torch.testing.assert_close(out, f @ head.fc.weight.T + head.fc.bias)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grouping": "suffix"}, r"`grouping` to be one of \('prefix', 'pair'\), but got 'suffix'"),
        ({"groups": 0}, "`groups` to be an integer from 1 to the feature width 16, but got 0"),
        ({"groups": 17}, "feature width 16, but got 17"),
        ({"scales": 5}, "`scales` to be an integer from 1 to 4 with 4 groups"),
        ({"scales": 4, "grouping": "pair"}, "`scales` to be an integer from 1 to 3 with 4 groups"),
        ({"num_classes": 1}, "`num_classes` to be an integer of at least 2, but got 1"),
    ],
)
def test_invalid_arguments_list_the_valid_ones(options, message):
    with pytest.raises(ValueError, match=message):
        MultiscaleHead(16, **{"num_classes": 7, **options})
