"""The project's own plugins: the pages tell of nobody else's, whatever is installed beside them."""

from __future__ import annotations

import functools
from importlib.metadata import entry_points

from workspace import load_project, members

from storagedriver_core import PluginRegistry, discover_plugins
from storagedriver_core.hookspecs import PROJECT_NAME


@functools.cache
def own_plugins() -> PluginRegistry:
    """Give what the members of the workspace offer."""
    ours = {load_project(folder)["project"]["name"] for folder in members()}
    found = entry_points(group=PROJECT_NAME)
    return discover_plugins(one for one in found if one.dist is not None and one.dist.name in ours)
