"""The data sets of bit parity."""

from claimbench.bench.core.task import DataSet

DATASETS = {"bits": DataSet("bits", "a file of words", needs="a text file, a word of 0 and 1 a line")}
