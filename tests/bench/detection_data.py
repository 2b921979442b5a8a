"""Small COCO folders: noise with a bright rectangle for each object."""

import json

import numpy as np
from PIL import Image

PERSON, CAR = 1, 3
"""Numbers of categories in COCO's own file."""

CATEGORIES = [{"id": PERSON, "name": "person"}, {"id": 2, "name": "bicycle"}, {"id": CAR, "name": "car"}]
OBJECTS = {139: [(PERSON, (8, 6, 32, 30))], 285: [(CAR, (20, 10, 24, 24)), (PERSON, (2, 2, 12, 40))]}
"""Of each picture: the categories and boxes (x, y, width, height)."""

SIZE = (48, 64)


def facts(objects=OBJECTS, size=SIZE):
    """What the file of annotations says."""
    annotations = []
    for picture, found in objects.items():
        for category, (x, y, width, height) in found:
            corners = [x, y, x + width, y, x + width, y + height, x, y + height]
            box = {"bbox": [x, y, width, height], "area": width * height, "segmentation": [corners]}
            number = len(annotations)
            annotations.append({"id": number, "image_id": picture, "category_id": category, "iscrowd": 0, **box})
    pictures = [{"id": n, "file_name": f"{n:012}.jpg", "height": size[0], "width": size[1]} for n in objects]
    return {"images": pictures, "annotations": annotations, "categories": CATEGORIES}


def folder(root, said=None, objects=OBJECTS, size=SIZE):
    """Write annotations and pictures; ``said`` replaces what the annotations say."""
    generator = np.random.default_rng(0)
    (root / "val2017").mkdir(parents=True)
    (root / "annotations").mkdir()
    for number, found in objects.items():
        pixels = generator.integers(0, 100, (*size, 3), dtype=np.uint8)
        for category, (x, y, width, height) in found:
            pixels[y : y + height, x : x + width] = 250 - 20 * category
        Image.fromarray(pixels).save(root / "val2017" / f"{number:012}.jpg", quality=95)
    write(root, said or facts(objects, size))
    return root


def write(root, said):
    """Replace the annotations; text is written as it is."""
    file = root / "annotations" / "instances_val2017.json"
    file.write_text(said if isinstance(said, str) else json.dumps(said))
