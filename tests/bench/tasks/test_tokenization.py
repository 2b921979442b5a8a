"""Scores of visual tokenizers: the arithmetic, the sets, and the rows of continuous and discrete models."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from claimbench.bench import tasks
from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.listener import SILENT
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.core.task import Subject
from claimbench.bench.tasks.visual_tokenization import data, score
from claimbench.bench.tasks.visual_tokenization.catalogue import DATASETS
from tests.bench.tasks.conftest import make_picture

TASK = tasks.get("visual-tokenization")


class Coarse(nn.Module):
    """Keeps the mean colour of each 16x16 patch in 2 bits a token, and of voxels half of each feature."""

    def __init__(self, discrete=False):
        super().__init__()
        self.discrete = discrete

    def coded(self, x):
        height, width = (side // 16 * 16 for side in x.shape[-2:])
        top, left = (x.shape[-2] - height) // 2, (x.shape[-1] - width) // 2
        frames = x[..., top : top + height, left : left + width].reshape(-1, 3, height, width)
        means = nn.functional.avg_pool2d(frames, 16)
        back = nn.functional.interpolate(means, scale_factor=16).reshape(*x.shape[:-2], height, width)
        tokens = means[:, 0].numel()
        indices = torch.zeros(tokens, 1, dtype=torch.int64) if self.discrete else None
        bits = torch.full((len(x),), 2.0 * tokens / len(x))
        return SimpleNamespace(reconstruction=back, bits=bits, indices=indices, codebook=4 if self.discrete else 0)

    def coded_voxels(self, features, places):
        assert places.tolist()[0] == [0, 1, 2, 3]
        bits = torch.tensor([8.0 * len(places)])
        return SimpleNamespace(reconstruction=features / 2, bits=bits, indices=None, codebook=0)


def subject(model=None):
    return Subject(model or Coarse(), (3, 32, 32), "coarse", torch.device("cpu"), torch.float32)


def job(dataset, place, **options):
    given = {"task": TASK.name, "dataset": dataset, "data": str(place), **options}
    settings = Settings(weights=given.pop("weights", "official"))
    return Job("made-up", "coarse", "model", "accuracy", settings, options=Options(**given))


def measured(dataset, place, model=None, **options):
    return {row.metric: row for row in TASK.evaluate(subject(model), job(dataset, place, **options))}


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures" / "inner"
    folder.mkdir(parents=True)
    for seed in range(3):
        make_picture(seed, 35, 50).save(folder / f"{seed}.png")
    return folder.parent


def write_voxels(path, coords=((1, 2, 3), (4, 5, 6)), features=((0.5, 1.0), (0.25, 0.0))):
    np.savez(path, coords=np.array(coords), features=np.array(features, dtype=np.float32))


def test_psnr_is_that_of_scikit_image():
    from skimage.metrics import peak_signal_noise_ratio

    x, y = np.random.default_rng(0).integers(0, 256, (2, 9, 9, 3), dtype=np.uint8)
    assert score.psnr(x, y) == pytest.approx(peak_signal_noise_ratio(y, x))
    assert score.psnr(x, x) == float("inf")


def test_the_frechet_distance_is_that_of_the_definition():
    from scipy.linalg import sqrtm

    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(50, 3)), generator.normal(1, 2, size=(70, 3))
    first, second = score.Moments.of(x[:20]) + score.Moments.of(x[20:]), score.Moments.of(y)
    c, d = (np.cov(z.T, bias=True) for z in (x, y))
    means = ((x.mean(0) - y.mean(0)) ** 2).sum()
    expected = means + np.trace(c + d - 2 * sqrtm(c @ d)).real
    distance, share = score.frechet(first, second)
    assert distance == pytest.approx(expected)
    assert share == pytest.approx(1 - means / expected)
    assert score.frechet(first, first)[0] == pytest.approx(0, abs=1e-9)


def test_blocks_are_cosine_transforms():
    flat = np.full((1, 8, 9, 3), 255, np.uint8)
    found = score.blocks(flat)
    assert found.shape == (4, 16)
    np.testing.assert_allclose(found, np.eye(16)[[0] * 4] * 4, atol=1e-12)


def test_perplexity_counts_the_entries_that_are_used_alike():
    assert score.perplexity(np.array([5, 5, 0, 5])) == pytest.approx(3)
    assert score.perplexity(np.array([7, 0])) == 1


def test_pictures_are_compared_where_the_model_gives_them_back(pictures):
    rows = measured("pictures", pictures)
    assert set(rows) == {name for name, _ in TASK.expected("pictures", {})}
    assert len(rows["pictures_reconstruction_psnr"].samples) == 3
    assert 10 < rows["pictures_reconstruction_psnr"].value < 40
    assert 0 < rows["pictures_reconstruction_ssim"].value < 1
    assert rows["pictures_token_bits"].value == pytest.approx(2 / 256)
    detail = rows["pictures_reconstruction_frechet"].detail
    assert detail["features"] == "4x4 DCT blocks of luma"
    assert 0.5 < detail["covariance_share"] <= 1, "means of patches keep the mean of all blocks, and lose their spread"


def test_a_discrete_model_has_a_row_for_its_codebook(pictures):
    rows = measured("pictures", pictures, Coarse(discrete=True))
    assert set(rows) == {name for name, _ in TASK.expected("pictures", {"use_quantizer": True})}
    assert rows["pictures_token_use"].value == 25
    assert rows["pictures_token_use"].detail["perplexity"] == 1


def test_scores_go_on_after_a_cut(pictures, tmp_path):
    first = measured("pictures", pictures, predictions=str(tmp_path / "run"))

    class Broken(Coarse):
        def coded(self, x):
            raise AssertionError("looked again")

    again = measured("pictures", pictures, Broken(), predictions=str(tmp_path / "run"))
    assert {name: row.value for name, row in again.items()} == {name: row.value for name, row in first.items()}


def test_clips_are_folders_of_frames(tmp_path):
    for clip in ("a", "b"):
        (tmp_path / clip).mkdir()
        for seed in range(4):
            make_picture(seed, 32, 48).save(tmp_path / clip / f"{seed}.png")
    rows = measured("clips", tmp_path)
    assert rows["clips_token_bits"].value == pytest.approx(2 / 256)
    assert len(rows["clips_reconstruction_ssim"].samples) == 2


def test_a_video_file_is_a_clip(tmp_path):
    cv2 = pytest.importorskip("cv2")
    video = cv2.VideoWriter(str(tmp_path / "one.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 8, (48, 32))
    for seed in range(4):
        video.write(np.asarray(make_picture(seed, 32, 48))[..., ::-1])
    video.release()
    (clip,) = data.find(DATASETS["clips"], str(tmp_path))
    assert data.frames(DATASETS["clips"], clip).shape == (4, 32, 48, 3)


def test_voxels_have_likeness_and_bits(tmp_path):
    write_voxels(tmp_path / "one.npz")
    rows = measured("voxels", tmp_path)
    assert set(rows) == {"voxels_reconstruction_psnr", "voxels_token_bits"}
    # Halved features from -1 to 1: 0.5, 0.75 and 0.375, 0.25 where 0.5, 1 and 0.25, 0 belong.
    assert rows["voxels_reconstruction_psnr"].value == pytest.approx(-10 * np.log10((0.25**2 * 2 + 0.125**2) / 4))
    assert rows["voxels_token_bits"].value == 8


def test_pictures_of_a_set_are_cut_to_its_size(tmp_path):
    make_picture(0, 300, 520).save(tmp_path / "wide.png")
    (picture,) = data.find(DATASETS["imagenet"], str(tmp_path))
    assert data.frames(DATASETS["imagenet"], picture).shape == (1, 256, 256, 3)


def test_data_and_weights_are_needed(pictures):
    with pytest.raises(UnavailableError, match="needs the data set Your pictures: give a folder of pictures"):
        measured("pictures", "")
    with pytest.raises(UnavailableError, match="needs trained weights"):
        measured("pictures", pictures, weights="random")
    with pytest.raises(UnavailableError, match="coarse does not give back pictures"):
        measured("pictures", pictures, nn.Identity())


def _no_folder(folder):
    return "pictures", folder / "absent", "is no folder: give a folder of pictures"


def _empty(folder):
    return "pictures", folder, "holds no pictures: give a folder of pictures"


def _no_picture(folder):
    (folder / "a.png").write_bytes(b"text")
    return "pictures", folder, "a.png"


def _tiny(folder):
    make_picture(0, 12, 30).save(folder / "a.png")
    return "pictures", folder, "has 30x12 pixels: scoring takes 16 a side"


def _unequal(folder):
    for side in (32, 48):
        Image.new("RGB", (side, side)).save(folder / f"{side}.png")
    return "clips", folder, "have 2 different sizes"


def _no_video(folder):
    pytest.importorskip("cv2")
    (folder / "a.mp4").write_bytes(b"text")
    return "clips", folder, "holds no frame that can be read"


def _flat_voxels(folder):
    write_voxels(folder / "a.npz", coords=((1, 2), (3, 4)))
    return "voxels", folder, r"`coords` must be integers \(N, 3\)"


def _bright_voxels(folder):
    write_voxels(folder / "a.npz", features=((2.0, 0), (0, 0)))
    return "voxels", folder, "features lie between 0 and 1"


def _nan_voxels(folder):
    write_voxels(folder / "a.npz", features=((np.nan, 0), (0, 0)))
    return "voxels", folder, "features lie between 0 and 1"


def _few_features(folder):
    write_voxels(folder / "a.npz", features=((0.5, 0),))
    return "voxels", folder, r"`features` must be floats \(2, F\)"


def _no_features(folder):
    np.savez(folder / "a.npz", coords=np.zeros((1, 3), int))
    return "voxels", folder, "lacks the array 'features"


def _cut_off(folder):
    write_voxels(folder / "a.npz")
    whole = (folder / "a.npz").read_bytes()
    (folder / "a.npz").write_bytes(whole[: len(whole) // 2])
    return "voxels", folder, "cannot be read"


BAD = (
    _no_folder, _empty, _no_picture, _tiny, _unequal, _no_video, _flat_voxels, _bright_voxels, _nan_voxels,
    _few_features, _no_features, _cut_off,
)  # fmt: skip


@pytest.mark.parametrize("make", BAD)
def test_bad_input_is_a_sentence(make, tmp_path):
    dataset, place, message = make(tmp_path)
    with pytest.raises(UserError, match=message):
        TASK.check([job(dataset, place)], SILENT)


def test_good_input_passes_the_check(pictures):
    assert TASK.check([job("pictures", pictures)], SILENT) == []
