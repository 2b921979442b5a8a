"""The classes of evidence: what they write, what they take back, and what reports see of a detail that was edited."""

import json
from pathlib import Path

import pytest

from claimbench.bench.core.records import Measurement
from claimbench.bench.store.evidence.of_models import TimeEvidence
from claimbench.bench.store.evidence.of_scores import (
    FirstHitsEvidence,
    HitsEvidence,
    RankingEvidence,
    SegmentationEvidence,
    WholeSegmentationEvidence,
)
from claimbench.bench.store.evidence.reading import ROWS, SCORES, is_readable, kind_of, read, shown
from claimbench.bench.store.store import Store

RESULTS = Path(__file__).parents[3] / "results"


def row(metric, **detail):
    return Measurement(metric, 1.0, "", "x", detail=detail)


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        ("throughput", TimeEvidence),
        ("top1", FirstHitsEvidence),
        ("imagenet_v2_top1", FirstHitsEvidence),
        ("imagenet_c_top1", ROWS["imagenet_c_top1"]),
        ("imagenet_real_top5", HitsEvidence),
        ("elpv_probe_top1", SCORES["probe_top1"]),
        ("voc12_miou", WholeSegmentationEvidence),
        ("voc12_miou_crf", WholeSegmentationEvidence),
        ("voc12_trimap_miou_crf", SegmentationEvidence),
        ("bicubic_psnr_set5_x4", SCORES["psnr"]),
        ("games_full_ndcg@10", RankingEvidence),
        ("params_trainable", None),
        ("stop1", None),
    ],
)
def test_a_rows_name_says_what_its_evidence_is(metric, kind):
    assert kind_of(metric) is kind


def test_the_first_name_of_a_sets_size_still_reads():
    old = {"correct": 3, "images": 4, "images_in_folder": 5, "classes": 1000}
    assert read(row("top1", **old)).images_in_set == 5
    new = read(row("top1", **old)).to_detail()
    assert (new["images_in_set"], "images_in_folder" in new) == (5, False)
    assert read(row("top1", **new)) == read(row("top1", **old))


def test_what_is_not_said_is_left_out_and_what_is_not_known_is_kept():
    evidence = HitsEvidence(correct=1, images=2, note=None, partial=False)
    assert evidence.to_detail() == {"correct": 1, "images": 2}
    assert read(row("top5", correct=1, images=2, more=[3])).to_detail() == {"correct": 1, "images": 2, "more": [3]}


def test_evidence_that_lacks_something_is_not_read():
    assert read(row("top5", correct=1)) is None
    assert read(row("top5", correct=-1, images=2)) is None
    assert read(row("flops")) is None


def test_reports_see_what_is_right_in_an_edited_detail():
    seen = shown(row("top1", images="many", correct=3, note={}, second_opinion={"macs": "x"}, classes=True))
    assert (seen.images, seen.correct, seen.note, seen.second_opinion, seen.classes) == (None, 3, None, None, None)


@pytest.mark.parametrize(
    "detail", [{"batch": "8"}, {"batch": True}, {"classes": 1.5}, {"noisy_reasons": "a"}, {"goldens": [{"file": 1}]}]
)
def test_a_detail_that_no_report_could_use_is_not_readable(detail):
    assert not is_readable(detail)
    assert is_readable({"batch": 8, "classes": None, "noisy_reasons": [], "goldens": [{"file": "a.json"}], "x": object})


def test_every_stored_evidence_is_read_and_written_again_as_it_was():
    seen = set()
    for folder in (RESULTS, RESULTS / "studies"):
        for record in Store(folder).query():
            found = record.measurement
            kind = kind_of(found.metric)
            if found.status != "measured" or kind is None:
                continue
            evidence = read(found)
            assert evidence is not None, (record.run, found.metric)
            assert json.dumps(evidence.to_detail(), sort_keys=True) == json.dumps(found.detail, sort_keys=True)
            seen.add(kind)
    assert {TimeEvidence, RankingEvidence} <= seen or not RESULTS.is_dir()
