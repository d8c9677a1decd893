"""Which images of a map to keep: few that together still see what all of them saw."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from hloc_localizer.maps import RuntimeMap

_WORTH = np.array([1.0, 1.0, 0.2, 0.1, 0.05])
"""
What one more view of a point is worth, by how many are kept already.

Two views keep a point in the map; further ones let it be recognised from more sides.
"""


def order_by_coverage(runtime: RuntimeMap) -> NDArray[np.intp]:
    """
    Return the images (I,) in the order in which they are worth keeping.

    Greedy: the next image is the one that does most for views that are covered least, where a view
    is covered by the share of its points that the chosen images keep. So every place gets its
    images before any gets many (submodular cover; Nemhauser, Wolsey and Fisher, 1978).
    """
    images, points = len(runtime.image_names), len(runtime.points)
    sees = sparse.csr_matrix(
        (
            np.ones(len(runtime.observation_point)),
            runtime.observation_point.copy(),
            runtime.observation_offsets,
        ),
        shape=(images, points),
    )
    sees.sum_duplicates()
    sees.data[:] = 1.0
    seen_by = sparse.csr_matrix(sees.T)
    total = np.maximum(np.asarray(sees.sum(axis=1)).ravel(), 1.0)
    chosen_views = np.zeros(points, np.intp)
    remaining = np.ones(images, np.bool_)
    order = np.empty(images, np.intp)
    for place in range(images):
        covered = sees @ np.minimum(chosen_views, 2) / (2.0 * total)
        wanted = seen_by @ ((1.0 - covered) / total)
        worth = _WORTH[np.minimum(chosen_views, len(_WORTH) - 1)]
        gain = np.where(remaining, sees @ (worth * wanted), -1.0)
        order[place] = best = int(np.argmax(gain))
        remaining[best] = False
        chosen_views[sees.indices[sees.indptr[best] : sees.indptr[best + 1]]] += 1
    return order
