"""The systems, filed by what a user does with them; one file a system.

    import sonograph as sound

    for system in sound.systems():
        print(system.name, system.task, system.built)

Called, this package lists them. Import sets a package as an attribute of its parent, over whatever
bore its name there, so that a function `sonograph.systems` would last until the first model is
loaded.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sonograph.registry import System


class _Systems(ModuleType):
    def __call__(self) -> tuple[System, ...]:
        """All systems, those still to come included: `registry.systems`."""
        from sonograph import registry

        return registry.systems()


sys.modules[__name__].__class__ = _Systems
