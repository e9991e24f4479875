"""The example of a scene in memory runs as it stands in the documentation."""

from __future__ import annotations

import re

import numpy as np
from support import ROOT


def test_the_scene_in_memory_of_the_documentation_renders():
    page = (ROOT / "docs" / "scenes.md").read_text("utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    names: dict = {}
    exec(compile(code, "docs/scenes.md", "exec"), names)
    assert [one.name for one in names["scene"].surfaces] == ["body", "stone"]
    np.testing.assert_allclose(names["scene"].bounds_mm, [[-100, -100, -100], [100, 100, 100]], atol=0.2)
    image = names["image"]
    assert image.shape == (1000, 1386)
    assert image.std() > 10
