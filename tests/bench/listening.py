"""A listener that remembers what it was told."""

from claimbench.bench.core.listener import Listener
from claimbench.bench.measure.scoring.tail import Tail


class Heard(Listener):
    """Everything told of a piece of work and of its parts, in order, in ``told`` and each kind by itself.

    ``told`` holds what happened, with the name of the work and what was said of it.
    """

    def __init__(self, what="", told=None):
        self.what, self.told = what, [] if told is None else told

    def begin(self, what, total=None, *, done=0, unit=""):
        self.told.append(("begin", what, total))
        return Heard(what, self.told)

    def at(self, done, total=None, what=""):
        self.told.append(("at", self.what, (done, total)))

    def say(self, result):
        self.told.append(("say", self.what, result))

    def note(self, remark):
        self.told.append(("note", self.what, remark))

    def failed(self, reason):
        self.told.append(("failed", self.what, reason))

    def end(self):
        self.told.append(("end", self.what, None))

    def of(self, kind):
        """What was told of one kind, in order."""
        return [told for how, _, told in self.told if how == kind]

    def begun(self):
        """The names of all work, in the order in which it began."""
        return [what for how, what, _ in self.told if how == "begin"]


def progress(base):
    """The amount done, the total and the name of the work that the files of an evaluation tell; None without any."""
    told = []

    class Last(Listener):
        def at(self, done, total=None, what=""):
            told[:] = [(done, total, what)]

    Tail(base, "job", Last()).tell()
    return told[0] if told else None
