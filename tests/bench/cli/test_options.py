"""A command fills the frozen class of its request."""

import inspect
from dataclasses import fields
from importlib import import_module

import pytest

from claimbench.bench.cli.options import filled
from claimbench.bench.core.task import TrainRequest
from claimbench.bench.run.request import RunRequest


def test_a_command_fills_its_request_and_leaves_out_what_was_not_given():
    given = {"papers": ["a", "b"], "device": "cpu", "rounds": None, "multi_scale": True, "timeout": 3.0}
    assert filled(RunRequest, given) == RunRequest(papers=("a", "b"), device="cpu", multi_scale=True)
    assert filled(TrainRequest, {"paper": "van", "workers": 0}) == TrainRequest("van", workers=0)


@pytest.mark.parametrize(("command", "request_class"), [("run", RunRequest), ("train", TrainRequest)])
def test_every_choice_of_a_request_is_a_parameter_of_its_command(command, request_class):
    function = getattr(import_module(f"claimbench.bench.cli.{command}"), command)
    chosen = {field.name for field in fields(request_class)} - {"listener"}  # the command's own, not the user's choice
    assert chosen <= inspect.signature(function).parameters.keys()
