"""SiamRCR: anchor-free class, box and localisation score; nothing is learned online."""

from __future__ import annotations

from ..network.siamese import SiameseNet
from .siamese import SiameseTracker


class SiamRcrTracker(SiameseTracker[SiameseNet]):
    """Reciprocal classification and regression (Peng et al., IJCAI 2021).

    The links between the branches belong to training. While tracking, boxes are ranked by class
    score times predicted localisation score (Fig. 3): ``postprocess.fusion: product``.
    """

    name = "siamrcr"
    network = SiameseNet
