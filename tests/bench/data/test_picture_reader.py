"""One reader for all tasks: what they refuse and what they take does not depend on the task."""

import io
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from claimbench.bench.core.errors import UserError
from claimbench.bench.data.pictures import masked, picture_reader, verification
from claimbench.bench.data.pictures.manifest import checked
from claimbench.bench.tasks import object_detection, semantic_segmentation, super_resolution
from claimbench.bench.tasks.image_classification.catalogue import DATASETS
from claimbench.bench.tasks.image_classification.train.data import open_pictures
from claimbench.bench.tasks.object_detection import data as detection
from claimbench.bench.tasks.super_resolution import data as superres

SIDE = 16


def png(colour, channels, *extra, bits=16):
    """Return a PNG of zeros, written by hand: Pillow writes no colours of 16 bits."""
    raw = (b"\0" + bytes(SIDE * channels * bits // 8)) * SIDE
    head = struct.pack(">IIBBBBB", SIDE, SIDE, bits, colour, 0, 0, 0)
    parts = ((b"IHDR", head), *extra, (b"IDAT", zlib.compress(raw)), (b"IEND", b""))
    chunks = [struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def tiff(planar):
    """Return a TIFF of 16 bits a channel, its channels together (1) or apart (2)."""
    size = SIDE * SIDE * 2
    tags = [
        (256, 3, 1, SIDE),
        (257, 3, 1, SIDE),
        (258, 3, 3, 134),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 200) if planar == 1 else (273, 4, 3, 140),
        (277, 3, 1, 3),
        (278, 3, 1, SIDE),
        (279, 4, 1, 3 * size) if planar == 1 else (279, 4, 3, 152),
        (284, 3, 1, planar),
    ]
    body = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    places = struct.pack("<3H6I", 16, 16, 16, *(200 + size * n for n in range(3)), *[size] * 3)
    return (body + places).ljust(200, b"\0") + bytes(3 * size)


def saved(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


GREY = Image.fromarray(np.arange(SIDE * SIDE, dtype=np.uint8).reshape(SIDE, SIDE))
COLOUR = Image.merge("RGB", [GREY, GREY.rotate(90), GREY.rotate(180)])
HALF = Image.merge("RGBA", [*COLOUR.split(), Image.fromarray(np.full((SIDE, SIDE), 254, np.uint8))])
CLEAR = "has transparent parts: flatten it onto a background first"
DEEP = "has 16 bits a channel: only 8 are read"

REFUSED = {
    "colour-16": (png(2, 3), DEEP),
    "colour-alpha-16": (png(6, 4), DEEP),
    "grey-alpha-16": (png(4, 2), DEEP),
    "grey-16": (png(0, 1), "has greys that are no bytes (I;16)"),
    "tiff-16": (tiff(1), DEEP),
    "tiff-16-planes": (tiff(2), DEEP),
    "ppm-16": (b"P6 16 16 65535\n" + bytes(SIDE * SIDE * 6), DEEP),
    "plain-ppm-16": (b"P3 16 16 65535\n" + b"9 " * SIDE * SIDE * 3, DEEP),
    "alpha": (saved(HALF), CLEAR),
    "grey-alpha": (saved(HALF.convert("LA")), CLEAR),
    "webp-alpha": (saved(HALF, "WEBP", lossless=True), CLEAR),
    "palette": (saved(COLOUR.quantize(8), transparency=0), CLEAR),
    "one-colour": (png(2, 3, (b"tRNS", bytes(6)), bits=8), CLEAR),
    "one-grey": (saved(GREY, transparency=7), CLEAR),
}
TAKEN = {
    "colour": (saved(COLOUR), COLOUR),
    "grey": (saved(GREY), GREY),
    "opaque": (saved(COLOUR.convert("RGBA")), COLOUR),
    "opaque-grey": (saved(GREY.convert("LA")), GREY),
    "palette": (saved(COLOUR.quantize(8)), COLOUR.quantize(8)),
    "bits": (saved(GREY.convert("1")), GREY.convert("1")),
    "no-such-grey": (saved(GREY.point(lambda v: v | 1), transparency=0), GREY.point(lambda v: v | 1)),
    "bmp-of-16-bits": (None, None),
}
BMP = (
    b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 54 + 512, 0, 0, 54, 40, 16, 16, 1, 16, 0, 512, 0, 0, 0, 0)
    + b"\xff\x7f" * 256
)
TAKEN["bmp-of-16-bits"] = (BMP, Image.new("RGB", (SIDE, SIDE), "white"))


def readers(file):
    """Return what reads a picture in each task, by the task's name."""
    pair = SimpleNamespace(picture=file)
    listed = SimpleNamespace(file=file, width=SIDE, height=SIDE)
    return {
        semantic_segmentation: lambda: masked.picture(pair),
        object_detection: lambda: detection.pixels(listed),
        super_resolution: lambda: superres.pixels(file),
    }


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def classes(tmp_path, content, name="x.png"):
    """Return a folder of two classes, one of which holds a picture."""
    for part in ("train", "val"):
        for number, kind in enumerate(("a", "b")):
            (tmp_path / part / kind).mkdir(parents=True)
            saved_ = saved(COLOUR.rotate(90 * number))
            (tmp_path / part / kind / "ok.png").write_bytes(saved_)
        (tmp_path / part / "b" / name).write_bytes(content)
    return tmp_path


@pytest.mark.parametrize("what", REFUSED)
def test_every_task_refuses_the_same_pictures_in_the_same_words(tmp_path, what):
    content, words = REFUSED[what]
    (tmp_path / "x.png").write_bytes(content)
    for read in readers(tmp_path / "x.png").values():
        with pytest.raises(UserError) as error:
            read()
        assert f"the picture {tmp_path / 'x.png'} {words}" in str(error.value)
    data = classes(tmp_path / "data", content)
    with pytest.raises(UserError) as error:
        checked(DATASETS["folder"], str(data))
    assert f"1 picture cannot be read: b/x.png (it {words}" in str(error.value)
    assert len(checked(DATASETS["folder"], str(data), partial=True)) == 2
    train = open_pictures(data).train
    with pytest.raises(picture_reader.UnfitError) as unfit:
        train[2]
    assert words in str(unfit.value)


@pytest.mark.parametrize("what", TAKEN)
def test_every_task_takes_the_same_pictures_as_the_same_colours(tmp_path, what):
    content, expected = TAKEN[what]
    (tmp_path / "x.png").write_bytes(content)
    colours = np.asarray(expected.convert("RGB"))
    for read in readers(tmp_path / "x.png").values():
        assert np.array_equal(read(), colours)
    found = checked(DATASETS["folder"], str(classes(tmp_path / "data", content)))
    assert np.array_equal(np.asarray(found.source.image(2, "RGB")), colours)
    assert np.array_equal(np.asarray(found.source.image(2, "L")), np.asarray(expected.convert("RGB").convert("L")))
    assert np.array_equal(np.asarray(open_pictures(tmp_path / "data").train[2][0]), colours)


def test_what_imagenet_holds_is_taken(tmp_path):
    """Its pictures in CMYK, and the one PNG with an alpha channel that its training set has."""
    cmyk = classes(tmp_path / "cmyk", saved(COLOUR.convert("CMYK"), "JPEG"), "n01739381_1309.JPEG")
    assert checked(DATASETS["folder"], str(cmyk)).source.image(1, "RGB").mode == "RGB"
    clear = classes(tmp_path / "clear", saved(HALF), "n02105855_2933.JPEG")
    found = checked(DATASETS["folder"], str(clear))
    for image in (found.source.image(1, "RGB"), open_pictures(clear).train[1][0]):
        assert np.array_equal(np.asarray(image), np.asarray(COLOUR))


def test_a_check_that_an_earlier_rule_passed_is_forgotten(tmp_path, monkeypatch):
    data = classes(tmp_path / "data", saved(HALF))
    with monkeypatch.context() as earlier:
        earlier.setattr(verification, "RULES", "8 bits")
        earlier.setattr(verification, "defect", lambda data, name: "")
        checked(DATASETS["folder"], str(data))
    with pytest.raises(UserError, match="transparent parts"):
        checked(DATASETS["folder"], str(data))


def test_torchvisions_own_folders_are_read_so_too(tmp_path):
    data = classes(tmp_path / "data", REFUSED["alpha"][0])
    (data / "val").rename(data / "validation")
    train = open_pictures(data, "torch/image_folder").train
    assert np.array_equal(np.asarray(train[0][0]), np.asarray(COLOUR))
    with pytest.raises(picture_reader.UnfitError, match="transparent parts"):
        train[2]
