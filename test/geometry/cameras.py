"""Realistic cameras, one or more of every model, for the geometry tests."""

from hloc_localizer.geometry.camera import Camera

# Intrinsics of the left camera of a RealSense T265, 163 degrees wide.
T265 = Camera(
    'OPENCV_FISHEYE',
    848,
    800,
    (284.468, 285.51, 424.355, 393.742, 0.0008, 0.031, -0.03, 0.005),
)

CAMERAS = {
    'SIMPLE_PINHOLE': Camera('SIMPLE_PINHOLE', 640, 480, (520.0, 318.0, 242.0)),
    'PINHOLE': Camera('PINHOLE', 640, 480, (520.0, 523.0, 318.0, 242.0)),
    'SIMPLE_RADIAL': Camera('SIMPLE_RADIAL', 640, 480, (520.0, 318.0, 242.0, -0.11)),
    'RADIAL': Camera('RADIAL', 640, 480, (520.0, 318.0, 242.0, -0.28, 0.07)),
    'OPENCV': Camera(
        'OPENCV', 640, 480, (520.0, 523.0, 318.0, 242.0, -0.28, 0.07, 0.0011, -0.0007)
    ),
    'FULL_OPENCV': Camera(
        'FULL_OPENCV',
        640,
        480,
        (520.0, 523.0, 318.0, 242.0, 0.42, -0.3, 0.0006, -0.0004, 0.05, 0.6, -0.22, -0.02),
    ),
    'OPENCV_FISHEYE': T265,
    'SIMPLE_RADIAL_FISHEYE': Camera(
        'SIMPLE_RADIAL_FISHEYE', 640, 480, (260.0, 318.0, 242.0, -0.03)
    ),
    'RADIAL_FISHEYE': Camera('RADIAL_FISHEYE', 640, 480, (260.0, 318.0, 242.0, 0.02, -0.01)),
    'SIMPLE_FISHEYE': Camera('SIMPLE_FISHEYE', 640, 480, (260.0, 318.0, 242.0)),
    'FISHEYE': Camera('FISHEYE', 640, 480, (260.0, 263.0, 318.0, 242.0)),
    'FOV': Camera('FOV', 640, 480, (270.0, 272.0, 318.0, 242.0, 0.92)),
    'THIN_PRISM_FISHEYE': Camera(
        'THIN_PRISM_FISHEYE',
        640,
        480,
        (300.0, 302.0, 318.0, 242.0, 0.012, -0.004, 0.0005, -0.0003, 0.002, -0.001, 0.0004, 0.0002),
    ),
}
