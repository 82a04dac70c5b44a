"""Planned contrasts: their methods, verdicts, and the outcomes of the claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from reporting.fabricate import change, write_run

from mfer_lightning.errors import UserError
from mfer_lightning.evaluation.runs import find_results
from mfer_lightning.evaluation.statistics import compare_methods
from mfer_lightning.reporting.study.comparisons import compare
from mfer_lightning.reporting.study.contrast_plan import Chain, Contrast, Plan
from mfer_lightning.reporting.study.contrast_tables import MOST_TOLD, chain_table, contrast_table, sentences, summary
from mfer_lightning.reporting.study.contrasts import Planned, chain_outcome, judge, place_contrasts
from mfer_lightning.reporting.study.runs import open_runs
from mfer_lightning.reporting.study.sections import Section, make_sections

#: In the study, attention truly improves both losses, and the loss has no true effect (see conftest).
GAIN = Contrast("attention", {"attention": "ds", "loss": "dsf"}, {"attention": "none", "loss": "dsf"}, "better")
NULL = Contrast("loss", {"attention": "ds", "loss": "dsf"}, {"attention": "ds", "loss": "ce"}, "better")


def plan_of(*contrasts: Contrast, chains: Sequence[Chain] = ()) -> Plan:
    return Plan(Path("plan.yaml"), "ab" * 32, contrasts, tuple(chains))


def sections_of(folder: Path) -> list[Section]:
    return make_sections(open_runs(find_results([folder]).results)[0])[0]


def judged(folder: Path, *contrasts: Contrast) -> tuple[Planned, ...]:
    sections = sections_of(folder)
    return judge(sections[0], place_contrasts(plan_of(*contrasts), sections)[0], "accuracy")


def claiming(contrast: Contrast, claim: str | None) -> Contrast:
    return Contrast(f"{contrast.name}, {claim}", contrast.method, contrast.against, claim)  # type: ignore[arg-type]


def test_true_differences_are_found(study: Path) -> None:
    gain, null = judged(study, GAIN, NULL)
    assert (gain.method.values, gain.against.values) == (("dsf", "ds"), ("dsf", "none"))
    assert (gain.comparison.verdict, gain.outcome) == ("better", "confirmed")
    assert gain.comparison.low > 0
    assert (null.comparison.verdict, null.outcome) == ("tie", "undecided")
    assert null.comparison.low < 0 < null.comparison.high
    assert null.comparison.smallest_detectable > 0


def test_contrasts_share_test_faces_and_are_corrected_only_among_themselves(study: Path) -> None:
    found = judged(study, GAIN, NULL)
    singles = []
    for p in found:
        sides = [[r.table for r in m.runs] for m in (p.method, p.against)]
        assert all(np.array_equal(t.index, sides[0][0].index) for side in sides for t in side)
        a, b = (np.stack([t.pred == t.label for t in side]) for side in sides)
        singles.append(compare_methods(a, b))
    small, large = sorted(single.p_value for single in singles)
    assert small < 0.01 < large
    expected = {small: min(1.0, 2 * small), large: max(large, 2 * small)}  # Holm's two steps
    for p, single in zip(found, singles, strict=True):
        assert p.comparison.difference == single.difference
        assert p.comparison.adjusted_p_value == pytest.approx(expected[single.p_value])


def test_each_family_is_corrected_separately(study: Path) -> None:
    other = {"attention": "ds", "loss": "ce"}, {"attention": "none", "loss": "ce"}
    one_family = judged(study, GAIN, NULL, Contrast("further", *other))
    families = [replace(c, family=f) for c, f in ((GAIN, "a"), (NULL, "b"), (Contrast("further", *other), "b"))]
    split = judged(study, *families)
    assert [p.contrast.name for p in split] == [p.contrast.name for p in one_family]
    assert split[0].comparison.adjusted_p_value == split[0].comparison.p_value  # alone in its family
    pair = judged(study, *families[1:])
    for of_three, found, of_two in zip(one_family[1:], split[1:], pair, strict=True):
        assert found.comparison == of_two.comparison
        assert found.comparison.adjusted_p_value <= of_three.comparison.adjusted_p_value
        assert found.comparison.smallest_detectable < of_three.comparison.smallest_detectable
    plan = plan_of(*families)
    said = summary(plan, split, "accuracy")
    assert "families a (1), b (2)" in said
    assert "within their families" in said
    assert sentences(plan, split)[1].startswith("Planned (b), loss: ")
    (section,) = sections_of(study)
    table = contrast_table(plan, section, split, "accuracy")
    assert [column.title for column in table.columns][:2] == ["contrast", "family"]
    assert [row["family"] for row in table.data] == ["a", "b", "b"]


def test_contrasts_without_effect_are_summarised_in_one_sentence(study: Path) -> None:
    gain, null = judged(study, GAIN, NULL)
    many = [replace(null, contrast=replace(NULL, name=f"nothing {i}")) for i in range(MOST_TOLD)]
    told = sentences(plan_of(GAIN, *(p.contrast for p in many)), [gain, *many])
    assert len(told) == 2
    assert told[0].startswith("Planned, attention: confirmed.")
    assert told[1].startswith("Planned, no difference shown: nothing 0 (")
    assert told[1].count(" detectable)") == MOST_TOLD
    assert len(sentences(plan_of(*(p.contrast for p in many)), many)) == MOST_TOLD


def test_other_comparisons_keep_their_own_family(study: Path) -> None:
    alone = sections_of(study)[0]
    compare(alone, "accuracy")
    (section,) = sections_of(study)
    judge(section, place_contrasts(plan_of(GAIN, NULL), [section])[0], "accuracy")
    compare(section, "accuracy")
    assert section.comparisons == alone.comparisons


@pytest.mark.parametrize(
    ("claim", "of_a_gain", "of_nothing"),
    [
        ("better", "confirmed", "undecided"),
        ("worse", "refuted", "undecided"),
        ("none", "refuted", "undecided"),
        (None, "better", "tie"),
    ],
)
def test_claim_is_confirmed_refuted_or_undecided(
    study: Path, claim: str | None, of_a_gain: str, of_nothing: str
) -> None:
    gain, null = judged(study, claiming(GAIN, claim), claiming(NULL, claim))
    assert (gain.outcome, null.outcome) == (of_a_gain, of_nothing)
    turned = Contrast("turned", GAIN.against, GAIN.method, "worse")
    assert judged(study, turned)[0].outcome == "confirmed"


def test_too_few_seeds_are_undecided(tmp_path: Path) -> None:
    write_run(tmp_path, accuracy=0.3)
    write_run(tmp_path, "dsf", accuracy=0.9)
    (found,) = judged(tmp_path, Contrast("a", {"loss": "dsf"}, {"loss": "ce"}, "better"))
    assert found.comparison.difference > 0.3
    assert found.outcome == "undecided"
    (told,) = sentences(plan_of(found.contrast), [found])
    assert "Too few seeds: loss=dsf has 1, loss=ce has 1, and at least 3 each are needed (claimed better)." in told
    assert "Holm" not in summary(plan_of(found.contrast), [found], "accuracy")


def test_missing_common_predictions_prevent_a_comparison(tmp_path: Path) -> None:
    for loss in ("ce", "dsf", "lgm"):
        run = write_run(tmp_path, loss)
        if loss == "lgm":
            (run / "predictions_test.csv").unlink()
    wanted = Contrast("a", {"loss": "lgm"}, {"loss": "ce"}, "better")
    (found,) = judged(tmp_path, wanted)
    assert (found.comparison, found.outcome) == (None, "undecided")
    assert "there are no predictions of loss=lgm" in sentences(plan_of(wanted), [found])[0]
    table = tmp_path / "rafdb-dsf-none-s0" / "predictions_test.csv"
    table.write_text(table.read_text().replace("test/0000", "test/9000"))
    (section,) = sections_of(tmp_path)
    other = Contrast("b", {"loss": "dsf"}, {"loss": "ce"})
    (found,) = judge(section, place_contrasts(plan_of(other), [section])[0], "accuracy")
    compare(section, "accuracy")
    assert found.comparison is None
    assert sum("not measured on the same faces" in note for note in section.notes) == 1
    assert "the runs were not measured on the same faces" in sentences(plan_of(other), [found])[0]


class TestSelectors:
    @pytest.mark.parametrize(
        "selector",
        [
            {"loss": "dsf", "attention": "ds", "head": "linear"},
            {"loss.name": "dsf", "attention.name": "ds", "epochs": "3"},
            {"loss.feature_weight": "0.30", "attention": "ds"},  # follows from the loss
        ],
    )
    def test_axes_tied_options_and_constant_options_can_be_used(self, study: Path, selector: dict) -> None:
        (found,) = judged(study, Contrast("a", selector, {"loss": "ce", "attention": "none"}))
        assert found.method.values == ("dsf", "ds")

    @pytest.mark.parametrize(
        ("selector", "words"),
        [
            ({"attention": "ds"}, "matches 2 methods: loss=ce, attention=ds; loss=dsf, attention=ds"),
            ({"attention": "conv", "loss": "ce"}, "(no method has attention=conv). The methods are: loss=ce, a"),
            ({"attention": "ds", "loss": "ce", "head": "multi"}, "no method has head=multi"),
            ({"atention": "ds", "loss": "ce"}, "the runs have no option atention: did you mean 'attention'"),
            ({"loss": "ce", "seed": "0", "attention": "ds"}, "the runs have no option seed"),
            ({"loss": "dsf", "attention": "ds", "head": "linear"}, "compares a method with itself"),
        ],
    )
    @pytest.mark.parametrize("side", ["method", "against"])
    def test_ambiguous_or_empty_selector_lists_the_available_values(
        self, study: Path, selector: dict, words: str, side: str
    ) -> None:
        other = {"loss": "dsf", "attention": "ds"}
        sides = (selector, other) if side == "method" else (other, selector)
        with pytest.raises(UserError) as error:
            judged(study, GAIN, Contrast("mine", *sides))
        message = str(error.value)
        assert message.startswith("plan.yaml: contrast 'mine'")
        assert words in message
        if "itself" not in words:
            assert f"`{side}` {', '.join(f'{k}={v}' for k, v in selector.items())}" in message
        if "no method has" in words:
            assert all(f"loss={x}, attention={y}" in message for x in ("ce", "dsf") for y in ("none", "ds"))

    def test_training_result_takes_precedence_over_a_later_evaluation(self, tmp_path: Path) -> None:
        for loss in ("ce", "dsf"):
            run = write_run(tmp_path, loss, n=70)
            again = write_run(run / "evaluations", loss, n=70, accuracy=0.8, name="flip")
            (again / "config.yaml").unlink()
            change(again, model={"checkpoint": "best.ckpt", "trained_on": "rafdb@holdout", "flip": True})
        (found,) = judged(tmp_path, Contrast("a", {"loss": "dsf"}, {"loss": "ce"}))
        assert [m.label for m in (found.method, found.against)] == ["loss=dsf, flip=false", "loss=ce, flip=false"]
        named = Contrast("b", {"loss": "dsf", "flip": "true"}, {"loss": "dsf", "flip": "false"})
        assert judged(tmp_path, named)[0].method.label == "loss=dsf, flip=true"

    def test_repeated_pair_is_rejected(self, study: Path) -> None:
        with pytest.raises(UserError, match="contrasts 'attention' and 'again' compare the same two methods"):
            judged(study, GAIN, Contrast("again", {**GAIN.against, "head": "linear"}, GAIN.method))

    def test_numbers_match_in_any_notation(self, tmp_path: Path) -> None:
        for rate in (1e-3, 2e-3):
            write_run(tmp_path, changes={"optimizer.lr": rate}, name=f"r{rate}", n=70)
        (found,) = judged(tmp_path, Contrast("a", {"learning rate": "1e-3"}, {"optimizer.lr": "0.0020"}))
        assert (found.method.values, found.against.values) == (("0.001",), ("0.002",))


class TestSections:
    @pytest.fixture
    def two(self, tmp_path: Path) -> list[Section]:
        for loss in ("ce", "dsf", "lgm"):
            write_run(tmp_path, loss, n=70)
            if loss != "lgm":
                write_run(tmp_path, loss, n=70, protocol="rafdb@paper", name=f"paper-{loss}")
        return sections_of(tmp_path)

    def test_contrasts_apply_to_sections_that_contain_all_of_them(self, two: list[Section]) -> None:
        everywhere = Contrast("a", {"loss": "dsf"}, {"loss": "ce"})
        assert [len(placed) for placed in place_contrasts(plan_of(everywhere), two)] == [1, 1]
        assert not any("do not apply" in note for section in two for note in section.notes)
        placed = place_contrasts(plan_of(everywhere, Contrast("b", {"loss": "lgm"}, {"loss": "ce"})), two)
        assert [len(found) for found in placed] == [2, 0]
        (note,) = [note for section in two for note in section.notes if "do not apply" in note]
        assert note.startswith("The planned contrasts do not apply here: contrast 'b': `method` loss=lgm")
        assert note in two[1].notes

    def test_plan_without_protocol_notes_several_sections(self, two: list[Section]) -> None:
        contrast = Contrast("a", {"loss": "dsf"}, {"loss": "ce"})
        place_contrasts(plan_of(contrast), two)
        for section in two:
            (note,) = [note for note in section.notes if "does not name a `protocol`" in note]
            assert "evaluated in 2 sections, each corrected separately (rafdb@holdout, test; rafdb@paper, test)" in note

    def test_plan_with_protocol_applies_only_to_its_test_faces(self, tmp_path: Path) -> None:
        for loss in ("ce", "dsf"):
            for name, options in {"a": {}, "b": {"protocol": "rafdb@paper"}, "c": {"split": "val"}}.items():
                write_run(tmp_path, loss, n=70, name=f"{name}-{loss}", **options)
        plan = replace(plan_of(Contrast("a", {"loss": "dsf"}, {"loss": "ce"})), protocol="rafdb@holdout")
        sections = sections_of(tmp_path)
        found = {s.title: len(placed) for s, placed in zip(sections, place_contrasts(plan, sections), strict=True)}
        assert found == {"rafdb@holdout, test": 1, "rafdb@paper, test": 0, "rafdb@holdout, val": 0}
        notes = {s.title: [note for note in s.notes if "planned" in note] for s in sections}
        assert notes == {
            "rafdb@holdout, test": [],
            **{
                title: [
                    "The planned contrasts do not apply here: the contrasts were planned for rafdb@holdout, test, "
                    f"but this is {title}."
                ]
                for title in ("rafdb@paper, test", "rafdb@holdout, val")
            },
        }
        with pytest.raises(UserError, match="planned for ferplus@dev, test, but this is rafdb@holdout, test"):
            place_contrasts(replace(plan, protocol="ferplus@dev"), sections_of(tmp_path))

    def test_no_matching_section_explains_each_reason(self, two: list[Section]) -> None:
        with pytest.raises(UserError) as error:
            place_contrasts(plan_of(Contrast("a", {"loss": "center"}, {"loss": "ce"})), two)
        assert "rafdb@holdout, test: contrast 'a'" in str(error.value)
        assert "rafdb@paper, test: contrast 'a'" in str(error.value)


class TestChains:
    CHAIN = Chain("all of it", ("attention", "loss"))

    def test_chain_is_as_strong_as_its_weakest_link(self, study: Path) -> None:
        other = Contrast("other", {"attention": "ds", "loss": "ce"}, {"attention": "none", "loss": "ce"}, "better")
        wrong = Contrast("wrong", {"attention": "none", "loss": "ce"}, {"attention": "ds", "loss": "dsf"}, "better")
        found = judged(study, GAIN, NULL, other, wrong)
        assert [p.outcome for p in found] == ["confirmed", "undecided", "confirmed", "refuted"]
        outcomes = {
            ("attention", "other"): "confirmed",
            ("attention", "loss"): "undecided",
            ("attention", "wrong"): "refuted",
            ("loss", "wrong"): "refuted",
        }
        for names, outcome in outcomes.items():
            assert chain_outcome(Chain("c", names), found) == outcome

    def test_chain_is_reported_with_its_links(self, study: Path) -> None:
        found = judged(study, GAIN, NULL)
        plan = plan_of(GAIN, NULL, chains=[self.CHAIN])
        told = sentences(plan, found)
        assert told[2] == (
            "Planned chain, all of it: undecided at the achieved power (attention confirmed, loss undecided)."
        )
        table = chain_table(plan, found)
        assert [cell.text for cell in table.rows[0]] == [
            "all of it",
            "attention confirmed, loss undecided",
            "undecided",
        ]
        assert chain_table(plan_of(GAIN), found) is None


def test_finding_names_claim_metrics_and_smallest_detectable_difference(study: Path) -> None:
    plan = plan_of(GAIN, NULL)
    found = judged(study, GAIN, NULL)
    gain, null = sentences(plan, found)
    c = found[0].comparison
    assert gain.startswith(
        "Planned, attention: confirmed. loss=dsf, attention=ds is better than loss=dsf, attention=none "
        f"(claimed better; +{100 * c.difference:.2f} points, 95% interval +{100 * c.low:.2f} to +{100 * c.high:.2f}, p "
    )
    assert null.startswith(
        "Planned, loss: undecided. No difference between loss=dsf, attention=ds and loss=ce, attention=ds"
    )
    smallest = f"{100 * found[1].comparison.smallest_detectable:.1f}"
    assert null.endswith(f"a true difference of {smallest} points would have been detected with 80% power.")
    assert summary(plan, found, "accuracy") == (
        "Planned contrasts: 1 confirmed (attention), 1 undecided (loss). These 2 comparisons of methods are planned in "
        "plan.yaml. The metric is accuracy, which the file does not specify. The p-values are Holm-corrected over "
        "these 2 only."
    )


def test_table_contains_the_comparisons_as_numbers(study: Path) -> None:
    found = judged(study, claiming(GAIN, None), NULL)
    table = contrast_table(plan_of(GAIN, NULL), sections_of(study)[0], found, "accuracy")
    assert [cell.text for cell in table.rows[1][:3]] == ["loss", "dsf · ds", "ce · ds"]
    assert "Methods are named by loss, attention." in table.caption
    assert [row[7].text for row in table.rows] == ["▲ better", "= tie"]
    assert [row[8].text for row in table.rows] == ["–", "better: undecided"]
    for row, p in zip(table.data, found, strict=True):
        for name in ("difference", "low", "high", "p_value", "adjusted_p_value", "smallest_detectable", "verdict"):
            assert row[name] == getattr(p.comparison, name)
        assert (row["contrast"], row["method"], row["against"]) == (p.contrast.name, p.method.label, p.against.label)
        assert (row["claim"], row["outcome"], row["seeds_method"]) == (p.contrast.claim, p.outcome, 3)
