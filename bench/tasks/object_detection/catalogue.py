"""COCO 2017 val, as data; only the standard library is imported here, for planning."""

from __future__ import annotations

from claimbench.bench.core.task import DataSet

ANNOTATIONS, FOLDER = "annotations/instances_val2017.json", "val2017"
"""The places of the annotations and of the pictures in the data set's folder."""

PICTURES = 5000

COCO = DataSet(
    "coco",
    "COCO 2017 val",
    needs=f"the folder with {ANNOTATIONS} and {FOLDER}",
    source="Lin et al., ECCV 2014: average precision over overlaps of 0.50 to 0.95, by pycocotools",
)

CLASSES = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard"),
    *("cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase"),
    *("scissors", "teddy bear", "hair drier", "toothbrush"),
)
"""The categories in the order of their numbers, which is that of a network's scores."""
