"""The checkpoints that can be used: file, origin, licence and published checksums."""

from __future__ import annotations

from dataclasses import dataclass

from hloc_localizer.errors import InputError


@dataclass(frozen=True)
class Checkpoint:
    """One weights file, under the name its authors publish it by."""

    name: str
    """The name on the command line, for example ``aliked-n16``."""
    file_name: str
    """The name in the weights directory."""
    model: str
    """What it is, for people."""
    url: str
    licence: str
    sha256: tuple[str, ...] = ()
    """Checksums of the files known to be right; empty where none is published."""
    commercial_use: bool = True
    """Whether the licence allows it."""
    max_bytes: int = 64 << 20
    """Larger files are not the model: never downloaded or opened."""


_LIGHTGLUE = 'https://github.com/cvg/LightGlue/releases/download/v0.1_arxiv'
_XFEAT = 'https://github.com/verlab/accelerated_features/raw/main/weights'
_ALIKED = 'https://github.com/Shiaoming/ALIKED/raw/main/models'

# XFeat and LighterGlue have two checksums: the file in the authors' repository, and the same
# tensors saved again (LighterGlue without the extractor and the parts that are never run).
_CHECKPOINTS = (
    Checkpoint(
        name='xfeat',
        file_name='xfeat.pt',
        model='XFeat (Potje et al., CVPR 2024)',
        url=f'{_XFEAT}/xfeat.pt',
        licence='Apache-2.0',
        sha256=(
            '0f5187fd7bedd26c7fe6acc9685444493a165a35ecc087b33c2db3627f3ea10b',
            '112e67814b8ccdfec25e558ee6274a9575abb5485fb8ee7d7092844e8e6dee66',
        ),
    ),
    Checkpoint(
        name='xfeat-lighterglue',
        file_name='xfeat-lighterglue.pt',
        model='LighterGlue, the LightGlue of XFeat',
        url=f'{_XFEAT}/xfeat-lighterglue.pt',
        licence='Apache-2.0',
        sha256=(
            '766102df37f11189efe5b0811d1f47c72b22629b79bfabfcfff9d2a2f84654b8',
            '06e8455ebeb0c9a72cfbe773a73a67f6a68ec7477b8e1f23db4338ef0e59d957',
        ),
    ),
    Checkpoint(
        name='aliked-n16',
        file_name='aliked-n16.pth',
        model='ALIKED-N(16) (Zhao et al., TIM 2023)',
        url=f'{_ALIKED}/aliked-n16.pth',
        licence='BSD-3-Clause',
        sha256=('5be8704840ed662d9d8c561bf7279c222092674e7eb05fd0feab94899e9d82f2',),
    ),
    Checkpoint(
        name='aliked-n16rot',
        file_name='aliked-n16rot.pth',
        model='ALIKED-N(16) trained with rotations',
        url=f'{_ALIKED}/aliked-n16rot.pth',
        licence='BSD-3-Clause',
        sha256=('ddf3abbf38e86f6a74540d214e1a9712c54b2d8551abc864542199f2347d7332',),
    ),
    Checkpoint(
        name='aliked-lightglue',
        file_name='aliked_lightglue.pth',
        model='LightGlue for ALIKED (Lindenberger et al., ICCV 2023)',
        url=f'{_LIGHTGLUE}/aliked_lightglue.pth',
        licence='Apache-2.0',
        sha256=('d975e965b105311a6143194852297dff4f02aea5cc2e10cecfed966ca0e22503',),
    ),
    Checkpoint(
        name='disk',
        file_name='depth-save.pth',
        model='DISK, trained with depth (Tyszkiewicz et al., NeurIPS 2020)',
        url='https://github.com/cvlab-epfl/disk/raw/master/depth-save.pth',
        licence='Apache-2.0',
        sha256=('9c2ee4ded238892dfa51569941372601e35e4a74aa6f84ea80053d2ab1c07abe',),
    ),
    Checkpoint(
        name='disk-lightglue',
        file_name='disk_lightglue.pth',
        model='LightGlue for DISK',
        url=f'{_LIGHTGLUE}/disk_lightglue.pth',
        licence='Apache-2.0',
        sha256=('b5b21d47ea24f2c5e501aec9c91b9716e4c8c3429a4dc1e615c133c4c9378335',),
    ),
    Checkpoint(
        name='superpoint',
        file_name='superpoint_v1.pth',
        model='SuperPoint (DeTone et al., CVPRW 2018)',
        url='https://github.com/magicleap/SuperPointPretrainedNetwork/raw/master/superpoint_v1.pth',
        licence='Magic Leap: academic or non-profit, non-commercial research only',
        sha256=('52b6708629640ca883673b5d5c097c4ddad37d8048b33f09c8ca0d69db12c40e',),
        commercial_use=False,
    ),
    Checkpoint(
        name='superpoint-lightglue',
        file_name='superpoint_lightglue.pth',
        model='LightGlue for SuperPoint',
        url=f'{_LIGHTGLUE}/superpoint_lightglue.pth',
        licence='Apache-2.0',
        sha256=('6ff7040d0a497fc6639337946d7538dae07428c18f77a067a0b5a960e7cc551a',),
    ),
    Checkpoint(
        name='netvlad',
        file_name='VGG16-NetVLAD-Pitts30K.mat',
        model='NetVLAD, VGG-16, Pittsburgh 30k (Arandjelovic et al., CVPR 2016)',
        url='https://cvg-data.inf.ethz.ch/hloc/netvlad/Pitts30K_struct.mat',
        licence='MIT',
        max_bytes=1 << 30,
    ),
    Checkpoint(
        name='eigenplaces',
        file_name='ResNet101_2048_eigenplaces.pth',
        model='EigenPlaces, ResNet-101, 2048 dimensions (Berton et al., ICCV 2023)',
        url='https://github.com/gmberton/EigenPlaces/releases/download/v1.0/'
        'ResNet101_2048_eigenplaces.pth',
        licence='MIT',
        max_bytes=512 << 20,
    ),
    Checkpoint(
        name='megaloc',
        file_name='megaloc.torch',
        model='MegaLoc, DINOv2 ViT-B/14 with SALAD (Berton and Masone, 2025)',
        url='https://github.com/gmberton/MegaLoc/releases/download/v1.0/megaloc.torch',
        licence='MIT',
        max_bytes=2 << 30,
    ),
)

CATALOGUE: dict[str, Checkpoint] = {checkpoint.name: checkpoint for checkpoint in _CHECKPOINTS}
"""Every known checkpoint by name."""


def find_checkpoint(name: str) -> Checkpoint:
    """
    Return the entry of that name.

    :raises InputError: for an unknown name, with the known ones.
    """
    if name not in CATALOGUE:
        raise InputError(f"unknown weights '{name}'; known: {', '.join(CATALOGUE)}")
    return CATALOGUE[name]
