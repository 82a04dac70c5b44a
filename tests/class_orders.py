"""The declared class orders of the datasets, by name, for tests."""

from mfer_lightning.data.datasets.registry import dataset_info, known_datasets

CLASS_ORDERS = {name: names for name in known_datasets() if (names := dataset_info(name).class_names)}
