# What type checkers see: the names that __init__.py imports when they are first used.
from ussim.dataset.store import Dataset as Dataset
from ussim.errors import UssimError as UssimError
from ussim.probe.imaging import Imaging as Imaging
from ussim.probe.probe import ConvexProbe as ConvexProbe
from ussim.probe.probe import LinearProbe as LinearProbe
from ussim.probe.probe import PhasedProbe as PhasedProbe
from ussim.probe.quality import HQ as HQ
from ussim.probe.quality import LQ as LQ
from ussim.probe.quality import REFERENCE as REFERENCE
from ussim.probe.quality import Quality as Quality
from ussim.render.renderer import Renderer as Renderer
from ussim.scene.scene import Scene as Scene
from ussim.scene.surface import Surface as Surface
from ussim.scene.tissue import TissueLibrary as TissueLibrary

__version__: str
