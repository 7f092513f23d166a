"""The public registry of MCP servers, and bundles: find out what a server in them would run.

Everything that comes from there is text of strangers: it is checked, never run, and made safe where shown.
"""

from __future__ import annotations

from omni_tui.public_registry.any_launch import AnyLaunch, derive_launch, launch_label, questions
from omni_tui.public_registry.bundle_file import BundleFile, read_bundle, unpack_bundle
from omni_tui.public_registry.bundle_launch import BundleLaunch, bundle_launch
from omni_tui.public_registry.client import RegistryClient, RegistryPage
from omni_tui.public_registry.launch import Launch, LaunchQuestion, free_name, plain_name
from omni_tui.public_registry.server_entry import (
    RegistryError,
    RegistryPackage,
    RegistryRemote,
    RegistryServer,
    read_entry,
)

__all__ = [
    "AnyLaunch",
    "BundleFile",
    "BundleLaunch",
    "Launch",
    "LaunchQuestion",
    "RegistryClient",
    "RegistryError",
    "RegistryPackage",
    "RegistryPage",
    "RegistryRemote",
    "RegistryServer",
    "bundle_launch",
    "derive_launch",
    "free_name",
    "launch_label",
    "plain_name",
    "questions",
    "read_bundle",
    "read_entry",
    "unpack_bundle",
]
