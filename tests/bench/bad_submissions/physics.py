"""What no device does."""

from tests.bench.bad_submissions.cases import GPU, MEMORY, TIMES, bad


@bad(MEMORY, "out-of-range", "no-memory-an-image", "it is 0")
def _(draft):
    row = draft.first("memory_per_image")["measurement"]
    row["value"] = 0.0
    row["detail"]["peaks_b"][1] = row["detail"]["peaks_b"][0]


@bad(TIMES, "above-peak", "ten-thousand-times-as-fast", "TFLOP/s")
def _(draft):
    for record in (*draft.of("throughput"), *draft.of("latency")):
        draft.scale(record, 1e-4)
        detail = record["measurement"]["detail"]
        detail["inner_loops"] = 10_000
        detail["percentiles_s"] = {}


@bad(GPU, "above-peak", "more-than-an-h200", "more than the 67 of nvidia-h200 in fp32")
def _(draft):
    for record in draft.of("throughput"):
        draft.scale(record, 0.01)
        record["measurement"]["detail"] |= {"inner_loops": 100, "percentiles_s": {}}
    draft.remove_job("energy")
    draft.remove_job("latency")


@bad(TIMES, "latency-throughput", "latency-a-hundredth", "by the latency")
def _(draft):
    for record in draft.of("latency"):
        draft.scale(record, 0.02)
        record["measurement"]["detail"] |= {"inner_loops": 50, "percentiles_s": {}}


@bad(TIMES, "latency-throughput", "one-round-apart", "its rounds take from")
def _(draft):
    record = draft.of("latency")[1]
    draft.scale(record, 0.1)
    record["measurement"]["detail"] |= {"inner_loops": 10, "percentiles_s": {}}


@bad(GPU, "above-power", "a-kilowatt", "it takes 1000 W, and the limit is 700 W")
def _(draft):
    row = draft.first("energy")["measurement"]
    row["detail"] |= {"joules": 10_000.0, "mean_power_w": 1000.0}
    row["value"] = 10_000 / row["detail"]["images"]


@bad(GPU, "energy-evidence", "less-than-its-joules", "over 25600 images are not")
def _(draft):
    draft.first("energy")["measurement"]["value"] /= 2


@bad(GPU, "energy-evidence", "faster-than-the-throughput", "and the throughput is")
def _(draft):
    row = draft.first("energy")["measurement"]
    row["detail"]["images"] *= 10
    row["value"] = row["detail"]["joules"] / row["detail"]["images"]


@bad(GPU, "above-memory", "more-than-the-gpu-has", "and the device has")
def _(draft):
    draft.first("memory_device")["measurement"]["value"] = 2 * draft.environment["gpu"]["memory_bytes"]


@bad(MEMORY, "memory-adds-up", "less-than-the-weights", "and the weights alone take")
def _(draft):
    draft.first("memory_with_weights")["measurement"]["value"] = (
        draft.first("memory_weights")["measurement"]["value"] // 2
    )


@bad(MEMORY, "memory-adds-up", "not-the-median-of-repeats", "it is not the median of its repeats")
def _(draft):
    for name in ("memory_peak", "memory_with_weights"):
        draft.first(name)["measurement"]["value"] -= 4096
    draft.first("memory_per_image")["measurement"]["detail"]["peaks_b"][0] -= 4096
    draft.first("memory_per_image")["measurement"]["value"] += 4096


@bad(GPU, "memory-adds-up", "less-than-the-batch", "the batch alone takes")
def _(draft):
    peak, both, image = (draft.first(f"memory_{name}")["measurement"] for name in ("peak", "with_weights", "per_image"))
    both["value"] -= peak["value"] - 1000
    image["value"] += peak["value"] - 1000
    image["detail"]["peaks_b"][0] = 1000.0
    peak["value"] = 1000
    peak["detail"]["repeats_b"] = [1000] * 3
