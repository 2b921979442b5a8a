"""Figures that do not follow from their samples, and too little effort."""

from tests.bench.bad_submissions.cases import GPU, TIMES, bad


@bad(TIMES, "not-from-samples", "no-samples", "it has no samples")
def _(draft):
    record = draft.first("latency")
    draft.samples_of(record).clear()
    record["measurement"] |= {"low": None, "high": None}


@bad(GPU, "not-from-samples", "no-interval", "its interval is none")
def _(draft):
    draft.first("latency")["measurement"] |= {"low": None, "high": None}


@bad(GPU, "not-from-samples", "samples-left-out", "it says that it has 24 samples, and has 18")
def _(draft):
    record = draft.first("latency")
    samples = draft.samples_of(record)
    ordered = sorted(samples)
    draft.resample(record, ordered[3:-3])
    record["measurement"]["detail"]["samples"] = len(ordered)


@bad(TIMES, "not-from-samples", "a-tenth-faster", ", and its samples give")
def _(draft):
    row = draft.first("latency")["measurement"]
    row["value"] *= 0.999999
    row["low"], row["high"] = (None, None) if row["low"] is None else (row["low"], row["high"])


@bad(GPU, "not-from-samples", "median-outside", "its interval is from")
def _(draft):
    row = draft.first("latency")["measurement"]
    row["low"], row["high"] = row["high"], row["high"] * 1.001


@bad(GPU, "not-from-samples", "upside-down", "its interval is from")
def _(draft):
    row = draft.first("latency")["measurement"]
    row["low"], row["high"] = row["high"], row["low"]


@bad(GPU, "not-from-samples", "beyond-the-samples", "its interval is from")
def _(draft):
    draft.first("throughput")["measurement"]["high"] *= 1.2


@bad(GPU, "not-from-samples", "narrower", "its interval is from")
def _(draft):
    row = draft.first("throughput")["measurement"]
    row["high"] = row["value"] + (row["high"] - row["value"]) / 2


@bad(GPU, "not-from-samples", "percentiles-disordered", "its percentiles are not those of its samples")
def _(draft):
    detail = draft.first("latency")["measurement"]["detail"]
    detail["percentiles_s"] |= {"p25": detail["percentiles_s"]["p50"] * 1.1}


@bad(GPU, "not-from-samples", "half-width", "not that of its samples")
def _(draft):
    draft.first("latency")["measurement"]["detail"]["halfwidth"] /= 2


@bad(GPU, "identical-samples", "all-the-same", "24 samples are all the same")
def _(draft):
    draft.resample(draft.first("latency"), [0.05] * 24)


@bad(GPU, "copied-samples", "one-round-three-times", "its samples are those of line")
def _(draft):
    first, *others = draft.of("latency")
    for record in others:
        draft.resample(record, list(draft.samples_of(first)))


@bad(TIMES, "too-few-samples", "two-a-round", "it has 2 samples, at least 3 are taken")
def _(draft):
    for record in draft.of("throughput"):
        draft.resample(record, draft.samples_of(record)[:2])


@bad(GPU, "too-few-samples", "sure-of-nine", "with 9 samples: that takes 10")
def _(draft):
    for record in draft.of("latency"):
        draft.resample(record, draft.samples_of(record)[:9])


@bad(TIMES, "too-few-rounds", "one-process", "1 of at least 3 rounds are there")
def _(draft):
    for record in [record for record in draft.records if record["round"]]:
        draft.remove(record)
    draft.plan["jobs"] = [job for job in draft.plan["jobs"] if not job["round"]]


@bad(TIMES, "quick-as-full", "a-tenth-of-a-second", "and a run that is not quick gives")
def _(draft):
    for job in draft.jobs():
        job["options"]["budget_s"] = 0.1
    for record in draft.records:
        record["measurement"]["detail"]["budget_s"] = 0.1


@bad(TIMES, "hidden-noise", "other-processes", "it is called quiet, and other processes used 1.5 cores")
def _(draft):
    record = draft.first("latency")
    record["measurement"]["detail"] |= {"noisy": False, "noisy_reasons": []}
    record["measurement"]["detail"]["machine"]["others_cores"] = 1.5


@bad(TIMES, "longer-than-it-took", "an-hour-in-a-minute", "warm-up and samples add up to")
def _(draft):
    record = draft.first("latency")
    record["measurement"]["detail"]["warmup"]["seconds"] += 3600.0
