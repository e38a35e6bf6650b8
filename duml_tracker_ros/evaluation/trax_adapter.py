"""Any tracker inside the ``vot-toolkit`` through TraX, unchanged.

In the workspace's ``trackers.ini``::

    [duml]
    label = duml
    protocol = traxpython
    command = from duml_tracker_ros.evaluation.trax_adapter import serve; serve('duml')

`serve` takes the arguments of `participants.TrackerSpec`. Or, as a program of its own::

    python -m duml_tracker_ros.evaluation.trax_adapter --tracker duml --device cpu
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..arguments import Number, Parser
from ..datasets import read_image
from .participants import TrackerSpec, create_participant
from .vot_runs import ORIGIN
from .workers import seed_all


def serve(name: str = "duml", *, origin: float = ORIGIN, **options: Any) -> None:
    """Answer a TraX client until it quits.

    Args:
        name: the tracker.
        origin: coordinate of the first pixel in the client's boxes; VOT counts from 1.
        options: further fields of `participants.TrackerSpec`.

    Raises ImportError with the package to install when trax is missing.
    """
    try:
        import trax  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError as error:
        raise ImportError(f"{error}; pip install vot-trax==4.0.2") from error
    # Before the handshake: the client waits for it, not for the first answer.
    tracker = create_participant(TrackerSpec(name, **options))
    with trax.Server([trax.Region.RECTANGLE], [trax.Image.PATH], tracker_name=name) as server:
        while True:
            request = server.wait()
            if request.type in (trax.TraxStatus.QUIT, trax.TraxStatus.ERROR):
                return
            # Newer versions of the protocol bring images of several kinds.
            given = request.image
            shown = given["color"] if isinstance(given, dict) else given
            image = read_image(Path(shown.path()))
            if request.type == trax.TraxStatus.INITIALIZE:
                region = request.objects[0][0]
                x, y, w, h = region.bounds()
                seed_all()
                tracker.init(image, (x - origin, y - origin, w, h))
                server.status([(region, {"confidence": 1.0})])
            else:
                seen = tracker.update(image)
                x, y, w, h = seen.box
                answer = trax.Rectangle.create(x + origin, y + origin, w, h)
                values = {"confidence": seen.confidence} if seen.confidence >= 0 else {}
                server.status([(answer, {**values, "state": seen.state})])


def build_parser() -> Parser:
    """The options of the server."""
    parser = Parser(description="Serve a tracker over TraX.")
    parser.add_argument("--tracker", default="duml")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--size")
    parser.add_argument("--origin", type=Number(0, 1), default=ORIGIN, help="first pixel (VOT: 1)")
    return parser


def main() -> None:
    """Command line of the server."""
    args = build_parser().parse_args()
    serve(
        args.tracker, origin=args.origin, device=args.device, weights=args.weights, size=args.size
    )


if __name__ == "__main__":
    main()
