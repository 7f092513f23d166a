"""What can be run or reached: a package, an address or a bundle, each asked in the same way."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from omni_tui.public_registry.bundle_launch import BundleLaunch, bundle_questions, derive_bundle
from omni_tui.public_registry.launch import Launch, LaunchQuestion, derive_address, derive_command
from omni_tui.public_registry.launch import launch_questions as registry_questions
from omni_tui.public_registry.server_entry import RegistryError, RegistryPackage, RegistryRemote

AnyLaunch = RegistryPackage | RegistryRemote | BundleLaunch


def questions(launch: AnyLaunch) -> tuple[LaunchQuestion, ...]:
    """Return what to ask for, in order. Raises `RegistryError` if it cannot be run or reached."""
    return bundle_questions(launch) if isinstance(launch, BundleLaunch) else registry_questions(launch)


def derive_launch(launch: AnyLaunch, answers: Mapping[str, str]) -> Launch:
    """Return what a package, an address or a bundle comes to. Raises `RegistryError`."""
    match launch:
        case BundleLaunch():
            return derive_bundle(launch, answers)
        case RegistryRemote():
            return derive_address(launch, answers)
        case RegistryPackage():
            return derive_command(launch, answers)


def launch_label(launch: AnyLaunch) -> str:
    """Return the command line or address without answers, "" if it cannot be run here."""
    try:
        derived = derive_launch(launch, {})
    except RegistryError:
        return ""
    return derived.url or shlex.join([derived.command, *derived.args])
