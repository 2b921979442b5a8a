"""Addresses of ``paper.yaml`` are understood, and every one of the papers' is."""

import pytest
from pydantic import ValidationError

from claimbench.bench.papers import registry
from claimbench.bench.papers.spec import Checkpoint
from claimbench.bench.papers.weights.fetch import place_of
from claimbench.bench.papers.weights.sources import source_of


def source(url):
    return source_of(Checkpoint(url=url))


@pytest.mark.parametrize(
    ("url", "kind", "ending"),
    [
        ("https://x.org/a/b_754.pth.tar", "http", ".pth.tar"),
        ("https://x.org/a.PTH?download=1", "http", ".pth"),
        ("https://x.org/files/123", "http", ".pth"),
        ("https://storage.googleapis.com/x/y.tar.gz", "http", ".tar.gz"),
        ("https://drive.google.com/file/d/1Ff/view", "hand", ".pth"),
        ("https://pan.baidu.com/s/1u?pwd=vsyv", "hand", ".pth"),
        ("https://unioulu-my.sharepoint.com/:f:/g/x", "hand", ".pth"),
        ("https://1drv.ms/u/s!A?e=B", "hand", ".pth"),
        ("https://huggingface.co/owner/repository", "hand", ".pth"),
        ("https://huggingface.co/o/r/resolve/main/x.safetensors", "hub", ".safetensors"),
        ("hf:o/r/model.safetensors", "hub", ".safetensors"),
    ],
)
def test_kinds_of_addresses(url, kind, ending):
    found = source(url)
    assert (found.kind, found.ending) == (kind, ending)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("hf:timm/davit_tiny.msft_in1k/model.safetensors", ("timm/davit_tiny.msft_in1k", "main", "model.safetensors")),
        ("hf:o/r@v1.0/sub/x.pth", ("o/r", "v1.0", "sub/x.pth")),
        ("https://huggingface.co/o/r/resolve/0ddba11/sub/x.pth", ("o/r", "0ddba11", "sub/x.pth")),
        ("https://huggingface.co/o/r/blob/main/x%20y.pth", ("o/r", "main", "x y.pth")),
    ],
)
def test_files_on_the_hub(url, expected):
    found = source(url)
    assert (found.repository, found.revision, found.path) == expected
    assert found.address == f"https://huggingface.co/{expected[0]}/resolve/{expected[1]}/{expected[2]}"


@pytest.mark.parametrize(
    ("name", "digits"),
    [
        ("deit_small_patch16_224-cd65a155.pth", "cd65a155"),
        ("x-1k.pth", ""),
        ("x-abc.pth", ""),
        ("resnet-20260101.pth", "20260101"),
    ],
)
def test_digits_of_the_digest_in_a_name(name, digits):
    assert source(f"https://x.org/{name}").digest_begins == digits


@pytest.mark.parametrize("url", ["ask the authors", "ftp://x.org/a.pth", "file:///etc/passwd", "https://x.org/a b.pth"])
def test_what_is_no_address_is_no_checkpoint(url):
    with pytest.raises(ValidationError):
        Checkpoint(url=url)


def test_every_checkpoint_of_the_papers_has_a_place_of_its_own(tmp_path):
    places = [
        place
        for name in registry.entries()
        for variant in registry.paper(name).variants
        if (place := place_of(tmp_path, name, variant)) is not None
    ]
    assert len(places) > 80
    assert len({place.path for place in places}) == len(places)
    assert {place.source.kind for place in places} == {"http", "hub", "hand"}
    shared = [place for place in places if place.source.kind != "hand"]
    assert len({place.source.address for place in shared}) == len(shared)
    assert all(place.source.url.startswith(("https://", "hf:")) for place in places)
