"""Any tracker inside the ``got10k`` toolkit, unchanged.

    from got10k.experiments import ExperimentGOT10k
    experiment = ExperimentGOT10k("data/GOT-10k", subset="val")
    experiment.run(got10k_tracker(TrackerSpec("duml")))

The toolkit's boxes are taken as they are: its own loaders leave the coordinates of each data set.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .one_pass import as_box
from .participants import TrackerSpec, create_participant
from .workers import seed_all


def got10k_tracker(spec: TrackerSpec, name: str | None = None) -> Any:
    """A ``got10k.trackers.Tracker`` around the tracker of a spec.

    Raises ImportError with the package to install when got10k is missing.
    """
    try:
        from got10k.trackers import Tracker  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError as error:
        raise ImportError(f"{error}; pip install got10k==0.1.3") from error

    class Adapter(Tracker):
        """PIL images and ``[4]`` arrays on the outside, BGR arrays and tuples inside."""

        def __init__(self) -> None:
            super().__init__(name=name or spec.name, is_deterministic=True)
            self._tracker = create_participant(spec)

        def init(self, image: Any, box: Any) -> None:
            seed_all()
            self._tracker.init(_bgr(image), as_box(np.asarray(box, dtype=np.float64)))

        def update(self, image: Any) -> np.ndarray:
            return np.array(self._tracker.update(_bgr(image)).box)

    return Adapter()


def _bgr(image: Any) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(image, dtype=np.uint8)[..., ::-1])
