"""Standard sets as they are distributed, and what is wrong with a folder or a picture, in a sentence each."""

from __future__ import annotations

import os
import shutil
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from claimbench.bench.core.errors import UserError
from claimbench.bench.core.listener import SILENT
from claimbench.bench.core.records import Options
from claimbench.bench.tasks.super_resolution import data, resize
from claimbench.bench.tasks.super_resolution.catalogue import DATASETS
from claimbench.bench.tasks.super_resolution.check import check
from tests.bench.tasks.conftest import SET5

CHOSEN = DATASETS["set5"]


def find(folder, scale=2, partial=False):
    return data.find(CHOSEN, str(folder), scale, partial)


def test_large_pictures_alone_are_made_small_here(set5):
    found = find(set5)
    assert [pair.name for pair in found] == list(CHOSEN.names)
    large, small = data.load(found[0], 2)
    assert (large.shape, small.shape) == ((40, 50, 3), (20, 25, 3))
    np.testing.assert_array_equal(small, resize.downscale(large, 2))


@pytest.mark.parametrize("layout", ["edsr", "basicsr", "together"])
def test_small_pictures_are_found_where_distributions_have_them(set5, layout, tmp_path):
    low = {"edsr": set5 / "LR_bicubic" / "X3", "basicsr": set5 / "LRbicx3", "together": set5 / "image_SRF_3"}[layout]
    low.mkdir(parents=True)
    if layout == "basicsr":
        (set5 / "HR").rename(set5 / "GTmod12")
    folder = set5 / ("GTmod12" if layout == "basicsr" else "HR")
    for path in sorted(folder.iterdir()):
        large = data.pixels(path)
        small = Image.fromarray(np.full((large.shape[0] // 3, large.shape[1] // 3, 3), 7, np.uint8))
        name = {"edsr": f"{path.stem}x3", "basicsr": path.stem, "together": f"{path.stem}_SRF_3_LR"}[layout]
        small.save(low / f"{name}.png")
        if layout == "together":
            shutil.copy(path, low / f"{path.stem}_SRF_3_HR.png")
    found = find(set5, 3)
    assert [pair.name for pair in found] == list(CHOSEN.names)
    assert all(pair.low for pair in found)
    assert find(tmp_path, 3) == found, "the folder of all sets serves too"
    large, small = data.load(found[1], 3)
    assert large.shape == (small.shape[0] * 3, small.shape[1] * 3, 3)
    assert (small == 7).all()
    assert data.digest(found) != data.digest([data.LargePicture(p.name, p.high, None) for p in found])


def test_the_packages_pictures_are_checked_by_their_digests():
    pytest.importorskip("skimage")
    chosen = DATASETS["skimage"]
    found = data.find(chosen, "", 4, partial=False)
    assert len(found) == chosen.images
    assert all(data.load(pair, 4)[1].shape[2] == 3 for pair in found[:2])
    other = type(chosen)("x", "x", 1, (), sha256=(("astronaut.png", "0" * 64),))
    with pytest.raises(UserError, match="its digest differs"):
        data.find(other, "", 4, partial=False)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1", "LA"])
def test_grey_palette_and_opaque_pictures_are_read_as_rgb(tmp_path, picture, mode):
    picture(0, 20, 30, "L" if mode == "LA" else "RGB").convert(mode).save(tmp_path / "x.png")
    found = data.pixels(tmp_path / "x.png")
    assert (found.shape, found.dtype) == ((20, 30, 3), np.uint8)
    if mode in ("L", "LA", "1"):
        assert (found[..., :1] == found).all()


def test_transparent_deep_and_foreign_pictures_are_refused(tmp_path, picture):
    path = tmp_path / "x.png"
    clear = picture(0, 20, 30, "RGBA")
    clear.putpixel((3, 3), (1, 2, 3, 128))
    clear.save(path)
    with pytest.raises(UserError, match="has transparent parts"):
        data.pixels(path)
    indexed = picture(0, 20, 30, "P")
    indexed.save(path, transparency=indexed.getpixel((0, 0)))
    with pytest.raises(UserError, match="has transparent parts"):
        data.pixels(path)
    Image.fromarray(np.full((20, 30), 40000, np.uint16)).save(path)
    with pytest.raises(UserError, match=r"greys that are no bytes \(I;16\)"):
        data.pixels(path)
    picture(0, 20, 30, "CMYK").save(tmp_path / "x.jpg")
    with pytest.raises(UserError, match="pixel format CMYK"):
        data.pixels(tmp_path / "x.jpg")


@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_damaged_pictures_are_named(set5, damage):
    path = set5 / "HR" / "bird.png"
    content = {"cut": path.read_bytes()[: path.stat().st_size // 2], "text": b"no picture", "empty": b""}[damage]
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"bird\.png cannot be read as a picture: it is damaged or no picture"):
        data.load(find(set5)[1], 2)


@pytest.mark.parametrize("size", [(1, 1), (14, 200), (200, 14)])
def test_pictures_too_small_to_be_scored_are_named(set5, picture, size):
    picture(0, *size).save(set5 / "HR" / "head.png")
    with pytest.raises(UserError, match=rf"head\.png has {size[1]}x{size[0]} pixels: scoring at x2 takes at least 16"):
        data.load(find(set5)[3], 2)


def test_small_pictures_of_another_size_are_named(set5, picture):
    low = set5 / "LRbicx2"
    low.mkdir()
    for name in CHOSEN.names:
        picture(1, 20, 24).save(low / f"{name}.png")
    with pytest.raises(UserError, match=r"baby\.png has 24x20 pixels where 25x20 belong to baby\.png at x2"):
        data.load(find(set5)[0], 2)
    (low / "woman.png").unlink()
    with pytest.raises(UserError, match="small pictures for x2, but none for woman"):
        find(set5)


def test_incomplete_sets_are_refused_unless_that_was_said(set5):
    (set5 / "HR" / "bird.png").unlink()
    with pytest.raises(UserError, match="Set5 lacks bird: complete the folder, or say --partial"):
        find(set5)
    assert len(find(set5, partial=True)) == 4
    with pytest.raises(UserError, match="BSD100 has 100 pictures, but 4 were found"):
        data.find(DATASETS["bsd100"], str(set5), 2, partial=False)


def test_other_sets_and_repeated_pictures_are_refused(set5, picture):
    for i in range(3):
        picture(i, 30, 30).save(set5 / "HR" / f"more{i}.png")
    with pytest.raises(UserError, match="Set5 has 5 pictures, but 8 were found: it is another set"):
        find(set5, partial=True)
    shutil.copy(set5 / "HR" / "baby.png", set5 / "HR" / "baby.bmp")
    with pytest.raises(UserError, match=r"more than one picture for baby\."):
        find(set5, partial=True)


def test_empty_and_missing_folders_are_named(tmp_path):
    with pytest.raises(UserError, match="holds no pictures of Set5"):
        find(tmp_path)
    with pytest.raises(UserError, match="is not a folder: give that of Set5"):
        find(tmp_path / "missing")


def test_colours_of_16_bits_are_refused_which_pillow_reads_as_8(set5):
    """Written by hand: Pillow writes no such file."""
    raw = b"".join(b"\0" + bytes(50 * 6) for _ in range(41))
    parts = ((b"IHDR", struct.pack(">IIBBBBB", 50, 41, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    chunks = [struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in parts]
    (set5 / "HR" / "head.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with pytest.raises(UserError, match=r"head\.png has 16 bits a channel: only 8"):
        data.load(find(set5)[3], 2)


def test_pictures_of_another_set_are_refused_though_some_may_be_missing(set5):
    (set5 / "HR" / "head.png").rename(set5 / "HR" / "lenna.png")
    with pytest.raises(UserError, match="Set5 has no picture lenna: it is another set"):
        data.find(DATASETS["set5"], str(set5), 2, True)


def test_small_pictures_that_do_not_pair_are_named(set5, picture):
    low = set5 / "LR_bicubic" / "x2"
    low.mkdir(parents=True)
    for seed, name in enumerate(SET5):
        picture(seed, (41 + seed) // 2, 25).save(low / f"{name}x2.png")
    assert all(pair.low for pair in find(set5))
    picture(0, 20, 25).save(low / "bird.png")
    with pytest.raises(UserError, match=r"more than one small picture for birdx?2?\.png"):
        find(set5)
    (low / "bird.png").rename(low / "lenna.png")
    with pytest.raises(UserError, match="small pictures for x2, but no large ones for lenna"):
        find(set5)


@pytest.mark.parametrize("place", ["LR", "LR_bicubic", "LR_bicubic/X3", "X3", "image_SRF_3"])
def test_small_pictures_that_are_not_read_are_said(set5, picture, place):
    (set5 / place).mkdir(parents=True)
    picture(0, 20, 25).save(set5 / place / "bird.png")
    assert data.unused(DATASETS["set5"], str(set5), 2) == [place.partition("/")[0]]
    (set5 / "LR_bicubic" / "X2").mkdir(parents=True)
    assert data.unused(DATASETS["set5"], str(set5), 2) == []


def test_what_is_no_file_is_not_waited_for(set5):
    (set5 / "HR" / "head.png").unlink()
    os.mkfifo(set5 / "HR" / "head.png")
    with pytest.raises(UserError, match=r"head\.png is no file"):
        data.load(find(set5)[3], 2)


def test_one_picture_under_two_names_is_refused(set5):
    (set5 / "HR" / "head.png").write_bytes((set5 / "HR" / "baby.png").read_bytes())
    job = SimpleNamespace(options=Options(dataset="set5", data=str(set5), config={"upscale": 2}))
    with pytest.raises(UserError, match=r"baby\.png and .*head\.png are one and the same picture"):
        check([job], SILENT)
