"""The tab of the scanner's knobs."""

from __future__ import annotations

import viser

from cli.viewer.console import GAIN_DB, TGC_DB, TGC_SLIDERS, Console
from cli.viewer.session import Session
from cli.viewer.stage import Guard


class KnobsTab:
    """Fills the tab.

    Args:
        gui: Of the page, within the tab.
        session: Whose knobs are turned.
        guard: Makes a callback whose errors are said in the page.
    """

    def __init__(self, gui: viser.GuiApi, session: Session, guard: Guard):
        self._session, console = session, session.console
        self._depth = gui.add_slider("Depth [mm]", 60.0, 200.0, 5.0, console.depth_mm)
        self._gain = gui.add_slider("Gain [dB]", -GAIN_DB, GAIN_DB, 0.5, console.gain_db)
        self._range = gui.add_slider("Dynamic range [dB]", 30.0, 100.0, 1.0, console.dynamic_range_db)
        self._frequency = gui.add_slider("Frequency [MHz]", 2.0, 12.0, 0.5, console.frequency_mhz)
        self._focus = gui.add_slider("Focus [mm]", 10.0, 180.0, 5.0, console.focus_mm)
        with gui.add_folder("Gain by depth [dB], from the face down"):
            self._tgc = [gui.add_slider(str(n), -TGC_DB, TGC_DB, 0.5, 0.0) for n in range(1, TGC_SLIDERS + 1)]
        for slider in (self._depth, self._gain, self._range, self._frequency, self._focus, *self._tgc):
            slider.on_update(guard(lambda _: self._turned()))

    def _turned(self) -> None:
        self._session.turn(
            Console(
                depth_mm=self._depth.value,
                frequency_mhz=self._frequency.value,
                focus_mm=self._focus.value,
                dynamic_range_db=self._range.value,
                gain_db=self._gain.value,
                tgc_db=tuple(slider.value for slider in self._tgc),
            )
        )
