"""Installs the ROS-free part: library, training, evaluation and the `duml-tracker` command line.

The ROS node needs the generated interfaces and is built by CMake instead: `make setup` in a
virtual environment, `colcon build` in a ROS workspace.
"""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent
PACKAGE = ElementTree.parse(ROOT / "package.xml").getroot()

setup(
    name="duml_tracker_ros",
    version=PACKAGE.findtext("version"),
    description=" ".join((PACKAGE.findtext("description") or "").split()),
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(
        include=["duml_tracker_ros", "duml_tracker_ros.*"],
        exclude=[f"duml_tracker_ros.{name}*" for name in ("node", "console", "mavlink", "demo")],
    ),
    package_data={
        "duml_tracker_ros": [
            "py.typed",
            *(
                f"**/*.{suffix}"
                for suffix in ("safetensors", "onnx", "sha256", "yaml", "json", "md")
            ),
        ]
    },
    install_requires=[
        # Video files; without it OpenCV reads them, and what is damaged in them goes unnoticed.
        "av>=14.0",
        "numpy>=1.23",
        # All four OpenCV distributions install the same cv2 and exclude each other. This one has
        # the CSRT and KCF peers of the evaluation and needs no libGL on a server.
        "opencv-contrib-python-headless>=4.8",
        "pyyaml>=6.0",
        "safetensors>=0.4",
        "torch>=2.4",
        "tqdm>=4.64",
    ],
    extras_require={
        "bag": ["rosbags>=0.11"],
        # `duml-tracker mavlink`.
        "mavlink": ["pymavlink>=2.4.40"],
        # `duml-tracker export`, and the engine where there is no OpenVINO.
        "onnx": ["onnx>=1.16", "onnxruntime>=1.18", "onnxscript>=0.2"],
        # What engine=auto takes on x86.
        "openvino": ["openvino>=2025.0"],
        "plot": ["matplotlib>=3.7"],
        # H.264 and H.265: image_transport ffmpeg and foxglove, and such bags.
        "video": ["av>=12.0"],
        "test": [
            "av>=12.0",
            "hypothesis>=6.100",
            "matplotlib>=3.7",
            "mavsdk>=4.1",
            "mypy==2.4.1",
            "onnx>=1.16",
            "onnxruntime>=1.18",
            "onnxscript>=0.2",
            "openvino>=2025.0",
            "pymavlink>=2.4.40",
            "pytest>=8.0",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "rosbags>=0.11",
            "ruff==0.17.5",
            "types-PyYAML",
            "types-tqdm",
        ],
        # What tools/requirements-toolkits.txt imports. vot-toolkit 0.7.4 is older than the next
        # major versions of the pinned ones.
        "toolkits": [
            "bidict==0.23.1",
            "cachetools==5.5.2",
            "colorama>=0.4.3",
            "lazy-object-proxy>=1.12",
            "matplotlib>=3.7",
            "numba>=0.61",
            "packaging>=20",
            "phx-class-registry==5.1.0",
            "pillow>=7",
            "requests>=2.22",
            "shapely>=2.0.6",
            "six>=1.16",
        ],
    },
    entry_points={"console_scripts": ["duml-tracker = duml_tracker_ros.cli.main:main"]},
    zip_safe=False,
)
