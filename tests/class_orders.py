"""The class orders that the datasets declare, by name, as tests use them."""

from mfer_lightning.data.datasets.registry import dataset_info, known_datasets

CLASS_ORDERS = {name: names for name in known_datasets() if (names := dataset_info(name).class_names)}
